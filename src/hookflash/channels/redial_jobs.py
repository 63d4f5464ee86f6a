"""Background work of calls of ours: attempts in their time, and those of which nobody has told us what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, Invalid, NotFound, TwilioFailed, TwilioUnclear
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Integration
from hookflash.channels.outbound import Dialled, Outbound
from hookflash.channels.redial import GIVE_UP_AFTER, NOT_REACHED, gap, next_try
from hookflash.channels.store import Integrations
from hookflash.channels.text import account_of
from hookflash.compliance.permit import Allowed, Never, NotBefore
from hookflash.conversation import attempt_store, call_store
from hookflash.conversation.attempt_store import Attempt
from hookflash.conversation.call import CallArrival
from hookflash.db.jobs import Task, defer
from hookflash.db.pool import Connection, Database
from hookflash.twilio.resources import SentCall

log = structlog.get_logger()

DIAL = "calls.dial"
# Longer than any request to Twilio may take: what was asked for before that has happened by now or never will.
LOOK_AFTER = timedelta(seconds=60)
# Twilio's clock and ours.
SKEW = timedelta(seconds=10)
LONGEST_RINGING = timedelta(minutes=30)
OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


async def look_later(conn: Connection, account_id: str, attempt_id: str, wait: timedelta) -> None:
    """Have a worker see to this attempt after a while; exists when the transaction commits."""
    await defer(conn, DIAL, schedule_in=max(wait, timedelta(0)), account_id=account_id, attempt_id=attempt_id)


async def try_again(conn: Connection, attempt: Attempt, why: str, now: datetime) -> bool:
    """The attempt has come to nothing: plan the next one. False when there is none, and the call is over."""
    due = next_try(attempt.number, attempt.retries, attempt.first_at, now)
    if due is None:
        return False
    following = await attempt_store.add_attempt(
        conn, attempt.account_id, attempt.call_id, attempt.number + 1, "due", due, now
    )
    await attempt_store.waits(conn, attempt.call_id, why, now)
    await look_later(conn, attempt.account_id, following, due - now)
    return True


async def attempt_ended(conn: Connection, attempt: Attempt, status: str, now: datetime) -> bool:
    """Twilio says how an attempt ended. True when nothing is left to be done: told before, or another attempt follows."""
    if not await attempt_store.attempt_over(conn, attempt.id, status, now):
        return True
    return status in NOT_REACHED and await try_again(conn, attempt, status, now)


@dataclass(frozen=True, slots=True)
class Redial:
    """Sees to attempts. Whatever process died in the middle of one, it is made once: what is in doubt is looked up at Twilio."""

    db: Database
    clock: Clock
    integrations: Integrations
    outbound: Outbound

    def tasks(self) -> list[Task]:
        return [Task(DIAL, self.see_to)]

    async def see_to(self, account_id: str, attempt_id: str) -> None:
        """What has to be done for an attempt now, if anything. Harmless to repeat."""
        async with self.db.tenant(account_id) as conn:
            try:
                attempt = await attempt_store.get_attempt(conn, attempt_id)
            except NotFound:
                return
            integration = await self.integrations.get_or_none(conn, attempt.integration_id)
        if integration is None or attempt.state == "over":
            return
        match attempt.state:
            case "dialling":
                await self._settle(integration, attempt)
            case "ringing":
                await self._ask_how_it_fares(integration, attempt)
            case _:
                await self._dial(integration, attempt)

    async def _dial(self, integration: Integration, seen: Attempt) -> None:
        """Make an attempt, if it may be made now and is still as it was seen."""
        account_id, now = integration.account_id, self.clock.now()
        async with self.db.tenant(account_id) as conn:
            attempt = await attempt_store.get_attempt(conn, seen.id)
            if (attempt.state, attempt.began_at) != (seen.state, seen.began_at):
                return
            if not await self._may(conn, integration, attempt, now):
                return
            await attempt_store.dialling(conn, attempt, now)
            await look_later(conn, account_id, attempt.id, LOOK_AFTER)
        dialled = Dialled(attempt.call_id, attempt.id)
        try:
            sid = await self.outbound.ring(integration, attempt.id, attempt.address)
        except TwilioUnclear as error:
            await self.outbound.desk.failed(account_id, dialled, f"unclear: {error.message}")
        except TwilioFailed as error:
            await self._refused(attempt, error)
        else:
            await self.outbound.desk.rang(account_id, attempt.id, sid)

    async def _may(self, conn: Connection, integration: Integration, attempt: Attempt, now: datetime) -> bool:
        """Whether the attempt may be made now; if not it is put off, or over."""
        try:
            self.outbound.check(integration)
        except (Conflict, Invalid) as error:
            await self._give_up(conn, attempt, error.message, now)
            return False
        arrival = CallArrival(
            attempt.account_id,
            attempt.integration_id,
            "",
            "out",
            attempt.way,
            attempt.address,
            attempt.sender,
            purpose=attempt.purpose,
        )
        scope, session_ms = integration.opt_out_scope, integration.settings.session_duration_ms
        known = await call_store.call_standing(conn, arrival, scope, session_ms, now)
        later = attempt.due_at
        match self.outbound.asked(Address.parse(attempt.address, Kind.VOICE), attempt.purpose, known, now):
            case Never(why=why):
                await self._give_up(conn, attempt, why, now)
                return False
            case NotBefore(when=when):
                later = when
            case Allowed():
                pass
        if known.live_calls >= integration.assistant.voice.concurrent_per_number:
            later = now + gap(attempt.number)
        if later <= now:
            return True
        if later > attempt.first_at + GIVE_UP_AFTER:
            await self._give_up(conn, attempt, "there was no time left in which they may be called", now)
            return False
        await attempt_store.put_off(conn, attempt.id, later)
        await look_later(conn, attempt.account_id, attempt.id, later - now)
        return False

    @staticmethod
    async def _give_up(conn: Connection, attempt: Attempt, why: str, now: datetime) -> None:
        await attempt_store.attempt_over(conn, attempt.id, why, now)
        await call_store.end_call(conn, attempt.call_id, why, now)

    async def _refused(self, attempt: Attempt, error: TwilioFailed) -> None:
        why, now = f"error {error.code}: {error.message}", self.clock.now()
        async with self.db.tenant(attempt.account_id) as conn:
            if await attempt_store.attempt_over(conn, attempt.id, why, now) and not (
                error.retryable and await try_again(conn, attempt, why, now)
            ):
                await call_store.end_call(conn, attempt.call_id, why, now)

    async def _settle(self, integration: Integration, attempt: Attempt) -> None:
        """Whoever made this attempt has died or was not answered: was the call made?"""
        began = attempt.began_at or attempt.due_at
        now = self.clock.now()
        if now < began + LOOK_AFTER:
            async with self.db.tenant(attempt.account_id) as conn:
                await look_later(conn, attempt.account_id, attempt.id, began + LOOK_AFTER - now)
            return
        found = await account_of(self.outbound.twilio, integration).calls(to=attempt.address, sender=attempt.sender)
        sid = await self._ours(attempt, [each for each in found if each.created_at >= began - SKEW])
        if sid is None:
            log.warning("an attempt to call was never made", call=attempt.call_id)
            await self._dial(integration, attempt)
            return
        async with self.db.tenant(attempt.account_id) as conn:
            await attempt_store.ringing(conn, attempt.id, sid, now)
            await look_later(conn, attempt.account_id, attempt.id, timedelta(0))

    async def _ours(self, attempt: Attempt, found: Sequence[SentCall]) -> str | None:
        """The oldest of these calls that is no other call of ours."""
        async with self.db.tenant(attempt.account_id) as conn:
            known = await attempt_store.known_sids(conn, [each.sid for each in found])
        mine = sorted((each for each in found if each.sid not in known), key=lambda each: each.created_at)
        return mine[0].sid if mine else None

    async def _ask_how_it_fares(self, integration: Integration, attempt: Attempt) -> None:
        """Nobody may have told us of its end; who was answered is with a server of ours and needs no asking."""
        if attempt.call_state != "queued" or attempt.call_sid is None:
            return
        call = await account_of(self.outbound.twilio, integration).call(attempt.call_sid)
        now = self.clock.now()
        began = attempt.began_at or attempt.due_at
        status = call.status if call else "failed"
        async with self.db.tenant(attempt.account_id) as conn:
            held = await attempt_store.get_attempt(conn, attempt.id)
            if held.state != "ringing" or held.call_state != "queued":
                return
            if status not in OVER and now < began + LONGEST_RINGING:
                await look_later(conn, attempt.account_id, attempt.id, LOOK_AFTER)
            elif not await attempt_ended(conn, held, status if status in OVER else "failed", now):
                await call_store.end_call(conn, held.call_id, status, now, measures={"status": status})
