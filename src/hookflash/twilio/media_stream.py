"""Knows the messages of Twilio's Media Streams in both directions: JSON text on a WebSocket, mu-law audio in base64."""

from binascii import b2a_base64
from functools import lru_cache
from typing import Annotated

import msgspec

# Twilio sends 160 bytes a frame; 64 kB are eight seconds.
MAX_AUDIO = 65_536
# The same in base64, and room for the rest of the message.
MAX_TEXT = MAX_AUDIO * 4 // 3 + 2_048

ENCODING = "audio/x-mulaw"
SAMPLE_RATE = 8000


# Larger ones are not numbers that anybody counts with.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Wire(msgspec.Struct, frozen=True, gc=False, rename="camel", tag_field="event"):
    """What all messages share. Unknown fields are ignored; numbers are accepted as numbers and as text."""


class _Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class MediaFormat(_Part, frozen=True):
    """What the audio of the stream is; compare with `refuse`."""

    encoding: str
    sample_rate: Count
    channels: Count = 1


class StartBody(_Part, frozen=True):
    """Who calls: `custom_parameters` are the `<Parameter>`s of our TwiML."""

    stream_sid: str
    call_sid: str
    media_format: MediaFormat
    account_sid: str = ""
    tracks: list[str] = []
    custom_parameters: dict[str, str] = {}


class MediaBody(_Part, frozen=True):
    """One piece of audio. `timestamp` is in ms since the stream began; the first is not 0."""

    payload: bytes
    timestamp: Count
    chunk: Count = 0
    track: str = "inbound"


class DtmfBody(_Part, frozen=True):
    """A key of the telephone: 0-9, * or # (A-D on a few)."""

    digit: Annotated[str, msgspec.Meta(pattern="^[0-9A-D*#]$")]


class MarkBody(_Part, frozen=True):
    """Everything that was queued before the mark of this name has been played, or was dropped by `clear`."""

    name: Annotated[str, msgspec.Meta(max_length=100)]


class Connected(_Wire, frozen=True, tag="connected"):
    """The socket is up; the call is not known yet."""

    protocol: str = ""
    version: str = ""


class Start(_Wire, frozen=True, tag="start"):
    """The stream begins."""

    start: StartBody
    sequence_number: Count = 0


class Media(_Wire, frozen=True, tag="media"):
    """Audio of the caller."""

    media: MediaBody
    stream_sid: str = ""
    sequence_number: Count = 0


class Dtmf(_Wire, frozen=True, tag="dtmf"):
    """A key was pressed."""

    dtmf: DtmfBody
    stream_sid: str = ""
    sequence_number: Count = 0


class Mark(_Wire, frozen=True, tag="mark"):
    """One of our marks comes back."""

    mark: MarkBody
    stream_sid: str = ""
    sequence_number: Count = 0


class Stop(_Wire, frozen=True, tag="stop"):
    """The stream has ended; the socket closes next."""

    stream_sid: str = ""
    sequence_number: Count = 0


class Unknown(msgspec.Struct, frozen=True):
    """A message of a kind that is not documented (yet): to be counted and passed over."""

    event: str


class Malformed(msgspec.Struct, frozen=True):
    """Not a message at all. `why` is a sentence that quotes nothing of it."""

    why: str


class _AnyEvent(msgspec.Struct):
    event: str


FromTwilio = Connected | Start | Media | Dtmf | Mark | Stop | Unknown | Malformed

_KNOWN = {"connected", "start", "media", "dtmf", "mark", "stop"}
_message: msgspec.json.Decoder[Connected | Start | Media | Dtmf | Mark | Stop] = msgspec.json.Decoder(
    Connected | Start | Media | Dtmf | Mark | Stop, strict=False
)
_any_event = msgspec.json.Decoder(_AnyEvent)


def decode(text: str | bytes) -> FromTwilio:
    """The message; never raises, whatever is given."""
    if len(text) > MAX_TEXT:
        return Malformed("The message is too large.")
    try:
        message = _message.decode(text)
    except msgspec.ValidationError as error:
        return _other(text, error)
    except msgspec.DecodeError:
        return Malformed("The message is not JSON.")
    except (UnicodeError, RecursionError):
        return Malformed("The message is not readable text.")
    if type(message) is Media and not 0 < len(message.media.payload) <= MAX_AUDIO:
        return Malformed("The audio is empty or too large.")
    return message


def _other(text: str | bytes, error: msgspec.ValidationError) -> Unknown | Malformed:
    try:
        event = _any_event.decode(text).event
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Malformed("The message has no event.")
    if event not in _KNOWN:
        return Unknown(event[:64])
    # The part after the dash is the path of the field, the part before it names types: nothing of the content.
    path = str(error).rpartition(" - at ")[2] if " - at " in str(error) else "`$`"
    return Malformed(f"The {event} message is not as documented at {path[:80]}.")


def refuse(start: Start) -> str | None:
    """Why the stream's audio cannot be taken, None if it can: nothing is assumed of an undocumented format."""
    given = start.start.media_format
    if (given.encoding, given.sample_rate, given.channels) == (ENCODING, SAMPLE_RATE, 1):
        return None
    return (
        f"The stream carries {given.encoding[:40]} at {given.sample_rate} Hz with {given.channels} channel(s); "
        f"only {ENCODING} at {SAMPLE_RATE} Hz with 1 channel is understood."
    )


def encode_media(stream_sid: str, audio: bytes) -> str:
    """Audio to be queued and played: mu-law at 8 kHz without a header, of any length."""
    return f'{_media_prefix(stream_sid)}{b2a_base64(audio, newline=False).decode("ascii")}"}}}}'


def encode_mark(stream_sid: str, name: str) -> str:
    """Asks for `name` back when everything queued before it has been played."""
    return msgspec.json.encode({"event": "mark", "streamSid": stream_sid, "mark": {"name": name}}).decode()


def encode_clear(stream_sid: str) -> str:
    """Drops what is queued and not played yet; all marks outstanding come back at once."""
    return msgspec.json.encode({"event": "clear", "streamSid": stream_sid}).decode()


@lru_cache(maxsize=4096)
def _media_prefix(stream_sid: str) -> str:
    whole = msgspec.json.encode({"event": "media", "streamSid": stream_sid, "media": {"payload": ""}}).decode()
    return whole.removesuffix('"}}')
