"""Messaging webhooks: what Twilio tells us about a message that came in, and how far one of ours has got."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.twilio.form import Form

_MESSAGE_SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_MAX_MEDIA = 100


@dataclass(frozen=True, slots=True)
class InboundMedia:
    """One attachment, still at Twilio."""

    url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Location:
    """A place that a person shared; degrees."""

    latitude: float
    longitude: float
    label: str | None
    address: str | None

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.label, self.address)))
        point = f"{self.latitude:g}, {self.longitude:g}"
        return f"{place} ({point})" if place else point


@dataclass(frozen=True, slots=True)
class Referral:
    """The advertisement that a person tapped to write to us."""

    click_id: str | None
    source_id: str | None
    source_type: str | None
    source_url: str | None
    headline: str | None
    body: str | None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a person, as the webhook tells it.

    `text` is what was said: the body, else the label of the pressed button or chosen list item, else the shared place.
    `sender` is the telephone number, or `external_user_id` where the person shows none. `raw` is everything that came.
    """

    sid: str
    account_sid: str
    sender: Address
    to: Address
    text: str
    body: str
    media: tuple[InboundMedia, ...]
    num_segments: int
    messaging_service_sid: str | None
    opt_out_type: str | None
    profile_name: str | None
    wa_id: str | None
    external_user_id: Address | None
    button_text: str | None
    button_payload: str | None
    list_id: str | None
    list_title: str | None
    replied_to_sid: str | None
    location: Location | None
    referral: Referral | None
    raw: dict[str, list[str]]


class Status(StrEnum):
    """How far a message has got, in Twilio's words."""

    SCHEDULED = "scheduled"
    ACCEPTED = "accepted"
    QUEUED = "queued"
    RECEIVING = "receiving"
    SENDING = "sending"
    SENT = "sent"
    PARTIALLY_DELIVERED = "partially_delivered"
    UNDELIVERED = "undelivered"
    RECEIVED = "received"
    DELIVERED = "delivered"
    READ = "read"
    CANCELED = "canceled"
    FAILED = "failed"

    @property
    def settled(self) -> bool:
        """Whether nothing but a read receipt can follow."""
        return _RANK[self] >= _RANK[Status.UNDELIVERED]


# The order of the members is the order of their life. A failure to send and a cancellation are final, so they rank
# above all; a receipt from the handset outranks a carrier's report that there was none.
_RANK = {status: rank for rank, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A status callback about one of our messages. `read`: the person opened it."""

    sid: str
    account_sid: str
    status: Status
    error_code: int | None
    error_message: str | None
    sender: str | None
    to: str | None
    raw: dict[str, list[str]]

    @property
    def read(self) -> bool:
        return self.status is Status.READ


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of a message of ours: the furthest status and the first reason given for a failure."""

    status: Status
    error_code: int | None = None
    error_message: str | None = None

    def after(self, update: StatusUpdate) -> "Delivery":
        """What is known once `update` has come too, in whatever order and however often updates come."""
        status = advance(self.status, update.status)
        if self.error_code is None and update.error_code is not None:
            return Delivery(status, update.error_code, update.error_message)
        return Delivery(status, self.error_code, self.error_message)


def advance(current: Status, incoming: Status) -> Status:
    """The further of two statuses: callbacks come in any order and may repeat."""
    return max(current, incoming, key=_RANK.__getitem__)


def parse_webhook(form: Form) -> InboundMessage | StatusUpdate:
    """Tell a message from a status callback and read it. Raises Invalid, naming the field, when it is neither."""
    return parse_inbound(form) if is_inbound(form) else parse_status(form)


def is_inbound(form: Form) -> bool:
    """Whether this is a person's message. (It has a status too, `received`, and the body of a picture is empty.)"""
    status = _optional(form, "MessageStatus") or _optional(form, "SmsStatus")
    return "NumMedia" in form if status is None else status.lower() in ("received", "receiving")


def parse_inbound(form: Form) -> InboundMessage:
    """Read an inbound message. Raises Invalid, naming the field."""
    external = _external_user(form)
    location = _location(form)
    body = _text(form, "Body")
    button, item = _optional(form, "ButtonText"), _optional(form, "ListTitle")
    text = body.strip() or button or item or (f"Location: {location}" if location else "")
    return InboundMessage(
        sid=_message_sid(form),
        account_sid=_matching(form, "AccountSid", _ACCOUNT_SID),
        sender=external if external and not _optional(form, "From") else _address(form, "From"),
        to=_address(form, "To"),
        text=text,
        body=body,
        media=_media(form),
        num_segments=_whole(form, "NumSegments", 1000) or 1,
        messaging_service_sid=_optional(form, "MessagingServiceSid"),
        opt_out_type=_optional(form, "OptOutType"),
        profile_name=_optional(form, "ProfileName"),
        wa_id=_optional(form, "WaId"),
        external_user_id=external,
        button_text=button,
        button_payload=_optional(form, "ButtonPayload"),
        list_id=_optional(form, "ListId"),
        list_title=item,
        replied_to_sid=_optional(form, "OriginalRepliedMessageSid"),
        location=location,
        referral=_referral(form),
        raw={name: list(values) for name, values in form.items()},
    )


def parse_status(form: Form) -> StatusUpdate:
    """Read a status callback. Raises Invalid, naming the field."""
    said = (_optional(form, "MessageStatus") or _optional(form, "SmsStatus") or "").lower()
    if (_optional(form, "EventType") or "").upper() == "READ":
        said = "read"
    try:
        status = Status(said)
    except ValueError:
        raise Invalid("not a message status that is known", field="MessageStatus") from None
    return StatusUpdate(
        sid=_message_sid(form),
        account_sid=_matching(form, "AccountSid", _ACCOUNT_SID),
        status=status,
        error_code=_whole(form, "ErrorCode", 999_999) or None,
        error_message=_optional(form, "ErrorMessage") or _optional(form, "ChannelStatusMessage"),
        sender=_optional(form, "From"),
        to=_optional(form, "To"),
        raw={name: list(values) for name, values in form.items()},
    )


def _text(form: Form, name: str) -> str:
    values = form.get(name)
    return values[0] if values else ""


def _optional(form: Form, name: str) -> str | None:
    """The field without surrounding space; None when it is missing or blank."""
    return _text(form, name).strip() or None


def _matching(form: Form, name: str, pattern: re.Pattern[str]) -> str:
    value = _optional(form, name)
    if value is None or not pattern.fullmatch(value):
        raise Invalid(f"{name} is missing or not a Twilio SID", field=name)
    return value


def _message_sid(form: Form) -> str:
    return _matching(form, "MessageSid" if "MessageSid" in form else "SmsSid", _MESSAGE_SID)


def _address(form: Form, name: str) -> Address:
    value = _optional(form, name)
    if value is None:
        raise Invalid(f"{name} is missing", field=name)
    try:
        return Address.parse(value)
    except Invalid as problem:
        raise Invalid(f"{name} is {problem.message}", field=name) from None


def _external_user(form: Form) -> Address | None:
    """Meta's id of the person; one that cannot be read does not cost us the message."""
    value = _optional(form, "ExternalUserId")
    try:
        return Address.parse(value, Kind.WHATSAPP) if value else None
    except Invalid:
        return None


def _whole(form: Form, name: str, highest: int) -> int:
    """A number that may be left out (0)."""
    text = _optional(form, name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= highest):
        raise Invalid(f"{name} is not a whole number up to {highest}", field=name)
    return int(text)


def _degrees(form: Form, name: str, limit: float) -> float:
    try:
        value = float(_text(form, name))
    except ValueError:
        value = math.nan
    if not -limit <= value <= limit:
        raise Invalid(f"{name} is not a number of degrees up to {limit:g}", field=name)
    return value


def _media(form: Form) -> tuple[InboundMedia, ...]:
    found = []
    for n in range(_whole(form, "NumMedia", _MAX_MEDIA)):
        url = _optional(form, f"MediaUrl{n}")
        if url is None or not url.startswith(("https://", "http://")):
            raise Invalid(f"MediaUrl{n} is missing or not a URL", field=f"MediaUrl{n}")
        found.append(InboundMedia(url, _optional(form, f"MediaContentType{n}") or "application/octet-stream"))
    return tuple(found)


def _location(form: Form) -> Location | None:
    if not (_optional(form, "Latitude") and _optional(form, "Longitude")):
        return None
    return Location(
        latitude=_degrees(form, "Latitude", 90),
        longitude=_degrees(form, "Longitude", 180),
        label=_optional(form, "Label"),
        address=_optional(form, "Address"),
    )


def _referral(form: Form) -> Referral | None:
    referral = Referral(
        click_id=_optional(form, "ReferralCtwaClid"),
        source_id=_optional(form, "ReferralSourceId"),
        source_type=_optional(form, "ReferralSourceType"),
        source_url=_optional(form, "ReferralSourceUrl"),
        headline=_optional(form, "ReferralHeadline"),
        body=_optional(form, "ReferralBody"),
    )
    return referral if referral != _NO_REFERRAL else None


_NO_REFERRAL = Referral(None, None, None, None, None, None)
