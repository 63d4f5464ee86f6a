"""What dies or falters is not always a process of ours: Twilio's answers, a worker that sleeps, the database."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest

from hookflash.conversation.journal import Sound
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.migrate import migrate
from hookflash.emulator.faults import CREATED_FIRST
from hookflash.testing.wait import until
from tests.chaos.customers import Customer, Postbox, Said, crowd, talk
from tests.chaos.line import SMS, Line, chaos_line
from tests.chaos.verdict import Verdict, judge


async def converse(line: Line, customers: list[Customer]) -> None:
    """Everybody says everything, and all comes to rest."""
    postbox = Postbox(line)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(postbox.watch)
        await talk(customers, postbox)
        await line.at_rest(120)
        tasks.cancel_scope.cancel()


async def settled(line: Line, customers: list[Customer]) -> Verdict:
    """The verdict, on a sound journal."""
    journal = await line.verify_journal()
    assert isinstance(journal, Sound), journal
    return judge(customers, line.emulator.messages)


async def test_sends_that_were_accepted_and_then_failed_are_not_repeated(
    database_url: str, fresh_directory: Path
) -> None:
    customers = crowd(Random(3), 90)
    async with chaos_line(database_url, fresh_directory, waits={"patience": 0.5}) as line:
        for kind in CREATED_FIRST:
            line.emulator.fault(kind, probability=0.07)
        line.emulator.fault("lose_status", probability=0.5)
        await converse(line, customers)
        assert await settled(line, customers) == Verdict((), (), ())
        unclear = [e for p in line.fleet.processes for e in p.said() if e["event"] == "send is unclear"]
        assert len(unclear) > 5
        assert not await line.rows("select 1 from messages where state = 'parked'")


async def test_a_worker_that_slept_past_its_lease_changes_nothing(database_url: str, fresh_directory: Path) -> None:
    waits = {"lease": 2.0, "absent": 7.0}
    async with chaos_line(database_url, fresh_directory, waits=waits, webs=1, workers=0) as line:
        line.fleet.restarting = False
        for number, point in enumerate(("in_generation", "before_commit", "after_commit", "after_send")):
            customer = Customer(f"+1555300000{number}", SMS, (Said(f"text {number}-0", 0), Said(f"text {number}-1", 0)))
            phone = line.emulator.handset(customer.number)
            sleeper = await line.fleet.start("worker")
            await until(sleeper.presence)
            sleeper.set_trap(point, signal.SIGSTOP)
            phone.text(SMS, customer.says[0].text)
            await until(sleeper.caught)
            other = await line.fleet.start("worker")
            await line.at_rest()
            os.kill(sleeper.pid, signal.SIGCONT)
            if point in ("in_generation", "before_commit"):
                await until(lambda: sleeper.says("lane taken over"))  # noqa: B023 - awaited here
            phone.text(SMS, customer.says[1].text)
            await line.at_rest()
            assert await settled(line, [customer]) == Verdict((), (), ()), point
            for process in (sleeper, other):
                os.kill(process.pid, signal.SIGKILL)
                await until(lambda: not process.lives)  # noqa: B023 - awaited here


@pytest.fixture
def mortal(fresh_directory: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, to be killed."""
    server = EmbeddedPostgres(fresh_directory / "postgres")
    migrate(server.start())
    yield server
    server.stop()


def crash(server: EmbeddedPostgres) -> None:
    """PostgreSQL dies at once, with every transaction that it had open."""
    assert server._process is not None
    server._process.kill()
    server.stop()


async def test_a_database_that_crashes_loses_nothing(mortal: EmbeddedPostgres, fresh_directory: Path) -> None:
    customers = crowd(Random(5), 80)
    async with chaos_line(mortal.start(), fresh_directory) as line:
        crashed = anyio.Event()

        async def interrupt() -> None:
            await until(lambda: len(line.emulator.messages) > 40)
            await anyio.to_thread.run_sync(crash, mortal)
            # 503 is what makes Twilio try again, and then the fallback address.
            await until(line.is_down, 30)
            await anyio.to_thread.run_sync(mortal.start)
            crashed.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupt)
            await converse(line, customers)
        assert crashed.is_set()
        assert await settled(line, customers) == Verdict((), (), ())
        tries = [e.data["tries"] for e in line.emulator.events.after(0) if e.kind == "webhook"]
        assert max(tries) > 1
