"""Another vendor in the middle of a call: who is asked next, what a new transcriber must hear again, what is still to say."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from hookflash.base.breaker import Breaker, Breakers
from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.base.tasks import bare_error
from hookflash.speech.stt import Heard, Stt, SttStream, Transcript
from hookflash.speech.tts import Sound, Tts, TtsVoice

# Seconds of audio that a new transcriber hears again at most.
REPLAY = 6.0
# Seconds without a first sound after which another voice is asked, if there is another.
PATIENCE = 2.0
# Characters in a second of speech, of a slow voice: better to hear a word twice than not at all.
SLOW_PACE = 12.0

_log = structlog.get_logger(__name__)


def order(count: int, failed: int | None) -> list[int]:
    """Who is asked, by place: as preferred, the one that failed last of all."""
    return sorted(range(count), key=lambda place: (place == failed, place))


def remainder(text: str, seconds: float) -> str:
    """What of a text is still to be said after so many seconds of its sound, from the beginning of a word on."""
    if text.lstrip().startswith("<"):
        # Markup cannot be cut.
        return text
    said = int(seconds * SLOW_PACE)
    return "" if said >= len(text) else text[text.rfind(" ", 0, said + 1) + 1 :]


class Replay:
    """The audio since the last words that were settled: a new transcriber must hear it again."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._fed = 0

    def fed(self, audio: bytes) -> None:
        self._pieces.append(audio)
        self._fed += len(audio)
        self._held += len(audio)
        while self._held > REPLAY * self._rate:
            self._held -= len(self._pieces.popleft())

    def settled(self, until: float) -> None:
        """Words are final up to this moment of the call; 0 when it was not told, then up to now."""
        keep = self._fed - int(until * self._rate) if until > 0 else 0
        while self._pieces and self._held - len(self._pieces[0]) >= keep:
            self._held -= len(self._pieces.popleft())

    @property
    def start(self) -> float:
        """The moment of the call at which the audio begins."""
        return (self._fed - self._held) / self._rate

    @property
    def audio(self) -> bytes:
        return b"".join(self._pieces)


class SteadyStt:
    """Several transcribers as one: when the one that listens fails, the next hears what was said and not settled yet.

    Raises Unavailable when none is left, and what the last one raised where that says more.
    """

    def __init__(self, vendors: Sequence[Stt], breakers: Breakers) -> None:
        self._vendors = vendors
        self._breakers = breakers
        self.traits = vendors[0].traits

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        rate = sample_rate * (1 if encoding == "mulaw" else 2)
        steady = _SteadyStream(heard, Replay(rate))

        async def listen(*, task_status: TaskStatus[None]) -> None:
            failed, last = None, None
            opened = False
            while True:
                place, breaker = _next(self._vendors, self._breakers, failed, last)
                vendor = self._vendors[place]
                steady.listening(breaker)
                try:
                    async with vendor.stream(
                        steady.heard, encoding=encoding, sample_rate=sample_rate, language=language, hints=hints
                    ) as stream:
                        if not opened:
                            opened = True
                            task_status.started()
                        await steady.use(stream)
                except (Unavailable, Misconfigured) as error:
                    failed, last = place, error
                    _failed(vendor.traits.name, breaker, error, self._breakers.clock)
                finally:
                    steady.leave()
                    breaker.abandoned()

        with bare_error():
            async with anyio.create_task_group() as group:
                await group.start(listen)
                yield steady
                group.cancel_scope.cancel()


class _SteadyStream:
    def __init__(self, heard: Heard, replay: Replay) -> None:
        self._heard = heard
        self._replay = replay
        self._stream: SttStream | None = None
        self._breaker: Breaker | None = None
        self._start = 0.0
        self._finalizing = False

    async def feed(self, audio: bytes) -> None:
        self._replay.fed(audio)
        if self._stream is not None:
            await self._stream.feed(audio)

    async def finalize(self) -> None:
        self._finalizing = True
        if self._stream is not None:
            await self._stream.finalize()

    def listening(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def leave(self) -> None:
        self._stream = None

    async def use(self, stream: SttStream) -> None:
        """Go on with this stream until it ends."""
        self._start = self._replay.start
        # No audio comes in between: feeding does not wait.
        self._stream = stream
        if missed := self._replay.audio:
            await stream.feed(missed)
        if self._finalizing:
            await stream.finalize()
        await anyio.sleep_forever()

    async def heard(self, words: Transcript) -> None:
        if self._breaker is not None:
            self._breaker.succeeded()
        end = words.end + self._start if words.end else 0.0
        if words.final:
            self._finalizing = False
            self._replay.settled(end)
        await self._heard(
            Transcript(
                words.text,
                words.final,
                end_of_turn=words.end_of_turn,
                confidence=words.confidence,
                start=words.start + self._start,
                end=end,
                language=words.language,
            )
        )


class SteadyTts:
    """Several voices as one: when one fails, the next says what is still to be said, and the rest of the call.

    A `voice` that is asked for is the first vendor's; the others speak with their own.
    """

    def __init__(self, vendors: Sequence[Tts], breakers: Breakers) -> None:
        self._vendors = vendors
        self._breakers = breakers
        self.traits = vendors[0].traits

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        with bare_error():
            async with anyio.create_task_group() as group:
                steady = _SteadyVoice(self._vendors, self._breakers, group, (voice, encoding, sample_rate, language))
                await steady.ready()
                yield steady
                group.cancel_scope.cancel()


class _SteadyVoice:
    """One call's voices. Each is opened in a task of its own, and stays open to the end of the call."""

    def __init__(
        self,
        vendors: Sequence[Tts],
        breakers: Breakers,
        group: TaskGroup,
        asked: tuple[str | None, str, int, str | None],
    ) -> None:
        self._vendors = vendors
        self._breakers = breakers
        self._group = group
        self._voice, self._encoding, self._sample_rate, self._language = asked
        self._second = self._sample_rate * (1 if self._encoding == "mulaw" else 2)
        self._opening = anyio.Lock()
        self._open: dict[int, TtsVoice] = {}
        self._failed: int | None = None

    async def ready(self) -> tuple[int, TtsVoice, Breaker]:
        """The voice to speak with; raises what the last one that was tried raised when none can."""
        last: HookflashError | None = None
        async with self._opening:
            while True:
                place, breaker = _next(self._vendors, self._breakers, self._failed, last)
                if place in self._open:
                    return place, self._open[place], breaker
                try:
                    return place, await self._group.start(self._host, place), breaker
                except (Unavailable, Misconfigured) as error:
                    last = error
                    self._fail(place, breaker, error)
                except anyio.get_cancelled_exc_class():
                    breaker.abandoned()
                    raise

    async def speak(self, text: str, sound: Sound) -> None:
        left = text
        for attempt in range(len(self._vendors) + 1):
            place, voice, breaker = await self.ready()
            given = 0

            async def counted(audio: bytes) -> None:
                nonlocal given
                given += len(audio)
                await sound(audio)

            try:
                await self._speak(place, voice, left, counted)
                breaker.succeeded()
                return
            except (Unavailable, Misconfigured) as error:
                self._fail(place, breaker, error)
                left = remainder(left, given / self._second)
                if not left:
                    return
                if attempt == len(self._vendors):
                    raise
            finally:
                breaker.abandoned()

    async def _speak(self, place: int, voice: TtsVoice, text: str, sound: Sound) -> None:
        """Speak; raises Unavailable too when the first sound is late and another voice could be quicker."""
        if len(self._vendors) == 1:
            await voice.speak(text, sound)
            return
        came = late = False

        async def noted(audio: bytes) -> None:
            nonlocal came
            came = True
            await sound(audio)

        with bare_error():
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    nonlocal late
                    await self._breakers.clock.sleep(PATIENCE)
                    if not came:
                        late = True
                        group.cancel_scope.cancel()

                group.start_soon(watch)
                await voice.speak(text, noted)
                group.cancel_scope.cancel()
        if late:
            raise Unavailable(f"{self._vendors[place].traits.name} gave no sound in time.")

    async def _host(self, place: int, *, task_status: TaskStatus[TtsVoice]) -> None:
        try:
            async with self._vendors[place].voice(
                voice=self._voice if place == 0 else None,
                encoding=self._encoding,
                sample_rate=self._sample_rate,
                language=self._language,
            ) as voice:
                self._open[place] = voice
                task_status.started(voice)
                await anyio.sleep_forever()
        except (Unavailable, Misconfigured) as error:
            if self._open.pop(place, None) is None:
                raise
            # It broke between two texts: whoever speaks next opens it again, or another.
            _log.warning("a voice was lost", vendor=self._vendors[place].traits.name, reason=error.message)

    def _fail(self, place: int, breaker: Breaker, error: HookflashError) -> None:
        self._failed = place
        _failed(self._vendors[place].traits.name, breaker, error, self._breakers.clock)


def _next(
    vendors: Sequence[Stt] | Sequence[Tts], breakers: Breakers, failed: int | None, last: HookflashError | None
) -> tuple[int, Breaker]:
    """Who is asked now; raises when nobody may be."""
    for place in order(len(vendors), failed):
        breaker = breakers.of(vendors[place].traits.name)
        if breaker.admit(breakers.clock.monotonic()):
            return place, breaker
    raise last or Unavailable("Every speech vendor has failed lately.")


def _failed(name: str, breaker: Breaker, error: HookflashError, clock: Clock) -> None:
    breaker.failed(clock.monotonic(), certain=not error.retryable)
    _log.warning("a speech vendor failed", vendor=name, reason=error.message)
