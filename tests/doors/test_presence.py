"""Presence: a number that lives exactly as long as its holder's connection."""

import anyio
import psycopg

from hookflash.base.clock import SystemClock
from hookflash.db.pool import Database
from hookflash.db.presence import LOCK_CLASS, Presence, living


async def alive(database: Database) -> set[int]:
    async with database.system() as connection:
        return await living(connection)


async def test_whoever_runs_is_living_and_whoever_ended_is_not(database: Database, database_url: str) -> None:
    first, second = Presence(database_url, SystemClock()), Presence(database_url, SystemClock())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(first.run)
            async with anyio.create_task_group() as inner:
                await inner.start(second.run)
                one, two = await first.life(), await second.life()
                assert one.number != two.number
                assert await alive(database) == {one.number, two.number}
                inner.cancel_scope.cancel()
            assert two.lost.is_set()
            assert not one.lost.is_set()
            while two.number in (left := await alive(database)):
                pass
            assert left == {one.number}
            group.cancel_scope.cancel()


async def test_a_lost_connection_ends_the_life_and_begins_another(database: Database, database_url: str) -> None:
    presence = Presence(database_url, SystemClock())
    with anyio.fail_after(20), psycopg.connect(database_url, autocommit=True) as admin:
        async with anyio.create_task_group() as group:
            await group.start(presence.run)
            before = await presence.life()
            admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and classid = %s",
                (LOCK_CLASS,),
            )
            await before.lost.wait()
            after = await presence.life()
            assert after.number != before.number
            assert await alive(database) == {after.number}
            group.cancel_scope.cancel()


async def test_lanes_of_the_living_stay_theirs(database: Database, database_url: str) -> None:
    presence = Presence(database_url, SystemClock())
    with anyio.fail_after(20), psycopg.connect(database_url, autocommit=True) as admin:
        async with anyio.create_task_group() as group:
            await group.start(presence.run)
            life = await presence.life()
            dead = life.number % 1000 + 1
            admin.execute("select create_account('acc_a', 'A')")
            for contact, worker in (("con_1", life.number), ("con_2", dead)):
                admin.execute("insert into contacts (id, account_id) values (%s, 'acc_a')", (contact,))
                admin.execute(
                    "insert into lanes (contact_id, account_id, worker, lease_until)"
                    " values (%s, 'acc_a', %s, now() + interval '1 hour')",
                    (contact, worker),
                )
            async with database.system() as connection:
                await connection.execute("select free_dead_lanes()")
            left = admin.execute("select contact_id from lanes where worker is not null").fetchall()
            assert left == [("con_1",)]
            group.cancel_scope.cancel()
