"""A text in, one answer out: the whole way over real sockets and a real database."""

from pathlib import Path

import anyio
import httpx2
import pytest

from hookflash.conversation.turn import Turn
from hookflash.testing.wait import until
from tests.doors.textline import OURS, TextLine, text_line

WHATSAPP = "+15550100300"


async def test_a_text_is_answered_once(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        phone = line.phone()
        phone.text(OURS, "Hello there")
        await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["You said: Hello there"]
        rows = await line.rows("select direction, state, sid is not null as has_sid from messages order by seq")
        assert [(r["direction"], r["state"], r["has_sid"]) for r in rows] == [
            ("in", "answered", True),
            ("out", "delivered", True),
        ]


async def test_a_burst_is_one_turn(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, burst_ms=300) as line:
        phone = line.phone()
        for word in ("I", "have", "a question"):
            phone.text(OURS, word)
            await line.emulator.idle()
        await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["You said: I\nhave\na question"]


async def test_what_is_said_during_the_thinking_is_answered_with_it(database_url: str, fresh_directory: Path) -> None:
    thinking, go_on = anyio.Event(), anyio.Event()

    async def slowly(turn: Turn) -> str:
        thinking.set()
        await go_on.wait()
        return f"To: {turn.words}"

    async with text_line(database_url, fresh_directory, answer=slowly) as line:
        phone = line.phone()
        phone.text(OURS, "first")
        await thinking.wait()
        phone.text(OURS, "second")
        await line.emulator.idle()
        go_on.set()
        await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["To: first\nsecond"]


async def test_thinking_again_ends_after_two_times(database_url: str, fresh_directory: Path) -> None:
    turns: list[str] = []
    lines: list[TextLine] = []

    async def interrupted(turn: Turn) -> str:
        turns.append(turn.words)
        if len(turns) <= 3:
            lines[0].phone().text(OURS, f"more {len(turns)}")
            await lines[0].emulator.idle()
        return f"To: {turn.words}"

    async with text_line(database_url, fresh_directory, answer=interrupted) as line:
        lines.append(line)
        phone = line.phone()
        phone.text(OURS, "first")
        await phone.wait_reply()
        await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["To: first\nmore 1\nmore 2", "To: more 3"]


async def test_stop_during_generation_lets_nothing_leave(database_url: str, fresh_directory: Path) -> None:
    thinking, go_on = anyio.Event(), anyio.Event()

    async def slowly(turn: Turn) -> str:
        thinking.set()
        await go_on.wait()
        return "too late"

    async with text_line(database_url, fresh_directory, answer=slowly) as line:
        phone = line.phone()
        phone.text(OURS, "tell me everything")
        await thinking.wait()
        phone.text(OURS, "Stop.")
        await line.emulator.idle()
        go_on.set()
        await line.at_rest()
        # The confirmation is Twilio's own: it is not one of our messages.
        assert not await line.rows("select 1 from messages where direction = 'out'")
        states = await line.rows("select state from messages where direction = 'in' order by seq")
        assert [r["state"] for r in states] == ["silenced", "silenced"]
        assert "too late" not in [m.body for m in phone.inbox]


async def test_stop_withholds_what_waits_to_leave_and_start_opens_again(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("rate_limit")
        phone = line.phone()
        phone.text(OURS, "hello")
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and state = 'waiting'"))
        phone.text(OURS, "STOP")
        await line.emulator.idle()
        line.emulator.clear_faults()
        await line.at_rest()
        states = await line.rows("select state, why from messages where direction = 'out'")
        assert [(r["state"], r["why"]) for r in states] == [("withheld", "opted out")]
        phone.text(OURS, "still there?")
        await line.at_rest()
        assert len(await line.rows("select 1 from messages where direction = 'out'")) == 1
        phone.text(OURS, "unstop")
        await line.emulator.idle()
        phone.text(OURS, "and now?")
        await until(lambda: "You said: and now?" in [m.body for m in phone.inbox])


@pytest.mark.parametrize("word", ["STOP", "stop!", " Unsubscribe "], ids=["plain", "mark", "space"])
async def test_whatsapp_stop_is_confirmed_by_us_once(database_url: str, fresh_directory: Path, word: str) -> None:
    async with text_line(database_url, fresh_directory, sender=f"whatsapp:{WHATSAPP}") as line:
        phone = line.phone("+15550111444")
        phone.text(f"whatsapp:{WHATSAPP}", word)
        reply = await phone.wait_reply()
        phone.text(f"whatsapp:{WHATSAPP}", "anyone?")
        await line.at_rest()
        assert "no more messages" in reply.body
        assert len(phone.inbox) == 1


async def test_an_acknowledgement_leaves_once_when_it_takes_long(database_url: str, fresh_directory: Path) -> None:
    go_on = anyio.Event()

    async def slowly(turn: Turn) -> str:
        await go_on.wait()
        return "done"

    async with text_line(database_url, fresh_directory, answer=slowly, acknowledge_after_ms=200) as line:
        phone = line.phone()
        phone.text(OURS, "a hard one")
        first = await phone.wait_reply()
        go_on.set()
        second = await phone.wait_reply()
        await line.emulator.idle()
        assert "looking into it" in first.body
        assert second.body == "done"
        assert len(phone.inbox) == 2


async def test_an_answer_in_time_rides_in_the_response(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, inline_budget_ms=3000) as line:
        phone = line.phone()
        phone.text(OURS, "quick")
        await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["You said: quick"]
        sent = [m for m in line.emulator.messages if m.direction.startswith("outbound")]
        assert [m.direction for m in sent] == ["outbound-reply"]
        rows = await line.rows("select state, sid from messages where direction = 'out'")
        assert [(r["state"], r["sid"]) for r in rows] == [("delivered", sent[0].sid)]


async def test_an_answer_too_late_for_the_response_goes_by_rest(database_url: str, fresh_directory: Path) -> None:
    go_on = anyio.Event()

    async def slowly(turn: Turn) -> str:
        await go_on.wait()
        return "late but here"

    async with text_line(database_url, fresh_directory, answer=slowly, inline_budget_ms=300) as line:
        phone = line.phone()
        phone.text(OURS, "slow")
        await line.emulator.idle()
        await until(lambda: line.rows("select 1 from messages where at < now() - interval '0.5 seconds'"))
        go_on.set()
        await phone.wait_reply()
        await line.emulator.idle()
        sent = [m for m in line.emulator.messages if m.direction.startswith("outbound")]
        assert [(m.direction, m.body) for m in sent] == [("outbound-api", "late but here")]
        # Nobody waits to take it along any more, so it leaves at once.
        (row,) = await line.rows(
            "select not_before < created_at + interval '0.75 seconds' as due from messages where direction = 'out'"
        )
        assert row["due"]


async def test_duplicate_deliveries_are_one_turn(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=2) as line:
        line.emulator.fault("duplicate_webhook", copies=5)
        phone = line.phone()
        for n in range(4):
            phone.text(OURS, f"number {n}")
            await phone.wait_reply()
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == [f"You said: number {n}" for n in range(4)]
        assert len(await line.rows("select 1 from messages where direction = 'in'")) == 4


@pytest.mark.parametrize("fault", ["create_then_drop", "create_then_500"])
async def test_a_send_whose_answer_is_lost_is_not_repeated(
    database_url: str, fresh_directory: Path, fault: str
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault(fault, next=1)
        line.emulator.fault("lose_status")
        phone = line.phone()
        phone.text(OURS, "once please")
        await phone.wait_reply()
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and sid is not null"))
        await line.emulator.idle()
        assert [m.body for m in phone.inbox] == ["You said: once please"]


async def test_a_lost_webhook_is_found_in_twilios_list(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        line.emulator.fault("lose_webhook")
        phone = line.phone()
        for n in range(3):
            phone.text(OURS, f"lost {n}")
        await line.emulator.idle()
        backfill = line.core.backfill()
        assert await backfill.run(line.integration) == 3
        assert await backfill.run(line.integration) == 0
        rows = await line.rows("select body, via, state from messages order by seq")
        assert [(r["body"], r["via"], r["state"]) for r in rows] == [
            (f"lost {n}", "backfill", "unanswered") for n in range(3)
        ]


async def test_a_wrong_signature_is_refused(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line, httpx2.AsyncClient() as client:
        base = f"{line.core.settings.public_url}/twilio/{line.integration.id}"
        for path in ("/messages", "/status", "/fallback"):
            answer = await client.post(
                base + path, data={"MessageSid": "SM" + "0" * 32}, headers={"X-Twilio-Signature": "x"}
            )
            assert answer.status_code == 403
        unknown = await client.post(f"{line.core.settings.public_url}/twilio/intg_none/messages", data={"a": "b"})
        assert unknown.status_code == 404
        assert not await line.rows("select 1 from messages")
