"""A lane: one contact's queue, walked by one worker at a time. What leaves, leaves in order; then what was said is answered."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import anyio
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import Fenced, HookflashError, Unavailable
from hookflash.conversation.message import Message
from hookflash.conversation.turn import Contact, Exchange, Session

log = structlog.get_logger()

MAX_RETHINKS = 2
MAX_FAILURES = 5
GATHER = 0.01
BACK_OFF_FIRST = 0.25
BACK_OFF_MOST = 300.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lane in our hands: the fence grows with every claim, so a commit under an old one is refused."""

    contact_id: str
    account_id: str
    fence: int
    worker: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """A message on its way out. `posting` means that a request for it may be under way, or may have been made.

    `marked` (monotonic seconds) is set on a row that we have just marked ourselves: its request is ours to make, soon.
    """

    id: str
    contact_id: str
    account_id: str
    integration_id: str
    address: str
    sender: str
    body: str
    kind: str
    state: str
    attempts: int
    poster: int | None
    posted_age: float | None
    waits: float | None
    marked: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What a contact said to one integration and was not answered yet; ages in seconds."""

    integration_id: str
    contact: Contact
    session: Session
    settings: dict[str, Any]
    messages: tuple[Message, ...]
    sender: str
    history: tuple[Exchange, ...]
    quiet_for: float
    waited: float


@dataclass(frozen=True, slots=True)
class Work:
    """A lane as its holder finds it; `more`: besides `unanswered` something else was said, to another integration.

    `stamps`: when the integrations concerned were last changed.
    """

    contact_id: str
    leaving: tuple[Leaving, ...]
    unanswered: Unanswered | None
    failures: int
    more: bool = False
    stamps: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send, after `delay` seconds."""

    body: str
    kind: str = "answer"
    delay: float = 0.0
    segments: int | None = None
    cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class Thought:
    """What thinking came to, ready to be committed. `state` is what becomes of the messages that it answers.

    `rate_after`: seconds of silence after which the person is asked how it was. `concealed`: texts of messages, by id, as they
    are kept from now on.
    """

    unanswered: Unanswered
    turn_id: str
    state: str
    why: str | None
    said: str
    question: str | None
    answered: str
    kind: str
    confidence: float | None
    model: str | None
    prompt_revision: str | None
    language: str | None
    record: dict[str, Any]
    outgoing: tuple[Outgoing, ...]
    cost_micros: int
    scope: str
    hand_off: str | None = None
    rate_after: float | None = None
    concealed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Newer:
    """More was said while we thought: think again with it."""


@dataclass(frozen=True, slots=True)
class Left:
    """A message has left, was withheld, or is settled for good: the next one may go."""


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing behind this message may go before `seconds` have passed."""

    seconds: float


class LaneStore(Protocol):
    """What the runner needs of the database; each call is a transaction of its own."""

    async def load(self, held: Held) -> Work: ...
    async def commit(
        self, held: Held, thought: Thought, *, final: bool, post_now: bool
    ) -> tuple[Leaving, ...] | Newer: ...
    async def acknowledge(self, held: Held, unanswered: Unanswered, out: Outgoing) -> Leaving | None: ...
    async def release(self, held: Held, due_in: float | None, *, failed: bool = False) -> None: ...
    async def give_up(self, held: Held, unanswered: Unanswered, why: str) -> None: ...


Acknowledge = Callable[[Outgoing], Awaitable[None]]
Think = Callable[[Held, Unanswered, Acknowledge], Awaitable[Thought]]
Deliver = Callable[[Held, Leaving], Awaitable[Left | Later]]


@dataclass(frozen=True, slots=True)
class LaneRunner:
    """Walks one lane. Decides the order of things only: thinking, delivering and storing are given."""

    store: LaneStore
    think: Think
    deliver: Deliver
    clock: Clock
    burst: Callable[[Unanswered], float] = field(default=lambda unanswered: 0.0)

    async def run(self, held: Held) -> None:
        """Do what is due on this lane and let go of it. Every surprise is recorded; the lane comes back later."""
        try:
            due_in = await self._walk(held)
        except Fenced:
            log.info("lane taken over", contact=held.contact_id)
        except HookflashError as error:
            log.warning("lane failed", contact=held.contact_id, error=type(error).__name__, reason=error.message)
            await self._insist(held, lambda: self._back_off(held))
        except Exception:
            log.exception("lane failed", contact=held.contact_id)
            await self._insist(held, lambda: self._back_off(held))
        else:
            await self._insist(held, lambda: self.store.release(held, due_in))

    async def _insist(self, held: Held, let_go: Callable[[], Awaitable[None]]) -> None:
        """A lane that is not let go of stays ours for as long as we live: try until the database takes it."""
        while True:
            try:
                return await let_go()
            except Unavailable as error:
                log.warning("lane cannot be let go of yet", contact=held.contact_id, reason=error.message)
            await self.clock.sleep(1.0)

    async def _back_off(self, held: Held) -> None:
        try:
            work = await self.store.load(held)
        except Unavailable:
            raise
        except Exception:
            log.exception("lane cannot be read", contact=held.contact_id)
            await self.store.release(held, BACK_OFF_MOST, failed=True)
            return
        if work.failures + 1 >= MAX_FAILURES and work.unanswered:
            await self.store.give_up(held, work.unanswered, "the assistant failed repeatedly")
            await self.store.release(held, 0.0)
        else:
            delay = min(BACK_OFF_FIRST * 4.0 ** min(work.failures, 20), BACK_OFF_MOST)
            await self.store.release(held, delay, failed=True)

    async def _walk(self, held: Held) -> float | None:
        work = await self.store.load(held)
        due_in = await self._send(held, work.leaving)
        if work.unanswered is None:
            return due_in
        burst = self.burst(work.unanswered)
        quiet = min(burst - work.unanswered.quiet_for, 4 * burst - work.unanswered.waited)
        if quiet > 0.05:
            return quiet if due_in is None else min(quiet, due_in)
        due_in = await self._answer(held, work.unanswered, due_in)
        return 0.0 if work.more else due_in

    async def _answer(self, held: Held, unanswered: Unanswered, due_in: float | None) -> float | None:
        """Answer, and send the answer unless something before it has to wait for `due_in` seconds; when to go on."""

        async def acknowledge(out: Outgoing) -> None:
            nonlocal due_in
            row = await self.store.acknowledge(held, unanswered, out) if due_in is None else None
            if row is not None:
                due_in = await self._send(held, (row,))

        for again in range(MAX_RETHINKS + 1):
            thought = await self.think(held, unanswered, acknowledge)
            final = again == MAX_RETHINKS
            committed = await self.store.commit(held, thought, final=final, post_now=due_in is None)
            if not isinstance(committed, Newer):
                return due_in if due_in is not None else await self._send(held, committed)
            await self.clock.sleep(self.burst(unanswered))
            newer = (await self.store.load(held)).unanswered
            if newer is None:
                return due_in
            unanswered = newer
        return due_in  # pragma: no cover - the last commit is final

    async def _send(self, held: Held, rows: Sequence[Leaving]) -> float | None:
        """Deliver in order; seconds until the first one that has to wait may go, or None."""
        for row in rows:
            match await self.deliver(held, row):
                case Left():
                    continue
                case Later(seconds=seconds):
                    return seconds
        return None


class Lanes(Protocol):
    """Where due lanes are claimed."""

    async def claim(self, most: int) -> list[Held]: ...
    async def next_due(self) -> float | None: ...


class LaneWorker:
    """Keeps up to `most` lanes going at once: claims when woken or when the next lane comes due."""

    def __init__(self, lanes: Lanes, runner: LaneRunner, *, most: int, idle: float = 5.0) -> None:
        self._lanes = lanes
        self._runner = runner
        self._free = anyio.Semaphore(most)
        self._idle = idle
        self._woken = anyio.Event()
        self._running = 0
        self._stopping = False

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    @property
    def running(self) -> int:
        return self._running

    async def run(self) -> None:
        """Until cancelled, or until `stop`."""
        async with anyio.create_task_group() as tasks:
            while not self._stopping:
                self._woken = anyio.Event()
                try:
                    taken = await self._claim()
                    due = 0.0 if taken else await self._lanes.next_due()
                except Unavailable as error:
                    log.warning("lanes cannot be claimed", reason=error.message)
                    taken, due = [], 1.0
                for held in taken:
                    self._running += 1
                    tasks.start_soon(self._one, held)
                pause = self._idle if due is None else min(due, self._idle)
                if pause > 0:
                    with anyio.move_on_after(pause):
                        await self._woken.wait()
                if self._running:
                    # While there is work in hand, what comes due is taken together.
                    await anyio.sleep(GATHER)

    def stop(self) -> None:
        """Claim nothing more; `run` returns when the lanes in hand are done."""
        self._stopping = True
        self._woken.set()

    async def _claim(self) -> list[Held]:
        await self._free.acquire()
        spare = 1
        while spare < 32:
            try:
                self._free.acquire_nowait()
            except anyio.WouldBlock:
                break
            spare += 1
        taken: list[Held] = []
        try:
            taken = await self._lanes.claim(spare)
        finally:
            for _ in range(spare - len(taken)):
                self._free.release()
        return taken

    async def _one(self, held: Held) -> None:
        try:
            await self._runner.run(held)
        except Unavailable as error:
            log.warning("lane left to its lease", contact=held.contact_id, reason=error.message)
        finally:
            self._running -= 1
            self._free.release()
            self._woken.set()
