"""Which revision a database's schema is at, which one the program needs, and the way from the one to the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from hookflash.base.errors import Misconfigured
from hookflash.db.refusal import explained

VERSIONS = Path(__file__).parent / "migrations" / "versions"
OLDEST_SERVER = 16

# Any constant does; it must only be the same in every process that migrates.
_LOCK = 4_067_218


@dataclass(frozen=True, slots=True)
class Current:
    """The schema is the one that this program needs."""


@dataclass(frozen=True, slots=True)
class Behind:
    """The schema is older: `have` is None for an empty database."""

    have: str | None
    want: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """The schema was made by a newer program; by the expand/contract rule the last program before it still works."""

    have: str


def newest() -> str:
    """The revision that this program needs: the number at the head of the last file's name."""
    return max(path.name[:4] for path in VERSIONS.glob("[0-9][0-9][0-9][0-9]_*.py"))


def state(url: str) -> Current | Behind | Ahead:
    """Compares the database with the program; blocks for a few milliseconds. Raises Unavailable and Misconfigured."""
    with _connected(url) as connection:
        return _state(connection)


def require_current(url: str) -> None:
    """Raises Misconfigured when the schema is older than the program; a newer one is fit for use."""
    match state(url):
        case Behind(None, _):
            raise Misconfigured("The database is empty.", hint="run: hookflash migrate")
        case Behind(have, want):
            raise Misconfigured(
                f"The database schema is old: it is at revision {have}, and {want} is needed.",
                hint="run: hookflash migrate",
            )
        case Current() | Ahead():
            return


def migrate(url: str) -> list[str]:
    """Brings the schema up to date and returns the revisions that were applied, oldest first.

    Blocks; any number of processes may call it at once, and one of them does the work. Raises Misconfigured when the
    server is too old or pgvector is missing, Unavailable when it does not answer.
    """
    with _connected(url) as connection:
        if not isinstance(_state(connection), Behind):
            return []
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        if not isinstance(_state(connection), Behind):
            return []
        _require_fit(connection)
        # Imported here because it takes longer than all the rest of a start that has nothing to migrate.
        from hookflash.db.migrations.upgrade import upgrade

        return upgrade(url)


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise explained(error) from None
    with connection:
        yield connection


def _state(connection: psycopg.Connection) -> Current | Behind | Ahead:
    have = None
    want = newest()
    row = connection.execute("select to_regclass('alembic_version') is not null").fetchone()
    if row is not None and row[0]:
        row = connection.execute("select version_num from alembic_version").fetchone()
        have = row[0] if row is not None else None
    if have == want:
        return Current()
    if have is not None and have > want:
        return Ahead(have)
    return Behind(have, want)


def _require_fit(connection: psycopg.Connection) -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        raise Misconfigured(
            f"The database server is PostgreSQL {version}; {OLDEST_SERVER} or newer is needed.",
            hint="set HOOKFLASH_DATABASE_URL to a newer server, or leave it empty to let hookflash run its own",
        )
    try:
        connection.execute("create extension if not exists vector")
    except psycopg.errors.InsufficientPrivilege:
        raise Misconfigured(
            "The database user may not create the extension pgvector.",
            hint="as a superuser of the database, run: create extension vector",
        ) from None
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        raise Misconfigured(
            "The database server does not have the extension pgvector.",
            hint="install pgvector on the server (packages are called postgresql-16-pgvector or similar)",
        ) from None
