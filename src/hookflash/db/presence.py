"""Proof that a process lives: a number, locked for as long as the process keeps its connection."""

import secrets
from dataclasses import dataclass, field

import anyio
import anyio.abc
import psycopg
import structlog

from hookflash.base.clock import Clock
from hookflash.db.pool import Connection
from hookflash.db.session import notifications, session

log = structlog.get_logger()

# The class of our advisory locks; the function free_dead_lanes of the schema looks for the same number.
LOCK_CLASS = 1_215_782_247

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Life:
    """One stretch of being provably alive. Once `lost` is set others take our work over: stop, and drop it."""

    number: int
    lost: anyio.Event = field(default_factory=anyio.Event)


class Presence:
    """Holds a process's number in the database and takes a new one after each loss of the connection."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._life: Life | None = None
        self._changed = anyio.Event()

    async def life(self) -> Life:
        """The present life, which is waited for while the database is out of reach."""
        while self._life is None:
            await self._changed.wait()
        return self._life

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Holds until cancelled; `await task_group.start(presence.run)` returns when the first number is held."""
        pause = _FIRST_PAUSE
        started = False
        while True:
            try:
                async with session(self._url) as connection:
                    life = Life(await _take_number(connection))
                    self._become(life)
                    pause = _FIRST_PAUSE
                    if not started:
                        started = True
                        task_status.started()
                    try:
                        async for _ in notifications(connection):
                            pass
                    finally:
                        life.lost.set()
                        self._become(None)
            except psycopg.Error as error:
                log.warning("presence in the database lost", error=type(error).__name__)
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _become(self, life: Life | None) -> None:
        self._life = life
        self._changed.set()
        self._changed = anyio.Event()


async def living(connection: Connection) -> set[int]:
    """The numbers of all processes that live."""
    cursor = await connection.execute(
        """
        select objid::bigint as number from pg_locks
        where locktype = 'advisory' and classid = %s and objsubid = 2 and granted
          and database = (select oid from pg_database where datname = current_database())
        """,
        (LOCK_CLASS,),
    )
    return {row["number"] for row in await cursor.fetchall()}


async def _take_number(connection: psycopg.AsyncConnection) -> int:
    while True:
        number = 1 + secrets.randbelow(2**31 - 1)
        cursor = await connection.execute("select pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, number))
        row = await cursor.fetchone()
        if row is not None and row[0]:
            return number
