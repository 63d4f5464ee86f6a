"""Speech by script: what is heard in audio and how a text is spoken, and a transcriber and a voice that keep to it."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import numpy as np

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.base.tasks import bare_error
from hookflash.speech.audio import SAMPLE_RATE, decoded
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

# Characters that are spoken in a second.
PACE = 15.0
# Seconds after which nobody waits for a vendor that says nothing.
_QUIET = 4.0
_MULAW = (("mulaw", SAMPLE_RATE),)
STT_TRAITS = SttTraits("scripted", _MULAW, endpoints=True, code_switching=True)
TTS_TRAITS = TtsTraits("scripted", _MULAW)


@dataclass(frozen=True, slots=True)
class Said:
    """Words in the audio between two moments of it, in seconds. `ends_turn`: the vendor knows that the turn is over then."""

    text: str
    start: float = 0.0
    end: float = 0.5
    language: str | None = None
    ends_turn: bool = False


@dataclass(frozen=True, slots=True)
class Listening:
    """How one stream goes. `latency`: seconds before final words. `refuse`: an HTTP status instead of a stream.

    After so many seconds of audio it may `die`, `hang` (say nothing any more) or `garble` (send what cannot be read).
    """

    said: tuple[Said, ...] = ()
    latency: float = 0.0
    refuse: int | None = None
    die: float | None = None
    hang: float | None = None
    garble: float | None = None

    def broken(self, seconds: float) -> bool:
        return any(at is not None and seconds >= at for at in (self.die, self.garble))

    def hangs(self, seconds: float) -> bool:
        return self.hang is not None and seconds >= self.hang


@dataclass(frozen=True, slots=True)
class Speaking:
    """How one text is spoken, in seconds: before the first piece, between pieces, sound in a piece.

    After so many seconds of sound it may `die`, `hang` or `garble`.
    """

    delay: float = 0.0
    pause: float = 0.0
    piece: float = 0.2
    refuse: int | None = None
    die: float | None = None
    hang: float | None = None
    garble: float | None = None


class Ear:
    """What of the script has been heard after so much audio; no I/O."""

    def __init__(self, said: Iterable[Said]) -> None:
        self._words: list[tuple[float, str, Said]] = []
        for one in said:
            words = one.text.split()
            for number, word in enumerate(words, 1):
                self._words.append((one.start + (one.end - one.start) * number / len(words), word, one))
        self._given = self._shown = 0
        self._seconds = 0.0

    def hear(self, seconds: float) -> Transcript | None:
        """The words since the last settling, if there are new ones: final where the script ends the turn."""
        self._seconds = seconds
        heard = sum(end <= seconds for end, _, _ in self._words)
        if heard <= self._shown:
            return None
        self._shown = heard
        last = self._words[heard - 1]
        if last[2].ends_turn and (heard == len(self._words) or self._words[heard][2] is not last[2]):
            return self.settle(end_of_turn=True)
        return self._transcript(heard, final=False)

    def settle(self, *, end_of_turn: bool = False) -> Transcript:
        """The words up to here, for good."""
        heard = max(self._shown, sum(end <= self._seconds for end, _, _ in self._words))
        settled = self._transcript(heard, final=True, end_of_turn=end_of_turn)
        self._given = self._shown = heard
        return settled

    def unsettled(self) -> Transcript:
        """The words since the last settling, new or not."""
        return self._transcript(self._shown, final=False)

    def _transcript(self, until: int, *, final: bool, end_of_turn: bool = False) -> Transcript:
        words = self._words[self._given : until]
        return Transcript(
            " ".join(word for _, word, _ in words),
            final,
            end_of_turn=end_of_turn,
            start=words[0][2].start if words else self._seconds,
            end=self._seconds,
            language=words[-1][2].language if words else None,
        )


def sound_of(text: str, encoding: str = "mulaw", sample_rate: int = SAMPLE_RATE) -> bytes:
    """The sound of a text as the scripts speak it: always the same, not silent, PACE characters a second."""
    block = int(SAMPLE_RATE / PACE)
    mulaw = b"".join(bytes([0x10 + ord(char) % 0x60, 0x90 + ord(char) % 0x60]) * (block // 2) for char in text)
    if encoding == "mulaw":
        return mulaw
    return np.repeat(decoded(mulaw), sample_rate // SAMPLE_RATE).astype("<i2").tobytes()


@dataclass(slots=True)
class Stream:
    """A stream that was opened: what was asked for, and what came."""

    encoding: str
    sample_rate: int
    language: str | None
    hints: tuple[str, ...]
    audio: bytearray = field(default_factory=bytearray)
    finalized: int = 0


class ScriptedStt:
    """An Stt whose streams go as they are told, in order; then as `default`. Its streams are kept in `streams`."""

    def __init__(
        self,
        clock: Clock,
        *plans: Listening,
        default: Listening = Listening(),
        traits: SttTraits = STT_TRAITS,
    ) -> None:
        self.traits = traits
        self.streams: list[Stream] = []
        self._clock = clock
        self._plans = deque(plans)
        self._default = default

    def then(self, *plans: Listening) -> None:
        """Add to the script."""
        self._plans.extend(plans)

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        plan = self._plans.popleft() if self._plans else self._default
        if plan.refuse is not None:
            raise _refused(plan.refuse)
        stream = Stream(encoding, sample_rate, language, hints)
        self.streams.append(stream)
        listener = _Listener(plan, stream, self._clock)
        with bare_error():
            async with anyio.create_task_group() as group:
                group.start_soon(listener.report, heard)
                yield listener
                group.cancel_scope.cancel()


class _Listener:
    def __init__(self, plan: Listening, stream: Stream, clock: Clock) -> None:
        self._plan = plan
        self._stream = stream
        self._clock = clock
        self._ear = Ear(plan.said)
        self._rate = stream.sample_rate * (1 if stream.encoding == "mulaw" else 2)
        self._reports: deque[tuple[float, Transcript | HookflashError]] = deque()
        self._arrived = anyio.Event()

    async def feed(self, audio: bytes) -> None:
        self._stream.audio += audio
        seconds = len(self._stream.audio) / self._rate
        if self._plan.broken(seconds):
            self._post(0.0, Unavailable("The transcriber died."))
        elif not self._plan.hangs(seconds) and (words := self._ear.hear(seconds)) is not None:
            self._post(self._plan.latency if words.final else 0.0, words)

    async def finalize(self) -> None:
        self._stream.finalized += 1
        if self._plan.hangs(len(self._stream.audio) / self._rate):
            self._post(_QUIET, Unavailable("The transcriber has fallen silent."))
        else:
            self._post(self._plan.latency, self._ear.settle())

    async def report(self, heard: Heard) -> None:
        while True:
            while not self._reports:
                self._arrived = anyio.Event()
                await self._arrived.wait()
            delay, what = self._reports.popleft()
            await self._clock.sleep(delay)
            if isinstance(what, HookflashError):
                raise what
            await heard(what)

    def _post(self, delay: float, what: Transcript | HookflashError) -> None:
        self._reports.append((delay, what))
        self._arrived.set()


@dataclass(slots=True)
class Spoken:
    """A text that was to be spoken, in which voice and language, and how much of its sound was given."""

    text: str
    voice: str | None
    language: str | None
    given: bytearray = field(default_factory=bytearray)
    cancelled: bool = False


class ScriptedTts:
    """A Tts whose texts are spoken as it is told, in order; then as `default`. What it spoke is kept in `spoken`.

    `refuse`: an HTTP status instead of a voice.
    """

    def __init__(
        self,
        clock: Clock,
        *plans: Speaking,
        default: Speaking = Speaking(),
        traits: TtsTraits = TTS_TRAITS,
        refuse: int | None = None,
    ) -> None:
        self.traits = traits
        self.refuse = refuse
        self.spoken: list[Spoken] = []
        self._clock = clock
        self._plans = deque(plans)
        self._default = default

    def then(self, *plans: Speaking) -> None:
        """Add to the script."""
        self._plans.extend(plans)

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        if self.refuse is not None:
            raise _refused(self.refuse)
        yield _Speaker(self, voice, encoding, sample_rate, language)

    async def speak(self, spoken: Spoken, encoding: str, sample_rate: int, sound: Sound) -> None:
        """Speak one text as the script says."""
        plan = self._plans.popleft() if self._plans else self._default
        self.spoken.append(spoken)
        if plan.refuse is not None:
            raise _refused(plan.refuse)
        second = sample_rate * (1 if encoding == "mulaw" else 2)
        try:
            await self._clock.sleep(plan.delay)
            for piece in pieces_of(sound_of(spoken.text, encoding, sample_rate), plan, second):
                if piece is None:
                    if plan.hang is not None:
                        await self._clock.sleep(_QUIET)
                    raise Unavailable("The voice died.")
                if spoken.given:
                    await self._clock.sleep(plan.pause)
                spoken.given += piece
                await sound(piece)
        except anyio.get_cancelled_exc_class():
            spoken.cancelled = True
            raise


def pieces_of(sound: bytes, plan: Speaking, bytes_per_second: int) -> Iterable[bytes | None]:
    """The sound in the plan's pieces; None where it fails."""
    fails = min((at for at in (plan.die, plan.hang, plan.garble) if at is not None), default=None)
    size = max(2, int(plan.piece * bytes_per_second) & ~1)
    for start in range(0, len(sound), size):
        if fails is not None and start + size > fails * bytes_per_second:
            yield None
            return
        yield sound[start : start + size]


class _Speaker:
    def __init__(
        self, vendor: ScriptedTts, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> None:
        self._vendor = vendor
        self._voice = voice
        self._format = encoding, sample_rate
        self._language = language

    async def speak(self, text: str, sound: Sound) -> None:
        await self._vendor.speak(Spoken(text, self._voice, self._language), *self._format, sound)


def _refused(status: int) -> HookflashError:
    if status in (401, 403):
        return Misconfigured("The scripted vendor does not accept the key in SCRIPTED_API_KEY.")
    return Unavailable(f"The scripted vendor answered HTTP {status}.")
