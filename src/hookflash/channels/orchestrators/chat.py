"""Chat completions on the wire (OpenAI's form): what a service asks as if we were a model, and how it is answered."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from hookflash.base.errors import Invalid
from hookflash.channels.orchestrators.fields import obj, objects, text
from hookflash.channels.orchestrators.transcript import Conducted, Line

# The functions by which services let a model end a call or give it away, and the argument that says to whom.
ENDS = ("endCall", "end_call")
TRANSFERS = {"transferCall": "destination", "transfer_to_number": "transfer_number"}

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: of which call, all that was said in it, whether the answer is to come in pieces.

    `tools` are the names of the functions that may be called. `fresh`: something is to be said; not after a function's result.
    """

    call: Conducted
    lines: tuple[Line, ...]
    stream: bool
    usage: bool
    model: str
    tools: frozenset[str]
    fresh: bool


def decode(body: Any) -> Asked:
    """Read a request. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid("The body is not an object.", field="body")
    if not isinstance(body.get("messages"), list):
        raise Invalid("messages is a list of what was said", field="messages")
    messages = objects(body, "messages")
    lines = tuple(
        Line(each["role"] == "assistant", _content(each))
        for each in messages
        if each.get("role") in ("user", "assistant") and _content(each)
    )
    told = [each.get("role") for each in messages if each.get("role") not in ("system", "developer")]
    return Asked(
        call=_call(body),
        lines=lines,
        stream=body.get("stream") is True,
        usage=obj(body, "stream_options").get("include_usage") is True,
        model=text(body, "model") or "hookflash",
        tools=frozenset(text(obj(each, "function"), "name") for each in objects(body, "tools")) - {""},
        fresh=not told or told[-1] == "user",
    )


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    return " ".join(filter(None, (text(part, "text") for part in objects(message, "content"))))


def _call(body: dict[str, Any]) -> Conducted:
    call = obj(body, "call")
    if text(call, "id"):
        customer = obj(body, "customer") or obj(call, "customer")
        ours = obj(body, "phoneNumber") or obj(call, "phoneNumber")
        return Conducted(
            "vapi",
            text(call, "id"),
            text(call, "type") == "outboundPhoneCall",
            text(customer, "number", "sipUri") or None,
            text(ours, "number") or None,
            text(customer, "name") or None,
        )
    told = obj(body, "metadata") or obj(body, "elevenlabs_extra_body")
    call_id = text(told, "call_id") or text(body, "user", "user_id")
    if not call_id:
        raise Invalid(
            "Nothing says which call this is.",
            field="call.id",
            hint="Vapi sends `call` unless metadataSendMode is off; others put it into metadata.call_id",
        )
    return Conducted(
        "chat",
        call_id,
        text(told, "direction").startswith("out"),
        text(told, "caller") or None,
        text(told, "called") or None,
        text(told, "name") or None,
    )


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the service's that is to be called."""

    name: str
    arguments: dict[str, str]


def wish(asked: Asked, transfer_to: str | None, *, end: bool) -> Function | None:
    """The function by which the service does what is wanted; None if it has none."""
    if transfer_to:
        for name, argument in TRANSFERS.items():
            if name in asked.tools:
                return Function(name, {argument: transfer_to})
    if end:
        return next((Function(name, {}) for name in ENDS if name in asked.tools), None)
    return None


@dataclass(slots=True)
class Answer:
    """An answer in the making, in either form. `created` in seconds since 1970."""

    id: str
    model: str
    created: int
    words: list[str] = field(default_factory=list)

    def piece(self, words: str) -> bytes:
        """More words."""
        first = {} if self.words else {"role": "assistant"}
        self.words.append(words)
        return self._chunk({**first, "content": words}, None)

    def last(self, function: Function | None, usage: dict[str, int] | None) -> bytes:
        """What is to be done, and the end."""
        out = b"" if self.words else self.piece("")
        if function is not None:
            out += self._chunk({"tool_calls": [{"index": 0, **self._called(function)}]}, None)
        out += self._chunk({}, "tool_calls" if function else "stop")
        if usage is not None:
            out += self._event({"choices": [], "usage": usage})
        return out + DONE

    def whole(self, function: Function | None, usage: dict[str, int]) -> bytes:
        """All of it at once."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.words)}
        if function is not None:
            message["tool_calls"] = [self._called(function)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if function else "stop"}
        return msgspec.json.encode(self._head("chat.completion") | {"choices": [choice], "usage": usage})

    def _called(self, function: Function) -> dict[str, Any]:
        arguments = msgspec.json.encode(function.arguments).decode()
        called = {"name": function.name, "arguments": arguments}
        return {"id": f"call_{self.id}", "type": "function", "function": called}

    def _chunk(self, delta: dict[str, Any], finish: str | None) -> bytes:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _event(self, more: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(self._head("chat.completion.chunk") | more) + b"\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created, "model": self.model}


def usage(read: int, written: int) -> dict[str, int]:
    """Tokens, as OpenAI counts them out."""
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
