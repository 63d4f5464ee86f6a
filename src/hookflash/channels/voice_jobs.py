"""Calls over the database: admitting them, thinking in them, keeping what was said and heard, their end."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import Clock
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.conversation import call_store
from hookflash.conversation.call import CallArrival, CallStanding, CallTurn, OpenCall
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.take_turn import take_turn
from hookflash.conversation.turn import (
    Answerer,
    Check,
    Ending,
    Exchange,
    LineTraits,
    NamedGates,
    Pass,
    Say,
    Turn,
    TurnRecord,
)
from hookflash.db.pool import Database
from hookflash.safety.pii import mask_numbers

log = structlog.get_logger()

SPOKEN_CHARS = 600
# Exchanges that a turn is told of; a call of hours keeps no more.
REMEMBERED = 8
TRANSFERRED = "transferred"
# List prices of telephony for a minute of a call, in micro-dollars: for budgets, not for accounting.
TELEPHONY_MINUTE = 14_000


class SayLine:
    """A line that hands every segment on as it comes; what was heard is known to the call, not to it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._pieces: list[str] = []

    async def say(self, segment: Any) -> None:
        self._pieces.append(segment.text)
        await self._say(segment)

    def heard(self) -> str:
        return "".join(self._pieces)


@dataclass(slots=True)
class Talk:
    """One live call: `history` is its latest past, `settled` counts the turns that it has had. Cost in micro-dollars."""

    call: OpenCall
    voice: VoiceConfig
    config: AssistantConfig
    history: list[Exchange]
    turns: dict[int, tuple[str, Ending | None]] = field(default_factory=dict)
    settled: int = 0
    cost_micros: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    def add_cost(self, part: str, micros: int) -> None:
        self.parts[part] = self.parts.get(part, 0) + micros
        self.cost_micros += micros

    @property
    def too_dear(self) -> bool:
        return self.cost_micros > self.voice.max_call_usd * 1e6


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What every way of a call needs."""

    db: Database
    clock: Clock
    answer: Answerer
    gates: NamedGates = ()
    checks: Sequence[Check] = ()

    async def admit(self, integration: Integration, arrival: CallArrival) -> tuple[str, str, str | None]:
        """Judge and store a call: its id, the token that opens its socket, and why it is refused if it is."""
        voice = integration.assistant.voice
        now = self.clock.now()
        async with self.db.tenant(integration.account_id) as conn:
            standing = await call_store.call_standing(
                conn, arrival, integration.opt_out_scope, integration.settings.session_duration_ms, now
            )
            verdicts = door.judge(door.Door(arrival, standing, integration, voice, now))
            last = verdicts[-1][1]
            why = None if isinstance(last, Pass) else getattr(last, "why", "refused")
            call_id, token = await call_store.admit(
                conn,
                arrival,
                standing,
                state="refused" if why else "admitted",
                why=why,
                verdicts=[[name, type(v).__name__, getattr(v, "why", None)] for name, v in verdicts],
                settings={},
                now=now,
            )
        return call_id, token, why

    async def standing(self, arrival: CallArrival, integration: Integration) -> CallStanding:
        """What is known of the person we want to call."""
        async with self.db.tenant(arrival.account_id) as conn:
            return await call_store.call_standing(
                conn, arrival, integration.opt_out_scope, integration.settings.session_duration_ms, self.clock.now()
            )

    async def queue(self, arrival: CallArrival, known: CallStanding) -> str:
        """A call that we are about to make; it has no sid yet."""
        waiting = replace(arrival, call_sid=new_id("pending"))
        async with self.db.tenant(arrival.account_id) as conn:
            call_id, _ = await call_store.admit(
                conn, waiting, known, state="queued", why=None, verdicts=[], settings={}, now=self.clock.now()
            )
        return call_id

    async def rang(self, account_id: str, call_id: str, call_sid: str) -> None:
        async with self.db.tenant(account_id) as conn:
            await call_store.queue_call(conn, call_id, call_sid, self.clock.now())

    async def failed(self, account_id: str, call_id: str, why: str) -> None:
        async with self.db.tenant(account_id) as conn:
            await call_store.end_call(conn, call_id, why, self.clock.now())

    async def answered_by(self, account_id: str, call_sid: str, who: str) -> None:
        """A person or a machine."""
        async with self.db.tenant(account_id) as conn:
            await call_store.answered_by(conn, call_sid, who, self.clock.now())

    async def recorded(self, account_id: str, call_sid: str, recording: dict[str, str]) -> None:
        """A recording is ready at Twilio."""
        async with self.db.tenant(account_id) as conn:
            await call_store.recorded(conn, account_id, call_sid, recording, self.clock.now())

    async def open(self, account_id: str, call_sid: str, token: str) -> Talk:
        """The call whose socket this token opens. Raises Forbidden."""
        async with self.db.tenant(account_id) as conn:
            call = await call_store.open_call(conn, account_id, call_sid, token, self.clock.now())
        return self._talk(call)

    async def resume(self, account_id: str, call_sid: str) -> Talk | None:
        """A call that goes on turn by turn, without a socket."""
        async with self.db.tenant(account_id) as conn:
            call_id = await call_store.find_call(conn, call_sid)
            call = await call_store.get_open_call(conn, call_id) if call_id else None
        return self._talk(call) if call else None

    @staticmethod
    def _talk(call: OpenCall) -> Talk:
        config = AssistantConfig.stored(call.session.config)
        return Talk(call, config.voice, config, list(call.history))

    async def think(self, talk: Talk, number: int, said: str, say: Say, language: str | None) -> TurnRecord:
        """One turn of a call: gates, then the answer, said piece by piece."""
        call = talk.call
        turn_id = new_id("turn")
        talk.turns[number] = (turn_id, None)
        now = self.clock.now()
        contact = replace(call.contact, language=(language or "").partition("-")[0] or call.contact.language)
        turn = Turn(
            id=turn_id,
            account_id=call.account_id,
            integration_id=call.integration_id,
            contact=contact,
            session=call.session,
            said=(
                Message(
                    turn_id, Direction.IN, Address.parse(call.address, Kind.VOICE), said, now, language=contact.language
                ),
            ),
            history=tuple(talk.history[-REMEMBERED:]),
            line=LineTraits("voice", max_chars=SPOKEN_CHARS, spoken=True),
            now=now,
        )
        record = await take_turn(turn, gates=self.gates, answer=self.answer, checks=self.checks, line=SayLine(say))
        talk.turns[number] = (turn_id, record.ending)
        if record.ending is not None:
            usage = record.ending.usage
            talk.add_cost("llm", usage.model_micros + usage.embedding_micros)
        return record

    async def settle(
        self,
        talk: Talk,
        number: int,
        *,
        said: str,
        heard: str,
        whole: str,
        interrupted: bool,
        measures: dict[str, float | None] | None = None,
    ) -> None:
        """Keep a turn that is history; numbers of cards and the like are masked first."""
        turn_id, ending = talk.turns.pop(number, (new_id("turn"), None))
        for dropped in [older for older in talk.turns if older < number]:
            del talk.turns[dropped]
        said, heard, whole = mask_numbers(said), mask_numbers(heard), mask_numbers(whole)
        passages = tuple(s.chunk_id for s in ending.sources if s.cited) if ending else ()
        talk.history.append(Exchange(said, heard, passages))
        talk.settled += 1
        del talk.history[:-REMEMBERED]
        micros = ending.usage.model_micros + ending.usage.embedding_micros if ending else 0
        turn = CallTurn(turn_id, number, said, heard, whole, interrupted, ending, measures or {}, {}, micros)
        async with self.db.tenant(talk.call.account_id) as conn:
            await call_store.keep_turn(conn, talk.call, turn, self.clock.now())

    async def end(self, talk: Talk, why: str | None, measures: dict[str, Any] | None = None) -> None:
        """The socket of a call is closed; its summary is there for whoever talks to the person next."""
        async with self.db.tenant(talk.call.account_id) as conn:
            await call_store.end_call(
                conn,
                talk.call.id,
                why,
                self.clock.now(),
                measures=measures,
                parts=talk.parts,
                summary=summary_of(talk.history[-talk.settled :] if talk.settled else (), talk.settled),
            )

    async def how_it_ended(self, account_id: str, call_sid: str) -> call_store.HowEnded | None:
        """What is known of a call whose socket is closed; counts this as one more time that it was lost."""
        async with self.db.tenant(account_id) as conn:
            return await call_store.how_ended(conn, call_sid, self.clock.now())

    async def finished(self, account_id: str, call_sid: str, status: str, seconds: int) -> None:
        """Twilio says that a call is over."""
        minutes = -(-seconds // 60)
        micros = minutes * TELEPHONY_MINUTE
        async with self.db.tenant(account_id) as conn:
            call_id = await call_store.find_call(conn, call_sid)
            if call_id is None:
                return
            await call_store.end_call(
                conn,
                call_id,
                status,
                self.clock.now(),
                measures={"seconds": seconds, "status": status},
                parts={"telephony": micros},
            )


def summary_of(exchanges: Sequence[Exchange], questions: int) -> str | None:
    """A call in a few lines, for a person who takes over and for the next text."""
    if not exchanges:
        return None
    lines = [f"- {e.said[:160]} → {e.answered[:200] or '(not heard)'}" for e in exchanges[-6:]]
    return f"{questions} questions by telephone:\n" + "\n".join(lines)
