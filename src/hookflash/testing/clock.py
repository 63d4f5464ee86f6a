"""Virtual time: a clock that moves only when a test says so, and wakes its sleepers one after the other."""

import heapq
from datetime import UTC, datetime, timedelta
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

_START = datetime(2025, 1, 1, tzinfo=UTC)


class VirtualClock:
    """Twin of `hookflash.base.clock.SystemClock`.

    Sleepers wake in the order of their hours, those of the same hour in the order in which they went to sleep, and each
    one's doings settle before the next wakes: a run is the same every time.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await checkpoint()
            return
        sleeper = (self._elapsed + seconds, next(self._order), anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    @property
    def sleeping(self) -> int:
        """How many sleep."""
        return len(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, and everything happen that is due in it."""
        if seconds < 0:
            raise ValueError("time does not go back")
        until = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, event = heapq.heappop(self._sleepers)
            self._elapsed = at
            event.set()
            await settle()
        self._elapsed = until

    async def next(self) -> float:
        """Go to the hour of the next sleeper and wake it; returns the seconds that passed (0 when nobody sleeps)."""
        await settle()
        if not self._sleepers:
            return 0.0
        seconds = self._sleepers[0][0] - self._elapsed
        await self.advance(seconds)
        return seconds


async def settle() -> None:
    """Wait until every other task waits for something."""
    for _ in range(20):
        await checkpoint()
    await anyio.wait_all_tasks_blocked()
