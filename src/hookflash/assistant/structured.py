"""The structured outcome {answer, confidence, sources, clarifying}: its schema, and a reader that streams the answer."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from hookflash.assistant.model import ModelReply, ToolCall
from hookflash.base.errors import ModelFailed
from hookflash.conversation.turn import Usage

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "what the customer reads"},
        "confidence": {"type": "number", "description": "0 to 1: how surely the passages say this"},
        "sources": {
            "type": "array",
            "items": {"type": "integer"},
            "description": "numbers of the passages that the answer rests on",
        },
        "clarifying": {"type": "boolean", "description": "true when the answer is a question back to the customer"},
    },
    "required": ["answer", "confidence", "sources", "clarifying"],
    "additionalProperties": False,
}

INSTRUCTION = (
    'Reply with one JSON object and nothing else: {"answer": string, "confidence": number from 0 to 1, '
    '"sources": [passage numbers that the answer rests on], "clarifying": true only when the answer is a question back}.'
)

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MARK = re.compile(r"\[(\d{1,2})\]")
_SENTENCE_END = re.compile(r"[.!?。！？।](?=\s|$)")
_HEX = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was read. `confidence` is None when the model did not say; `complete` is false when the answer broke off."""

    answer: str
    confidence: float | None
    sources: tuple[int, ...]
    clarifying: bool
    complete: bool


class _At(Enum):
    OUTSIDE = auto()
    KEY = auto()  # in an object, before a key (or its end)
    IN_KEY = auto()
    COLON = auto()
    VALUE = auto()
    ANSWER = auto()
    AFTER_QUOTE = auto()  # behind a quote in the answer: its end, or a quote that was not escaped
    OTHER = auto()  # in another value, kept raw
    COMMA = auto()
    DONE = auto()  # the object ended, or went wrong behind its answer


class Reader:
    """Reads the model's text in pieces of any size; `feed` gives the answer's new characters.

    Lenient: prose or code fences around the object, keys in any order, raw line ends and unescaped quotes in the answer,
    an object that breaks off. Text without such an object is itself the answer, which is known only at the end.
    """

    def __init__(self) -> None:
        self._at = _At.OUTSIDE
        self._text: list[str] = []
        self._out: list[str] = []
        self._answer: list[str] = []
        self._answered = False
        self._fields: dict[str, str] = {}
        self._key: list[str] = []
        self._raw: list[str] = []
        self._depth = 0
        self._quoted = False
        self._escape: str | None = None
        self._high: int | None = None
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece; returns what it adds to the answer."""
        self._text.append(piece)
        self._out = []
        for char in piece:
            self._step(char)
        return "".join(self._out)

    def finish(self) -> Outcome:
        """The text has ended."""
        self._out = []
        self._flush_surrogate()
        if self._at is _At.OTHER:
            self._keep_raw()
        if not self._answered:
            text = _unfenced(_paired("".join(self._text)).strip())
            # An object without an answer is nothing that a person should read.
            plain = "" if text.startswith("{") else text
            return Outcome(plain, None, _marks(plain), False, True)
        answer = "".join(self._answer).strip()
        return Outcome(
            answer,
            _confidence(self._fields.get("confidence")),
            _numbers(self._fields.get("sources")) if "sources" in self._fields else _marks(answer),
            _truth(self._fields.get("clarifying")),
            self._at is not _At.ANSWER,
        )

    def _step(self, char: str) -> None:
        match self._at:
            case _At.OUTSIDE:
                if char == "{":
                    self._at, self._fields = _At.KEY, {}
            case _At.KEY:
                if char == '"':
                    self._at, self._key, self._escape = _At.IN_KEY, [], None
                elif char == "}":
                    self._end_object()
                elif not (char.isspace() or (char == "," and self._fields)):
                    self._abandon(char)
            case _At.IN_KEY:
                if char == '"' and self._escape is None:
                    self._at = _At.COLON
                else:
                    # Escapes are kept as they stand: no key of ours has any.
                    self._escape = "" if char == "\\" and self._escape is None else None
                    self._key.append(char)
            case _At.COLON:
                if char == ":":
                    self._at = _At.VALUE
                elif not char.isspace():
                    self._abandon(char)
            case _At.VALUE:
                self._begin_value(char)
            case _At.ANSWER:
                self._in_answer(char)
            case _At.AFTER_QUOTE:
                self._after_quote(char)
            case _At.OTHER:
                self._in_other(char)
            case _At.COMMA:
                if char == ",":
                    self._at = _At.KEY
                elif char == "}":
                    self._end_object()
                elif not char.isspace():
                    self._abandon(char)
            case _At.DONE:
                pass

    def _begin_value(self, char: str) -> None:
        if char.isspace():
            return
        if char == '"' and "".join(self._key) == "answer" and not self._answered:
            self._at, self._answered, self._escape = _At.ANSWER, True, None
        elif char in ",}":
            self._abandon(char)
        else:
            self._at, self._raw, self._depth, self._quoted, self._escape = _At.OTHER, [], 0, False, None
            self._in_other(char)

    def _in_answer(self, char: str) -> None:
        if self._escape is not None:
            self._in_escape(char)
        elif char == "\\":
            self._escape = ""
        elif char == '"':
            self._flush_surrogate()
            self._at, self._held = _At.AFTER_QUOTE, '"'
        elif 0xD800 <= ord(char) <= 0xDFFF:
            self._unit(ord(char))
        else:
            self._emit(char)

    def _in_escape(self, char: str) -> None:
        escape = self._escape or ""
        if not escape:
            if char == "u":
                self._escape = "u"
            else:
                self._escape = None
                self._emit(_ESCAPES.get(char, char))
            return
        if char not in _HEX:
            # Not an escape after all: what was taken for one is dropped, and the character stands for itself.
            self._escape = None
            self._in_answer(char)
            return
        escape += char
        if len(escape) < 5:
            self._escape = escape
            return
        self._escape = None
        self._unit(int(escape[1:], 16))

    def _unit(self, unit: int) -> None:
        """One UTF-16 code unit: the halves of a pair may come in different pieces."""
        if self._high is not None and 0xDC00 <= unit <= 0xDFFF:
            high, self._high = self._high, None
            self._emit(chr(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00)))
        elif 0xD800 <= unit <= 0xDBFF:
            self._flush_surrogate()
            self._high = unit
        else:
            self._emit("\ufffd" if 0xDC00 <= unit <= 0xDFFF else chr(unit))

    def _emit(self, text: str) -> None:
        self._flush_surrogate()
        text = text.replace("\x00", "")
        self._answer.append(text)
        self._out.append(text)

    def _flush_surrogate(self) -> None:
        if self._high is not None:
            self._high = None
            self._answer.append("\ufffd")
            self._out.append("\ufffd")

    def _after_quote(self, char: str) -> None:
        if char.isspace():
            self._held += char
        elif char == ",":
            self._at = _At.KEY
            self._fields.setdefault("answer", "")
        elif char == "}":
            self._end_object()
        else:
            held, self._held = self._held, ""
            self._at = _At.ANSWER
            self._emit(held)
            self._in_answer(char)

    def _in_other(self, char: str) -> None:
        if self._quoted:
            self._raw.append(char)
            if self._escape is not None:
                self._escape = None
            elif char == "\\":
                self._escape = ""
            elif char == '"':
                self._quoted = False
            return
        if self._depth == 0 and char in ",}":
            self._keep_raw()
            self._at = _At.COMMA
            self._step(char)
            return
        self._raw.append(char)
        if char == '"':
            self._quoted = True
        elif char in "[{":
            self._depth += 1
        elif char in "]}":
            self._depth -= 1

    def _keep_raw(self) -> None:
        self._fields.setdefault("".join(self._key), "".join(self._raw).strip())

    def _end_object(self) -> None:
        self._at = _At.DONE if self._answered else _At.OUTSIDE

    def _abandon(self, char: str) -> None:
        """This is not the object that we look for; it may begin here."""
        self._at = _At.DONE if self._answered else _At.OUTSIDE
        self._step(char)


def read(text: str) -> Outcome:
    """Read a whole text at once."""
    reader = Reader()
    reader.feed(text)
    return reader.finish()


def reply_of(outcome: Outcome, passages: int, model: str, usage: Usage) -> ModelReply:
    """The model's reply: sources that exist, a broken-off answer ended at its last sentence; raises ModelFailed when empty."""
    answer = outcome.answer
    if not outcome.complete:
        ends = [m.end() for m in _SENTENCE_END.finditer(answer)]
        answer = answer[: ends[-1]] if ends else answer
    if not answer:
        raise ModelFailed(f"The model {model} gave no answer.", retryable=True)
    return ModelReply(
        answer=answer,
        # Nothing stated: neither trusted nor refused; the retrieval decides.
        confidence=0.5 if outcome.confidence is None else outcome.confidence,
        sources=tuple(n for n in outcome.sources if 1 <= n <= passages),
        model=model,
        usage=usage,
        clarifying=outcome.clarifying,
    )


def calls_of(pieces: Iterable[tuple[str, str, str]]) -> tuple[ToolCall, ...]:
    """What a model wants to use, from (id, name, arguments as JSON); arguments that cannot be read come as none."""
    calls = []
    for number, (call_id, name, text) in enumerate(pieces):
        arguments = _decoded(text or "{}")
        calls.append(ToolCall(call_id or f"call_{number}", name, arguments if isinstance(arguments, dict) else {}))
    return tuple(calls)


def _paired(text: str) -> str:
    """Join the halves of surrogate pairs that came apart; a lone half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unfenced(text: str) -> str:
    lines = text.splitlines()
    if len(lines) >= 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1]).strip()
    return text


def _decoded(raw: str | None) -> Any:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return raw


def _confidence(raw: str | None) -> float | None:
    value = _decoded(raw)
    if isinstance(value, str):
        try:
            value = float(value.strip().rstrip("%"))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return min(1.0, max(0.0, value / 100 if 1 < value <= 100 else value))


def _numbers(raw: str | None) -> tuple[int, ...]:
    found = re.findall(r"(?<![\d.])\d{1,3}(?![\d.])", raw or "")
    return tuple(dict.fromkeys(int(n) for n in found))


def _marks(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(n) for n in _MARK.findall(text)))


def _truth(raw: str | None) -> bool:
    return (raw or "").strip().strip('"').lower() == "true"
