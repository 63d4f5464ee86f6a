"""Calls over the database: admitting them, thinking in them, keeping what was said and heard, their end."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from hookflash.assistant import speech_cost
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.code_words import conceal
from hookflash.assistant.masked import names_of
from hookflash.assistant.voice import VoiceConfig
from hookflash.assistant.wants_person import wants_person
from hookflash.base.clock import Clock
from hookflash.base.ids import new_id
from hookflash.base.phone import Address, Kind
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.outbound import Dialled
from hookflash.channels.redial_jobs import LOOK_AFTER, attempt_ended, look_later
from hookflash.channels.think import kept_ending
from hookflash.conversation import attempt_store, call_store, heard_store, transfer_store
from hookflash.conversation.call import CallArrival, CallStanding, CallTurn, OpenCall
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.take_turn import take_turn
from hookflash.conversation.transfer_store import Transfer
from hookflash.conversation.turn import (
    Answerer,
    Check,
    Ending,
    Exchange,
    Gate,
    HandOff,
    LineTraits,
    NamedGates,
    Pass,
    Say,
    Turn,
    TurnRecord,
    Usage,
    Verdict,
    verdicts_record,
)
from hookflash.db.pool import Database
from hookflash.safety.card_question import asks_for_card
from hookflash.safety.personal import conceal as conceal_kinds
from hookflash.safety.pii import digits_in, mask_digits, mask_numbers

log = structlog.get_logger()

SPOKEN_CHARS = 600
# So many digits in a row that are keyed and are no card's number are one that was mistyped.
CARD_DIGITS = 12
# Exchanges that a turn is told of; a call of hours keeps no more.
REMEMBERED = 8
# Of so many a summary is made.
SUMMED_UP = 6
TRANSFERRED = "transferred"
# Why we end a call.
LONGEST, DEAREST, SILENT = "the call is at its longest", "the call is at its dearest", "the caller is silent"


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


@dataclass(frozen=True, slots=True)
class Thinking:
    """A turn before it is history: its id, and once it was thought how that ended and which gates it came through."""

    turn_id: str
    ending: Ending | None = None
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    hand_off: str | None = None


@dataclass(slots=True)
class Talk:
    """One live call: `history` is its latest past. Cost in micro-dollars.

    `private`: our last words asked for a number that must not be kept, so numbers in the next ones of the caller are not;
    `awaits_code`: the caller is being verified, and may say the code at any time.
    """

    call: OpenCall
    voice: VoiceConfig
    config: AssistantConfig
    history: list[Exchange]
    turns: dict[int, Thinking] = field(default_factory=dict)
    private: bool = False
    awaits_code: bool = False
    cost_micros: int = 0
    parts: dict[str, int] = field(default_factory=dict)

    def add_cost(self, part: str, micros: int) -> None:
        self.parts[part] = self.parts.get(part, 0) + micros
        self.cost_micros += micros

    def cost_is(self, part: str, micros: int) -> None:
        """What a part has cost up to now."""
        self.add_cost(part, micros - self.parts.get(part, 0))

    @property
    def too_dear(self) -> bool:
        return self.call.spent_micros + self.cost_micros > self.voice.max_call_usd * 1e6


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What every way of a call needs."""

    db: Database
    clock: Clock
    answer: Answerer
    gates: NamedGates = ()
    checks: Sequence[Check] = ()
    look_ahead: Callable[[Turn], Awaitable[Usage]] | None = None

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
                settings=integration.settings.of_session(),
                now=now,
            )
        return call_id, token, why

    async def standing(self, arrival: CallArrival, integration: Integration) -> CallStanding:
        """What is known of the person we want to call."""
        async with self.db.tenant(arrival.account_id) as conn:
            return await call_store.call_standing(
                conn, arrival, integration.opt_out_scope, integration.settings.session_duration_ms, self.clock.now()
            )

    async def queue(self, arrival: CallArrival, known: CallStanding) -> Dialled:
        """A call that we are about to make; it has no sid yet. A worker looks after it, should we die meanwhile."""
        waiting, now = replace(arrival, call_sid=new_id("pending")), self.clock.now()
        async with self.db.tenant(arrival.account_id) as conn:
            call_id, _ = await call_store.admit(
                conn, waiting, known, state="queued", why=None, verdicts=[], settings={}, now=now
            )
            attempt_id = await attempt_store.add_attempt(
                conn, arrival.account_id, call_id, 1, "dialling", due_at=now, now=now
            )
            await look_later(conn, arrival.account_id, attempt_id, LOOK_AFTER)
        return Dialled(call_id, attempt_id)

    async def rang(self, account_id: str, attempt_id: str, call_sid: str) -> None:
        """Twilio has an attempt of ours under this sid. Raises NotFound."""
        async with self.db.tenant(account_id) as conn:
            await attempt_store.get_attempt(conn, attempt_id)
            await attempt_store.ringing(conn, attempt_id, call_sid, self.clock.now())

    async def failed(self, account_id: str, dialled: Dialled, why: str) -> None:
        """An attempt was not made, or nobody knows: the call is over."""
        async with self.db.tenant(account_id) as conn:
            await attempt_store.attempt_over(conn, dialled.attempt_id, why, self.clock.now())
            await call_store.end_call(conn, dialled.call_id, why, self.clock.now())

    async def answered_by(self, account_id: str, call_sid: str, who: str) -> None:
        """A person or a machine."""
        async with self.db.tenant(account_id) as conn:
            await call_store.answered_by(conn, call_sid, who, self.clock.now())

    async def recorded(self, account_id: str, call_sid: str, recording: dict[str, str]) -> None:
        """A recording is ready at Twilio."""
        async with self.db.tenant(account_id) as conn:
            await call_store.recorded(conn, account_id, call_sid, recording, self.clock.now())

    async def open(self, integration: Integration, call_sid: str, token: str) -> Talk:
        """The call whose socket this token opens. Raises Forbidden."""
        account_id = integration.account_id
        async with self.db.tenant(account_id) as conn:
            call = await call_store.open_call(conn, account_id, call_sid, token, self.clock.now())
        return self._talk(call, integration.assistant.voice)

    async def resume(self, integration: Integration, call_sid: str) -> Talk | None:
        """A call that goes on turn by turn, without a socket."""
        async with self.db.tenant(integration.account_id) as conn:
            call_id = await call_store.find_call(conn, call_sid)
            call = await call_store.get_open_call(conn, call_id) if call_id else None
            if call is None:
                return None
            talk = self._talk(call, integration.assistant.voice)
            talk.awaits_code = await heard_store.awaits_code(conn, call.session.id)
        return talk

    @staticmethod
    def _talk(call: OpenCall, voice: VoiceConfig) -> Talk:
        """The session may have begun by text, under an older configuration than that by which the call came in: its answers
        stay with that one, its voice cannot (another way has other vendors)."""
        config = AssistantConfig.stored(call.session.config)
        private = bool(call.history) and asks_for_card(call.history[-1].answered)
        return Talk(call, voice, config, list(call.history), private=private)

    async def think(
        self, talk: Talk, number: int, said: str, say: Say, language: str | None, *, leads: bool = False
    ) -> TurnRecord:
        """One turn of a call: gates, then the answer, said piece by piece. `leads`: who asks for a person is led to one."""
        turn = self.turn(talk, said, language)
        talk.turns[number] = Thinking(turn.id)
        gates = without_codes(self.gates) if talk.awaits_code or talk.private else self.gates
        if leads and talk.voice.transfer_to:
            gates = [*gates, ("person", asks_for_person)]
        record = await take_turn(turn, gates=gates, answer=self.answer, checks=self.checks, line=SayLine(say))
        talk.turns[number] = Thinking(turn.id, record.ending, record.verdicts, record.hand_off)
        if record.ending is not None:
            usage = record.ending.usage
            talk.add_cost("llm", usage.model_micros + usage.embedding_micros)
        return record

    async def look_up(self, talk: Talk, said: str, language: str | None) -> None:
        """What the caller is saying, and will probably have asked, is searched for already; nothing is written."""
        if self.look_ahead is not None and not (talk.too_dear or talk.awaits_code or talk.private):
            usage = await self.look_ahead(self.turn(talk, said, language))
            talk.add_cost("llm", usage.embedding_micros)

    def turn(self, talk: Talk, said: str, language: str | None) -> Turn:
        """What a turn of the call may know in which this was said."""
        call, turn_id, now = talk.call, new_id("turn"), self.clock.now()
        contact = replace(call.contact, language=(language or "").partition("-")[0] or call.contact.language)
        return Turn(
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
        """Keep a turn that is history; numbers of cards and the like are masked first.

        Where we had asked for one, every number is: a security code has no check digit.
        """
        thinking = talk.turns.pop(number, None) or Thinking(new_id("turn"))
        ending = thinking.ending
        for dropped in [older for older in talk.turns if older < number]:
            del talk.turns[dropped]
        if ending is not None and ending.said is not None:
            said = ending.said
        elif talk.awaits_code:
            said = conceal(said)
        if ending is not None:
            talk.awaits_code = ending.awaits_code
        keyed = said.replace("*", "").isdecimal() and digits_in(said) >= CARD_DIGITS
        numbers = mask_digits if talk.private or keyed else mask_numbers

        def masked(text: str) -> str:
            return conceal_kinds(numbers(text), talk.config.safety.pii.keep_out, names_of(talk.call.contact))

        talk.private = asks_for_card(whole)
        said, heard, whole = masked(said), masked(heard), masked(whole)
        ending = kept_ending(ending, talk.config.safety.pii.keep_out)
        if ending is not None:
            ending = replace(ending, question=masked(ending.question))
        passages = tuple(s.chunk_id for s in ending.sources if s.cited) if ending else ()
        talk.history.append(Exchange(said, heard, passages))
        del talk.history[:-REMEMBERED]
        micros = ending.usage.model_micros + ending.usage.embedding_micros if ending else 0
        record = {"verdicts": verdicts_record(thinking.verdicts)}
        turn = CallTurn(
            thinking.turn_id,
            number,
            said,
            heard,
            whole,
            interrupted,
            ending,
            thinking.hand_off,
            measures or {},
            record,
            micros,
        )
        async with self.db.tenant(talk.call.account_id) as conn:
            await call_store.keep_turn(conn, talk.call, turn, self.clock.now())

    async def end(self, talk: Talk, why: str | None, measures: dict[str, Any] | None = None) -> None:
        """The socket of a call is closed; its summary is there for whoever talks to the person next."""
        await self.spend(talk)
        async with self.db.tenant(talk.call.account_id) as conn:
            summary = summary_of(*await heard_store.exchanges_of(conn, talk.call.id, SUMMED_UP))
            await call_store.end_call(conn, talk.call.id, why, self.clock.now(), measures=measures, summary=summary)

    async def spend(self, talk: Talk) -> None:
        """Note what a call has cost here. What Twilio takes for it is known when it is over."""
        parts = {part: micros for part, micros in talk.parts.items() if part != "telephony"}
        if parts:
            async with self.db.tenant(talk.call.account_id) as conn:
                await call_store.add_parts(conn, talk.call.id, parts)

    async def begin_transfer(self, talk: Talk, target: str) -> str:
        """The caller goes to wait for a person; the transfer's id."""
        call = talk.call
        async with self.db.tenant(call.account_id) as conn:
            return await transfer_store.begin_transfer(
                conn, call.account_id, call.id, call.contact.id, target, self.clock.now()
            )

    async def transfer(self, account_id: str, transfer_id: str) -> Transfer:
        """Raises NotFound."""
        async with self.db.tenant(account_id) as conn:
            return await transfer_store.get_transfer(conn, transfer_id)

    async def person_rung(self, account_id: str, transfer_id: str, call_sid: str) -> None:
        async with self.db.tenant(account_id) as conn:
            await transfer_store.rung(conn, transfer_id, call_sid)

    async def person_joins(self, account_id: str, transfer_id: str) -> bool:
        """Whether somebody still waits for the person."""
        async with self.db.tenant(account_id) as conn:
            return await transfer_store.joined(conn, transfer_id)

    async def person_left(self, account_id: str, transfer_id: str) -> None:
        """Whoever took the call has hung up."""
        async with self.db.tenant(account_id) as conn:
            await transfer_store.left(conn, transfer_id, self.clock.now())

    async def person_missed(self, account_id: str, transfer_id: str, state: str) -> bool:
        """Nobody took the call; True for whoever says so first."""
        async with self.db.tenant(account_id) as conn:
            return await transfer_store.came_to_nothing(conn, transfer_id, state, self.clock.now())

    async def how_it_ended(self, account_id: str, call_sid: str, goes_on: bool) -> call_store.HowEnded | None:
        """What is known of a call whose socket is closed; if the call goes on, that may be one more time that it was lost."""
        async with self.db.tenant(account_id) as conn:
            return await call_store.how_ended(conn, call_sid, goes_on, self.clock.now())

    async def finished(self, account_id: str, call_sid: str, status: str, seconds: int) -> list[str]:
        """Twilio says that a call is over: calls by which a person is being rung for it and that are to end too."""
        now = self.clock.now()
        async with self.db.tenant(account_id) as conn:
            attempt = await attempt_store.attempt_of(conn, call_sid)
            if attempt is not None and await attempt_ended(conn, attempt, status, now):
                return []
            call_id = await call_store.find_call(conn, call_sid)
            if call_id is None:
                return []
            way, direction = await call_store.find_way(conn, call_id)
            # A call turn by turn, or one whose server died, has been summed up by nobody.
            summary = summary_of(*await heard_store.exchanges_of(conn, call_id, SUMMED_UP))
            await call_store.end_call(
                conn,
                call_id,
                status,
                now,
                measures={"seconds": seconds, "status": status},
                parts={"telephony": speech_cost.telephony(way, direction, seconds).micros},
                summary=summary,
            )
            return await transfer_store.abandoned(conn, call_id, now)


async def asks_for_person(turn: Turn) -> Verdict:
    """Nothing is said: whoever leads the caller to a person says so."""
    asked = any(wants_person(each.text) for each in turn.said)
    return HandOff("the caller asked for a person") if asked else Pass()


def without_codes(gates: NamedGates) -> NamedGates:
    """The same gates, which may ask others, without the number that a caller may be telling."""

    def blind(gate: Gate) -> Gate:
        async def ask(turn: Turn) -> Verdict:
            return await gate(replace(turn, said=tuple(replace(m, text=conceal(m.text)) for m in turn.said)))

        return ask

    return [(name, blind(gate)) for name, gate in gates]


def summary_of(exchanges: Sequence[Exchange], questions: int) -> str | None:
    """A call in a few lines, for a person who takes over and for the next text."""
    if not exchanges:
        return None
    lines = [f"- {e.said[:160]} → {e.answered[:200] or '(not heard)'}" for e in exchanges]
    return f"{questions} question{'' if questions == 1 else 's'} by telephone:\n" + "\n".join(lines)
