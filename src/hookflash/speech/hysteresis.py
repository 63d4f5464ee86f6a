"""Knows when somebody speaks: probabilities of speech, chunk by chunk, into the starts and ends of it."""

from dataclasses import dataclass

CHUNK_SECONDS = 0.032


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """Somebody began to speak at `at` seconds of the call's sound."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """Nobody has spoken since `at` seconds of the call's sound."""

    at: float


@dataclass(frozen=True, slots=True)
class Profile:
    """How sure we want to be. Speech begins at a probability of `on` and lasts until one below `off`.

    It counts when it lasted `speech_seconds`, and is over when it was missing for `pause_seconds`.
    """

    on: float
    off: float
    speech_seconds: float
    pause_seconds: float


LISTENING = Profile(on=0.5, off=0.35, speech_seconds=0.064, pause_seconds=0.256)
# While we speak, a click, a breath or our own echo must not count.
PLAYING = Profile(on=0.75, off=0.45, speech_seconds=0.128, pause_seconds=0.256)


class Hysteresis:
    """One call's. Chunks are 32 ms long; the clock is the sound itself."""

    __slots__ = ("_began", "_chunks", "_listening", "_paused", "_playing", "speaking")

    def __init__(self, listening: Profile = LISTENING, playing: Profile = PLAYING) -> None:
        self._listening = _Limits(listening)
        self._playing = _Limits(playing)
        self._chunks = 0
        # The chunk at which (perhaps) speech, and in speech (perhaps) a pause, began; -1 for none.
        self._began = -1
        self._paused = -1
        self.speaking = False

    @property
    def heard_seconds(self) -> float:
        """How much sound was judged."""
        return self._chunks * CHUNK_SECONDS

    @property
    def perhaps(self) -> bool:
        """Whether the last chunk may be the first one of speech."""
        return not self.speaking and self._began == self._chunks - 1

    def push(self, probability: float, playing: bool = False) -> SpeechStart | SpeechEnd | None:
        """Judges the next chunk; `playing` while our own sound is being played."""
        limits = self._playing if playing else self._listening
        chunk = self._chunks
        self._chunks = chunk + 1
        if not self.speaking:
            if self._began < 0:
                if probability < limits.on:
                    return None
                self._began = chunk
            elif probability < limits.off:
                self._began = -1
                return None
            if chunk - self._began + 1 < limits.speech_chunks:
                return None
            self.speaking = True
            self._paused = -1
            return SpeechStart(self._began * CHUNK_SECONDS)
        if probability >= limits.off:
            # A weak chunk between does not end a pause; only speech proper does.
            if self._paused < 0 or probability >= limits.on:
                self._paused = -1
                return None
        elif self._paused < 0:
            self._paused = chunk
        if chunk - self._paused + 1 < limits.pause_chunks:
            return None
        self.speaking = False
        self._began = -1
        return SpeechEnd(self._paused * CHUNK_SECONDS)


class _Limits:
    """A profile in chunks."""

    __slots__ = ("off", "on", "pause_chunks", "speech_chunks")

    def __init__(self, profile: Profile) -> None:
        self.on = profile.on
        self.off = profile.off
        self.speech_chunks = max(1, round(profile.speech_seconds / CHUNK_SECONDS))
        self.pause_chunks = max(1, round(profile.pause_seconds / CHUNK_SECONDS))
