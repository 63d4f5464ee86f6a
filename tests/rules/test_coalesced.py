"""Calls that are made together: everybody gets their own outcome, whatever happens to the others."""

from collections.abc import Sequence

import anyio
import pytest

from hookflash.base.coalesced import MOST, Coalesced


class Doubling:
    """Doubles numbers; waits to be let go when it is told to."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.free = anyio.Event()
        if not held:
            self.free.set()

    async def __call__(self, _: str, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.free.wait()
        if len(items) > 1 and 13 in items:
            raise ValueError("thirteen spoils a whole batch")
        if items == [13]:
            raise ValueError("thirteen")
        return [LookupError("seven") if item == 7 else item * 2 for item in items]


async def ask(call: Coalesced[int, int], item: int, into: dict[int, int | str]) -> None:
    try:
        into[item] = await call("account", item)
    except (ValueError, LookupError) as error:
        into[item] = str(error)


async def test_what_is_ready_at_the_same_time_goes_together() -> None:
    work = Doubling()
    call: Coalesced[int, int] = Coalesced(work)
    got: dict[int, int | str] = {}
    async with anyio.create_task_group() as tasks:
        for item in range(5):
            tasks.start_soon(ask, call, item, got)
    assert got == {item: item * 2 for item in range(5)}
    assert sum(map(len, work.batches)) == 5
    assert len(work.batches) < 5


async def test_keys_are_kept_apart() -> None:
    seen: list[tuple[str, list[int]]] = []

    async def perform(key: str, items: Sequence[int]) -> list[int]:
        seen.append((key, list(items)))
        return list(items)

    call: Coalesced[int, int] = Coalesced(perform)
    async with anyio.create_task_group() as tasks:
        for key in ("a", "b"):
            for item in range(3):
                tasks.start_soon(call, key, item)
    assert {key for key, _ in seen} == {"a", "b"}
    assert sorted(item for key, items in seen for item in items if key == "a") == [0, 1, 2]


async def test_one_that_fails_costs_the_others_nothing() -> None:
    work = Doubling()
    call: Coalesced[int, int] = Coalesced(work)
    got: dict[int, int | str] = {}
    async with anyio.create_task_group() as tasks:
        for item in (1, 13, 7, 2):
            tasks.start_soon(ask, call, item, got)
    assert got == {1: 2, 13: "thirteen", 7: "seven", 2: 4}


async def test_while_flights_are_under_way_others_wait_and_then_go_at_most_so_many_at_once() -> None:
    work = Doubling(held=True)
    call: Coalesced[int, int] = Coalesced(work, flights=2)
    got: dict[int, int | str] = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, call, 1000, got)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, call, 1001, got)
        await anyio.wait_all_tasks_blocked()
        for item in range(100, 100 + MOST + 3):
            tasks.start_soon(ask, call, item, got)
        await anyio.wait_all_tasks_blocked()
        assert work.batches == [[1000], [1001]]
        work.free.set()
    assert len(got) == MOST + 5
    assert max(map(len, work.batches)) == MOST
    assert got[100] == 200


@pytest.mark.parametrize("shield", [True, False])
async def test_a_caller_who_leaves_does_not_take_the_others_along(*, shield: bool) -> None:
    work = Doubling(held=True)
    call: Coalesced[int, int] = Coalesced(work, flights=1, shield=shield)
    got: dict[int, int | str] = {}
    scope = anyio.CancelScope()

    async def impatient() -> None:
        with scope:
            await ask(call, 1, got)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(impatient)
        tasks.start_soon(ask, call, 2, got)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, call, 3, got)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        work.free.set()
    assert (got[2], got[3]) == (4, 6)
    assert scope.cancelled_caught is True or shield


async def test_whoever_waits_may_leave_too() -> None:
    work = Doubling(held=True)
    call: Coalesced[int, int] = Coalesced(work, flights=1)
    got: dict[int, int | str] = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, call, 1, got)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await call("account", 2)
        tasks.start_soon(ask, call, 3, got)
        await anyio.wait_all_tasks_blocked()
        work.free.set()
    assert got == {1: 2, 3: 6}
    assert [2] not in work.batches


async def test_no_flight_starts_with_nobody() -> None:
    sizes: list[int] = []

    async def perform(key: str, items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        for _ in range(items[0] % 4 if items else 0):
            await anyio.lowlevel.checkpoint()
        return list(items)

    together: Coalesced[int, int] = Coalesced(perform)

    async def caller(number: int) -> None:
        for item in range(60):
            for _ in range((number * 7 + item * 5) % 6):
                await anyio.lowlevel.checkpoint()
            assert await together("key", item) == item

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(caller, number)
    assert sum(sizes) == 300
    assert 0 not in sizes
