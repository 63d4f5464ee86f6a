"""What happens behind a call's machine: its alarm, and the record of what was heard, written while the call goes on."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.speech.events import Heard, Measured

log = structlog.get_logger()

KEEP_SECONDS = 10.0


class Alarm:
    """Rings at the moment that was set last; one that is set anew rings only then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: float | None = None
        self._changed = anyio.Event()

    def set(self, at: float) -> None:
        """Monotonic seconds."""
        self._at = at
        self._changed.set()

    async def run(self, ring: Callable[[], None]) -> None:
        """Until it is cancelled."""
        while True:
            self._changed = anyio.Event()
            if self._at is None:
                await self._changed.wait()
                continue
            left = self._at - self._clock.monotonic()
            if left > 0:
                with anyio.move_on_after(left):
                    await self._changed.wait()
                continue
            self._at = None
            ring()


class Keeper:
    """Has each turn kept by `keep`, in their order, tried again while that may help."""

    def __init__(self, clock: Clock, keep: Callable[[Heard, Measured | None], Awaitable[None]]) -> None:
        self._clock = clock
        self._keep = keep
        self._unkept: list[tuple[Heard, Measured | None]] = []
        self._keeping = anyio.Lock()
        self._more = anyio.Event()

    def heard(self, heard: Heard) -> None:
        """A turn is over."""
        self._unkept.append((heard, None))
        self._more.set()

    def measured(self, measured: Measured) -> None:
        """Its measures, which come right behind it."""
        if self._unkept and self._unkept[-1][0].turn == measured.turn:
            self._unkept[-1] = (self._unkept[-1][0], measured)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._more.wait()
            self._more = anyio.Event()
            await self._rest()

    async def finish(self) -> None:
        """Keep what is left when the call is over, for a few seconds at most, also when it is cancelled."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(KEEP_SECONDS):
            await self._rest()

    async def _rest(self) -> None:
        async with self._keeping:
            while self._unkept:
                heard, measured = self._unkept[0]
                try:
                    # A turn that is half kept when the call ends must not be kept a second time.
                    with anyio.CancelScope(shield=True):
                        await self._keep(heard, measured)
                except HookflashError as error:
                    log.warning("a turn of a call could not be kept", reason=error.message)
                    if error.retryable:
                        await self._clock.sleep(0.5)
                        continue
                self._unkept.pop(0)
