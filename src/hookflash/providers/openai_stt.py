"""Transcription turn by turn: the endpoint of OpenAI's Whisper, and every server that is compatible with it."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
import structlog

from hookflash.base.clock import within
from hookflash.base.errors import Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.providers.formats import MULAW, require
from hookflash.providers.live import CONNECT, Vendor
from hookflash.providers.onset import Onset
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.audio import SAMPLE_RATE, decoded
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript
from hookflash.speech.wav import written_wav

VENDOR = Vendor("The transcription server", "OPENAI_API_KEY")
HOME = "https://api.openai.com/v1"
# Seconds.
_WHOLE = 15.0
_LONGEST_TURN = 60.0
_MOST_TURNS = 4

_log = structlog.get_logger(__name__)


class WhisperStt:
    """`whisper`, or `whisper:<model>`: words come only after `finalize`."""

    def __init__(self, config: ProviderConfig) -> None:
        base = (config.text("OPENAI_BASE_URL") or HOME).rstrip("/")
        key = config.text("OPENAI_API_KEY")
        if key is None and base == HOME:
            VENDOR.key(config)
        self._url = f"{base}/audio/transcriptions"
        self._model = config.model or ("gpt-transcribe" if base == HOME else "whisper-1")
        self._clock = config.clock
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(_WHOLE, connect=CONNECT), headers={"Authorization": f"Bearer {key or 'none'}"}
        )
        self.traits = SttTraits(f"whisper:{self._model}", MULAW, interim=False, code_switching=True)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        form = {"model": self._model, "response_format": "json"}
        if language not in (None, "multi", "hi-Latn"):
            form["language"] = str(language).partition("-")[0]
        if hints:
            form["prompt"] = ", ".join(hints)
        turns = _Turns()

        async def answer() -> None:
            while True:
                start, audio = await turns.next()
                words = await self._transcribe(audio, form) if audio else ""
                await heard(Transcript(words, True, start=start, end=start + len(audio) / SAMPLE_RATE))

        try:
            with bare_error():
                async with anyio.create_task_group() as group:
                    group.start_soon(answer)
                    yield turns
                    group.cancel_scope.cancel()
        finally:
            if turns.dropped:
                _log.warning("audio dropped before the transcriber", vendor=VENDOR.name, bytes=turns.dropped)

    async def _transcribe(self, audio: bytes, form: dict[str, str]) -> str:
        sound = written_wav(decoded(audio), SAMPLE_RATE)

        async def post() -> httpx2.Response:
            return await self._client.post(self._url, data=form, files={"file": ("turn.wav", sound, "audio/wav")})

        try:
            answer = await within(self._clock, _WHOLE, post)
        except TimeoutError:
            raise VENDOR.silent() from None
        except httpx2.HTTPError as error:
            raise VENDOR.unreachable() from error
        except httpx2.InvalidURL as error:
            raise Misconfigured(
                "OPENAI_BASE_URL is not an address.", hint="such as http://127.0.0.1:8000/v1"
            ) from error
        if answer.status_code != httpx2.codes.OK:
            raise VENDOR.refused(answer.status_code)
        try:
            return str(answer.json()["text"]).strip()
        except (ValueError, KeyError, TypeError):
            raise VENDOR.unreadable() from None


class _Turns:
    """Audio of the turn being spoken, and of turns that wait to be transcribed; the oldest is dropped and counted."""

    def __init__(self) -> None:
        self._onset = Onset()
        self._turn = bytearray()
        self._fed = 0
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._arrived = anyio.Event()
        self.dropped = 0

    async def feed(self, audio: bytes) -> None:
        self._fed += len(audio)
        self._turn += self._onset.feed(audio)
        over = len(self._turn) - int(_LONGEST_TURN * SAMPLE_RATE)
        if over > 0:
            del self._turn[:over]
            self.dropped += over

    async def finalize(self) -> None:
        if len(self._waiting) == _MOST_TURNS:
            self.dropped += len(self._waiting.popleft()[1])
        self._waiting.append(((self._fed - len(self._turn)) / SAMPLE_RATE, bytes(self._turn)))
        self._turn.clear()
        self._onset.reset()
        self._arrived.set()

    async def next(self) -> tuple[float, bytes]:
        """The next turn: when it began, in seconds of the stream, and its sound."""
        while not self._waiting:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()


def stt(config: ProviderConfig) -> WhisperStt:
    """The entry point `whisper`."""
    return WhisperStt(config)
