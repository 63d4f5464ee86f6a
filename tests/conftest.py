"""All tests run on asyncio (`async def test_...` needs no mark), and none of them is judged by its speed.

Those that need PostgreSQL get a real one: one server a session, a fresh database a test.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.migrate import migrate
from hookflash.db.pool import Database

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

_numbers = count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fresh_directory() -> Iterator[Path]:
    """A path where nothing is yet, which the user that PostgreSQL runs as can reach (pytest's own is closed to it)."""
    path = Path(tempfile.gettempdir()) / f"hookflash-test-{uuid4().hex[:12]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The address of the session's server; its database `hookflash` is migrated and is what others are copied from."""
    path = Path(tempfile.gettempdir()) / f"hookflash-tests-{uuid4().hex[:12]}"
    server = EmbeddedPostgres(path)
    url = server.start()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            # These databases need not survive a power failure: 14 ms instead of 42 to make one.
            connection.execute("alter system set fsync = off")
            connection.execute("select pg_reload_conf()")
        migrate(url)
        yield url
    finally:
        server.stop()
        shutil.rmtree(path, ignore_errors=True)


def url_of(server_url: str, database: str) -> str:
    """The address of another database on the same server."""
    return server_url.replace("@/hookflash?", f"@/{database}?")


@pytest.fixture
def database_url(server_url: str) -> str:
    """A fresh database with the newest schema and no rows."""
    number = next(_numbers)
    with psycopg.connect(url_of(server_url, "postgres"), autocommit=True) as connection:
        # The one before, now that nobody is connected to it any more: that takes 5 ms, and 100 right after its test.
        connection.execute(f"drop database if exists test_{number - 1} with (force)".encode())
        connection.execute(f"create database test_{number} template hookflash strategy file_copy".encode())
    return url_of(server_url, f"test_{number}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open pool on a fresh database."""
    async with Database.open(database_url) as opened:
        yield opened
