"""What the caller hears: a queue of the bot's audio that plays in real time, marks among it, and `clear`."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from hookflash.emulator.sound import RATE, Samples, decode, is_audible

LONGEST_QUEUE = 600.0  # seconds


class Track:
    """Sound laid out over the time of a call. `pieces` are (start in seconds, mu-law), in order of their start."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytearray]] = []

    def add(self, at: float, mulaw: bytes) -> None:
        """Sound that begins at `at`; what follows at once becomes one piece with what was before."""
        if self.pieces:
            start, last = self.pieces[-1]
            if abs(start + len(last) / RATE - at) < 0.001:
                last += mulaw
                return
        self.pieces.append((at, bytearray(mulaw)))

    @property
    def spans(self) -> list[tuple[float, float]]:
        """When there is sound: start and end of every piece."""
        return [(start, start + len(audio) / RATE) for start, audio in self.pieces]

    @property
    def seconds(self) -> float:
        """How much sound there is."""
        return sum(len(audio) for _, audio in self.pieces) / RATE

    def samples(self, start: float = 0.0, end: float | None = None) -> Samples:
        """The track from `start` to `end` (None: to its last sound) as 16-bit samples, silence included."""
        last = max((end for _, end in self.spans), default=0.0) if end is None else end
        mixed = np.zeros(max(0, round((last - start) * RATE)), np.int32)
        for at, audio in self.pieces:
            offset = round((at - start) * RATE)
            piece = decode(bytes(audio))[max(0, -offset) :]
            offset = max(0, offset)
            piece = piece[: max(0, len(mixed) - offset)]
            mixed[offset : offset + len(piece)] += piece
        return np.clip(mixed, -32768, 32767).astype(np.int16)


@dataclass(slots=True)
class _Queued:
    start: float
    audio: bytes

    @property
    def end(self) -> float:
        return self.start + len(self.audio) / RATE


class Earpiece:
    """No clock of its own: every call says what time it is, in seconds since the call was answered, never backwards."""

    def __init__(self) -> None:
        self.heard = Track()
        self._queue: deque[_Queued] = deque()
        self._marks: deque[tuple[float, str]] = deque()
        self._end = 0.0
        self._audible_from: float | None = None
        self._audible_until = 0.0

    def play(self, audio: bytes, now: float) -> bool:
        """Queue audio; False when ten minutes are queued already and it is thrown away."""
        self._settle(now)
        if self._end - now > LONGEST_QUEUE:
            return False
        if not audio:
            return True
        start = max(self._end, now)
        self._queue.append(_Queued(start, audio))
        self._end = start + len(audio) / RATE
        if is_audible(audio):
            self.sound(start, self._end)
        return True

    def sound(self, start: float, end: float) -> None:
        """Something audible plays in that time (also said of a voice that is only played virtually)."""
        if self._audible_from is None or start - self._audible_until > 0.3:
            self._audible_from = start
        self._audible_until = max(self._audible_until, end)

    def mark(self, name: str, now: float) -> bool:
        """Put a mark behind what is queued; True when nothing is, and it is to be echoed at once."""
        self._settle(now)
        if self._end <= now and not self._marks:
            return True
        self._marks.append((max(self._end, now), name))
        return False

    def clear(self, now: float) -> list[str]:
        """Drop what has not been played yet; returns the marks in it, which are all echoed now."""
        self._settle(now)
        if self._queue:
            first = self._queue[0]
            played = first.audio[: max(0, round((now - first.start) * RATE))]
            if played:
                self.heard.add(first.start, played)
        self._queue.clear()
        names = [name for _, name in self._marks]
        self._marks.clear()
        self._end = min(self._end, now)
        self._audible_until = min(self._audible_until, now)
        return names

    def due(self, now: float) -> list[str]:
        """The marks that have been reached since they were last asked for."""
        self._settle(now)
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names

    def queued(self, now: float) -> float:
        """Seconds yet to be played."""
        return max(0.0, self._end - now)

    @property
    def began(self) -> float | None:
        """When the utterance that plays, or was the last to play, began."""
        return self._audible_from

    @property
    def quiet_from(self) -> float:
        """When the last audible thing ends or has ended; 0 when there was none."""
        return self._audible_until

    def is_speaking(self, now: float) -> bool:
        return self._audible_from is not None and self._audible_from <= now < self._audible_until

    def _settle(self, now: float) -> None:
        while self._queue and self._queue[0].end <= now:
            done = self._queue.popleft()
            self.heard.add(done.start, done.audio)
