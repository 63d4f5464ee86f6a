"""A message in the box: its states, its media, and how Twilio's API writes it."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

API_VERSION = "2010-04-01"
FINAL = frozenset(("delivered", "undelivered", "failed", "received", "read", "canceled"))


@dataclass(frozen=True, slots=True)
class Media:
    """One attachment, and its bytes."""

    sid: str
    serial: int
    content_type: str
    content: bytes
    created: datetime


@dataclass(slots=True, eq=False)
class Message:
    """One message. Addresses are in Twilio's notation; `sender` is None until a Messaging Service has chosen one.

    `sources` are the addresses from which outgoing media is yet to be fetched. `template`: sent with a ContentSid.
    `segments` is 0 until a sender is known.
    """

    sid: str
    serial: int
    direction: str
    sender: str | None
    to: str
    body: str
    status: str
    created: datetime
    segments: int
    service_sid: str | None = None
    status_callback: str | None = None
    template: bool = False
    send_at: datetime | None = None
    sources: tuple[str, ...] = ()
    media: list[Media] = field(default_factory=list)
    updated: datetime | None = None
    sent: datetime | None = None
    error_code: int | None = None
    error_message: str | None = None

    @property
    def on_whatsapp(self) -> bool:
        return self.to.startswith("whatsapp:")

    @property
    def inbound(self) -> bool:
        return self.direction == "inbound"


def uri(account_sid: str, message: Message) -> str:
    """The path of the message's resource, without its ending."""
    return f"/{API_VERSION}/Accounts/{account_sid}/Messages/{message.sid}"


def render_message(account_sid: str, message: Message) -> dict[str, Any]:
    """The message's resource."""
    path = uri(account_sid, message)
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "body": message.body,
        "date_created": format_datetime(message.created),
        "date_sent": format_datetime(message.sent) if message.sent else None,
        "date_updated": format_datetime(message.updated or message.created),
        "direction": message.direction,
        "error_code": message.error_code,
        "error_message": message.error_message,
        "from": message.sender,
        "messaging_service_sid": message.service_sid,
        "num_media": str(len(message.media) or len(message.sources)),
        "num_segments": str(message.segments),
        "price": None,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": f"{path}/Media.json"},
        "to": message.to,
        "uri": f"{path}.json",
    }


def render_media(account_sid: str, message: Message, media: Media) -> dict[str, Any]:
    """The resource of one attachment."""
    return {
        "account_sid": account_sid,
        "content_type": media.content_type,
        "date_created": format_datetime(media.created),
        "date_updated": format_datetime(media.created),
        "parent_sid": message.sid,
        "sid": media.sid,
        "uri": f"{uri(account_sid, message)}/Media/{media.sid}.json",
    }


def summary(message: Message) -> dict[str, Any]:
    """What an event tells of a message."""
    return {"sid": message.sid, "from": message.sender, "to": message.to, "body": message.body} | {
        "direction": message.direction,
        "num_media": len(message.media) or len(message.sources),
    }
