"""A call that we make: may it be made now, and ringing it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import Conflict, Forbidden, Invalid, TwilioFailed, TwilioUnclear, Unavailable
from hookflash.base.phone import Address, Kind
from hookflash.channels.integration import Integration
from hookflash.channels.redial import USUAL_RETRIES
from hookflash.channels.text import account_of
from hookflash.compliance.permit import Allowed, Never, NotBefore, Permission, Permit
from hookflash.conversation.call import CallArrival, CallStanding
from hookflash.twilio.client import TwilioClient

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that is being made, and which attempt at it."""

    call_id: str
    attempt_id: str


class CallDesk(Protocol):
    """What making calls needs of the database; each call is a transaction."""

    async def standing(self, arrival: CallArrival, integration: Integration) -> CallStanding: ...
    async def queue(self, arrival: CallArrival, known: CallStanding) -> Dialled: ...
    async def rang(self, account_id: str, attempt_id: str, call_sid: str) -> None: ...
    async def failed(self, account_id: str, dialled: Dialled, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Outbound:
    """Makes calls. `permit` is asked first, for every attempt."""

    twilio: TwilioClient
    clock: Clock
    desk: CallDesk
    permit: Permit
    public_url: str | None

    async def call(self, integration: Integration, to: Address, purpose: str, retries: int = USUAL_RETRIES) -> str:
        """Ring a person; our id of the call. Who is not reached is called again by a worker, `retries` times at most.

        Raises Forbidden when the person must not be called, Conflict when not now (the message says when), Unavailable
        when Twilio did not take it. A request whose outcome is unclear is not made again: the person may be ringing.
        """
        self.check(integration)
        arrival = CallArrival(
            account_id=integration.account_id,
            integration_id=integration.id,
            call_sid="",
            direction="out",
            way=integration.assistant.voice.way,
            address=str(to),
            sender=integration.sender,
            purpose=purpose,
            retries=retries,
        )
        known = await self.desk.standing(arrival, integration)
        match self.asked(to, purpose, known, self.clock.now()):
            case Never(why=why):
                raise Forbidden(f"This person must not be called: {why}.")
            case NotBefore(when=when, why=why):
                raise Conflict(f"Not before {when.isoformat()}: {why}.")
            case Allowed():
                pass
        if known.live_calls >= integration.assistant.voice.concurrent_per_number:
            raise Conflict("This person is on the telephone with us already.")
        dialled = await self.desk.queue(arrival, known)
        try:
            sid = await self.ring(integration, dialled.attempt_id, str(to))
        except TwilioUnclear as error:
            await self.desk.failed(integration.account_id, dialled, f"unclear: {error.message}")
            raise Unavailable("Twilio did not say whether it took the call; it is not made again.") from error
        except TwilioFailed as error:
            await self.desk.failed(integration.account_id, dialled, f"error {error.code}: {error.message}")
            raise Unavailable(f"Twilio refused the call: {error.message}") from error
        await self.desk.rang(integration.account_id, dialled.attempt_id, sid)
        return dialled.call_id

    def check(self, integration: Integration) -> None:
        """Whether calls can be made from here at all. Raises Conflict and Invalid."""
        if integration.disabled:
            raise Conflict("This integration is disabled.", hint="hookflash integrations enable")
        if integration.is_service or integration.sender.startswith("whatsapp:"):
            raise Invalid("Calls need an integration of a telephone number.", field="integration_id")
        if self.public_url is None:
            raise Conflict(
                "HOOKFLASH_PUBLIC_URL is not set, so Twilio could not ask what to say.",
                hint="set it to the https address at which Twilio reaches this server",
            )

    def asked(self, to: Address, purpose: str, known: CallStanding, now: datetime) -> Permission:
        """Whether this person may be called now."""
        return self.permit(to, purpose=purpose, channel=Kind.VOICE, opted_out=known.opted_out, now=now)

    async def ring(self, integration: Integration, attempt_id: str, to: str) -> str:
        """Have Twilio make the call; its sid. Raises TwilioFailed and TwilioUnclear."""
        # Twilio may ask us before it has told us the call's sid: the addresses say which of our attempts it is.
        base = (self.public_url or "").rstrip("/")
        here, ours = f"{base}/twilio/{integration.id}/voice", f"?try={attempt_id}"
        return await account_of(self.twilio, integration).create_call(
            to,
            sender=integration.sender,
            url=f"{here}{ours}",
            status_callback=f"{here}/status{ours}",
            amd_callback=f"{here}/machine{ours}" if integration.assistant.voice.voicemail else None,
        )
