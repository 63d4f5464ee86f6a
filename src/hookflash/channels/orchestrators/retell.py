"""Retell's custom LLM socket and its webhook: what comes, and what is said to it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from hookflash.base.errors import Invalid
from hookflash.channels.orchestrators.fields import micros, number, obj, objects, text
from hookflash.channels.orchestrators.transcript import Conducted, Line, Over


@dataclass(frozen=True, slots=True)
class Details:
    """Who calls."""

    call: Conducted


@dataclass(frozen=True, slots=True)
class Ping:
    """To be given back, or the socket is closed."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Told:
    """What was said up to now; nothing is asked."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words are wanted: an answer, or (`reminder`) a reminder, for the caller says nothing. All before are not wanted any more."""

    response_id: int
    lines: tuple[Line, ...]
    reminder: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that cannot be read, or is of no use."""

    why: str


Message = Details | Ping | Told | Wanted | Unknown

# What Retell writes where it heard somebody and understood nothing.
UNINTELLIGIBLE = "(unintelligible audio)"
# Its servers close the socket of a call that we end; by any other code than this they take it for an accident.
OVER = 1000

CONFIG = msgspec.json.encode(
    {"response_type": "config", "config": {"auto_reconnect": True, "call_details": True}}
).decode()


def decode(raw: str, call_id: str) -> Message:
    """Read one message of the socket of this call. Raises Invalid for a strange id of a call, nothing else."""
    try:
        found: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Unknown("not JSON")
    if not isinstance(found, dict):
        return Unknown("not an object")
    match found.get("interaction_type"):
        case "call_details":
            return Details(conducted(obj(found, "call"), call_id))
        case "ping_pong":
            stamp = found.get("timestamp")
            return Ping(stamp) if isinstance(stamp, int) else Unknown("a ping without its time")
        case "update_only":
            return Told(_lines(found))
        case "response_required" | "reminder_required" as kind:
            wanted = found.get("response_id")
            if isinstance(wanted, bool) or not isinstance(wanted, int):
                return Unknown("no response_id")
            return Wanted(wanted, _lines(found), kind == "reminder_required")
        case kind:
            return Unknown(f"type {str(kind)[:40]}")


def conducted(call: dict[str, Any], call_id: str) -> Conducted:
    """A call object; the id in the address counts."""
    outbound = text(call, "direction") == "outbound"
    theirs, ours = ("to_number", "from_number") if outbound else ("from_number", "to_number")
    name = text(obj(call, "retell_llm_dynamic_variables"), "customer_name")
    return Conducted("retell", call_id, outbound, text(call, theirs) or None, text(call, ours) or None, name or None)


def _lines(found: dict[str, Any]) -> tuple[Line, ...]:
    return tuple(
        Line(each["role"] == "agent", text(each, "content"))
        for each in objects(found, "transcript")
        if each.get("role") in ("agent", "user") and text(each, "content") != UNINTELLIGIBLE
    )


def pong(timestamp: int) -> str:
    return msgspec.json.encode({"response_type": "ping_pong", "timestamp": timestamp}).decode()


def response(response_id: int, words: str, *, complete: bool, end: bool = False, transfer_to: str | None = None) -> str:
    """Words of an answer; when it is complete and was said, the call ends or goes to a number, if so."""
    message: dict[str, Any] = {
        "response_type": "response",
        "response_id": response_id,
        "content": words,
        "content_complete": complete,
    }
    if transfer_to:
        message["transfer_number"] = transfer_to
    elif end:
        message["end_call"] = True
    return msgspec.json.encode(message).decode()


def decode_event(body: dict[str, Any]) -> Over | None:
    """Read a webhook; None for those that do not tell of an end. Raises Invalid for a strange id of a call."""
    call = obj(body, "call")
    if text(body, "event") not in ("call_ended", "call_analyzed"):
        return None
    if not text(call, "call_id"):
        raise Invalid("call.call_id is missing", field="call.call_id")
    milliseconds = number(call, "duration_ms")
    cents = number(obj(call, "call_cost"), "combined_cost")
    return Over(
        conducted(call, text(call, "call_id")),
        (text(call, "disconnection_reason") or "ended")[:100],
        None if milliseconds is None else milliseconds / 1000,
        micros(None if cents is None else cents / 100),
        tuple(
            Line(each["role"] == "agent", text(each, "content"))
            for each in objects(call, "transcript_object")
            if each.get("role") in ("agent", "user")
        ),
    )
