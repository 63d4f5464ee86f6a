"""Nothing is lost while we are down: Twilio's list is compared with what arrived, once, in order, and by age."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from hookflash.asgi import create_app
from hookflash.base.clock import SystemClock
from hookflash.base.errors import TwilioFailed
from hookflash.channels.integration import Credentials
from hookflash.channels.jobs import Gap, backfill_all, keep_backfilling
from hookflash.testing.clock import VirtualClock
from hookflash.testing.wait import until
from hookflash.twilio.signature import sign
from tests.doors.textline import OURS, TextLine, text_line

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


async def bodies(line: TextLine) -> list[str]:
    rows = await line.rows("select body from messages where direction = 'in' order by seq")
    return [r["body"] for r in rows]


async def refreshed(line: TextLine) -> Any:
    async with line.core.db.tenant(line.account_id) as conn:
        return await line.core.integrations.get(conn, line.integration.id)


async def test_ten_minutes_of_outage(database_url: str, fresh_directory: Path) -> None:
    """Virtual time: 40 messages of four people over ten minutes, of which only those of the first minute arrive."""
    clock = VirtualClock(SystemClock().now())
    async with text_line(database_url, fresh_directory, workers=0, clock=clock) as line:
        expected: list[tuple[str, str]] = []
        for n in range(40):
            phone = line.phone(f"+1555011100{n % 4}")
            if n == 4:
                line.emulator.fault("lose_webhook")
            phone.text(OURS, f"number {n}")
            expected.append((phone.number, f"number {n}"))
            await line.emulator.idle()
            await clock.advance(15.0)
        assert len(await bodies(line)) == 4
        backfill = line.core.backfill()
        assert await backfill.run(line.integration) == 36
        # Once more over the same time, and once more from where it was left.
        assert await backfill.run(line.integration) == 0
        await clock.advance(60.0)
        assert await backfill.run(await refreshed(line)) == 0
        rows = await line.rows("select address, body, state, via, at from messages order by at, seq")
        assert [(r["address"], r["body"]) for r in rows] == expected
        assert [r["via"] for r in rows] == ["webhook"] * 4 + ["backfill"] * 36
        assert {r["state"] for r in rows} == {"unanswered"}
        assert rows == await line.rows("select address, body, state, via, at from messages order by seq")


async def test_what_is_older_than_its_limit_is_kept_but_not_answered(database_url: str, fresh_directory: Path) -> None:
    clock = VirtualClock(SystemClock().now())
    async with text_line(database_url, fresh_directory, workers=0, clock=clock, stale_after_minutes=5) as line:
        line.emulator.fault("lose_webhook")
        for n in range(10):
            line.phone().text(OURS, f"number {n}")
            await clock.advance(60.0 if n < 9 else 30.0)
        assert await line.core.backfill().run(line.integration) == 10
        rows = await line.rows("select state, why from messages order by seq")
        assert [r["state"] for r in rows] == ["stale"] * 5 + ["unanswered"] * 5
        assert rows[0]["why"] == "stale: found too late to answer"
        assert len(await line.rows("select 1 from sessions")) == 1


async def test_a_weekend_is_found_and_what_came_before_us_is_not(database_url: str, fresh_directory: Path) -> None:
    clock = VirtualClock(SystemClock().now())
    async with text_line(database_url, fresh_directory, workers=0, clock=clock) as line:
        line.emulator.fault("lose_webhook")
        await line.rows("update integrations set created_at = created_at + interval '1 hour' returning 1")
        line.phone().text(OURS, "to whoever answered before")
        await clock.advance(3600.0 + 30.0)
        assert await line.core.backfill().run(await refreshed(line)) == 0
        line.phone().text(OURS, "friday")
        await clock.advance(3 * 86_400.0)
        line.phone().text(OURS, "monday")
        assert await line.core.backfill().run(await refreshed(line)) == 2
        assert await bodies(line) == ["friday", "monday"]


async def test_webhooks_that_arrive_meanwhile_make_no_doubles(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.emulator.fault("lose_webhook")
        texts = [line.phone(f"+155501110{n:02}").text(OURS, f"number {n}") for n in range(30)]
        app = create_app(line.core)
        found: list[int] = []

        async def webhook(client: httpx2.AsyncClient, form: Mapping[str, str]) -> None:
            url = f"{line.base}/messages"
            headers = sign(url, line.emulator.auth_token, form=form.items())
            assert (await client.post(url, data=dict(form), headers=headers)).status_code == 200

        async def backfill() -> None:
            found.append(await line.core.backfill().run(line.integration))

        async with (
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client,
            anyio.create_task_group() as tasks,
        ):
            for n, text in enumerate(texts):
                form = {
                    "MessageSid": text.sid,
                    "AccountSid": line.emulator.account_sid,
                    "From": str(text.sender),
                    "To": OURS,
                    "Body": text.body,
                    "NumMedia": "0",
                }
                tasks.start_soon(webhook, client, form)
                if n % 10 == 5:
                    tasks.start_soon(backfill)
        assert sorted(await bodies(line)) == sorted(t.body for t in texts)
        by_hook = await line.rows("select count(*)::int as n from messages where via = 'webhook'")
        assert sum(found) + by_hook[0]["n"] == 30


async def test_attachments_buttons_and_words_of_what_was_missed(database_url: str, fresh_directory: Path) -> None:
    sender = "whatsapp:+15550100300"
    async with text_line(database_url, fresh_directory, sender=sender) as line:
        line.emulator.fault("lose_webhook")
        phone = line.phone()
        phone.text(sender, "look", media=[("image/png", PNG), ("text/vcard", b"BEGIN:VCARD")])
        nameless = line.phone("US.13491208655302741918")
        nameless.text(sender, "hello")
        line.phone("+15550111333").text(sender, "Stop.")
        assert await line.core.backfill().run(line.integration) == 3
        await line.at_rest()
        assert [m.body for m in phone.inbox] == ["You said: look"]
        assert [m.body for m in nameless.inbox] == ["You said: hello"]
        assert ["no more messages" in m.body for m in line.phone("+15550111333").inbox] == [True]
        (row,) = await line.rows("select media from messages where body = 'look'")
        kept = sorted((m["content_type"], m["failure"]) for m in row["media"])
        assert kept == [("image/png", None), ("text/vcard", None)]
        assert line.emulator.leaked_credentials == 0


async def test_all_numbers_of_a_messaging_service_are_compared(database_url: str, fresh_directory: Path) -> None:
    pool = tuple(f"+1555010020{n}" for n in range(3))
    async with text_line(database_url, fresh_directory, pool=pool) as line:
        line.emulator.fault("lose_webhook")
        for n in range(6):
            line.phone(f"+1555011100{n}").text(pool[n % 3], f"number {n}")
        assert await line.core.backfill().run(line.integration) == 6
        await line.at_rest()
        for n in range(6):
            (reply,) = line.phone(f"+1555011100{n}").inbox
            assert (reply.sender, reply.body) == (pool[n % 3], f"You said: number {n}")


async def test_every_integration_is_compared_and_one_that_fails_keeps_nobody_from_it(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        second = await line.second("+15550100299")
        broken = await line.second("+15550100298")
        other = Credentials(account_sid=line.emulator.account_sid, auth_tokens=("0" * 32,))
        async with line.core.db.tenant(line.account_id) as conn:
            await line.core.integrations.update(conn, broken.id, line.core.clock.now(), credentials=other)
        line.emulator.fault("lose_webhook")
        for number in (OURS, "+15550100298", "+15550100299"):
            line.phone().text(number, f"to {number}")
        core = line.core
        assert await backfill_all(core.db, core.integrations, core.backfill()) == 2
        rows = await line.rows("select integration_id, body from messages order by integration_id")
        assert {(r["integration_id"], r["body"]) for r in rows} == {
            (line.integration.id, f"to {OURS}"),
            (second.id, "to +15550100299"),
        }
        await line.change(disabled=True)
        line.phone().text(OURS, "while disabled")
        assert await backfill_all(core.db, core.integrations, core.backfill()) == 0


@pytest.mark.parametrize(("fault", "retryable"), [("rate_limit", True), ("error_500", True), ("drop", True)])
async def test_a_list_that_cannot_be_read_leaves_the_time_to_be_compared_again(
    database_url: str, fresh_directory: Path, fault: str, retryable: bool
) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.emulator.fault("lose_webhook")
        line.phone().text(OURS, "hello")
        line.emulator.fault(fault, any_request=True)
        with pytest.raises(TwilioFailed) as refused:
            await line.core.backfill().run(line.integration)
        assert refused.value.retryable is retryable
        assert (await refreshed(line)).backfilled_to is None
        line.emulator.clear_faults()
        assert await line.core.backfill().run(line.integration) == 1
        assert (await refreshed(line)).backfilled_to is not None


async def test_wrong_credentials_leave_it_too(database_url: str, fresh_directory: Path) -> None:
    environment = {"TWILIO_AUTH_TOKEN": "0" * 32}
    async with text_line(database_url, fresh_directory, workers=0, environment=environment) as line:
        with pytest.raises(TwilioFailed) as refused:
            await line.core.backfill().run(line.integration)
        assert refused.value.code == 20003
        assert (await refreshed(line)).backfilled_to is None


async def test_it_runs_at_the_start_on_a_schedule_and_after_each_gap(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.emulator.fault("lose_webhook")
        numbers = count()
        core = line.core

        async def missed() -> None:
            n = next(numbers)
            line.phone(f"+155501119{n:02}").text(OURS, f"number {n}")

        async def found(number: int) -> bool:
            return len(await bodies(line)) == number

        await missed()
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(anyio.create_task_group())
            gap = Gap(anyio.Event())
            tasks.start_soon(keep_backfilling, core.db, core.integrations, core.backfill(), core.clock, 3600.0, gap)
            await until(lambda: found(1))
            await missed()
            gap.noticed()
            await until(lambda: found(2))
            tasks.cancel_scope.cancel()
        async with anyio.create_task_group() as tasks:
            never = Gap(anyio.Event())
            tasks.start_soon(keep_backfilling, core.db, core.integrations, core.backfill(), core.clock, 0.05, never)
            for n in (3, 4):
                await missed()
                await until(lambda n=n: found(n))  # type: ignore[misc]
            tasks.cancel_scope.cancel()


async def test_what_is_found_is_answered(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("lose_webhook", next=3)
        phone = line.phone()
        for n in range(3):
            phone.text(OURS, f"lost {n}")
        await line.core.backfill().run(line.integration)
        await line.at_rest()
        assert [m.body for m in phone.inbox] == ["You said: lost 0\nlost 1\nlost 2"]
