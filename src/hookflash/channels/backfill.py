"""Nothing is lost while we are down: Twilio's list of messages is compared with what arrived, and the rest is taken in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import Invalid
from hookflash.base.phone import Address
from hookflash.channels.accept import Accepted
from hookflash.channels.integration import Integration
from hookflash.channels.text import account_of
from hookflash.conversation.intake import Arrival
from hookflash.conversation.message import Media
from hookflash.twilio.client import TwilioClient
from hookflash.twilio.resources import SentMessage

log = structlog.get_logger()

OVERLAP = timedelta(minutes=15)
REACH_BACK = timedelta(days=30)
LISTED_AT_MOST = 50_000


class BackfillStore(Protocol):
    """What back-filling needs of the database."""

    async def received(self, account_id: str, sids: list[str]) -> dict[str, datetime]:
        """When those of these messages arrived that we have."""
        ...

    async def backfilled(self, integration: Integration, to: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Backfill:
    """Finds and takes in what no webhook brought."""

    client: TwilioClient
    clock: Clock
    store: BackfillStore
    accept: Callable[[Integration, Arrival], Awaitable[Accepted]]

    async def run(self, integration: Integration, *, under_way: timedelta = timedelta(0)) -> int:
        """Compare one integration's list with ours since the last comparison; how many were missing.

        Messages younger than `under_way` are left alone: their webhook, which knows more of them, is still coming.
        Raises TwilioFailed when the list cannot be read: the next run covers the same time again.
        """
        started = self.clock.now()
        # What came before the integration was there is not ours to answer; Twilio tells whole seconds.
        begun = integration.created_at - timedelta(seconds=10)
        since = max(begun, (integration.backfilled_to or begun) - OVERLAP, started - REACH_BACK)
        latest = started - under_way
        listed = [m for m in await self._listed(integration, since) if (m.created_at or since) <= latest]
        received = await self.store.received(integration.account_id, [m.sid for m in listed])
        before: dict[str | None, datetime] = {}
        taken = 0
        for message in listed:
            if message.sid not in received:
                arrival = await self._arrival(integration, message, before.get(message.sender))
                if arrival is None:
                    continue
                accepted = await self.accept(integration, arrival)
                taken += accepted.message_id is not None
                received[message.sid] = arrival.at
                if accepted.message_id is None:
                    # Its webhook came at this moment: what follows it has to follow the time that the webhook gave it.
                    received |= await self.store.received(integration.account_id, [message.sid])
            before[message.sender] = received[message.sid]
        await self.store.backfilled(integration, started)
        if taken:
            log.info("messages taken in from Twilio's list", integration=integration.id, messages=taken)
        return taken

    async def _listed(self, integration: Integration, since: datetime) -> list[SentMessage]:
        """Inbound messages since then, oldest first, over all numbers of a service."""
        account = account_of(self.client, integration)
        numbers = await account.service_numbers(integration.sender) if integration.is_service else [integration.sender]
        found: dict[str, SentMessage] = {}
        for number in numbers:
            async for m in account.messages(to=number, sent_after=since - timedelta(days=1), limit=LISTED_AT_MOST):
                at = m.sent_at or m.created_at
                if at is not None and at < since - OVERLAP:
                    break
                if m.direction == "inbound" and (at is None or at >= since):
                    found[m.sid] = m
        # Twilio lists the newest first and tells whole seconds: within one, the list's own order counts.
        oldest_first = list(found.values())[::-1]
        return sorted(oldest_first, key=lambda m: m.created_at or since)

    async def _arrival(self, integration: Integration, message: SentMessage, before: datetime | None) -> Arrival | None:
        """`before` is when the message before it arrived: Twilio's times are whole seconds, and its list knows better."""
        media: tuple[Media, ...] = ()
        if message.num_media:
            items = await account_of(self.client, integration).media(message.sid)
            media = tuple(Media(item.content_type, url=item.url) for item in items)
        try:
            address, sender = Address.parse(message.sender or ""), Address.parse(message.to or "")
        except Invalid:
            log.warning("a listed message has no usable address", integration=integration.id)
            return None
        at = message.sent_at or message.created_at or self.clock.now()
        return Arrival(
            account_id=integration.account_id,
            integration_id=integration.id,
            sid=message.sid,
            address=address,
            sender=sender,
            text=message.body.strip(),
            media=media,
            at=max(at, before + timedelta(microseconds=1)) if before else at,
            via="backfill",
        )
