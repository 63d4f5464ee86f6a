"""The connections to PostgreSQL, and transactions that see one account or none."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import psycopg
from psycopg.pq import Escaping, TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.db.corked import CorkedConnection
from hookflash.db.refusal import explained

Connection = psycopg.AsyncConnection[DictRow]

# Keeps what the row-level security obeys out of reach of the user that the URL names, who often owns the tables.
_CONFIGURE = """
set role hookflash_app;
set statement_timeout = '15s';
set idle_in_transaction_session_timeout = '30s';
set timezone = 'UTC'
"""
# Twilio gives up on a webhook after 15 s in all: a server whose database is away must say so in time to be asked again.
_WAIT_SECONDS = 5.0
# Their statements find single rows, whatever the values: planning them anew for each would cost more than they do.
_SET_ACCOUNT = (
    "select set_config('hookflash.account_id', %s, true), set_config('plan_cache_mode', 'force_generic_plan', true)"
)
_SET_ACCOUNT_NOT_DURABLE = f"{_SET_ACCOUNT}, set_config('synchronous_commit', 'off', true)"

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)

# A dead peer is noticed after some 15 s at most, also where no packet comes back.
_KEEPALIVES: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


class Database:
    """A pool of connections whose transactions obey row-level security.

    Rows are dictionaries unless a cursor asks for another row factory. psycopg prepares a statement after its fifth
    run and then keeps its plan: a query whose plan depends on its parameters or on `set local` (vector search) passes
    `prepare=False` to `execute`. `async with connection.pipeline()` works inside both kinds of transaction.
    """

    def __init__(self, pool: AsyncConnectionPool[CorkedConnection]) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, max_size: int = 10) -> AsyncIterator["Database"]:
        """Raises Misconfigured when the URL is wrong or the schema is missing, Unavailable when nobody answers."""
        await _verify(url)
        pool = AsyncConnectionPool[CorkedConnection](
            url,
            connection_class=CorkedConnection,
            kwargs={"autocommit": True, "row_factory": dict_row} | _KEEPALIVES,
            min_size=min(2, max_size),
            max_size=max_size,
            open=False,
            configure=_configure,
            timeout=_WAIT_SECONDS,
        )
        await pool.open()
        try:
            yield cls(pool)
        finally:
            with anyio.CancelScope(shield=True):
                await pool.close()

    @asynccontextmanager
    async def tenant(self, account_id: str) -> AsyncIterator[Connection]:
        """One transaction that sees the rows of this account only; it commits at the end, an exception rolls it back.

        Raises Unavailable when no connection is free or the server is lost, too slow, or chose this transaction to
        end a deadlock: everything in it may then be tried again, unless the commit itself went unanswered.
        """
        async with self._transaction(account_id) as connection:
            yield connection

    @asynccontextmanager
    async def pipelined(self, account_id: str) -> AsyncIterator[Connection]:
        """A transaction like `tenant`'s whose statements wait to be sent until a cursor is read, or until it commits.

        So it takes one round trip for each time that something is read, and what is only written travels with the
        commit: its cursors can be read after the block.
        """
        async with self._piped() as connection:
            await connection.execute("begin")
            await connection.execute(_SET_ACCOUNT, (account_id,))
            yield connection
            await _commit(connection)

    @asynccontextmanager
    async def at_once(self, account_id: str | None, *, durable: bool = True) -> AsyncIterator[Connection]:
        """A transaction like `tenant`'s (None: like `system`'s) in a single round trip.

        One that is not `durable` does not wait for the disk: others see it, but a crash of the server may undo it.

        It is for statements none of which needs another's answer.
        Reading a cursor ends it: what is executed after that raises, and what is executed within a further `pipeline()`
        belongs to no account. PostgreSQL makes a transaction of what is sent at once by itself, which spares begin and
        commit.
        """
        async with self._piped(once=True) as connection:
            if not durable:
                await connection.execute(_SET_ACCOUNT_NOT_DURABLE, (account_id or "",))
            elif account_id is not None:
                await connection.execute(_SET_ACCOUNT, (account_id,))
            yield connection

    @asynccontextmanager
    async def _piped(self, *, once: bool = False) -> AsyncIterator[Connection]:
        connection = await self._connection()
        try:
            try:
                async with connection.pipeline(once=once):
                    yield connection
            except BaseException:
                await _roll_back(connection)
                raise
        except psycopg.OperationalError as error:
            raise _unavailable(error, connection) from error
        finally:
            with anyio.CancelScope(shield=True):
                await self._pool.putconn(connection)

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """One transaction of no account: it sees the tables that belong to nobody, and no row of any account."""
        async with self._transaction(None) as connection:
            yield connection

    async def _connection(self) -> CorkedConnection:
        """One that lives. The pool's own check pauses for seconds between dead ones; after a restart all are dead."""
        while True:
            try:
                connection = await self._pool.getconn()
            except (PoolTimeout, PoolClosed) as error:
                raise Unavailable(
                    "No connection to the database became free in time.",
                    hint="see whether the database answers: hookflash doctor; HOOKFLASH_DATABASE_POOL_SIZE allows more",
                ) from error
            if await _lives(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)

    @asynccontextmanager
    async def _transaction(self, account_id: str | None) -> AsyncIterator[Connection]:
        connection = await self._connection()
        try:
            try:
                await connection.execute(_begin(connection, account_id))
                yield connection
                await _commit(connection)
            except BaseException:
                await _roll_back(connection)
                raise
        except psycopg.OperationalError as error:
            raise _unavailable(error, connection) from error
        finally:
            with anyio.CancelScope(shield=True):
                await self._pool.putconn(connection)


def _begin(connection: Connection, account_id: str | None) -> bytes:
    """Both statements travel in one message, so that a transaction costs one round trip to begin."""
    if account_id is None:
        return b"begin"
    # `set` takes no parameters, so the value is quoted here; in exchange nothing has to be planned.
    return b"begin; set local hookflash.account_id = " + Escaping(connection.pgconn).escape_literal(account_id.encode())


async def _commit(connection: Connection) -> None:
    if connection.info.transaction_status == TransactionStatus.INERROR:
        # PostgreSQL would answer such a commit by a rollback, in silence.
        raise psycopg.errors.InFailedSqlTransaction("a statement failed, so the transaction cannot be committed")
    await connection.execute("commit")


async def _roll_back(connection: Connection) -> None:
    with anyio.move_on_after(5.0, shield=True) as scope:
        try:
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                await connection.execute("rollback")
        except psycopg.Error:
            # What went wrong first is what the caller must hear; the pool replaces a closed connection.
            await connection.close()
    if scope.cancelled_caught:
        await connection.close()


def _unavailable(error: psycopg.OperationalError, connection: Connection) -> Exception:
    if connection.broken or connection.closed:
        return Unavailable("The connection to the database was lost.")
    match error:
        case psycopg.errors.QueryCanceled():
            return Unavailable("The database took too long to answer.")
        case (
            psycopg.errors.DeadlockDetected()
            | psycopg.errors.SerializationFailure()
            | psycopg.errors.LockNotAvailable()
        ):
            return Unavailable("The database ended this transaction because it was in the way of another.")
        case psycopg.errors.DiskFull() | psycopg.errors.OutOfMemory() | psycopg.errors.InsufficientResources():
            return Unavailable("The database has run out of disk or memory.")
        case _:
            return error


async def _configure(connection: Connection) -> None:
    await connection.execute(_CONFIGURE)


async def _lives(connection: Connection) -> bool:
    """Asks the server only when the idle socket has something to say, which is the end of it more often than not."""
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if not idle.poll(0):
        return True
    try:
        await connection.execute("")
    except psycopg.OperationalError:
        return False
    return True


async def _verify(url: str) -> None:
    """Connects once outside the pool, which would only say that nothing came in time."""
    try:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row, **_KEEPALIVES)
    except psycopg.Error as error:
        raise explained(error) from None
    async with connection:
        try:
            await _configure(connection)
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege):
            raise Misconfigured(
                "The database has no role hookflash_app, or its user may not take that role.",
                hint="run: hookflash migrate",
            ) from None
        cursor = await connection.execute(
            "select rolsuper or rolbypassrls as bypasses from pg_roles where rolname = current_user"
        )
        row = await cursor.fetchone()
    if row is None or row["bypasses"]:
        raise Misconfigured(
            "The database role hookflash_app may bypass row-level security, so accounts would see each other.",
            hint="run in the database: alter role hookflash_app nosuperuser nobypassrls",
        )
