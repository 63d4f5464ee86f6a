"""Proof that somebody holds their phone, over the database: where it holds, how often it may be tried, what is kept of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from hookflash.assistant.verification import Asked, CannotProve, PassOn, Result, Resume, Tell, Verification
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.channels.codes import Codes, NotSent, Sent
from hookflash.channels.integration import Integration
from hookflash.channels.proof_jobs import ProofDesk
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from hookflash.emulator.verify import VerifyService
from hookflash.wiring import make_proof
from tests.doors.test_errands import NoonClock
from tests.doors.textline import OURS, TextLine, text_line

PERSON = "+12125550123"
SERVICE = "VA" + "ab" * 16


@dataclass
class Hall:
    """A line on which somebody has written, of whom the company knows a number."""

    line: TextLine
    clock: NoonClock
    desk: ProofDesk
    turn: Turn

    def says(self, words: str, kind: Kind = Kind.SMS) -> Turn:
        said = Message(new_id("msg"), Direction.IN, Address(kind, PERSON), words, self.clock.now())
        line = LineTraits("voice", spoken=True) if kind is Kind.VOICE else LineTraits(str(kind))
        return replace(self.turn, said=(said,), line=line)

    async def begin(self, words: str = "reset my password", kind: Kind = Kind.SMS) -> Asked | CannotProve:
        begun = await self.desk.begin(self.says(words, kind), "en")
        await self.line.at_rest()
        return begun

    async def hear(self, words: str, kind: Kind = Kind.SMS) -> Any:
        return await self.desk.hear(self.says(words, kind), "en")

    @property
    def code(self) -> str:
        found = [re.search(r"\d{6}", message.body) for message in self.line.phone(PERSON).inbox]
        return [match.group() for match in found if match][-1]

    @property
    def texts(self) -> int:
        return sum("verification code" in message.body for message in self.line.phone(PERSON).inbox)

    async def verified(self, kind: Kind = Kind.SMS) -> bool:
        return await self.desk.verified(self.says("", kind))


@asynccontextmanager
async def open_hall(database_url: str, directory: Path, **environment: str) -> AsyncIterator[Hall]:
    clock = NoonClock()
    async with text_line(database_url, directory, clock=clock, environment=environment) as line:
        line.emulator.verifier.services[SERVICE] = VerifyService(SERVICE, "Acme", clock.now())
        line.phone(PERSON).text(OURS, "hello")
        await line.at_rest()
        (found,) = await line.rows("select id, contact_id, assistant_id, started_at from sessions")
        session = Session(found["id"], found["assistant_id"], 1, {}, found["started_at"])
        contact = Contact(found["contact_id"], None, "en", {"phone": PERSON})
        core = line.core
        desk = make_proof(core.settings, core.db, core.clock, core.integrations, core.twilio)
        turn = Turn(
            "turn_1",
            line.account_id,
            line.integration.id,
            contact,
            session,
            (),
            (),
            LineTraits("sms"),
            clock.now(),
        )
        yield Hall(line, clock, desk, turn)


@pytest.fixture
async def hall(database_url: str, fresh_directory: Path) -> AsyncIterator[Hall]:
    async with open_hall(database_url, fresh_directory) as opened:
        yield opened


@pytest.fixture(params=["text", "verify"])
async def either(request: pytest.FixtureRequest, database_url: str, fresh_directory: Path) -> AsyncIterator[Hall]:
    service = {"HOOKFLASH_TWILIO_VERIFY_SERVICE_SID": SERVICE} if request.param == "verify" else {}
    async with open_hall(database_url, fresh_directory, **service) as opened:
        yield opened


async def test_from_the_code_to_the_proof_either_way(either: Hall) -> None:
    hall = either
    assert await hall.hear("123456") == PassOn(), "nobody has asked for a code"
    assert await hall.begin() == Asked("23")
    assert await hall.begin("my password, please") == Asked("23")
    assert hall.texts == 1, "one is under way"
    wrong = str((int(hall.code) + 1) % 10**6).zfill(6)
    assert await hall.hear(wrong) == Tell("code_wrong", {"end": "23", "left": "4"}, awaiting=True)
    assert not await hall.verified()
    proven = await hall.hear(f"it is {hall.code}")
    assert isinstance(proven, Resume)
    assert proven.verification.waiting == "my password, please", "what they wanted last"
    assert await hall.verified()
    assert await hall.hear(hall.code) == Tell("code_known"), "a code that is told twice is no question"
    told = await hall.line.rows("select body::jsonb as body from journal where kind = 'verification'")
    assert [row["body"]["state"] for row in told] == ["approved"]
    everything = await hall.line.rows(
        "select (select string_agg(v::text, '') from verifications v) || (select string_agg(m::text, '') from messages m)"
        " || (select string_agg(j::text, '') from journal j) as kept"
    )
    assert hall.code not in everything[0]["kept"]


async def test_proof_holds_where_it_was_given(hall: Hall) -> None:
    await hall.begin(kind=Kind.VOICE)
    assert isinstance(await hall.hear(" ".join(hall.code), Kind.VOICE), Resume)
    assert isinstance(await hall.hear(" ".join(hall.code), Kind.VOICE), Resume), "thought again, as they went on"
    assert await hall.verified(Kind.VOICE)
    assert not await hall.verified(Kind.SMS)
    hall.clock.forward(timedelta(minutes=1))
    assert await hall.hear(hall.code, Kind.VOICE) == Tell("code_known")


async def test_two_at_once_have_five_tries_between_them(hall: Hall) -> None:
    await hall.begin()
    heard: list[Any] = []

    async def guess(code: str) -> None:
        heard.append(await hall.hear(code))

    async with anyio.create_task_group() as tasks:
        for n in range(12):
            tasks.start_soon(guess, f"00000{n % 10}" if n < 10 else f"0000{n}")
    (row,) = await hall.line.rows("select state, tries from verifications")
    assert (row["state"], row["tries"]) == ("failed", 5)
    assert await hall.hear(hall.code) == PassOn()
    assert not await hall.verified()


@dataclass
class Slow:
    """Codes whose check takes until it may go on."""

    codes: Codes
    entered: anyio.Event
    go: anyio.Event

    async def send(self, integration: Integration, verification: Verification, language: str) -> Sent | NotSent:
        return await self.codes.send(integration, verification, language)

    async def check(self, integration: Integration, verification: Verification, digits: str) -> Result:
        self.entered.set()
        await self.go.wait()
        return await self.codes.check(integration, verification, digits)

    async def end(self, integration: Integration, verification: Verification) -> None:
        await self.codes.end(integration, verification)


async def test_a_caller_who_goes_on_while_the_code_is_looked_at_loses_nothing(hall: Hall) -> None:
    await hall.begin(kind=Kind.VOICE)
    slow = Slow(hall.desk.codes, anyio.Event(), anyio.Event())
    hall.desk = replace(hall.desk, codes=slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hall.hear, hall.code, Kind.VOICE)
        await slow.entered.wait()
        tasks.cancel_scope.cancel()
        slow.go.set()
    assert await hall.verified(Kind.VOICE)
    assert isinstance(await hall.hear(f"it is {hall.code} yes", Kind.VOICE), Resume)


async def test_codes_are_not_asked_for_without_end(hall: Hall) -> None:
    for _ in range(5):
        assert await hall.begin() == Asked("23")
        assert await hall.hear("never mind") == Tell("code_canceled")
    refused = await hall.begin()
    assert isinstance(refused, CannotProve)
    assert "too many codes" in refused.why
    hall.clock.forward(timedelta(hours=1, seconds=1))
    assert await hall.begin() == Asked("23")


async def test_another_code_is_sent_after_a_while(hall: Hall) -> None:
    await hall.begin()
    first = hall.code
    assert await hall.hear("send it again") == Tell("code_wait", {"end": "23", "left": "5"}, awaiting=True)
    hall.clock.forward(timedelta(seconds=21))
    assert (await hall.hear("send it again")).key == "code_sent_again"
    await hall.line.at_rest()
    assert hall.texts == 2
    assert first != hall.code
    assert isinstance(await hall.hear(first), Resume), "one text may overtake the other"


async def test_who_cannot_be_texted_is_refused_with_the_reason(hall: Hall) -> None:
    nobody = replace(hall.turn, contact=replace(hall.turn.contact, traits={}))
    assert "no phone number" in str(await hall.desk.begin(nobody, "en"))
    hall.line.phone(PERSON).text(OURS, "STOP")
    await hall.line.at_rest()
    refused = await hall.begin()
    assert refused == CannotProve("the customer cannot be verified: they have asked for no more texts from us")
    assert await hall.line.rows("select 1 from verifications where state = 'pending'") == []


async def test_the_same_turn_thought_again_is_decided_alike(hall: Hall) -> None:
    await hall.begin()
    turn = hall.says(hall.code)
    assert isinstance(await hall.desk.hear(turn, "en"), Resume)
    more = replace(turn, said=(*turn.said, *hall.says("and quickly please").said))
    assert isinstance(await hall.desk.hear(more, "en"), Resume), "more was said meanwhile"
    await hall.line.rows("update verifications set state = 'canceled' returning id")
    await hall.begin()
    wrong = hall.says("000000")
    assert await hall.desk.hear(wrong, "en") == await hall.desk.hear(wrong, "en")
    (row,) = await hall.line.rows("select tries from verifications where state = 'pending'")
    assert row["tries"] == 1


async def test_on_proof_who_is_known_at_the_number_is_the_same_person(hall: Hall) -> None:
    other = "+12125550188"
    hall.line.phone(other).text(OURS, "hello from my phone")
    await hall.line.at_rest()
    hall.turn = replace(hall.turn, contact=replace(hall.turn.contact, traits={"phone": other}))
    await hall.begin()
    code = re.search(r"\d{6}", hall.line.phone(other).inbox[-1].body)
    assert code
    assert isinstance(await hall.hear(code.group()), Resume)
    rows = await hall.line.rows("select contact_id from contact_addresses order by address")
    assert {row["contact_id"] for row in rows} == {hall.turn.contact.id}
    merged = await hall.line.rows("select body::jsonb as body from journal where kind = 'contact.merged'")
    assert [row["body"]["proof"].partition(":")[0] for row in merged] == ["verification"]


async def test_a_code_that_is_texted_is_masked_as_it_comes_in(hall: Hall) -> None:
    await hall.begin()
    code = hall.code
    hall.line.phone(PERSON).text(OURS, f"here: {code}")
    await hall.line.at_rest()
    (message,) = await hall.line.rows("select body, raw from messages where direction = 'in' and body like 'here%%'")
    assert message["body"] == "here: [code]"
    assert code not in str(message["raw"])
    journal = await hall.line.rows("select 1 from journal where body like '%%' || %s || '%%'", code)
    assert journal == []


async def test_the_proof_of_a_call_ends_with_it(hall: Hall) -> None:
    place = f"voice:{PERSON}"
    await hall.line.rows(
        "update sessions set verified_at = %s, verified_place = %s returning id", hall.clock.now(), place
    )
    assert await hall.verified(Kind.VOICE)
    from_call = await hall.line.rows(
        "insert into calls (id, account_id, integration_id, contact_id, session_id, call_sid, direction, way, address,"
        " sender, state, started_at) select 'call_1', s.account_id, %s, s.contact_id, s.id, 'CA1', 'in', 'relay', %s, %s,"
        " 'live', %s from sessions s returning session_id",
        hall.line.integration.id,
        PERSON,
        OURS,
        hall.clock.now(),
    )
    assert len(from_call) == 1
    await hall.line.core.switchboard().finished(hall.line.account_id, "CA1", "completed", 10)
    assert not await hall.verified(Kind.VOICE), "who calls from this number next has proven nothing"
