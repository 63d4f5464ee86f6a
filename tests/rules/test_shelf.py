"""Indexes in memory: read once a version, made from the one before, in bounded room, whoever gives up waiting."""

from dataclasses import dataclass, field

import anyio
import pytest

from hookflash.knowledge.shelf import Key, Shelf


@dataclass(frozen=True, slots=True)
class Index:
    """Which versions it was made from."""

    made_of: tuple[int, ...]
    nbytes: int = 10


@dataclass
class Library:
    """Gives indexes when the gate is open."""

    gate: anyio.Event = field(default_factory=anyio.Event)
    loading: anyio.Event = field(default_factory=anyio.Event)
    loads: int = 0

    async def load(self, account_id: str, key: Key, held: Index | None) -> Index:
        self.loads += 1
        self.loading.set()
        await self.gate.wait()
        return Index((held.made_of if held else ()) + (self.loads,))


@pytest.fixture
async def library() -> Library:
    return Library()


async def test_an_index_is_read_once_a_version_and_made_from_the_one_before(library: Library) -> None:
    shelf = Shelf(library.load)
    library.gate.set()
    for version, made_of in [(3, (1,)), (3, (1,)), (2, (1,)), (4, (1, 2)), (4, (1, 2))]:
        (index,) = await shelf.indexes("acct", [(("src",), version)])
        assert index.made_of == made_of


async def test_those_who_ask_at_the_same_time_wait_for_one_reading(library: Library) -> None:
    shelf = Shelf(library.load)
    found: list[Index] = []

    async def ask() -> None:
        found.extend(await shelf.indexes("acct", [(("src",), 1)]))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
        await library.loading.wait()
        library.gate.set()
    assert [index.made_of for index in found] == [(1,)] * 5


async def test_who_gives_up_waiting_does_not_break_the_reading_off(library: Library) -> None:
    shelf = Shelf(library.load)
    given_up = anyio.CancelScope()

    async def ask() -> None:
        with given_up:
            await shelf.indexes("acct", [(("src",), 1)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await library.loading.wait()
        given_up.cancel()
        library.gate.set()
    await shelf.indexes("acct", [(("src",), 1)])
    assert library.loads == 1


async def test_what_was_asked_least_recently_goes_when_there_is_no_room(library: Library) -> None:
    shelf = Shelf(library.load, max_bytes=25)
    library.gate.set()
    for source in ("a", "b", "a", "c", "a"):
        await shelf.indexes("acct", [((source,), 1)])
    assert library.loads == 3
    await shelf.indexes("acct", [(("b",), 1)])
    assert library.loads == 4
