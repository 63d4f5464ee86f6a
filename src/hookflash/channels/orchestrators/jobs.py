"""Calls that another service conducts, over the database: joined once, one turn at a time, corrected by what was heard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import anyio
import structlog

from hookflash.assistant.voice import VoiceConfig
from hookflash.base.errors import HookflashError, NotFound
from hookflash.channels.integration import Integration
from hookflash.channels.orchestrators.transcript import SERVICES, Conducted, Moment, Over, heard_of, moment
from hookflash.channels.voice import Phrases
from hookflash.channels.voice_jobs import SUMMED_UP, Switchboard, Talk, summary_of
from hookflash.conversation import call_store, heard_store
from hookflash.conversation.call import CallRow
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Say, Usage
from hookflash.db.pool import Connection
from hookflash.knowledge.language import detect
from hookflash.safety.card_question import asks_for_card
from hookflash.safety.pii import mask_digits, mask_numbers
from hookflash.speech.tongue import Tongue

log = structlog.get_logger()

# Without a sign for so long a call does not count when the same number calls again: its end was not told. If it goes on
# after all, its next sign brings it back.
QUIET = timedelta(minutes=5)
SETTLING = 10.0
NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request: what was said, to whom the caller is to go, whether the call is to end.

    `superseded`: a newer request of the same call has taken its place.
    """

    words: str = ""
    transfer_to: str | None = None
    end: bool = False
    superseded: bool = False
    usage: Usage = NOTHING


@dataclass(slots=True)
class _Running:
    """The requests of one call here: the newest counts, and thinks in `scope` once those before it are kept."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    scope: anyio.CancelScope | None = None
    newest: int = 0
    present: int = 0


@dataclass(frozen=True, slots=True)
class Conductors:
    """Answers the services that conduct calls."""

    switchboard: Switchboard
    _running: dict[tuple[str, str], _Running] = field(default_factory=dict)

    async def answer(self, integration: Integration, call: Conducted, now: Moment, say: Say) -> Answered:
        """One turn of a call, said piece by piece; without words of the caller, the greeting if it has not begun.

        Raises NotFound for a call of another integration.
        """
        async with self._alone(integration, call) as scope:
            if scope is None:
                return Answered(superseded=True)
            joined = await self._join(integration, call, now)
            phrases = _phrases(integration)
            if isinstance(joined, str):
                await say(Segment(phrases[joined], last=True))
                return Answered(phrases[joined], end=True)
            if not now.said:
                begins = not (now.turns or now.spoken) and await self._unanswered(joined)
                greeting = (integration.assistant.voice.greeting or phrases["greeting"]) if begins else ""
                if greeting:
                    await say(Segment(greeting, last=True))
                return Answered(greeting)
            return await self._turn(integration, joined, now, say, scope)

    async def _turn(
        self, integration: Integration, talk: Talk, now: Moment, say: Say, scope: anyio.CancelScope
    ) -> Answered:
        pieces: list[str] = []
        done = Answered(superseded=True)
        finished = False

        async def keep(segment: Segment) -> None:
            pieces.append(segment.text)
            await say(segment)

        try:
            with scope:
                try:
                    record = await self.switchboard.think(talk, now.turns, now.said, keep, _language(talk, now))
                except HookflashError as error:
                    log.warning("a spoken turn failed", call=talk.call.id, reason=error.message)
                    await keep(Segment(_phrases(integration)["failed"], last=True))
                    done = Answered("".join(pieces))
                else:
                    target = talk.voice.transfer_to if record.hand_off else ""
                    # A workflow of TaskRouter is no place that another service could reach: there the ticket does it.
                    reachable = target if target and not target.startswith("WW") else None
                    usage = record.ending.usage if record.ending else NOTHING
                    done = Answered("".join(pieces), reachable, usage=usage)
                finished = True
        finally:
            # What was said before the caller went on is history; where nothing was, they go on with what they were saying.
            whole = "".join(pieces).strip()
            if finished or whole:
                with anyio.CancelScope(shield=True), anyio.move_on_after(SETTLING):
                    await self.switchboard.settle(
                        talk, now.turns, said=now.said, heard=whole, whole=whole, interrupted=not finished
                    )
                    await self.switchboard.spend(talk)
        return done

    async def told(self, integration: Integration, call: Conducted, now: Moment) -> None:
        """All that was said in a call up to now, though nothing is asked: what was heard of the last answer."""
        async with (
            self._alone(integration, call, cancels=False),
            self.switchboard.db.tenant(integration.account_id) as conn,
        ):
            row = await _row(conn, integration, call)
            if row is not None:
                await self._correct(conn, integration, row.id, now)

    async def over(self, integration: Integration, over: Over) -> None:
        """A call is over, or more is known of it. Of one that never asked us anything nothing is kept."""
        async with self._alone(integration, over.call), self.switchboard.db.tenant(integration.account_id) as conn:
            row = await _row(conn, integration, over.call)
            if row is not None and over.lines:
                await self._correct(conn, integration, row.id, moment(over.lines))
            parts = {} if over.cost_micros is None else {"telephony": over.cost_micros}
            await self._end(conn, row, over.why, over.measures, parts)

    async def hung_up(self, integration: Integration, call: Conducted) -> None:
        """The socket of a call is closed; why, will be told."""
        async with self._alone(integration, call), self.switchboard.db.tenant(integration.account_id) as conn:
            await self._end(conn, await _row(conn, integration, call), None, {}, {})

    async def _end(
        self, conn: Connection, row: CallRow | None, why: str | None, measures: dict[str, Any], parts: dict[str, int]
    ) -> None:
        if row is None or row.state == "refused":
            return
        exchanges, questions = await heard_store.exchanges_of(conn, row.id, SUMMED_UP)
        summary, at = summary_of(exchanges, questions), self.switchboard.clock.now()
        await call_store.end_call(conn, row.id, why, at, measures=measures, parts=parts, summary=summary)

    async def _join(self, integration: Integration, call: Conducted, now: Moment) -> Talk | str:
        """The call as it is, admitted if this is its first sign; or the phrase by which it is ended."""
        account_id, switchboard = integration.account_id, self.switchboard
        arrival = call.arrival(account_id, integration.id, integration.sender)
        at = switchboard.clock.now()
        async with switchboard.db.tenant(account_id) as conn:
            call_id = await call_store.find_call(conn, call.sid)
            row = await call_store.get_call(conn, call_id) if call_id else None
            if row is not None and row.integration_id != integration.id:
                raise NotFound("There is no such call.")
            if row is not None and row.state == "refused":
                return "failed"
            goes_on = row is not None and row.state != "ended"
            if row is not None and _at_an_end(row, integration.assistant.voice, at):
                return "goodbye_call"
            if row is not None and goes_on:
                await heard_store.touch(conn, row.id, at)
                await self._correct(conn, integration, row.id, now)
            else:
                await heard_store.end_quiet(conn, arrival.address, SERVICES, QUIET, at)
        if not goes_on:
            _, token, why = await switchboard.admit(integration, arrival)
            return "failed" if why else await switchboard.open(integration, call.sid, token)
        talk = await switchboard.resume(integration, call.sid)
        if talk is None:
            return "failed"
        # What we asked for counts until something else of ours was heard.
        talk.private = asks_for_card(next((e.answered for e in reversed(talk.history) if e.answered), ""))
        return talk

    async def _unanswered(self, talk: Talk) -> bool:
        async with self.switchboard.db.tenant(talk.call.account_id) as conn:
            return await heard_store.latest_turn(conn, talk.call.id) is None

    async def _correct(self, conn: Connection, integration: Integration, call_id: str, now: Moment) -> None:
        turn = await heard_store.latest_turn(conn, call_id)
        if turn is None:
            return
        exchanges, _ = await heard_store.exchanges_of(conn, call_id, 2)
        private = len(exchanges) > 1 and asks_for_card(exchanges[0].answered)
        masked = mask_digits if private else mask_numbers
        spoken = masked(now.spoken) if now.spoken else None
        told = replace(now, said=masked(now.said), spoken=spoken, before=masked(now.before))
        heard = heard_of(turn.said, turn.whole, told)
        if heard is not None and heard != turn.heard:
            await heard_store.correct_heard(conn, integration.account_id, turn, heard, self.switchboard.clock.now())

    @asynccontextmanager
    async def _alone(
        self, integration: Integration, call: Conducted, *, cancels: bool = True
    ) -> AsyncIterator[anyio.CancelScope | None]:
        """The only one in this process that deals with a call; whoever did is stopped. None: a newer one came meanwhile."""
        key = (integration.account_id, call.sid)
        running = self._running.setdefault(key, _Running())
        running.present += 1
        if cancels:
            running.newest += 1
            if running.scope is not None:
                running.scope.cancel()
        mine = running.newest
        try:
            async with running.lock:
                if cancels and mine != running.newest:
                    yield None
                    return
                running.scope = anyio.CancelScope()
                try:
                    yield running.scope
                finally:
                    running.scope = None
        finally:
            running.present -= 1
            if not running.present:
                self._running.pop(key, None)


async def _row(conn: Connection, integration: Integration, call: Conducted) -> CallRow | None:
    """A call as it is kept, if it is one of this integration."""
    call_id = await call_store.find_call(conn, call.sid)
    row = await call_store.get_call(conn, call_id) if call_id else None
    return row if row is not None and row.integration_id == integration.id else None


def _at_an_end(row: CallRow, voice: VoiceConfig, at: datetime) -> bool:
    """Whether a call is as long, or as dear, as a call may be."""
    dear = sum(row.parts.values()) > voice.max_call_usd * 1e6
    return dear or at - row.started_at > timedelta(minutes=voice.max_minutes)


def _phrases(integration: Integration) -> Phrases:
    return Phrases(integration, integration.assistant.voice.language.partition("-")[0])


def _language(talk: Talk, now: Moment) -> str:
    """The language that the call is in by all that the caller said: the services do not tell it."""
    voice = talk.voice
    if not voice.languages:
        return voice.language
    tongue = Tongue((voice.language, *voice.languages), detect)
    for said in now.asked:
        tongue.hear(said, None)
    return tongue.current
