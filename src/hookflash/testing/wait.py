"""Waiting for something to become true in a system of real sockets and processes."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable

import anyio


async def until(
    condition: Callable[[], object | Awaitable[object]], seconds: float = 30.0, every: float = 0.02
) -> None:
    """Return when the condition holds; raises TimeoutError after `seconds`."""
    with anyio.fail_after(seconds):
        while True:
            found = condition()
            if await found if isawaitable(found) else found:
                return
            await anyio.sleep(every)
