"""Being told by PostgreSQL that something happened: LISTEN on a connection that heals itself."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio
import anyio.abc
import psycopg
import structlog
from psycopg import sql

from hookflash.base.clock import Clock
from hookflash.db.session import notifications, session

log = structlog.get_logger()

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Notified:
    """`notify` was called on a channel; what it means is for the tables to say."""

    channel: str
    payload: str


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection was gone for a while, and notifications with it: read the state again."""


class Listener:
    """One connection of its own that listens on some channels for as long as `run` runs."""

    def __init__(self, url: str, channels: Sequence[str], clock: Clock) -> None:
        self._url = url
        self._channels = tuple(channels)
        self._clock = clock

    async def run(
        self,
        deliver: Callable[[Notified | Reconnected], Awaitable[None]],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listens until cancelled; `await task_group.start(listener.run, deliver)` returns when it hears.

        State that is read after that and again at each Reconnected misses nothing. What `deliver` raises ends it.
        """
        pause = _FIRST_PAUSE
        heard_before = False
        while True:
            try:
                async with session(self._url) as connection:
                    for channel in self._channels:
                        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    pause = _FIRST_PAUSE
                    if heard_before:
                        await deliver(Reconnected())
                    else:
                        heard_before = True
                        task_status.started()
                    async for notification in notifications(connection):
                        await deliver(Notified(notification.channel, notification.payload))
            except psycopg.Error as error:
                log.warning("database listener lost its connection", error=type(error).__name__)
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
