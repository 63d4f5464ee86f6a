"""Vapi's server messages: the end of a call, and where it should be transferred to. Its turns are chat completions."""

from dataclasses import dataclass
from typing import Any

from hookflash.channels.orchestrators.fields import micros, number, obj, objects, seconds_between, text
from hookflash.channels.orchestrators.transcript import Conducted, Line, Over


@dataclass(frozen=True, slots=True)
class WhereTo:
    """Vapi asks where a caller is to be transferred to."""

    call: Conducted


def decode(body: dict[str, Any]) -> Over | WhereTo | None:
    """Read a server message; None for those that tell nothing new. Raises Invalid for a strange id of a call."""
    message = obj(body, "message")
    call = obj(message, "call")
    if not text(call, "id"):
        return None
    conducted = Conducted("vapi", text(call, "id"))
    match text(message, "type"):
        case "transfer-destination-request":
            return WhereTo(conducted)
        case "status-update" if text(message, "status") == "ended":
            return Over(conducted, _why(message, call))
        case "end-of-call-report":
            seconds = number(message, "durationSeconds")
            if seconds is None:
                began = text(message, "startedAt") or text(call, "startedAt")
                seconds = seconds_between(began, text(message, "endedAt") or text(call, "endedAt"))
            cost = number(message, "cost")
            return Over(
                conducted,
                _why(message, call),
                seconds,
                micros(number(call, "cost") if cost is None else cost),
                _lines(message),
            )
    return None


def _why(message: dict[str, Any], call: dict[str, Any]) -> str:
    return (text(message, "endedReason") or text(call, "endedReason") or "ended")[:100]


def _lines(message: dict[str, Any]) -> tuple[Line, ...]:
    told = objects(obj(message, "artifact"), "messages") or objects(message, "messages")
    return tuple(
        Line(each["role"] != "user", text(each, "message", "content"))
        for each in told
        if each.get("role") in ("user", "bot", "assistant")
    )


def destination(transfer_to: str) -> dict[str, Any]:
    """The answer to `WhereTo`."""
    if transfer_to.startswith("sip:"):
        return {"destination": {"type": "sip", "sipUri": transfer_to}}
    return {"destination": {"type": "number", "number": transfer_to}}


def nowhere(words: str) -> dict[str, Any]:
    """The answer to `WhereTo` where there is nobody: the caller hears these words."""
    return {"error": words}
