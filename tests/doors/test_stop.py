"""STOP is accepted at every moment between a question and the last message of its answer: nothing leaves after it.

Over WhatsApp, where Twilio neither heeds the word nor answers it: whatever leaves, leaves by our fault.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from hookflash.base.errors import TwilioFailed
from hookflash.channels.deliver import Deliverer
from hookflash.channels.integration import Integration, IntegrationSettings
from hookflash.channels.jobs import Desk
from hookflash.channels.text import TwilioPost
from hookflash.channels.think import Thinker
from hookflash.conversation.lane import Acknowledge, Held, LaneRunner, Leaving, Outgoing, Thought, Unanswered
from hookflash.conversation.message import Message
from hookflash.conversation.outbox import Accepted, Candidate
from hookflash.conversation.turn import Turn
from hookflash.testing.wait import until
from hookflash.wiring import desk
from tests.doors.textline import OURS, TextLine, text_line

WHATSAPP = "whatsapp:+15550100300"
WORKER = 7

Happens = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """No surprise."""


async def stops(line: TextLine) -> None:
    """The customer says STOP, and it is accepted."""
    line.phone().text(WHATSAPP, "Stop")
    await until(lambda: line.rows("select 1 from opt_outs where opted_out"))


def left(line: TextLine) -> list[str]:
    """What left, the confirmation aside."""
    sent = [m.body for m in line.emulator.messages if not m.inbound]
    return [body for body in sent if "no more messages" not in body]


@dataclass(slots=True)
class Post:
    """Twilio, with something that happens while our request is under way; the first `refusals` requests get a 429."""

    line: TextLine
    meanwhile: Happens
    refusals: int = 0
    tries: list[str] = field(default_factory=list)

    async def send(self, integration: Integration, row: Leaving, callback: str) -> Accepted:
        self.tries.append(row.kind)
        if row.kind != "notice" and len(self.tries) == 1:
            await self.meanwhile()
        if row.kind != "notice" and len(self.tries) <= self.refusals:
            raise TwilioFailed("one too many", code=20429, http_status=429, retryable=True)
        return await self._twilio.send(integration, row, callback)

    async def sent_lately(self, integration: Integration, row: Leaving, seconds: float) -> list[Candidate]:
        return await self._twilio.sent_lately(integration, row, seconds)

    @property
    def _twilio(self) -> TwilioPost:
        return TwilioPost(self.line.core.twilio, self.line.core.clock)


@dataclass(frozen=True, slots=True)
class Walker:
    """A worker that walks lanes by hand; `during` happens while the answer is thought of."""

    line: TextLine
    post: Post
    during: Happens = nothing
    acknowledges: bool = False

    @property
    def desk(self) -> Desk:
        return desk(self.line.core, lambda: WORKER)

    async def think(self, held: Held, unanswered: Unanswered, acknowledge: Acknowledge) -> Thought:
        await self.during()
        if self.acknowledges:
            await acknowledge(Outgoing("We are looking into it.", "acknowledgement"))
        return await Thinker(self.desk, self.line.core.clock, self.line.core.answer, _as_it_is).think(
            held, unanswered, acknowledge
        )

    async def walk(self) -> None:
        """Until nothing is due on any lane."""
        core = self.line.core
        deliverer = Deliverer(self.desk, self.post, core.clock, str(core.settings.public_url))
        runner = LaneRunner(self.desk, self.think, deliverer.deliver, core.clock)
        while await self.desk.next_due() is not None:
            for held in await self.desk.claim(10):
                await runner.run(held)
        await self.line.emulator.idle()


async def _as_it_is(integration: Integration, message: Message) -> Message:
    return message


async def _asked(line: TextLine) -> None:
    line.phone().text(WHATSAPP, "Tell me everything")
    await until(lambda: line.rows("select 1 from messages where state = 'unanswered'"))


async def _outgoing(line: TextLine) -> list[tuple[str, str]]:
    rows = await line.rows("select kind, state from messages where direction = 'out' and kind <> 'notice' order by seq")
    return [(r["kind"], r["state"]) for r in rows]


async def test_without_stop_the_answer_leaves(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0) as line:
        await _asked(line)
        await Walker(line, Post(line, nothing, refusals=1), acknowledges=True).walk()
        assert left(line) == ["You said: Tell me everything"]
        assert [kind for kind, _ in await _outgoing(line)] == ["acknowledgement", "answer"]


async def test_stop_while_the_answer_is_thought_of(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0) as line:
        await _asked(line)
        await Walker(line, Post(line, nothing), during=lambda: stops(line)).walk()
        assert left(line) == []
        assert await _outgoing(line) == []


async def test_stop_before_the_acknowledgement(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0) as line:
        await _asked(line)
        await Walker(line, Post(line, nothing), during=lambda: stops(line), acknowledges=True).walk()
        assert left(line) == []
        assert await _outgoing(line) == []


async def test_stop_while_the_acknowledgement_is_refused(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0) as line:
        await _asked(line)
        await Walker(line, Post(line, lambda: stops(line), refusals=1), acknowledges=True).walk()
        assert left(line) == []
        assert await _outgoing(line) == [("acknowledgement", "withheld")]


async def test_stop_while_the_answer_is_refused_for_now(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0) as line:
        await _asked(line)
        await Walker(line, Post(line, lambda: stops(line), refusals=1)).walk()
        assert left(line) == []
        assert await _outgoing(line) == [("answer", "withheld")]


async def test_stop_between_the_messages_of_a_long_answer(database_url: str, fresh_directory: Path) -> None:
    async def at_length(turn: Turn) -> str:
        return " ".join(f"This is sentence {n} of a long answer." for n in range(100))

    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0, answer=at_length) as line:
        await _asked(line)
        await Walker(line, Post(line, lambda: stops(line))).walk()
        assert len(left(line)) == 1  # its request was under way
        states = [state for _, state in await _outgoing(line)]
        assert states[0] in ("queued", "sending", "sent", "delivered", "read")
        assert states[1:] == ["withheld"] * 2


async def test_stop_before_an_answer_that_would_ride_in_the_response(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, sender=WHATSAPP, workers=0, inline_budget_ms=1500) as line:
        await _asked(line)
        await Walker(line, Post(line, nothing), during=lambda: stops(line)).walk()
        assert left(line) == []
        assert await _outgoing(line) == []


async def test_stop_when_the_answer_waits_to_ride_in_the_response(database_url: str, fresh_directory: Path) -> None:
    async with text_line(
        database_url, fresh_directory, sender=WHATSAPP, workers=0, web=False, burst_ms=0, inline_budget_ms=12_000
    ) as line:
        line.phone().text(WHATSAPP, "Tell me everything")
        backfill = line.core.backfill()
        await backfill.run(line.integration)
        walker = Walker(line, Post(line, nothing))
        runner = LaneRunner(
            walker.desk, walker.think, Deliverer(walker.desk, walker.post, line.core.clock, "").deliver, line.core.clock
        )
        for held in await walker.desk.claim(1):
            await runner.run(held)
        assert await _outgoing(line) == [("answer", "waiting")]
        line.phone().text(WHATSAPP, "Stop")
        await backfill.run(line.integration)
        asked = await line.rows("select id from messages where body = 'Tell me everything'")
        assert await line.core.webhooks().inline.answer(line.integration, asked[0]["id"], 0.0) == []
        assert await _outgoing(line) == [("answer", "withheld")]


async def test_stop_to_one_sender_does_not_silence_another(database_url: str, fresh_directory: Path) -> None:
    other = "+15550100201"
    async with text_line(database_url, fresh_directory, workers=0) as line:
        await _second(line, other)
        line.phone().text(other, "Where is my order?")
        await line.emulator.idle()
        line.phone().text(OURS, "Stop")
        await line.emulator.idle()
        await Walker(line, Post(line, nothing)).walk()
        assert left(line) == ["You said: Where is my order?"]


async def test_texts_to_two_senders_are_both_answered(database_url: str, fresh_directory: Path) -> None:
    other = "+15550100201"
    async with text_line(database_url, fresh_directory, workers=0) as line:
        await _second(line, other)
        for to in (OURS, other):
            line.phone().text(to, f"Hello {to}")
            await line.emulator.idle()
        await Walker(line, Post(line, nothing)).walk()
        assert [m.sender for m in line.emulator.messages if not m.inbound] == [OURS, other]


async def _second(line: TextLine, sender: str) -> None:
    """A second sender of the same account."""
    core = line.core
    async with core.db.tenant(line.account_id) as conn:
        made = await core.integrations.create(
            conn,
            line.account_id,
            name="second",
            assistant_id=line.integration.assistant_id,
            sender=sender,
            messaging_service_sid=None,
            credentials=None,
            settings=IntegrationSettings(burst_ms=0),
            meta={},
        )
    line.emulator.add_number(sender, sms_url=f"{core.settings.public_url}/twilio/{made.id}/messages")
