"""Walking a lane: what leaves first, when to wait, when to think again, how failures end. In virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from hookflash.base.errors import Fenced, Unavailable
from hookflash.base.phone import Address
from hookflash.conversation.lane import (
    BACK_OFF_MOST,
    MAX_FAILURES,
    Acknowledge,
    Held,
    LaneRunner,
    LaneWorker,
    Later,
    Leaving,
    Left,
    Newer,
    Outgoing,
    Thought,
    Unanswered,
    Work,
)
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.turn import Contact, Session
from hookflash.testing.clock import VirtualClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HELD = Held("cont_1", "acc_1", 1, 7)


def unanswered(*texts: str, quiet: float = 9.0, waited: float = 9.0) -> Unanswered:
    person = Address.parse("+15550111222")
    return Unanswered(
        integration_id="intg_1",
        contact=Contact("cont_1", None, None),
        session=Session("sess_1", "asst_1", 1, {}, NOW),
        settings={},
        messages=tuple(Message(f"msg_{t}", Direction.IN, person, t, NOW) for t in texts),
        sender="+15550100200",
        history=(),
        quiet_for=quiet,
        waited=waited,
    )


def row(name: str, **changes: Any) -> Leaving:
    plain = Leaving(
        id=name,
        contact_id="cont_1",
        account_id="acc_1",
        integration_id="intg_1",
        address="+15550111222",
        sender="+15550100200",
        body=name,
        kind="answer",
        state="waiting",
        attempts=0,
        poster=None,
        posted_age=None,
        waits=None,
    )
    return replace(plain, **changes)


def thought(about: Unanswered, *bodies: str) -> Thought:
    return Thought(
        unanswered=about,
        turn_id="turn_1",
        state="answered",
        why=None,
        said="",
        question=None,
        answered="",
        kind="answered",
        confidence=None,
        model=None,
        prompt_revision=None,
        language=None,
        record={},
        outgoing=tuple(Outgoing(b) for b in bodies),
        cost_micros=0,
        scope="+15550100200",
    )


@dataclass
class Bench:
    """A lane in memory, and what its runner did to it, in order."""

    clock: VirtualClock
    works: list[Work]
    newer: list[Unanswered] = field(default_factory=list)
    stuck: dict[str, float] = field(default_factory=dict)
    fails: list[Exception] = field(default_factory=list)
    lost: int = 0
    done: list[tuple[Any, ...]] = field(default_factory=list)
    burst: float = 1.0

    async def load(self, held: Held) -> Work:
        return self.works.pop(0) if len(self.works) > 1 else self.works[0]

    async def think(self, held: Held, about: Unanswered, acknowledge: Acknowledge) -> Thought:
        if self.fails:
            raise self.fails.pop(0)
        words = " ".join(m.text for m in about.messages)
        self.done.append(("think", words))
        if "slow" in words:
            await acknowledge(Outgoing("one moment", "acknowledgement"))
        return thought(about, f"re {words}")

    async def commit(self, held: Held, made: Thought, *, final: bool, post_now: bool) -> tuple[Leaving, ...] | Newer:
        if self.newer and not final:
            self.works = [Work("cont_1", (), self.newer.pop(0), 0)]
            return Newer()
        self.done.append(("commit", final, post_now))
        return tuple(row(out.body) for out in made.outgoing)

    async def acknowledge(self, held: Held, about: Unanswered, out: Outgoing) -> Leaving | None:
        return row(out.body, kind=out.kind)

    async def deliver(self, held: Held, leaving: Leaving) -> Left | Later:
        if leaving.id in self.stuck:
            return Later(self.stuck[leaving.id])
        self.done.append(("deliver", leaving.id))
        return Left()

    async def release(self, held: Held, due_in: float | None, *, failed: bool = False) -> None:
        if self.lost:
            self.lost -= 1
            raise Unavailable("the database is away")
        self.done.append(("release", due_in, failed))

    async def give_up(self, held: Held, about: Unanswered, why: str) -> None:
        self.done.append(("give up", why))

    async def run(self) -> list[tuple[Any, ...]]:
        runner = LaneRunner(self, self.think, self.deliver, self.clock, lambda about: self.burst)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, HELD)
            while not any(step[0] == "release" for step in self.done):
                await self.clock.next()
        return self.done


def bench(work: Work, **more: Any) -> Bench:
    return Bench(VirtualClock(), [work], **more)


def work(*leaving: Leaving, about: Unanswered | None = None, failures: int = 0) -> Work:
    return Work("cont_1", leaving, about, failures)


async def test_what_waits_leaves_before_anything_is_thought() -> None:
    assert await bench(work(row("a"), row("b"), about=unanswered("hi"))).run() == [
        ("deliver", "a"),
        ("deliver", "b"),
        ("think", "hi"),
        ("commit", False, True),
        ("deliver", "re hi"),
        ("release", None, False),
    ]


async def test_nothing_overtakes_a_message_that_has_to_wait() -> None:
    stuck = bench(work(row("a"), row("b"), row("c"), about=unanswered("hi")), stuck={"b": 4.0})
    # The answer is thought and kept, but not marked as posting and not delivered.
    assert await stuck.run() == [
        ("deliver", "a"),
        ("think", "hi"),
        ("commit", False, False),
        ("release", 4.0, False),
    ]


@pytest.mark.parametrize(
    ("quiet", "waited", "due"),
    [(0.2, 0.2, 0.8), (0.2, 3.5, 0.5), (0.2, 3.9, 0.1), (0.2, 4.0, None), (0.2, 60.0, None), (1.0, 1.0, None)],
)
async def test_a_burst_is_waited_for_at_most_four_times_its_window(
    quiet: float, waited: float, due: float | None
) -> None:
    done = await bench(work(about=unanswered("hi", quiet=quiet, waited=waited))).run()
    released = done[-1][1]
    assert ("think", "hi") in done if due is None else [round(released, 6), len(done)] == [due, 1]


async def test_what_is_said_meanwhile_is_thought_again_with_it_twice_at_most() -> None:
    more = [unanswered("a", "b"), unanswered("a", "b", "c"), unanswered("a", "b", "c", "d")]
    done = await bench(work(about=unanswered("a")), newer=more).run()
    assert [step for step in done if step[0] != "release"] == [
        ("think", "a"),
        ("think", "a b"),
        ("think", "a b c"),
        ("commit", True, True),
        ("deliver", "re a b c"),
    ]


async def test_an_acknowledgement_leaves_first_unless_something_blocks_the_lane() -> None:
    assert ("deliver", "one moment") in await bench(work(about=unanswered("slow"))).run()
    blocked = await bench(work(row("a"), about=unanswered("slow")), stuck={"a": 1.0}).run()
    assert ("deliver", "one moment") not in blocked


@pytest.mark.parametrize(("failures", "delay"), [(0, 0.25), (1, 1.0), (2, 4.0), (3, 16.0), (500, BACK_OFF_MOST)])
async def test_failures_back_off(failures: int, delay: float) -> None:
    about = unanswered("hi") if failures < MAX_FAILURES else None
    failing = bench(work(row("a"), about=about, failures=failures), fails=[RuntimeError("no")])
    if about is None:
        failing.deliver = _raising  # type: ignore[method-assign]
    assert (await failing.run())[-1] == ("release", delay, True)


async def _raising(held: Held, leaving: Leaving) -> Left | Later:
    raise RuntimeError("no")


async def test_the_fifth_failure_gives_up_and_asks_for_a_person() -> None:
    done = await bench(work(about=unanswered("hi"), failures=MAX_FAILURES - 1), fails=[Unavailable("no")]).run()
    assert done == [("give up", "the assistant failed repeatedly"), ("release", 0.0, False)]


async def test_who_lost_the_lane_touches_nothing_more() -> None:
    fenced = bench(work(about=unanswered("hi")), fails=[Fenced("taken over")])
    runner = LaneRunner(fenced, fenced.think, fenced.deliver, fenced.clock)
    await runner.run(HELD)
    assert fenced.done == []


async def test_a_lane_is_let_go_of_as_soon_as_the_database_is_back() -> None:
    away = bench(work(about=unanswered("hi")), lost=3)
    assert (await away.run())[-1] == ("release", None, False)
    assert away.clock.monotonic() == 3.0


async def test_a_lane_that_cannot_even_be_read_does_not_take_its_worker_down() -> None:
    poisoned = bench(work())

    async def unreadable(held: Held) -> Work:
        raise KeyError("cited")

    poisoned.load = unreadable  # type: ignore[method-assign]
    assert await poisoned.run() == [("release", BACK_OFF_MOST, True)]


@dataclass
class Queue:
    """Due lanes; `claim` gives at most what is asked for."""

    due: list[Held]
    asked: list[int] = field(default_factory=list)
    down: int = 0

    async def claim(self, most: int) -> list[Held]:
        self.asked.append(most)
        if self.down:
            self.down -= 1
            raise Unavailable("the database is away")
        taken, self.due = self.due[:most], self.due[most:]
        return taken

    async def next_due(self) -> float | None:
        return None


def worker(queue: Queue, run: Callable[[Held], Any], most: int) -> LaneWorker:
    class Runner(LaneRunner):
        async def run(self, held: Held) -> None:
            await run(held)

    idle = bench(work())
    return LaneWorker(queue, Runner(idle, idle.think, idle.deliver, idle.clock), most=most, idle=0.01)


async def test_a_worker_holds_no_more_lanes_than_it_may_and_ends_when_they_are_done() -> None:
    queue = Queue([replace(HELD, contact_id=f"cont_{n}") for n in range(7)])
    running, most, ran = 0, 0, 0
    role: list[LaneWorker] = []

    async def run(held: Held) -> None:
        nonlocal running, most, ran
        running += 1
        most = max(most, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running -= 1
        ran += 1
        if ran == 7:
            role[0].stop()

    role.append(worker(queue, run, most=3))
    with anyio.fail_after(10):
        await role[0].run()
    assert (most, ran, role[0].running) == (3, 7, 0)
    assert max(queue.asked) <= 3


async def test_a_worker_outlives_a_database_that_is_away_and_a_lane_that_breaks() -> None:
    queue = Queue([HELD, replace(HELD, contact_id="cont_2")], down=1)
    ran: list[str] = []
    role: list[LaneWorker] = []

    async def run(held: Held) -> None:
        ran.append(held.contact_id)
        if len(ran) == 2:
            role[0].stop()
        raise Unavailable("the database went away")

    role.append(worker(queue, run, most=1))
    with anyio.fail_after(10):
        await role[0].run()
    assert sorted(ran) == ["cont_1", "cont_2"]
