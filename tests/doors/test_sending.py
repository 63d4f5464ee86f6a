"""The way out, against the emulator: refusals, stopped senders, long answers in order, what is kept of each message."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookflash.conversation.turn import Turn
from hookflash.testing.wait import until
from tests.doors.textline import OURS, TextLine, text_line

WHATSAPP = "whatsapp:+15550100300"
SENTENCE = "Boots can be returned within thirty days if they are clean. "


async def long_answer(turn: Turn) -> str:
    return "".join(f"{n}. {SENTENCE}" for n in range(1, 61))


def sent(line: TextLine) -> list[str]:
    return [m.body for m in line.emulator.messages if m.direction.startswith("outbound")]


@pytest.mark.parametrize("fault", ["rate_limit", "error_500", "drop"])
async def test_what_was_refused_for_now_leaves_once(database_url: str, fresh_directory: Path, fault: str) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault(fault, next=2 if fault == "rate_limit" else 1)
        if fault != "rate_limit":
            # Nobody can tell such an answer from one to a message that was taken; waiting for the proof is tested below.
            line.phone().text(OURS, "hello")
            await until(lambda: line.rows("select 1 from messages where direction = 'out' and state = 'posting'"))
            await line.rows(
                "update messages set posted_at = posted_at - interval '1 minute' where direction = 'out' returning 1"
            )
            await line.rows("update lanes set due_at = now() returning 1")
        else:
            line.phone().text(OURS, "hello")
        await line.phone().wait_reply(20)
        await line.at_rest()
        assert sent(line) == ["You said: hello"]
        (row,) = await line.rows("select state, attempts from messages where direction = 'out'")
        assert row["state"] == "delivered"
        assert row["attempts"] == (3 if fault == "rate_limit" else 2)


async def test_order_is_kept_while_the_first_backs_off(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("rate_limit", next=2)
        phone = line.phone()
        for n in range(3):
            phone.text(OURS, f"number {n}")
            await line.emulator.idle()
            await until(lambda n=n: line.rows("select 1 from turns where said = %s", f"number {n}"))  # type: ignore[misc]
        await line.at_rest()
        assert sent(line) == [f"You said: number {n}" for n in range(3)]


async def test_a_long_answer_leaves_in_order_part_by_part(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, answer=long_answer, sender=WHATSAPP) as line:
        phone = line.phone()
        phone.text(WHATSAPP, "tell me all")
        await line.at_rest()
        whole = " ".join(sent(line))
        assert len(sent(line)) == 3
        assert whole == "".join(f"{n}. {SENTENCE}" for n in range(1, 61)).strip()
        rows = await line.rows(
            "select part, segments, cost_micros, body from messages where direction = 'out' order by seq"
        )
        assert [r["part"] for r in rows] == [0, 1, 2]
        assert [r["body"] for r in rows] == sent(line)
        assert all(r["segments"] == 1 and r["cost_micros"] == 5_000 for r in rows)
        (turn,) = await line.rows("select cost_micros from turns")
        assert turn["cost_micros"] == 15_000


async def test_the_second_part_waits_for_the_first(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, answer=long_answer, sender=WHATSAPP) as line:
        line.emulator.fault("rate_limit", next=3)
        line.phone().text(WHATSAPP, "tell me all")
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and attempts > 1"))
        states = await line.rows("select part, attempts from messages where direction = 'out' order by part")
        assert [s["attempts"] for s in states][1:] == [0, 0]
        await line.at_rest()
        assert sent(line)[0].startswith("1.")
        rows = await line.rows("select body from messages where direction = 'out' order by part")
        assert sent(line) == [r["body"] for r in rows]


async def test_segments_and_cost_are_kept_with_the_message(database_url: str, fresh_directory: Path) -> None:
    async def answer(turn: Turn) -> str:
        return "x" * 200 if turn.words == "long" else "हाँ " * 20

    async with text_line(database_url, fresh_directory, answer=answer) as line:
        phone = line.phone("+12025550111")
        for words in ("long", "hindi"):
            phone.text(OURS, words)
            await phone.wait_reply()
        await line.at_rest()
        rows = await line.rows("select sid, segments, cost_micros from messages where direction = 'out' order by seq")
        assert [(r["segments"], r["cost_micros"]) for r in rows] == [(2, 16_600), (2, 16_600)]
        twilios = {m.sid: m.segments for m in line.emulator.messages}
        assert [twilios[r["sid"]] for r in rows] == [r["segments"] for r in rows]


async def test_an_opt_out_that_only_twilio_knows_of(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator._cloud.opted_out.add((OURS, "+15550111222"))
        phone = line.phone()
        phone.text(OURS, "hello")
        await line.at_rest()
        (row,) = await line.rows("select state, error_code, error, sid from messages where direction = 'out'")
        assert (row["state"], row["error_code"], row["sid"]) == ("failed", 21610, None)
        (kept,) = await line.rows("select opted_out, via, sender from opt_outs")
        assert kept == {"opted_out": True, "via": "error 21610", "sender": OURS}
        phone.text(OURS, "still there?")
        await line.at_rest()
        assert len(await line.rows("select 1 from turns")) == 1
        assert phone.inbox == []
        # Who is out may say yes to come back; Twilio answers that by itself.
        phone.text(OURS, "yes")
        await line.emulator.idle()
        phone.text(OURS, "hello")
        await until(lambda: "You said: hello" in [m.body for m in phone.inbox])


async def test_a_refused_sender_is_stopped_and_goes_on_when_it_is_mended(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        number = next(iter(line.emulator._cloud.numbers.values()))
        number.resource["capabilities"]["sms"] = False
        phone, other = line.phone(), line.phone("+15550111333")
        phone.text(OURS, "first")
        await line.at_rest()
        (stopped,) = await line.rows("select stopped_code, stopped_why from integrations")
        assert stopped["stopped_code"] == 21606
        assert stopped["stopped_why"]
        other.text(OURS, "second")
        await line.at_rest()
        rows = await line.rows("select state, attempts from messages where direction = 'out' order by seq")
        assert [r["state"] for r in rows] == ["parked", "parked"]
        assert rows[1]["attempts"] <= 1
        assert sent(line) == []
        number.resource["capabilities"]["sms"] = True
        mended = await line.change(name="mended")
        assert mended.stopped_code is None
        await line.at_rest()
        assert sorted(sent(line)) == ["You said: first", "You said: second"]


async def _outgoing(line: TextLine, state: str = "waiting", sender: str = OURS) -> None:
    """A message that is on its way out."""
    await line.rows("insert into contacts (id, account_id) values ('cont_1', %s) returning 1", line.account_id)
    await line.rows(
        "insert into messages (id, account_id, contact_id, integration_id, direction, kind, address, sender, body, state, at, posted_at)"
        " values ('msg_1', %s, 'cont_1', %s, 'out', 'answer', '+15550111222', %s, 'x', %s, now(), now()) returning 1",
        line.account_id,
        line.integration.id,
        sender,
        state,
    )
    await line.rows(
        "insert into lanes (contact_id, account_id, due_at) values ('cont_1', %s, now()) returning 1", line.account_id
    )
    await line.rows("select pg_notify('lanes', '')")


async def test_a_second_number_that_leads_here_does_not_stop_our_own(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        await _outgoing(line, sender="+15550109999")
        await until(lambda: line.rows("select 1 from messages where id = 'msg_1' and error_code = 21659"))
        (integration,) = await line.rows("select stopped_code from integrations")
        assert integration["stopped_code"] is None


async def test_wrong_credentials_stop_the_sender(database_url: str, fresh_directory: Path) -> None:
    environment = {"TWILIO_AUTH_TOKEN": "0" * 32}
    async with text_line(database_url, fresh_directory, environment=environment, web=False) as line:
        await _outgoing(line)
        await until(lambda: line.rows("select 1 from integrations where stopped_code = 20003"))
        (row,) = await line.rows("select state from messages")
        assert row["state"] == "parked"


async def test_wrong_credentials_that_only_settling_meets_stop_the_sender(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, environment={"TWILIO_AUTH_TOKEN": "0" * 32}, web=False) as line:
        await _outgoing(line, "posting")
        await until(lambda: line.rows("select 1 from integrations where stopped_code = 20003"))
        # Its request may have been performed before they were wrong: only Twilio can tell.
        (row,) = await line.rows("select state from messages")
        assert row["state"] == "posting"


async def test_whatsapp_takes_no_free_text_after_a_day(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP) as line:
        cloud = line.emulator._cloud
        phone = line.phone()
        phone.text(WHATSAPP, "hello")
        # As if the answer had taken more than a day.
        cloud.last_heard[WHATSAPP, "whatsapp:+15550111222"] = datetime(2020, 1, 1, tzinfo=UTC)
        await line.at_rest()
        await until(lambda: line.rows("select 1 from messages where state = 'failed'"))
        (row,) = await line.rows("select error_code, error from messages where direction = 'out'")
        assert row["error_code"] == 63016
        assert "window" in row["error"] or "24 hours" in row["error"]
        assert phone.inbox == []
        assert not await line.rows("select 1 from opt_outs")
        (integration,) = await line.rows("select stopped_code from integrations")
        assert integration["stopped_code"] is None


async def test_what_cannot_be_proven_is_parked_and_listed(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("create_then_drop", next=1)
        line.emulator.fault("lose_status")
        line.emulator.fault("error_500", any_request=True)
        line.phone().text(OURS, "hello")
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and state = 'posting'"))
        await line.rows(
            "update messages set posted_at = posted_at - interval '1 hour' where direction = 'out' returning 1"
        )
        await line.rows("update lanes set due_at = now() returning 1")
        await until(lambda: line.rows("select 1 from messages where state = 'parked'"))
        (row,) = await line.rows("select why, attempts from messages where state = 'parked'")
        assert "cannot be read" in row["why"]
        line.emulator.clear_faults()
        # An operator who changes the integration does not make us guess.
        await line.change(name="other")
        await line.at_rest()
        assert len(sent(line)) <= 1
        (row,) = await line.rows("select state from messages where direction = 'out'")
        assert row["state"] == "parked"


async def test_an_answer_to_nobody_there_marks_the_number(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("undeliver", code=30006)
        line.phone().text(OURS, "hello")
        await until(lambda: line.rows("select 1 from contact_addresses where unreachable_code = 30006"))
        (row,) = await line.rows("select state, error_code from messages where direction = 'out'")
        assert (row["state"], row["error_code"]) == ("undelivered", 30006)
