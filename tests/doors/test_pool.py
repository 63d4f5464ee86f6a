"""The pool: what a transaction sees, what it leaves behind, and what becomes of it when the server goes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg.rows import tuple_row

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.db.migrate import VERSIONS, Ahead, Behind, Current, migrate, newest, require_current, state
from hookflash.db.pool import Database


async def create_account(database: Database, account_id: str) -> None:
    async with database.system() as connection:
        await connection.execute("select create_account(%s, %s)", (account_id, f"Account {account_id}"))


async def names(database: Database, account_id: str) -> list[str]:
    async with database.tenant(account_id) as connection:
        cursor = await connection.execute("select name from accounts order by name")
        return [row["name"] for row in await cursor.fetchall()]


async def test_a_tenant_sees_its_own_rows_only(database: Database) -> None:
    await create_account(database, "acc_a")
    await create_account(database, "acc_b")
    assert await names(database, "acc_a") == ["Account acc_a"]
    assert await names(database, "acc_b") == ["Account acc_b"]
    assert await names(database, "acc_c") == []


async def test_a_transaction_of_no_account_sees_no_rows(database: Database) -> None:
    await create_account(database, "acc_a")
    # The same connection served a tenant just before; nothing of it may remain.
    assert await names(database, "acc_a") == ["Account acc_a"]
    async with database.system() as connection:
        assert await (await connection.execute("select * from accounts")).fetchall() == []


async def test_a_tenant_cannot_write_for_another(database: Database) -> None:
    await create_account(database, "acc_a")
    await create_account(database, "acc_b")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.tenant("acc_a") as connection:
            await connection.execute("insert into answer_cache (account_id, key, answer) values ('acc_b', 'k', '1')")


@pytest.mark.parametrize("account_id", ["it's", "back\\slash", "'; reset role; --", "ümlaut", ""])
async def test_any_text_is_an_account(database: Database, account_id: str) -> None:
    async with database.tenant(account_id) as connection:
        cursor = await connection.execute("select current_setting('hookflash.account_id') as id, current_user as role")
        assert await cursor.fetchone() == {"id": account_id, "role": "hookflash_app"}


async def test_an_exception_rolls_back(database: Database) -> None:
    async def fail() -> None:
        async with database.system() as connection:
            await connection.execute("select create_account('acc_a', 'A')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(database, "acc_a") == []


async def test_cancellation_rolls_back_and_frees_the_connection(database_url: str) -> None:
    async with Database.open(database_url, max_size=1) as database:
        with anyio.CancelScope() as scope:
            async with database.system() as connection:
                await connection.execute("select create_account('acc_a', 'A')")
                scope.cancel()
                await connection.execute("select pg_sleep(60)")
        assert scope.cancelled_caught
        assert await names(database, "acc_a") == []


async def test_a_swallowed_error_does_not_pass_for_a_commit(database: Database) -> None:
    async def swallow() -> None:
        async with database.system() as connection:
            await connection.execute("select create_account('acc_a', 'A')")
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.execute("select 1/0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await swallow()
    assert await names(database, "acc_a") == []


async def test_a_savepoint_saves_the_transaction_around_it(database: Database) -> None:
    async with database.system() as connection:
        await connection.execute("select create_account('acc_a', 'A')")
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with connection.transaction():
                await connection.execute("select 1/0")
    assert await names(database, "acc_a") == ["A"]


async def test_statements_travel_in_a_pipeline(database: Database) -> None:
    async with database.tenant("acc_a") as connection:
        async with connection.pipeline():
            first = await connection.execute("select current_setting('hookflash.account_id') as id")
            second = connection.cursor(row_factory=tuple_row)
            await second.execute("select 2")
        assert await first.fetchone() == {"id": "acc_a"}
        assert await second.fetchone() == (2,)


async def test_a_transaction_at_once_ends_where_it_is_read(database: Database) -> None:
    account_id = "acc_a"
    await create_account(database, account_id)
    async with database.at_once(account_id) as conn:
        made = await conn.execute(
            "insert into contacts (id, account_id) values ('cont_1', %s) returning id", (account_id,)
        )
        assert await made.fetchall() == [{"id": "cont_1"}]
        async with database.tenant(account_id) as other:
            seen = await other.execute("select id from contacts")
            assert await seen.fetchall() == [{"id": "cont_1"}]
        with pytest.raises(psycopg.ProgrammingError, match="has ended"):
            await conn.execute("select id from contacts")
    async with database.at_once(account_id) as conn:
        again = await conn.execute("select count(*)::int as n from contacts")
    assert await again.fetchone() == {"n": 1}


async def test_what_fails_in_a_transaction_at_once_is_told_where_it_is_read(database: Database) -> None:
    await create_account(database, "acc_a")

    async def fails() -> None:
        async with database.at_once("acc_a") as conn:
            await conn.execute("insert into contacts (id, account_id) values ('cont_1', 'acc_a')")
            wrong = await conn.execute("select 1 / %s::int", (0,))
            await wrong.fetchone()

    with pytest.raises(psycopg.errors.DivisionByZero):
        await fails()
    async with database.at_once("acc_a") as conn:
        assert await (await conn.execute("select id from contacts")).fetchall() == []


async def test_a_restarted_server_is_not_noticed(database: Database, database_url: str) -> None:
    await create_account(database, "acc_a")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
    assert await names(database, "acc_a") == ["Account acc_a"]


async def test_a_connection_lost_in_the_middle_is_unavailable(database: Database, database_url: str) -> None:
    async def lose() -> None:
        async with database.system() as connection:
            with psycopg.connect(database_url, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
            await connection.execute("select 1")

    with pytest.raises(Unavailable):
        await lose()


async def test_a_slow_statement_is_unavailable(database: Database) -> None:
    with pytest.raises(Unavailable, match="too long"):
        async with database.system() as connection:
            await connection.execute("set local statement_timeout = 10; select pg_sleep(60)")


async def test_the_limits_hold_in_every_connection(database: Database) -> None:
    async with database.system() as connection:
        cursor = await connection.execute(
            "select current_setting('statement_timeout') as a, current_setting('idle_in_transaction_session_timeout') as b"
        )
        assert await cursor.fetchone() == {"a": "15s", "b": "30s"}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://u:s3cret@127.0.0.1:1/x", Unavailable),
        ("mysql://u:s3cret@host/x", Misconfigured),
        ("postgresql://u:s3cret%zz@host/x", Misconfigured),
    ],
)
async def test_a_useless_url_is_explained_without_the_password(url: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        async with Database.open(url):
            pass
    assert "s3cret" not in str(caught.value)


async def test_an_unknown_database_and_user_name_the_setting(server_url: str) -> None:
    for url in (server_url.replace("@/hookflash?", "@/nowhere?"), server_url.replace("//hookflash@", "//stranger@")):
        with pytest.raises(Misconfigured) as caught:
            async with Database.open(url):
                pass
        assert caught.value.hint is not None
        assert "HOOKFLASH_DATABASE_URL" in caught.value.hint


async def test_a_role_that_bypasses_security_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("alter role hookflash_app bypassrls")
        try:
            with pytest.raises(Misconfigured, match="bypass"):
                async with Database.open(database_url):
                    pass
        finally:
            admin.execute("alter role hookflash_app nobypassrls")


async def test_every_table_with_an_account_is_secured(database_url: str) -> None:
    with psycopg.connect(database_url) as admin:
        open_tables = admin.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
            " where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace"
            " and a.attname = 'account_id' and not a.attisdropped and not c.relrowsecurity"
        ).fetchall()
    assert open_tables == []


def test_a_migrated_database_is_current(database_url: str) -> None:
    assert state(database_url) == Current()
    assert migrate(database_url) == []
    require_current(database_url)


def test_of_many_that_migrate_at_once_one_does(server_url: str) -> None:
    with psycopg.connect(server_url.replace("@/hookflash?", "@/postgres?"), autocommit=True) as admin:
        admin.execute("create database empty")
    url = server_url.replace("@/hookflash?", "@/empty?")
    assert state(url) == Behind(None, newest())
    with pytest.raises(Misconfigured, match="empty"):
        require_current(url)
    with ThreadPoolExecutor() as threads:
        applied = sorted(threads.map(migrate, [url] * 3))
    assert applied[:2] == [[], []]
    assert applied[2][0] == "0001"
    assert applied[2][-1] == newest()
    assert state(url) == Current()


def test_a_newer_schema_is_fit_for_use(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("update alembic_version set version_num = '9999'")
    assert state(database_url) == Ahead("9999")
    assert migrate(database_url) == []
    require_current(database_url)


def test_revisions_follow_each_other_by_the_numbers_of_their_files() -> None:
    script = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])
    walked = [(step.revision, Path(step.path).name[:4]) for step in script.walk_revisions()]
    assert [number for number, _ in walked] == [number for _, number in walked]
    assert script.get_heads() == [newest()]


def test_an_old_schema_is_refused_with_the_remedy(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("update alembic_version set version_num = '0001'")
    assert state(database_url) == Behind("0001", newest())
    with pytest.raises(Misconfigured, match="schema is old") as caught:
        require_current(database_url)
    assert caught.value.hint == "run: hookflash migrate"
