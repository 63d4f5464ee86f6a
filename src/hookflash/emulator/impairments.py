"""What a bad line does to the caller's sound: loss, jitter, duplicates, gaps; and how a call breaks off."""

import heapq
from itertools import count
from random import Random
from typing import Annotated, Generic, TypeVar

import msgspec

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Impairments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bad line. Times are seconds since the call was answered.

    loss         share of the frames that never arrive
    jitter       a frame arrives up to that many seconds late, and so perhaps after its successors
    duplicates   share of the frames that arrive twice
    gap          from when to when no frame arrives at all
    muted_from   from then on the caller's microphone gives only silence
    hang_up_at   the caller hangs up, whatever the script says
    cut_at       the WebSocket breaks without a closing word; the call lives on
    """

    loss: Probability = 0.0
    jitter: Seconds = 0.0
    duplicates: Probability = 0.0
    gap: tuple[float, float] | None = None
    muted_from: float | None = None
    hang_up_at: float | None = None
    cut_at: float | None = None


PERFECT = Impairments()

T = TypeVar("T")


class Link(Generic[T]):
    """The way of the frames to the bot: they go in as they are spoken and come out as they arrive."""

    def __init__(self, impairments: Impairments, rng: Random) -> None:
        self._bad = impairments
        self._rng = rng
        self._order = count()
        self._coming: list[tuple[float, int, T]] = []
        self.lost = 0

    def carry(self, frame: T, now: float) -> bool:
        """Send a frame on its way; False when it is lost."""
        bad = self._bad
        if (bad.gap and bad.gap[0] <= now < bad.gap[1]) or (bad.loss and self._rng.random() < bad.loss):
            self.lost += 1
            return False
        for _ in range(2 if bad.duplicates and self._rng.random() < bad.duplicates else 1):
            delay = self._rng.random() * bad.jitter if bad.jitter else 0.0
            heapq.heappush(self._coming, (now + delay, next(self._order), frame))
        return True

    def arrived(self, now: float) -> list[T]:
        """The frames that arrive up to now, in order of arrival."""
        frames = []
        while self._coming and self._coming[0][0] <= now:
            frames.append(heapq.heappop(self._coming)[2])
        return frames
