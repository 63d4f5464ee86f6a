"""A call in the box: its states, and how Twilio's API and its webhooks write it."""

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address
from hookflash.emulator.call_record import CallRecord
from hookflash.emulator.message import API_VERSION

OVER = frozenset(("completed", "busy", "failed", "no-answer", "canceled"))
EVENT_OF = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"} | dict.fromkeys(
    OVER, "completed"
)


@dataclass(frozen=True, slots=True)
class Callback:
    """Where a status is reported; `events` as in StatusCallbackEvent."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset(("completed",))


@dataclass(frozen=True, slots=True)
class Detection:
    """Answering machine detection: `mode` is Enable or DetectMessageEnd; `asynchronous`: the call does not wait for it."""

    mode: str
    timeout: float
    asynchronous: bool
    callback: Callback | None


@dataclass(slots=True, eq=False)
class Call:
    """One leg. `started` is when it was answered; `sequence` numbers its status callbacks."""

    sid: str
    serial: int
    direction: str
    sender: str
    to: str
    created: datetime
    number_sid: str = ""
    parent_sid: str | None = None
    status: str = "queued"
    callback: Callback | None = None
    answered_by: str | None = None
    forwarded_from: str | None = None
    caller_name: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    updated: datetime | None = None
    sequence: int = 0
    record: CallRecord = field(default_factory=CallRecord)

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def duration(self) -> int | None:
        """Whole seconds from the answer to the end; None before the end."""
        if self.ended is None:
            return None
        return round((self.ended - self.started).total_seconds()) if self.started else 0


def render_call(account_sid: str, call: Call) -> dict[str, Any]:
    """The call's resource."""
    path = f"/{API_VERSION}/Accounts/{account_sid}/Calls/{call.sid}"
    parts = (
        *("events", "notifications", "payments", "recordings", "siprec", "streams", "transcriptions"),
        *("user_defined_message_subscriptions", "user_defined_messages"),
    )
    return {
        "account_sid": account_sid,
        "annotation": None,
        "answered_by": call.answered_by,
        "api_version": API_VERSION,
        "caller_name": call.caller_name,
        "date_created": format_datetime(call.created),
        "date_updated": format_datetime(call.updated or call.created),
        "direction": call.direction,
        "duration": None if call.duration is None else str(call.duration),
        "end_time": format_datetime(call.ended) if call.ended else None,
        "forwarded_from": call.forwarded_from,
        "from": call.sender,
        "from_formatted": call.sender,
        "group_sid": None,
        "parent_call_sid": call.parent_sid,
        "phone_number_sid": call.number_sid,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "sid": call.sid,
        "start_time": format_datetime(call.started) if call.started else None,
        "status": call.status,
        "subresource_uris": {part: f"{path}/{part.title().replace('_', '')}.json" for part in parts},
        "to": call.to,
        "to_formatted": call.to,
        "trunk_sid": None,
        "uri": f"{path}.json",
    }


def call_params(account_sid: str, call: Call) -> dict[str, str]:
    """What every webhook about a call says of it."""
    params = {
        "AccountSid": account_sid,
        "ApiVersion": API_VERSION,
        "CallSid": call.sid,
        "CallStatus": call.status,
        "Called": call.to,
        "Caller": call.sender,
        "Direction": call.direction,
        "From": call.sender,
        "To": call.to,
    }
    for ends, address in ((("From", "Caller"), call.sender), (("To", "Called"), call.to)):
        for end in ends:
            params |= {f"{end}City": "", f"{end}State": "", f"{end}Zip": "", f"{end}Country": _country(address)}
    if call.answered_by:
        params["AnsweredBy"] = call.answered_by
    if call.parent_sid:
        params["ParentCallSid"] = call.parent_sid
    if call.forwarded_from:
        params["ForwardedFrom"] = call.forwarded_from
    if call.caller_name:
        params["CallerName"] = call.caller_name
    return params


@lru_cache(4096)
def _country(address: str) -> str:
    try:
        return Address.parse(address).country or ""
    except Invalid:
        return ""  # a SIP address
