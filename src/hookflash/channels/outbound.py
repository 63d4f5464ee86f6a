"""A call that we make: may it be made now, and ringing it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, Forbidden, Invalid, TwilioFailed, TwilioUnclear, Unavailable
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Integration
from hookflash.channels.text import account_of
from hookflash.compliance.permit import Allowed, Never, NotBefore, Permit
from hookflash.conversation.call import CallArrival, CallStanding
from hookflash.twilio.client import TwilioClient

log = structlog.get_logger()


class CallDesk(Protocol):
    """What making calls needs of the database; each call is a transaction."""

    async def standing(self, arrival: CallArrival, integration: Integration) -> CallStanding: ...
    async def queue(self, arrival: CallArrival, known: CallStanding) -> str: ...
    async def rang(self, account_id: str, call_id: str, call_sid: str) -> None: ...
    async def failed(self, account_id: str, call_id: str, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Outbound:
    """Makes calls. `permit` is asked first, for every call."""

    twilio: TwilioClient
    clock: Clock
    desk: CallDesk
    permit: Permit
    public_url: str | None

    async def call(self, integration: Integration, to: Address, purpose: str) -> str:
        """Ring a person; our id of the call.

        Raises Forbidden when the person must not be called, Conflict when not now (the message says when), Unavailable
        when Twilio did not take it. A request whose outcome is unclear is not made again: the person may be ringing.
        """
        if integration.disabled:
            raise Conflict("This integration is disabled.")
        if integration.is_service or integration.sender.startswith("whatsapp:"):
            raise Invalid("Calls need an integration of a telephone number.", field="integration_id")
        if self.public_url is None:
            raise Conflict("HOOKFLASH_PUBLIC_URL is not set, so Twilio could not ask what to say.")
        arrival = CallArrival(
            account_id=integration.account_id,
            integration_id=integration.id,
            call_sid="",
            direction="out",
            way=integration.assistant.voice.way,
            address=str(to),
            sender=integration.sender,
            purpose=purpose,
        )
        known = await self.desk.standing(arrival, integration)
        now: datetime = self.clock.now()
        match self.permit(to, purpose=purpose, channel=Kind.VOICE, opted_out=known.opted_out, now=now):
            case Never(why=why):
                raise Forbidden(f"This person must not be called: {why}.")
            case NotBefore(when=when, why=why):
                raise Conflict(f"Not before {when.isoformat()}: {why}.")
            case Allowed():
                pass
        if known.live_calls >= integration.assistant.voice.concurrent_per_number:
            raise Conflict("This person is on the telephone with us already.")
        call_id = await self.desk.queue(arrival, known)
        # Twilio may ask us before it has told us the call's sid: the addresses say which of our calls it is.
        here, ours = f"{self.public_url.rstrip('/')}/twilio/{integration.id}/voice", f"?call={call_id}"
        try:
            sid = await account_of(self.twilio, integration).create_call(
                str(to),
                sender=integration.sender,
                url=f"{here}{ours}",
                status_callback=f"{here}/status{ours}",
                amd_callback=f"{here}/machine{ours}" if integration.assistant.voice.voicemail else None,
            )
        except TwilioUnclear as error:
            await self.desk.failed(integration.account_id, call_id, f"unclear: {error.message}")
            raise Unavailable("Twilio did not say whether it took the call; it is not made again.") from error
        except TwilioFailed as error:
            await self.desk.failed(integration.account_id, call_id, f"error {error.code}: {error.message}")
            raise Unavailable(f"Twilio refused the call: {error.message}") from error
        await self.desk.rang(integration.account_id, call_id, sid)
        return call_id
