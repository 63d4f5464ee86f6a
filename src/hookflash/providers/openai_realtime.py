"""OpenAI's Realtime API: speech to speech over a web socket, mu-law both ways, in the events of its general release."""

import math
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import anyio
import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.assistant import cost
from hookflash.base.clock import Clock, within
from hookflash.base.errors import Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.providers.live import CONNECT, Vendor, dial, hang_up, socket_address
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.sts import (
    Answer,
    CallerBegan,
    CallerCeased,
    CallerItem,
    CallerWords,
    Cease,
    Cut,
    FunctionAsked,
    Give,
    Happened,
    NotNow,
    Opening,
    Order,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyWords,
    SayThis,
    StsEvent,
    Tell,
)

VENDOR = Vendor("OpenAI", "OPENAI_API_KEY")
HOME = "https://api.openai.com/v1"
MODEL = "gpt-realtime-2.1"
VOICE = "marin"
# What puts the caller's words into writing, for the record, turn by turn; the model itself hears the sound.
TRANSCRIBER = "gpt-transcribe"
# Its list price: 0.27 dollars for an hour of sound, of which a token is a tenth of a second.
_TRANSCRIBER_SECOND, _TOKEN_SECONDS = 75, 0.1
_BYTES_PER_SECOND = 8000
# Bytes of sound in one message (40 ms), and how much may wait for a vendor that does not take it (8 s).
PIECE, WAITING = 320, 64_000
# Seconds; what is further back is a misunderstanding about the clock.
_LONG_AGO = 10.0
_MOST_TOKENS = 4_096
_MOST_HINTS = 100
_BUSY = "conversation_already_has_active_response"
# After these the session is of no use any more.
_ENDS = frozenset({"session_expired", "session_not_found"})
_OWN = {"own": "yes"}
_SAY = "Say exactly the following to the caller, word for word, and nothing else:\n"

_log = structlog.get_logger(__name__)


class _Code(msgspec.Struct):
    code: str | None = None
    type: str | None = None

    @property
    def name(self) -> str:
        return (self.code or self.type or "unnamed")[:60]


class _Cached(msgspec.Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None


class _Details(msgspec.Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens_details: _Cached | None = None


class _Usage(msgspec.Struct):
    """Of a reply, or of a transcription: then it may be told in seconds."""

    type: str = "tokens"
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: _Details | None = None
    output_token_details: _Details | None = None
    seconds: float = 0.0


class _Status(msgspec.Struct):
    error: _Code | None = None
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    status_details: _Status | None = None
    metadata: dict[str, str] | None = None
    usage: _Usage | None = None


class _Language(msgspec.Struct):
    code: str = ""


class _Event(msgspec.Struct):
    type: str
    item_id: str = ""
    response_id: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    delta: str | None = None
    transcript: str | None = None
    audio_end_ms: int = 0
    languages: list[_Language] | None = None
    usage: _Usage | None = None
    response: _Response | None = None
    error: _Code | None = None


class _Sound(msgspec.Struct):
    """The one event that comes often: its sound is decoded with it."""

    response_id: str
    item_id: str
    delta: bytes


_event = msgspec.json.Decoder(_Event)
_sound = msgspec.json.Decoder(_Sound)


class OpenAIRealtime:
    """`openai`, or `openai:<model>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model = config.model or MODEL
        self._key = VENDOR.key(config)
        self._address = socket_address(config.text("OPENAI_BASE_URL") or HOME)
        self._clock: Clock = config.clock
        self.name = f"openai:{self._model}"

    @asynccontextmanager
    async def talk(self, opening: Opening, happened: Happened) -> AsyncIterator["Talk"]:
        url = f"{self._address}/realtime?model={quote(self._model, safe='')}"
        socket = await dial(VENDOR, url, {"Authorization": f"Bearer {self._key}"}, self._clock)
        reading = Reading(self._model)
        talk = Talk()

        async def send() -> None:
            while True:
                message, sound = await talk.next()
                await socket.send(message)
                reading.sent += sound

        async def receive() -> None:
            async for raw in socket:
                for event in reading.receive(raw):
                    happened(event)
            raise VENDOR.lost()

        try:
            await self._open(socket, reading, opening)
            with bare_error():
                async with anyio.create_task_group() as group:
                    group.start_soon(_talking, send)
                    group.start_soon(_talking, receive)
                    yield talk
                    group.cancel_scope.cancel()
        finally:
            if talk.dropped:
                _log.warning("audio dropped before the vendor", vendor=VENDOR.name, bytes=talk.dropped)
            await hang_up(socket)

    async def _open(self, socket: ClientConnection, reading: "Reading", opening: Opening) -> None:
        async def exchange() -> None:
            await socket.send(msgspec.json.encode(session(opening)).decode())
            while not reading.ready:
                reading.receive(await socket.recv())
            for said, answered in opening.history:
                for role, kind, text in (("user", "input_text", said), ("assistant", "output_text", answered)):
                    if text:
                        await socket.send(_message(role, kind, text))

        try:
            await within(self._clock, CONNECT, lambda: _talking(exchange))
        except TimeoutError:
            raise VENDOR.silent() from None


async def _talking(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except ConnectionClosed as error:
        raise VENDOR.lost() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VENDOR.unreadable() from error


class Talk:
    """What is to be sent: orders first, then sound in pieces; of sound that waits too long the oldest is dropped."""

    def __init__(self) -> None:
        self._orders: deque[str] = deque()
        self._sound = bytearray()
        self._arrived = anyio.Event()
        self.dropped = 0

    def feed(self, audio: bytes) -> None:
        self._sound += audio
        over = len(self._sound) - WAITING
        if over > 0:
            del self._sound[:over]
            self.dropped += over
        if len(self._sound) >= PIECE:
            self._arrived.set()

    def order(self, order: Order) -> None:
        self._orders.append(ordered(order))
        self._arrived.set()

    async def next(self) -> tuple[str, int]:
        """The next message, and how many bytes of sound it carries."""
        while not self._orders and len(self._sound) < PIECE:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        if self._orders:
            return self._orders.popleft(), 0
        # All that there is: after a delay the vendor catches up at once.
        piece = bytes(self._sound)
        self._sound.clear()
        return f'{{"type":"input_audio_buffer.append","audio":"{b64encode(piece).decode()}"}}', len(piece)


class Reading:
    """What the vendor's events mean; no I/O. `sent` counts the bytes of sound that it was given."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.sent = 0
        self.ready = False

    def receive(self, raw: str | bytes) -> Sequence[StsEvent]:
        """Raises Unavailable and Misconfigured when the session is over, and msgspec.DecodeError."""
        event = _event.decode(raw)
        match event.type:
            case "response.output_audio.delta":
                sound = _sound.decode(raw)
                return (ReplyAudio(sound.response_id, sound.item_id, sound.delta),)
            case "response.output_audio_transcript.delta":
                return (ReplyWords(event.response_id, event.item_id, event.delta or ""),)
            case "response.created" if event.response:
                return (ReplyBegan(event.response.id, own=event.response.metadata == _OWN),)
            case "response.function_call_arguments.done":
                return (FunctionAsked(event.response_id, event.call_id, event.name, event.arguments),)
            case "response.done" if event.response:
                return (self._ended(event.response),)
            case "input_audio_buffer.speech_started":
                return (CallerBegan(),)
            case "input_audio_buffer.speech_stopped":
                ago = self.sent / _BYTES_PER_SECOND - event.audio_end_ms / 1000
                return (CallerCeased(ago if 0.0 <= ago <= _LONG_AGO else 0.0),)
            case "input_audio_buffer.committed":
                return (CallerItem(event.item_id),)
            case "conversation.item.input_audio_transcription.completed":
                language = event.languages[0].code if event.languages else None
                return (
                    CallerWords(event.item_id, (event.transcript or "").strip(), language, _words_micros(event.usage)),
                )
            case "conversation.item.input_audio_transcription.failed":
                _log.warning("the caller's words were not found", code=event.error.name if event.error else "unnamed")
                return (CallerWords(event.item_id, ""),)
            case "session.updated":
                self.ready = True
            case "error":
                return self._error(event.error or _Code())
        return ()

    def _ended(self, response: _Response) -> ReplyEnded:
        usage = response.usage or _Usage()
        failed = None
        if response.status == "failed":
            error = response.status_details.error if response.status_details else None
            failed = error.name if error else "unnamed"
        return ReplyEnded(response.id, failed, _micros(self._model, usage), usage.input_tokens, usage.output_tokens)

    def _error(self, error: _Code) -> Sequence[StsEvent]:
        if error.code == "invalid_api_key":
            raise VENDOR.refused(401)
        if not self.ready:
            raise Misconfigured(
                f"{VENDOR.name} refuses the session ({error.name}).",
                hint="check the names of the model, the voice and the language, and that the key may use the model",
            )
        if error.name in _ENDS:
            raise VENDOR.failed(error.name)
        if error.name == _BUSY:
            return (NotNow(),)
        # Most are about one of our orders that came too late; the session goes on.
        _log.info("an order was refused", vendor=VENDOR.name, code=error.name)
        return ()


def _micros(model: str, usage: _Usage) -> int:
    """What a reply costs; tokens of which no kind is told count as sound, the dear side."""
    if not usage.input_tokens and not usage.output_tokens:
        return 0
    heard, spoke = usage.input_token_details or _Details(), usage.output_token_details or _Details()
    cached = heard.cached_tokens_details or _Cached()
    text_in, text_out = heard.text_tokens or 0, spoke.text_tokens or 0
    used = cost.SpokenTokens(
        text_in=text_in,
        audio_in=max(0, usage.input_tokens - text_in),
        text_out=text_out,
        audio_out=max(0, usage.output_tokens - text_out),
        cached_text=min(cached.text_tokens or 0, text_in),
        cached_audio=min(cached.audio_tokens or 0, max(0, usage.input_tokens - text_in)),
    )
    return cost.spoken(f"openai:{model}", used).micros


def _words_micros(usage: _Usage | None) -> int:
    if usage is None:
        return 0
    seconds = usage.seconds if usage.type == "duration" else usage.input_tokens * _TOKEN_SECONDS
    return math.ceil(seconds * _TRANSCRIBER_SECOND)


def session(opening: Opening) -> dict[str, Any]:
    """The event that sets up a session for a telephone's sound."""
    transcription: dict[str, Any] = {"model": TRANSCRIBER}
    if opening.language == "hi-Latn":
        transcription["languages"] = ["hi", "en"]
    elif opening.language not in (None, "", "multi"):
        transcription["languages"] = [str(opening.language).partition("-")[0]]
    if opening.hints:
        transcription["keywords"] = list(opening.hints[:_MOST_HINTS])
    eagerness = "high" if opening.patience < 0.8 else "low" if opening.patience > 1.5 else "auto"
    turns = {
        "type": "semantic_vad",
        "eagerness": eagerness,
        # When the caller may not interrupt we ask for each answer ourselves, after the last one was heard.
        "create_response": opening.interruptible,
        "interrupt_response": opening.interruptible,
    }
    pcmu = {"type": "audio/pcmu"}
    functions = [
        {"type": "function", "name": f.name, "description": f.description, "parameters": f.schema}
        for f in opening.functions
    ]
    told: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": opening.instructions,
        "max_output_tokens": _MOST_TOKENS,
        "audio": {
            "input": {"format": pcmu, "transcription": transcription, "turn_detection": turns},
            "output": {"format": pcmu, "voice": opening.voice or VOICE},
        },
        "tools": functions,
        "tool_choice": "auto",
    }
    return {"type": "session.update", "session": told}


def ordered(order: Order) -> str:
    """The event that carries an order."""
    event: dict[str, Any]
    match order:
        case Cut(item=item, heard_ms=heard) if heard > 0:
            event = {"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": heard}
        case Cut(item=item):
            event = {"type": "conversation.item.delete", "item_id": item}
        case Cease():
            event = {"type": "response.cancel"}
        case Tell(text=text):
            return _message("user", "input_text", text)
        case Give(call=call, output=output):
            given = {"type": "function_call_output", "call_id": call, "output": output}
            event = {"type": "conversation.item.create", "item": given}
        case Answer():
            event = {"type": "response.create"}
        case SayThis(text=text):
            asked = {"instructions": _SAY + text, "tool_choice": "none", "metadata": _OWN}
            event = {"type": "response.create", "response": asked}
    return msgspec.json.encode(event).decode()


def _message(role: str, kind: str, text: str) -> str:
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    return msgspec.json.encode({"type": "conversation.item.create", "item": item}).decode()


def sts(config: ProviderConfig) -> OpenAIRealtime:
    """The entry point `openai`."""
    return OpenAIRealtime(config)
