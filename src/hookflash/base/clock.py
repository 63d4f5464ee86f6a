"""Time as an argument: the only module that asks the machine what time it is."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import anyio

T = TypeVar("T")


class Clock(Protocol):
    """Where code gets the time from; `hookflash.testing.clock.VirtualClock` is its twin for tests."""

    def now(self) -> datetime:
        """The current instant, timezone-aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once when `seconds` is not positive."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))


async def within(clock: Clock, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work in at most `seconds` of the clock; raises TimeoutError, and whatever the work raises."""
    done: list[T] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            await clock.sleep(seconds)
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            done.append(await work())
        except Exception as error:  # noqa: BLE001 - raised again below, outside of the group, which would wrap it
            failed.append(error)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError
    return done[0]
