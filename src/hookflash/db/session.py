"""A connection that is kept for its own sake: how it is opened, and how its death is noticed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import psycopg

# Both ends ask after each other, so that a machine which vanished without a word is noticed within some ten seconds.
_CLIENT: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 9_000,
}
_SERVER = """
set tcp_keepalives_idle = 3;
set tcp_keepalives_interval = 2;
set tcp_keepalives_count = 3;
set tcp_user_timeout = '9s';
set idle_session_timeout = 0
"""
_QUIET_SECONDS = 5.0
_ANSWER_SECONDS = 4.0


@asynccontextmanager
async def session(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """An autocommit connection outside the pool. Raises what psycopg raises when there is none to be had."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, **_CLIENT)
    try:
        await connection.execute(_SERVER)
        yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


async def notifications(connection: psycopg.AsyncConnection) -> AsyncIterator[psycopg.Notify]:
    """What the server tells unasked; raises psycopg.OperationalError when the connection is dead, never just ends."""
    while True:
        async for notification in connection.notifies(timeout=_QUIET_SECONDS):
            yield notification
        with anyio.move_on_after(_ANSWER_SECONDS) as patience:
            await connection.execute("")
        if patience.cancelled_caught:
            raise psycopg.OperationalError("the server does not answer")
