"""Messages that come at the same time are taken in together, and still each as if it had come alone."""

from collections import Counter
from pathlib import Path

import anyio

from hookflash.base.phone import Address
from hookflash.channels.accept import Accepted, Acceptor
from hookflash.conversation import lane_store
from hookflash.conversation.intake import Arrival
from hookflash.conversation.lane_store import Release
from hookflash.testing.wait import until
from tests.doors.textline import OURS, TextLine, text_line


def acceptor(line: TextLine) -> Acceptor:
    return line.core.webhooks().acceptor


def arrival(line: TextLine, number: int, sender: str, text: str = "hello") -> Arrival:
    return Arrival(
        account_id=line.account_id,
        integration_id=line.integration.id,
        sid=f"SM{number:032x}",
        address=Address.parse(sender),
        sender=Address.parse(OURS),
        text=text,
        media=(),
        at=line.core.clock.now(),
    )


async def come(line: TextLine, arrivals: list[Arrival]) -> list[Accepted]:
    """All of them at the same time, in this order."""
    accept = acceptor(line)
    found: dict[int, Accepted] = {}

    async def one(number: int, coming: Arrival) -> None:
        found[number] = await accept.accept(line.integration, coming)

    async with anyio.create_task_group() as tasks:
        for number, coming in enumerate(arrivals):
            tasks.start_soon(one, number, coming)
    return [found[number] for number in range(len(arrivals))]


async def test_each_is_stored_once_whatever_else_comes_with_it(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        people = [f"+1555011{number:04d}" for number in range(20)]
        texts = [arrival(line, n, sender) for n, sender in enumerate(2 * people)]
        again = texts[5:15]
        accepted = await come(line, [*texts, *again])
        states = Counter((one.sid, outcome.state) for one, outcome in zip([*texts, *again], accepted, strict=True))
        assert states == Counter([(one.sid, "unanswered") for one in texts] + [(one.sid, "duplicate") for one in again])
        rows = await line.rows("select sid, contact_id, session_id, xmin::text as by from messages order by seq")
        assert sorted(row["sid"] for row in rows) == sorted(one.sid for one in texts)
        assert len({row["contact_id"] for row in rows}) == len({row["session_id"] for row in rows}) == len(people)
        assert len({row["by"] for row in rows}) < len(rows)
        assert len(await line.rows("select 1 from journal where kind = 'received'")) == len(rows)


async def test_what_one_person_says_is_judged_in_its_order(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        mine, other = "+15550110001", "+15550110002"
        said = [(mine, "STOP"), (other, "hello"), (mine, "one thing more"), (mine, "START"), (mine, "and now")]
        accepted = await come(line, [arrival(line, n, sender, text) for n, (sender, text) in enumerate(said)])
        assert [one.state for one in accepted] == ["silenced", "unanswered", "silenced", "silenced", "unanswered"]


async def test_two_addresses_of_one_person_share_a_session(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        first, second = "+15550110001", "+15550110002"
        await come(line, [arrival(line, 1, first)])
        await line.rows(
            "insert into contact_addresses (account_id, address, contact_id) select account_id, %s, contact_id"
            " from contact_addresses where address = %s returning 1",
            second,
            first,
        )
        await line.rows("update sessions set last_at = last_at - interval '1 day' returning 1")
        await come(line, [arrival(line, 2, second), arrival(line, 3, "+15550110003"), arrival(line, 4, first)])
        rows = await line.rows("select sid, session_id from messages order by sid")
        _, by_second, _, by_first = (row["session_id"] for row in rows)
        assert by_second == by_first
        assert len({row["session_id"] for row in rows}) == 3


async def test_who_is_held_up_holds_up_nobody_else(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        stuck, others = "+15550110001", ["+15550110002", "+15550110003"]
        await come(line, [arrival(line, 1, stuck)])
        accept = acceptor(line)
        through: list[str] = []
        both = anyio.Event()

        async def one(number: int, sender: str) -> None:
            await accept.accept(line.integration, arrival(line, number, sender))
            through.append(sender)
            if len(through) == len(others):
                both.set()

        async with anyio.create_task_group() as tasks, line.core.db.tenant(line.account_id) as conn:
            await conn.execute("select from lanes for update")
            for number, sender in enumerate([stuck, *others], 2):
                tasks.start_soon(one, number, sender)
            with anyio.fail_after(30):
                await both.wait()
            assert sorted(through) == others
        assert through[-1] == stuck
        assert len(await line.rows("select 1 from messages")) == 4


async def test_lanes_are_let_go_of_in_the_order_in_which_they_are_locked(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=0, burst_ms=0) as line:
        await come(line, [arrival(line, n, f"+1555011000{n}") for n in range(2)])
        async with line.core.db.at_once(None) as conn:
            first, second = sorted(await lane_store.claim(conn, 7, 30.0, 2), key=lambda held: held.contact_id)

        async def let_go() -> None:
            async with line.core.db.tenant(line.account_id) as conn:
                await lane_store.release(conn, [Release(second, None), Release(first, None)])

        async def waits() -> bool:
            return bool(await line.rows("select 1 from pg_locks where not granted"))

        async with anyio.create_task_group() as tasks, line.core.db.tenant(line.account_id) as conn:
            await conn.execute("select from lanes where contact_id = %s for update", (first.contact_id,))
            tasks.start_soon(let_go)
            await until(waits)
            await conn.execute("select from lanes where contact_id = %s for update", (second.contact_id,))
        assert not await line.rows("select 1 from lanes where worker is not null")
