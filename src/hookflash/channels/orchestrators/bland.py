"""Bland's webhooks: the one of a pathway's node, which asks us in the middle of a call, and the one after a call."""

from dataclasses import dataclass
from typing import Any

import msgspec

from hookflash.base.errors import Invalid
from hookflash.channels.orchestrators.fields import micros, number, objects, text
from hookflash.channels.orchestrators.transcript import Conducted, Line, Over

# Bland writes a name that it has no value for as it is.
_UNFILLED = "{{"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller said, in the words of the node."""

    call: Conducted
    said: str


def decode(body: Any) -> Asked:
    """Read a node's request, whose form is ours: call_id, from, to, inbound, said. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid("The body is not an object.", field="body")
    said, call_id = _filled(body, "said"), _filled(body, "call_id")
    for name, value in (("call_id", call_id), ("said", said)):
        if not value:
            raise Invalid(f"{name} is missing", field=name)
    return Asked(_conducted(body, call_id), said)


def _filled(body: dict[str, Any], name: str) -> str:
    value = text(body, name)
    return "" if value.startswith(_UNFILLED) else value


def _conducted(body: dict[str, Any], call_id: str) -> Conducted:
    outbound = body.get("inbound") in (False, "false")
    theirs, ours = ("to", "from") if outbound else ("from", "to")
    return Conducted("bland", call_id, outbound, _filled(body, theirs) or None, _filled(body, ours) or None)


def encode(answer: str, transfer_to: str | None, *, end: bool) -> bytes:
    """What the node is answered: its pathway says `answer`, and goes on by `next` (continue, transfer or end)."""
    following = "transfer" if transfer_to else "end" if end else "continue"
    return msgspec.json.encode({"answer": answer, "next": following, "transfer_to": transfer_to or ""})


def decode_event(body: dict[str, Any]) -> Over | None:
    """Read the webhook after a call; None if it is not over. Raises Invalid for a strange id of a call."""
    call_id = text(body, "call_id")
    if not call_id or ("completed" not in body and "call_length" not in body):
        return None
    seconds, minutes = number(body, "corrected_duration"), number(body, "call_length")
    if seconds is None and minutes is not None:
        seconds = minutes * 60
    return Over(
        _conducted(body, call_id),
        (text(body, "status", "queue_status") or "completed")[:100],
        seconds,
        micros(number(body, "price")),
        tuple(
            Line(each["user"] != "user", text(each, "text"))
            for each in objects(body, "transcripts")
            if each.get("user") in ("user", "assistant")
        ),
    )
