"""ConversationRelay on the wire: what Twilio's own ears hear, and the words for its voice."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

MAX_MESSAGE = 64_000


@dataclass(frozen=True, slots=True)
class Setup:
    """The session begins. `parameters` are those of the TwiML, always strings."""

    session_id: str
    account_sid: str
    call_sid: str
    sender: str
    to: str
    direction: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the caller said; more of it follows unless `last`."""

    text: str
    language: str | None
    last: bool


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed."""

    digit: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The caller cut us off: what was spoken of the utterance until then, and for how long (milliseconds)."""

    spoken: str
    milliseconds: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Twilio reports an error of the session."""

    description: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that is not known, or that cannot be read: `why`."""

    why: str


RelayMessage = Setup | Prompt | Digit | Interrupt | Failure | Unknown


def decode(raw: str | bytes) -> RelayMessage:
    """Read one message; never raises."""
    if len(raw) > MAX_MESSAGE:
        return Unknown("too large")
    try:
        found: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        return Unknown("not JSON")
    if not isinstance(found, dict):
        return Unknown("not an object")
    match found.get("type"):
        case "setup":
            given = found.get("customParameters")
            parameters = {str(k): str(v) for k, v in given.items()} if isinstance(given, dict) else {}
            return Setup(
                _text(found, "sessionId"),
                _text(found, "accountSid"),
                _text(found, "callSid"),
                _text(found, "from"),
                _text(found, "to"),
                _text(found, "direction"),
                parameters,
            )
        case "prompt":
            last = found.get("last", True)
            return Prompt(_text(found, "voicePrompt"), _text(found, "lang") or None, last is not False)
        case "dtmf":
            digit = _text(found, "digit")
            return Digit(digit) if digit in set("0123456789*#ABCD") and digit else Unknown("not a key")
        case "interrupt":
            duration = found.get("durationUntilInterruptMs")
            try:
                milliseconds = int(float(duration)) if duration is not None else None
            except (TypeError, ValueError, OverflowError):
                milliseconds = None
            return Interrupt(_text(found, "utteranceUntilInterrupt"), milliseconds)
        case "error":
            return Failure(_text(found, "description"))
        case kind:
            return Unknown(f"type {str(kind)[:40]}")


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def text(token: str, *, last: bool, language: str | None = None) -> str:
    """Words for Twilio's voice, with their spaces."""
    message: dict[str, Any] = {"type": "text", "token": token, "last": last}
    if language:
        message["lang"] = language
    return msgspec.json.encode(message).decode()


def language(tts: str | None = None, transcription: str | None = None) -> str:
    """Change the language of the voice, of the ears, or of both."""
    message = {"type": "language", "ttsLanguage": tts, "transcriptionLanguage": transcription}
    return msgspec.json.encode({k: v for k, v in message.items() if v}).decode()


def send_digits(digits: str) -> str:
    return msgspec.json.encode({"type": "sendDigits", "digits": digits}).decode()


def end(handoff: dict[str, Any] | None = None) -> str:
    """End the session; the data comes back in the request of `<Connect action>`, as a string of JSON."""
    message: dict[str, Any] = {"type": "end"}
    if handoff is not None:
        message["handoffData"] = msgspec.json.encode(handoff).decode()
    return msgspec.json.encode(message).decode()
