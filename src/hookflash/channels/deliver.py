"""The third act of a text: each message leaves in its order, and a request whose outcome is unclear is settled, not guessed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import TwilioFailed, TwilioUnclear
from hookflash.channels.gauges import LEFT, POSTED
from hookflash.channels.integration import Integration
from hookflash.conversation.lane import Held, Later, Leaving, Left
from hookflash.conversation.outbox import (
    MAX_ATTEMPTS,
    PARK_AFTER,
    POST_WITHIN,
    SLOWNESS,
    Accepted,
    Candidate,
    Posted,
    Refused,
    Unclear,
    match,
    proven_absent_after,
    retry_after,
)
from hookflash.twilio.errors import Treatment, treatment

log = structlog.get_logger()


class Post(Protocol):
    """The vendor's side: send one message, and list what was sent to somebody lately."""

    async def send(self, integration: Integration, row: Leaving, callback: str) -> Accepted: ...

    async def sent_lately(self, integration: Integration, row: Leaving, seconds: float) -> list[Candidate]:
        """Oldest first; raises TwilioFailed when it cannot be known now."""
        ...


class OutboxStore(Protocol):
    """What delivery needs of the database; each call is a transaction."""

    async def integration(self, account_id: str, integration_id: str) -> Integration: ...
    async def mark_posting(self, held: Held, row: Leaving, scope: str) -> str | None: ...
    async def posted(self, row: Leaving, outcome: Accepted) -> None: ...
    async def refused(self, row: Leaving, outcome: Refused, scope: str) -> None: ...
    async def stop_sender(self, row: Leaving, outcome: Refused) -> None: ...
    async def again(self, row: Leaving, delay: float, reason: str) -> None: ...
    async def park(self, row: Leaving, reason: str, *, unsent: bool = False) -> None: ...
    async def unknown(self, account_id: str, candidates: list[Candidate]) -> list[Candidate]: ...
    async def lives(self, poster: int) -> bool: ...


Point = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends one message of a lane, or finds out what became of it."""

    store: OutboxStore
    post: Post
    clock: Clock
    public_url: str
    point: Point = lambda name: None

    async def deliver(self, held: Held, row: Leaving) -> Left | Later:
        """Left when the next message of the lane may go; Later when it has to wait for this one."""
        integration = await self.store.integration(row.account_id, row.integration_id)
        if row.state == "posting" and row.marked is None:
            return await self._settle(integration, row)
        if row.waits is not None and row.waits > 0.0:
            return Later(row.waits)
        if integration.stopped_code is not None:
            await self.store.park(row, integration.stopped_why or "the sender is stopped", unsent=True)
            return Left()
        if row.marked is None:
            row = replace(row, marked=self.clock.monotonic(), posted_age=0.0, poster=held.worker)
            if await self.store.mark_posting(held, row, integration.opt_out_scope) is not None:
                return Left()
        return await self._send(integration, row)

    async def _send(self, integration: Integration, row: Leaving) -> Left | Later:
        outcome: Posted
        if self.clock.monotonic() - (row.marked or 0.0) > POST_WITHIN:
            return await self._again(row, "it was marked too long ago to be sent without being settled")
        try:
            outcome = await self.post.send(integration, row, status_callback(self.public_url, row))
            self.point("after_send")
        except TwilioUnclear as error:
            outcome = Unclear(error.message)
        except TwilioFailed as error:
            outcome = judge(error, row.attempts + 1)
        LEFT.labels(type(outcome).__name__.lower()).inc()
        match outcome:
            case Accepted():
                POSTED.observe(self.clock.monotonic() - (row.marked or 0.0))
                await self.store.posted(row, outcome)
                return Left()
            case Refused(again=True):
                return await self._again(row, outcome.reason)
            case Refused():
                log.warning("message refused", message=row.id, code=outcome.code)
                await self.store.refused(row, outcome, integration.opt_out_scope)
                return Left()
            case Unclear():
                log.warning("send is unclear", message=row.id, reason=outcome.reason)
                return await self._settle(integration, row)

    async def _again(self, row: Leaving, reason: str) -> Left | Later:
        if row.attempts + 1 >= MAX_ATTEMPTS:
            await self.store.park(row, reason, unsent=True)
            return Left()
        delay = retry_after(row.attempts + 1)
        await self.store.again(row, delay, reason)
        return Later(delay)

    async def _settle(self, integration: Integration, row: Leaving) -> Left | Later:
        """A request was made, or may have been: ask the vendor, and send again only what it has certainly not got."""
        age = row.posted_age or 0.0
        lives = row.poster is None or await self.store.lives(row.poster)
        asked = self.clock.monotonic()
        try:
            listed = await self.post.sent_lately(integration, row, age + 60.0)
        except TwilioFailed as error:
            if age > PARK_AFTER:
                await self.store.park(row, "the vendor's list cannot be read to see whether it was sent")
                return Left()
            log.warning("send cannot be settled yet", message=row.id, reason=error.message)
            refused = heeded(error.code)
            if refused is not None and refused.stop_sender and integration.stopped_code is None:
                await self.store.stop_sender(row, refused)
            return Later(min(max(1.0, age / 2), 30.0))
        found = match(row.body, await self.store.unknown(row.account_id, listed))
        if found is not None:
            await self.store.posted(row, Accepted(found.sid, found.status))
            return Left()
        # The slower the vendor answers now, the longer an earlier request may wait there.
        absent_after = proven_absent_after(lives) + SLOWNESS * (self.clock.monotonic() - asked)
        if age < absent_after:
            return Later(min(absent_after - age + 0.05, 5.0))
        return await self._again(row, "it was proven absent after an unclear send")


def status_callback(public_url: str, row: Leaving) -> str:
    """Where Twilio tells how this message fares; our id in it settles a send whose answer was lost."""
    return f"{public_url.rstrip('/')}/twilio/{row.integration_id}/status?message={row.id}"


def judge(error: TwilioFailed, attempts: int) -> Refused:
    """What a refusal means for the message, the person and the sender."""
    if error.code == 0 and error.retryable:
        return Refused(0, error.message, again=True)
    refused = heeded(error.code)
    advice = treatment(error.code)
    if advice.treatment in (Treatment.RETRY, Treatment.THROTTLE) or attempts < advice.tries or error.retryable:
        return Refused(error.code, advice.sentence, again=True)
    return refused or Refused(error.code, error.message)


def heeded(code: int) -> Refused | None:
    """What an error code says about the person or the sender, wherever it is met; None when it says nothing."""
    advice = treatment(code)
    if advice.treatment is Treatment.OPTED_OUT:
        return Refused(code, advice.sentence, opted_out=True)
    if advice.treatment is Treatment.MARK_CONTACT:
        return Refused(code, advice.sentence, unreachable=True, tries=advice.tries)
    if advice.treatment is Treatment.STOP_SENDER:
        return Refused(code, advice.sentence, stop_sender=True)
    return None
