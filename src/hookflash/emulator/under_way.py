"""What is under way: background work of the box, counted, so that one can wait for its end."""

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from hookflash.base.clock import Clock


class UnderWay:
    """Starts work in a task group and knows when none is left."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._under_way = 0
        self._idle = anyio.Event()
        self._idle.set()

    def start(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Perform `work(*args)` in the background."""
        if not self._under_way:
            self._idle = anyio.Event()
        self._under_way += 1
        self._tasks.start_soon(self._perform, work, *args)

    def start_later(self, clock: Clock, seconds: float, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Perform `work(*args)` after a time that does not count as being under way."""

        async def wait() -> None:
            await clock.sleep(seconds)
            self.start(work, *args)

        self._tasks.start_soon(wait)

    async def _perform(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        try:
            await work(*args)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def idle(self, timeout: float = 30.0) -> None:
        """Return when nothing is under way; raises TimeoutError after `timeout` real seconds."""
        with anyio.fail_after(timeout):
            await self._idle.wait()
