"""Taking a message in, over real sockets and a real database: each gate's verdict is kept, and bad input is answered."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from hookflash.asgi import create_app
from hookflash.conversation.commit_store import add_spend
from hookflash.conversation.turn import Turn
from hookflash.db.pool import Database
from hookflash.handoff import store as tickets
from hookflash.handoff.ticket import State
from hookflash.safety.config import SafetyConfig
from hookflash.testing.wait import until
from tests.doors.textline import ACME, OURS, TextLine, text_line

WHATSAPP = "+15550100300"


async def verdicts(line: TextLine) -> list[tuple[str, list[list[Any]]]]:
    """State and verdicts of each message taken in, from the journal."""
    entries = await line.rows("select body from journal where kind = 'received' order by id")
    return [(body["state"], body["verdicts"]) for body in (json.loads(e["body"]) for e in entries)]


async def ticket(line: TextLine) -> str:
    """Ask for a person, and let one take the contact over."""
    (row,) = await line.rows(
        "insert into tickets (id, account_id, contact_id, reason, summary) select 'tick_1', account_id, id, 'r', 's'"
        " from contacts limit 1 returning id"
    )
    await move(line, row["id"], State.CLAIMED)
    return str(row["id"])


async def move(line: TextLine, ticket_id: str, state: State) -> None:
    async with line.core.db.tenant(line.account_id) as conn:
        await tickets.set_state(conn, ticket_id, state, line.core.clock.now())


async def test_a_message_that_passes_leaves_every_verdict_behind(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.phone().text(OURS, "hello")
        await line.phone().wait_reply()
        ((state, asked),) = await verdicts(line)
        assert state == "unanswered"
        assert asked == [
            [name, "Pass", None]
            for name in ("known", "enabled", "allow-list", "opt-out", "human", "rate", "spend", "loop", "age")
        ]


@pytest.mark.parametrize(
    ("allow", "number", "answered"),
    [
        ([], "+15550111222", False),
        (["*"], "+15550111222", True),
        (["15550111222"], "+15550111222", True),
        (["+15550111222"], "+15550111333", False),
    ],
)
async def test_the_allow_list(
    database_url: str, fresh_directory: Path, allow: list[str], number: str, answered: bool
) -> None:
    async with text_line(database_url, fresh_directory, allow_from=allow) as line:
        line.phone(number).text(OURS, "hello")
        await line.emulator.idle()
        await line.at_rest()
        ((state, asked),) = await verdicts(line)
        assert state == ("unanswered" if answered else "silenced")
        assert answered or asked[-1] == ["allow-list", "Silence", "the sender is not on the allow-list"]
        assert len(line.phone(number).inbox) == int(answered)


async def test_the_rate_of_one_number_is_limited_whatever_was_answered_between(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, messages_per_minute=14, burst_ms=0) as line:
        phone, other = line.phone(), line.phone("+15550111333")
        for n in range(14):
            phone.text(OURS, f"number {n}")
            await phone.wait_reply()
            # A person who takes three seconds to write: who answers faster, again and again, counts as a machine.
            await line.rows("update messages set at = at - interval '3 seconds' returning 1")
        for n in range(2):
            phone.text(OURS, f"too many {n}")
            await line.emulator.idle()
        other.text(OURS, "me too")
        await other.wait_reply()
        await line.at_rest()
        found = await verdicts(line)
        assert [state for state, _ in found] == ["unanswered"] * 14 + ["silenced"] * 2 + ["unanswered"]
        assert found[14][1][-1] == ["rate", "Silence", "over 14 messages a minute"]
        assert len(phone.inbox) == 14


async def test_spend_of_a_number_adds_up_turn_by_turn_and_ends_it_for_the_day(
    database_url: str, fresh_directory: Path
) -> None:
    # One segment to the United States is 8,300 micro-dollars by list.
    async with text_line(database_url, fresh_directory, contact_day_usd=0.0166) as line:
        phone, other = line.phone("+12025550111"), line.phone("+12025550112")
        for n in range(2):
            phone.text(OURS, f"number {n}")
            await phone.wait_reply()
        phone.text(OURS, "one too many")
        other.text(OURS, "another")
        await other.wait_reply()
        await line.at_rest()
        spent = await line.rows(
            "select split_part(address, ':', 1) as address, sum(micros)::int as micros from spend group by 1 order by 1"
        )
        assert spent == [
            {"address": "", "micros": 24_900},
            {"address": "+12025550111", "micros": 16_600},
            {"address": "+12025550112", "micros": 8_300},
            {"address": "assistant", "micros": 24_900},
        ]
        turns = await line.rows("select sum(cost_micros)::int as micros from turns")
        assert turns == [{"micros": 24_900}]
        (silenced,) = await line.rows("select why from messages where state = 'silenced'")
        assert silenced["why"] == "over the spend limit of this number for today"


async def test_spend_of_the_account_ends_everybodys_day(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, account_day_usd=1.0) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            for n in range(10):
                await add_spend(conn, line.account_id, {f"+1202555{n:04}": 100_000}, line.core.clock.now())
        line.phone().text(OURS, "hello")
        await line.emulator.idle()
        ((state, asked),) = await verdicts(line)
        assert (state, asked[-1][2]) == ("silenced", "over the spend limit of the account for today")


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ({"session_usd": 0.0166}, "over the spend limit of the session"),
        ({"day_usd": 0.0166}, "over the spend limit of the assistant for today"),
    ],
)
async def test_spend_of_a_session_and_of_an_assistant_ends_them(
    database_url: str, fresh_directory: Path, budget: dict[str, float], why: str
) -> None:
    config = ACME.model_copy(update={"safety": SafetyConfig.model_validate({"spend": budget})})
    async with text_line(database_url, fresh_directory, assistant_config=config) as line:
        phone, other = line.phone("+12025550111"), line.phone("+12025550112")
        for n in range(2):
            phone.text(OURS, f"number {n}")
            await phone.wait_reply()
        phone.text(OURS, "one too many")
        other.text(OURS, "another")
        await line.at_rest()
        silenced = await line.rows("select address, why from messages where state = 'silenced' order by address")
        assert {row["why"] for row in silenced} == {why}
        # A session's limit is nobody else's; the assistant's is everybody's.
        assert len(silenced) == (1 if "session" in why else 2)


async def test_two_machines_are_stopped(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        phone = line.phone()
        for _ in range(4):
            phone.text(OURS, "I am out of office")
            await line.emulator.idle()
            await line.at_rest()
        found = await verdicts(line)
        assert [state for state, _ in found] == ["unanswered"] * 3 + ["silenced"]
        assert found[-1][1][-1][:2] == ["loop", "Silence"]


async def test_a_disabled_integration_is_silent_at_once_also_about_what_is_under_way(
    database_url: str, fresh_directory: Path
) -> None:
    thinking, go_on = anyio.Event(), anyio.Event()

    async def slowly(turn: Turn) -> str:
        thinking.set()
        await go_on.wait()
        return "too late"

    async with text_line(database_url, fresh_directory, answer=slowly) as line:
        phone = line.phone()
        phone.text(OURS, "before")
        await thinking.wait()
        await line.change(disabled=True)
        phone.text(OURS, "after")
        await line.emulator.idle()
        go_on.set()
        await line.at_rest()
        states = await line.rows("select body, state, why from messages order by seq")
        assert [(s["body"], s["state"], s["why"]) for s in states] == [
            ("before", "silenced", "the integration is disabled"),
            ("after", "silenced", "the integration is disabled"),
        ]
        await line.change(disabled=False)
        phone.text(OURS, "again")
        assert (await phone.wait_reply()).body == "too late"


async def test_what_waits_to_leave_stays_when_the_integration_is_disabled(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory) as line:
        line.emulator.fault("rate_limit")
        line.phone().text(OURS, "hello")
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and state = 'waiting'"))
        await line.change(disabled=True)
        line.emulator.clear_faults()
        await line.at_rest()
        (row,) = await line.rows("select state, why from messages where direction = 'out'")
        assert row == {"state": "withheld", "why": "the integration is disabled"}
        assert line.phone().inbox == []


async def test_when_a_person_takes_over_the_assistant_is_silent_until_it_is_given_back(
    database_url: str, fresh_directory: Path
) -> None:
    thinking, go_on = anyio.Event(), anyio.Event()

    async def slowly(turn: Turn) -> str:
        if turn.words == "first":
            thinking.set()
            await go_on.wait()
        return f"To: {turn.words}"

    async with text_line(database_url, fresh_directory, answer=slowly, acknowledge_after_ms=400) as line:
        phone = line.phone()
        phone.text(OURS, "first")
        await thinking.wait()
        taken = await ticket(line)
        phone.text(OURS, "second")
        await line.emulator.idle()
        go_on.set()
        await line.at_rest()
        rows = await line.rows("select body, state, why from messages order by seq")
        assert [(r["body"], r["state"], r["why"]) for r in rows] == [
            ("first", "human", "a person has taken over"),
            ("second", "human", "a person has taken over"),
        ]
        await move(line, taken, State.CLOSED)
        phone.text(OURS, "third")
        assert (await phone.wait_reply()).body == "To: third"


async def test_advanced_opt_out_answers_by_itself_and_tells_us(database_url: str, fresh_directory: Path) -> None:
    async with text_line(
        database_url, fresh_directory, pool=("+15550100201", "+15550100202"), advanced_opt_out=True
    ) as line:
        phone = line.phone()
        phone.text("+15550100201", "anything", extra={"OptOutType": "STOP"})
        await line.emulator.idle()
        phone.text("+15550100202", "hello?")
        await line.emulator.idle()
        await line.at_rest()
        assert phone.inbox == []
        (kept,) = await line.rows("select sender, opted_out from opt_outs")
        assert kept == {"sender": line.integration.sender, "opted_out": True}
        phone.text("+15550100202", "START")
        await line.emulator.idle()
        phone.text("+15550100202", "hello?")
        await until(lambda: "You said: hello?" in [m.body for m in phone.inbox])
        assert [m.sender for m in phone.inbox if m.body == "You said: hello?"] == ["+15550100202"]


async def test_own_words_are_answered_by_us_in_the_persons_language(database_url: str, fresh_directory: Path) -> None:
    own: dict[str, Any] = {"stop_words": ["basta"], "start_words": ["alta"], "help_words": ["ayuda"]}
    async with text_line(database_url, fresh_directory, **own) as line:
        phone = line.phone()
        phone.text(OURS, "hola")
        await phone.wait_reply()
        await line.rows("update contacts set language = 'es' returning 1")
        for word, told in (
            ("¡Ayuda!", "STOP para no recibir"),
            ("basta", "Ya no recibirá mensajes"),
            ("Alta", "Volverá a recibir"),
        ):
            phone.text(OURS, word)
            assert told in (await phone.wait_reply()).body
            await line.emulator.idle()
        await line.at_rest()
        assert len(phone.inbox) == 4
        assert len(await line.rows("select 1 from turns")) == 1


async def test_yes_starts_again_only_who_is_out(database_url: str, fresh_directory: Path) -> None:
    sender = f"whatsapp:{WHATSAPP}"
    async with text_line(database_url, fresh_directory, sender=sender) as line:
        phone = line.phone()
        phone.text(sender, "yes")
        assert (await phone.wait_reply()).body == "You said: yes"
        phone.text(sender, "stop")
        assert "no more messages" in (await phone.wait_reply()).body
        phone.text(sender, "STOP")
        await line.emulator.idle()
        phone.text(sender, "Yes!")
        assert "messages again" in (await phone.wait_reply()).body
        phone.text(sender, "yes")
        assert (await phone.wait_reply()).body == "You said: yes"
        await line.at_rest()
        assert len(phone.inbox) == 4


async def test_an_opt_out_concerns_one_sender(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        await line.second("+15550100299")
        phone = line.phone()
        line.emulator.fault("rate_limit")
        phone.text("+15550100299", "to the other")
        await until(lambda: line.rows("select 1 from messages where direction = 'out' and state = 'waiting'"))
        phone.text(OURS, "STOP")
        await line.emulator.idle()
        line.emulator.clear_faults()
        await until(lambda: "You said: to the other" in [m.body for m in phone.inbox])
        phone.text(OURS, "hello?")
        await line.at_rest()
        (row,) = await line.rows("select state, why from messages where body = 'hello?'")
        assert row == {"state": "silenced", "why": "the sender has opted out"}


async def test_words_to_two_numbers_at_once_are_both_answered(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, burst_ms=300) as line:
        await line.second("+15550100299")
        phone = line.phone()
        phone.text(OURS, "one")
        phone.text("+15550100299", "two")
        await until(lambda: len(phone.inbox) == 2)
        assert sorted((m.sender, m.body) for m in phone.inbox) == [
            (OURS, "You said: one"),
            ("+15550100299", "You said: two"),
        ]


# What is no message


FORM = {
    "MessageSid": "SM" + "1" * 32,
    "AccountSid": "AC" + "1" * 32,
    "From": "+15550111222",
    "To": OURS,
    "Body": "hello",
    "NumMedia": "0",
}


@pytest.mark.parametrize(
    "change",
    [
        {"MessageSid": "SM1"},
        {"MessageSid": ""},
        {"From": ""},
        {"From": "nobody at all, really"},
        {"To": ""},
        {"AccountSid": "x"},
        {"NumMedia": "many"},
        {"NumMedia": "1"},
        {"NumMedia": "101"},
        {"NumMedia": "1", "MediaUrl0": "file:///etc/passwd"},
        {"Latitude": "95", "Longitude": "0"},
    ],
)
async def test_a_form_that_is_no_message_is_named_and_keeps_nothing(
    database_url: str, fresh_directory: Path, change: Mapping[str, str]
) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        answer = await line.signed("/messages", FORM | dict(change))
        problem(answer, 422)
        assert {e["field"] for e in answer.json()["errors"]} <= set(change) | {"MediaUrl0"}
        assert not await line.rows("select 1 from messages")


def problem(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text


async def test_bytes_that_are_no_text_and_fields_that_nobody_knows_are_taken_in(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        answer = await line.signed("/messages", FORM | {"Body": "a\x00b\ud7ff", "Surprise": "", "Later": "x" * 9000})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
        assert answer.text.endswith("<Response/>")
        (row,) = await line.rows("select body, raw from messages")
        assert row["body"] == "a\ufffdb\ud7ff"
        assert row["raw"]["Surprise"] == [""]


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(11):
        yield b"x" * 100_000


async def test_unknown_integrations_big_bodies_and_other_methods(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        transport = httpx2.ASGITransport(create_app(line.core), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            for path in ("intg_none/messages", "intg_none/status", "intg_none/fallback"):
                problem(await client.post(f"/twilio/{path}", data=FORM), 404)
            problem(await client.post("/twilio/x'%00/messages", data=FORM), 422)
            mine = f"/twilio/{line.integration.id}/messages"
            problem(await client.post(mine, content=b"x" * 1_100_000), 413)
            problem(await client.post(mine, content=_pieces()), 413)
            problem(await client.get(mine), 405)
            problem(await client.post(mine, json=FORM), 403)
        assert not await line.rows("select 1 from messages")


async def test_when_the_database_is_away_twilio_is_asked_to_come_again(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        await line.core.db._pool.close()
        for path in ("/messages", "/fallback", "/status"):
            problem(await line.signed(path, FORM | {"MessageStatus": "sent"}), 503)
        async with Database.open(database_url) as again, again.tenant(line.account_id) as conn:
            assert await (await conn.execute("select 1 from messages")).fetchone() is None


async def test_a_cards_number_is_thought_about_and_never_kept(database_url: str, fresh_directory: Path) -> None:
    card, thought = "4111 1111 1111 1111", []

    async def noted(turn: Turn) -> str:
        thought.append(turn.words)
        return "Noted."

    async with text_line(database_url, fresh_directory, answer=noted) as line:
        phone = line.phone()
        phone.text(OURS, f"charge {card} please")
        await phone.wait_reply()
        await line.at_rest()
        assert thought == [f"charge {card} please"]
        for table in ("turns", "journal", "messages"):
            rows = await line.rows(f"select to_jsonb(t)::text as kept from {table} t")
            assert rows
            assert not any(card in row["kept"] for row in rows)
        (message,) = await line.rows("select body, raw ->> 'Body' as raw from messages where direction = 'in'")
        assert message == {"body": "charge [card number] please", "raw": "charge [card number] please"}
