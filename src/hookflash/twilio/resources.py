"""What Twilio's REST API answers with, as values."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as Twilio keeps it, in or out. `status` and `direction` are Twilio's words; times are UTC."""

    sid: str
    account_sid: str
    status: str
    direction: str
    sender: str | None
    to: str | None
    body: str
    num_segments: int
    num_media: int
    error_code: int | None
    error_message: str | None
    messaging_service_sid: str | None
    created_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class MediaItem:
    """An attachment of a message; `url` is where `Account.download` finds it."""

    sid: str
    content_type: str
    url: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The bytes of an attachment."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number of the account and where Twilio sends its messages and calls; `status_callback` is that of its calls."""

    sid: str
    phone_number: str
    sms_url: str | None
    sms_method: str | None
    sms_fallback_url: str | None
    sms_fallback_method: str | None
    voice_url: str | None
    voice_method: str | None
    voice_fallback_url: str | None
    status_callback: str | None


@dataclass(frozen=True, slots=True)
class MessagingService:
    """A Messaging Service and where Twilio sends its messages.

    A number in it uses the service's `inbound_request_url`, unless `use_inbound_webhook_on_number` is true.
    """

    sid: str
    friendly_name: str
    inbound_request_url: str | None
    inbound_method: str | None
    fallback_url: str | None
    fallback_method: str | None
    status_callback: str | None
    use_inbound_webhook_on_number: bool


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """The account itself. `status`: active, suspended or closed; `kind`: Trial or Full."""

    sid: str
    friendly_name: str
    status: str
    kind: str


@dataclass(frozen=True, slots=True)
class SentCall:
    """A call as Twilio knows it. `status` in its words: queued, ringing, in-progress, completed, busy, no-answer ..."""

    sid: str
    status: str
    created_at: datetime
