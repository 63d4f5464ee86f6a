"""Knows the order of frames: puts late ones right, covers missing ones, and holds nothing back while all is in order."""

from collections import deque
from dataclasses import dataclass

from hookflash.speech.audio import SILENCE, faded

# Milliseconds of the stream's own clock.
_STEP = 20
_DEEPEST = 60
# A frame may be this far from where it was expected and still be the next: the stream's clock runs a little off.
_SLACK = 10
# A gap as long as this is a pause of the stream; a longer one, or a jump back by more, is a new beginning.
_LONGEST_FILL = 2000
_JUMP_BACK = 1000
# After this many frames without trouble a frame may wait less again.
_CALM = 500
_HELD_MOST = 64
_LATEST_TIMESTAMP = 2**53
_BYTES_PER_MS = 8


@dataclass(slots=True)
class FrameCounts:
    """What became of the frames. `missing` counts the ones that we had to cover, `late` those that came after that."""

    received: int = 0
    late: int = 0
    missing: int = 0
    duplicate: int = 0
    malformed: int = 0
    reordered: int = 0
    restarts: int = 0


class JitterBuffer:
    """One call's. Gives back an unbroken sound: missing frames are repeated ever fainter, then silent.

    A frame waits only when one before it is missing, and then no longer than `depth_ms` (0 to 60, by what was met).
    Times (`now`) are seconds of any clock that never goes back.
    """

    __slots__ = ("_calm", "_covered", "_due", "_given", "_held", "_last", "_next", "_started", "counts", "depth_ms")

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self.depth_ms = _STEP
        # The timestamp that the next frame should have.
        self._next = 0
        self._started = False
        self._held: dict[int, bytes] = {}
        self._due = 0.0
        self._last = b""
        self._calm = 0
        # Timestamps of frames given out lately, and of frames that we made up.
        self._given: deque[int] = deque(maxlen=16)
        self._covered: deque[int] = deque(maxlen=64)

    def push(self, timestamp_ms: int | str, payload: bytes, now: float) -> list[bytes]:
        """The frames that may be heard now that this one has come."""
        counts = self.counts
        counts.received += 1
        try:
            timestamp = int(timestamp_ms)
        except ValueError:
            timestamp = -1
        if not payload or not 0 <= timestamp < _LATEST_TIMESTAMP:
            counts.malformed += 1
            return []
        if not self._started:
            self._started = True
            self._next = timestamp
        ahead = timestamp - self._next
        if -_SLACK <= ahead <= _SLACK:
            out = [self._give(timestamp, payload)]
            if self._held:
                counts.reordered += 1
                self._calm = 0
                self._add_held(out)
            return out
        if ahead < -_JUMP_BACK or ahead > _LONGEST_FILL:
            return self._restart(timestamp, payload)
        if ahead < 0:
            self._too_late(timestamp)
            return []
        if any(abs(timestamp - other) <= _SLACK for other in self._held):
            counts.duplicate += 1
            return []
        if not self._held:
            self._due = now + self.depth_ms / 1000
        elif timestamp < max(self._held):
            counts.reordered += 1
        self._held[timestamp] = payload
        return self._overdue(now)

    def tick(self, now: float) -> list[bytes]:
        """The frames that have waited long enough; to be asked every 20 ms or so while `waiting`."""
        return self._overdue(now) if self._held else []

    @property
    def waiting(self) -> bool:
        """Whether frames are held back."""
        return bool(self._held)

    def _give(self, timestamp: int, payload: bytes) -> bytes:
        self._next = timestamp + (len(payload) // _BYTES_PER_MS or 1)
        self._last = payload
        self._given.append(timestamp)
        self._calm += 1
        if self._calm >= _CALM and self.depth_ms:
            self._calm = 0
            self.depth_ms -= _STEP
        return payload

    def _add_held(self, out: list[bytes]) -> None:
        """Those of the held frames whose turn it is."""
        while self._held:
            timestamp = min(self._held)
            ahead = timestamp - self._next
            if ahead > _SLACK:
                break
            payload = self._held.pop(timestamp)
            if ahead >= -_SLACK:
                out.append(self._give(timestamp, payload))
            else:
                self.counts.duplicate += 1

    def _overdue(self, now: float) -> list[bytes]:
        """Gives the missing up, once the held ones have waited long enough or are too many."""
        span = max(self._held) - min(self._held)
        if now < self._due and span < self.depth_ms and len(self._held) < _HELD_MOST:
            return []
        out: list[bytes] = []
        while self._held:
            self._cover(min(self._held), out)
            self._add_held(out)
        return out

    def _cover(self, until: int, out: list[bytes]) -> None:
        self._calm = 0
        piece = self._last[-_STEP * _BYTES_PER_MS :]
        number = 0
        while until - self._next > _SLACK:
            # Two frames fading, which hides a lost one; then silence, which does not buzz.
            out.append(faded(piece, 1 + 2 * number) if number < 2 else bytes([SILENCE]) * len(piece))
            self._covered.append(self._next)
            self._next += len(piece) // _BYTES_PER_MS or 1
            self.counts.missing += 1
            number += 1

    def _too_late(self, timestamp: int) -> None:
        for covered in self._covered:
            if abs(timestamp - covered) <= _SLACK:
                self._covered.remove(covered)
                self.counts.late += 1
                self.depth_ms = min(_DEEPEST, self.depth_ms + _STEP)
                return
        if any(abs(timestamp - given) <= _SLACK for given in self._given):
            self.counts.duplicate += 1
        else:
            self.counts.late += 1

    def _restart(self, timestamp: int, payload: bytes) -> list[bytes]:
        out = [self._held[held] for held in sorted(self._held)]
        self._held.clear()
        self._covered.clear()
        self._given.clear()
        self.counts.restarts += 1
        out.append(self._give(timestamp, payload))
        return out
