"""Pointing a number or a Messaging Service at us: our addresses, where Twilio really looks, and setting it there."""

from dataclasses import dataclass

from hookflash.base.errors import Conflict, NotFound
from hookflash.base.phone import Kind
from hookflash.channels.integration import Integration
from hookflash.twilio.account import Account
from hookflash.twilio.resources import MessagingService, PhoneNumber
from hookflash.twilio.webhooks import INSISTENT


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Twilio is to call us for one integration."""

    messages: str
    fallback: str
    status: str
    calls: str
    calls_fallback: str
    calls_status: str


def addresses(public_url: str, integration_id: str) -> Addresses:
    """Our addresses below the public one."""
    base = f"{public_url.rstrip('/')}/twilio/{integration_id}"
    voice = f"{base}/voice"
    return Addresses(
        f"{base}/messages{INSISTENT}",
        f"{base}/fallback",
        f"{base}/status",
        f"{voice}{INSISTENT}",
        f"{voice}/fallback",
        f"{voice}/status",
    )


@dataclass(frozen=True, slots=True)
class AtNumber:
    """Twilio takes the webhook of the number itself."""

    number: PhoneNumber


@dataclass(frozen=True, slots=True)
class AtService:
    """Twilio takes the webhook of the Messaging Service. `others` are its numbers beside the integration's own."""

    service: MessagingService
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nowhere:
    """The account has no such number."""

    sender: str


@dataclass(frozen=True, slots=True)
class ByHand:
    """A WhatsApp sender: its webhook is set in Twilio's console."""

    sender: str


Place = AtNumber | AtService | Nowhere | ByHand


async def find_place(account: Account, integration: Integration) -> list[Place]:
    """Where Twilio looks for the webhook of this integration: one place, or each number of a service that says so.

    Raises TwilioFailed, with code 20404 for a Messaging Service that is not there.
    """
    if integration.is_service:
        service = await account.service(integration.sender)
        if not service.use_inbound_webhook_on_number:
            return [AtService(service)]
        return [await _at_number(account, number) for number in await account.service_numbers(service.sid)]
    if integration.kind is Kind.WHATSAPP:
        return [ByHand(integration.sender)]
    place = await _at_number(account, integration.sender)
    if isinstance(place, Nowhere):
        return [place]
    own = [await account.service(integration.messaging_service_sid)] if integration.messaging_service_sid else None
    for service in own or await account.services():
        numbers = await account.service_numbers(service.sid)
        if integration.sender in numbers and not service.use_inbound_webhook_on_number:
            return [AtService(service, tuple(each for each in numbers if each != integration.sender))]
    return [place]


async def _at_number(account: Account, sender: str) -> AtNumber | Nowhere:
    number = await account.find_number(sender)
    return AtNumber(number) if number else Nowhere(sender)


async def point_at_us(account: Account, place: Place, ours: Addresses) -> str:
    """Set the webhook, its fallback and (at a service) the status callback; says where it was set.

    Raises NotFound for a number that the account does not have, Conflict where it must be done by hand: on WhatsApp, and
    at a service that also carries numbers of others.
    """
    match place:
        case AtNumber(number):
            await account.update_number(
                number.sid,
                sms_url=ours.messages,
                sms_method="POST",
                sms_fallback_url=ours.fallback,
                sms_fallback_method="POST",
            )
            return f"number {number.phone_number}"
        case AtService(service, ()):
            await account.update_service(
                service.sid,
                inbound_request_url=ours.messages,
                inbound_method="POST",
                fallback_url=ours.fallback,
                fallback_method="POST",
                status_callback=ours.status,
            )
            return f"Messaging Service {service.friendly_name}"
        case AtService(service, others):
            raise Conflict(
                f"The number belongs to the Messaging Service {service.friendly_name}, as do {len(others)} others, and"
                " Twilio takes the service's webhook for all of them.",
                hint=f"create the integration for the whole service (--sender {service.sid}), or let the service use the"
                " webhooks of its numbers (Twilio's console, Integration: defer to sender's webhook)",
            )
        case Nowhere(sender):
            raise NotFound(
                f"The Twilio account has no number {sender}.", hint="check the number, and TWILIO_ACCOUNT_SID"
            )
        case ByHand(sender):
            raise Conflict(
                f"The webhook of {sender} is set in Twilio's console.",
                hint=f"Messaging, Senders, WhatsApp senders: {ours.messages}, fallback {ours.fallback}",
            )


async def number_of_calls(account: Account, integration: Integration) -> PhoneNumber | None:
    """The number whose calls the integration may take: calls come to numbers, never to a service or to WhatsApp."""
    return await account.find_number(integration.sender) if integration.sender.startswith("+") else None


async def point_calls_at_us(account: Account, number: PhoneNumber, ours: Addresses) -> None:
    """Have the number's calls come to us, and their ends be told to us."""
    await account.update_number(
        number.sid, voice_url=ours.calls, voice_fallback_url=ours.calls_fallback, status_callback=ours.calls_status
    )
