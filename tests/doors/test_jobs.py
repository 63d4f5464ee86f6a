"""Jobs: they exist when their transaction commits, run once or again, and outlive their worker."""

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import anyio
import anyio.lowlevel
import anyio.to_thread
import psycopg
import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Invalid, Unavailable
from hookflash.db.jobs import Task, defer, work
from hookflash.db.pool import Database

WORKER = """
import sys, anyio
from hookflash.base.clock import SystemClock
from hookflash.db.jobs import Task, work
async def hang(n):
    print(n, flush=True)
    await anyio.sleep_forever()
anyio.run(work, sys.argv[1], [Task("note", hang)], SystemClock())
"""


def first_word_of_a_worker_that_is_killed(url: str) -> bytes:
    with subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        word = process.stdout.readline()
        process.kill()
    return word


class Notes:
    """What jobs have reported, in order."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[object](math.inf)

    async def write(self, n: object) -> None:
        await self._send.send(n)

    async def take(self, count: int) -> list[object]:
        with anyio.fail_after(30):
            return [await self._receive.receive() for _ in range(count)]

    def close(self) -> None:
        self._send.close()
        self._receive.close()


@pytest.fixture
def notes() -> Iterator[Notes]:
    written = Notes()
    yield written
    written.close()


async def test_a_job_exists_when_its_transaction_commits(database: Database, database_url: str, notes: Notes) -> None:
    async def fail() -> None:
        async with database.system() as connection:
            await defer(connection, "note", n=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.tenant("acc_a") as connection:
        assert isinstance(await defer(connection, "note", n=2), int)
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        assert await notes.take(1) == [2]
        async with database.system() as connection:
            await defer(connection, "note", n=3)
        assert await notes.take(1) == [3]
        group.cancel_scope.cancel()


@pytest.mark.parametrize("steps", [1, 10, 30, 100, 300, 1_000, 3_000, 10_000])
async def test_a_worker_that_is_cancelled_leaves_nothing_running(
    database: Database, database_url: str, notes: Notes, steps: int
) -> None:
    before = asyncio.all_tasks()
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert asyncio.all_tasks() == before


async def test_a_queueing_lock_adds_one_and_spoils_no_transaction(database: Database) -> None:
    async with database.system() as connection:
        assert await defer(connection, "note", queueing_lock="q", n=1) is not None
        assert await defer(connection, "note", queueing_lock="q", n=2) is None
        cursor = await connection.execute("select args from procrastinate_jobs")
        assert await cursor.fetchall() == [{"args": {"n": 1}}]


async def test_jobs_of_one_lock_run_in_order_one_at_a_time(database: Database, database_url: str, notes: Notes) -> None:
    running = 0

    async def alone(n: int) -> None:
        nonlocal running
        running += 1
        await anyio.lowlevel.checkpoint()
        await notes.write((n, running))
        running -= 1

    async with database.system() as connection:
        for n in range(3):
            await defer(connection, "alone", lock="one", n=n)
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("alone", alone)], SystemClock())
        assert await notes.take(3) == [(0, 1), (1, 1), (2, 1)]
        group.cancel_scope.cancel()


async def test_what_may_help_is_tried_again_and_what_cannot_is_not(
    database: Database, database_url: str, notes: Notes
) -> None:
    tries = {"flaky": 0, "wrong": 0}

    async def flaky() -> None:
        tries["flaky"] += 1
        if tries["flaky"] == 1:
            raise Unavailable("The model is out.")
        await notes.write("done")

    async def wrong() -> None:
        tries["wrong"] += 1
        raise Invalid("The document is not a document.")

    async with database.system() as connection:
        await defer(connection, "wrong")
        await defer(connection, "flaky")
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("flaky", flaky), Task("wrong", wrong)], SystemClock())
        assert await notes.take(1) == ["done"]
        group.cancel_scope.cancel()
    assert tries == {"flaky": 2, "wrong": 1}
    async with database.system() as connection:
        cursor = await connection.execute("select task_name, status::text from procrastinate_jobs")
        assert await cursor.fetchall() == [{"task_name": "wrong", "status": "failed"}]


async def test_a_stopped_worker_leaves_its_job_to_another(database: Database, database_url: str, notes: Notes) -> None:
    async def hang(n: int) -> None:
        await notes.write("begun")
        await anyio.sleep_forever()

    async with database.system() as connection:
        await defer(connection, "note", queueing_lock="q", n=1)
    async with anyio.create_task_group() as group:
        group.start_soon(
            lambda: work(database_url, [Task("note", hang, retries=0)], SystemClock(), concurrency=1, patience=0.05),
        )
        assert await notes.take(1) == ["begun"]
        async with database.system() as connection:
            # While it runs, its like may wait again.
            assert await defer(connection, "note", queueing_lock="q", n=2) is not None
        group.cancel_scope.cancel()
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        assert sorted(map(str, await notes.take(2))) == ["1", "2"]
        group.cancel_scope.cancel()


async def test_a_killed_workers_job_is_taken_over(database: Database, database_url: str, notes: Notes) -> None:
    async with database.system() as connection:
        await defer(connection, "note", lock="one", n=1)
    assert await anyio.to_thread.run_sync(first_word_of_a_worker_that_is_killed, database_url) == b"1\n"
    with psycopg.connect(database_url, autocommit=True) as admin:
        # Its last sign of life, as if time had passed since.
        admin.execute("update procrastinate_workers set last_heartbeat = now() - interval '16 seconds'")
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        assert await notes.take(1) == [1]
        group.cancel_scope.cancel()


async def test_jobs_of_unknown_tasks_wait_for_a_worker_that_knows_them(
    database: Database, database_url: str, notes: Notes
) -> None:
    async with database.system() as connection:
        await defer(connection, "from a newer release")
        await defer(connection, "note", schedule_in=timedelta(days=1), n=1)
        await defer(connection, "note", n=2)
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        assert await notes.take(1) == [2]
        group.cancel_scope.cancel()
    async with database.system() as connection:
        cursor = await connection.execute("select task_name, status::text from procrastinate_jobs order by id")
        assert await cursor.fetchall() == [
            {"task_name": "from a newer release", "status": "todo"},
            {"task_name": "note", "status": "todo"},
        ]


async def test_periodic_tasks_run_without_being_asked(database_url: str, notes: Notes) -> None:
    async def tick() -> None:
        await notes.write("tick")

    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("tick", tick, every="* * * * * *")], SystemClock())
        assert await notes.take(2) == ["tick", "tick"]
        group.cancel_scope.cancel()


async def test_a_worker_outlives_the_loss_of_its_connections(
    database: Database, database_url: str, notes: Notes
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work, database_url, [Task("note", notes.write)], SystemClock())
        async with database.system() as connection:
            await defer(connection, "note", n=1)
        assert await notes.take(1) == [1]
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
        async with database.system() as connection:
            await defer(connection, "note", n=2)
        assert await notes.take(1) == [2]
        group.cancel_scope.cancel()
