"""Calls of the same kind that come while others are under way, made together by the next one: busy times cost less each."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST = 32


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Outcome]):
    """`called` is what it waits for while it neither is settled nor leads a flight."""

    item: Item
    called: anyio.Event | None = None
    leads: bool = False
    outcome: list[Outcome] = field(default_factory=list)
    error: Exception | None = None

    @property
    def settled(self) -> bool:
        return bool(self.outcome) or self.error is not None

    def result(self) -> Outcome:
        if self.error is not None:
            raise self.error
        return self.outcome[0]


@dataclass(slots=True)
class _Line(Generic[Item, Outcome]):
    waiting: deque[_Waiting[Item, Outcome]] = field(default_factory=deque)
    flights: int = 0


class Coalesced(Generic[Item, Outcome]):
    """`perform(key, items)` does for all items what a caller asks for one; an outcome that is an exception is raised.

    At most `flights` are under way for a key. When one fails as a whole each of its items is tried alone, all at the
    same time, so that nobody pays for another's mistake. With `shield` a flight is never broken off: a caller that is
    cancelled while it leads one waits for its end first. Otherwise the others of its flight go with the next one.
    """

    def __init__(
        self,
        perform: Callable[[str, Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        flights: int = 2,
        shield: bool = True,
    ) -> None:
        self._perform = perform
        self._flights = flights
        self._shield = shield
        self._lines: dict[str, _Line[Item, Outcome]] = {}

    async def __call__(self, key: str, item: Item) -> Outcome:
        line = self._lines.setdefault(key, _Line())
        mine: _Waiting[Item, Outcome] = _Waiting(item)
        line.waiting.append(mine)
        if line.flights < self._flights:
            line.flights += 1
            mine.leads = True
        try:
            while not mine.settled:
                if mine.leads:
                    mine.leads = False
                    with anyio.CancelScope(shield=self._shield):
                        await self._fly(key, line)
                else:
                    mine.called = anyio.Event()
                    await mine.called.wait()
        finally:
            if mine in line.waiting:
                line.waiting.remove(mine)
            if mine.leads:
                self._pass_on(key, line)
        return mine.result()

    async def _fly(self, key: str, line: _Line[Item, Outcome]) -> None:
        batch: list[_Waiting[Item, Outcome]] = []
        try:
            # Whoever is ready now comes along.
            await anyio.lowlevel.checkpoint()
            batch = [line.waiting.popleft() for _ in range(min(MOST, len(line.waiting)))]
            if len(batch) < 2:
                # None is left when another flight, about to start, took the one that leads this along.
                for one in batch:
                    await self._alone(key, one)
            elif not await self._together(key, batch):
                async with anyio.create_task_group() as tasks:
                    for one in batch:
                        tasks.start_soon(self._alone, key, one)
        finally:
            line.waiting.extendleft(one for one in reversed(batch) if not one.settled)
            self._pass_on(key, line)

    def _pass_on(self, key: str, line: _Line[Item, Outcome]) -> None:
        """The next one in line leads the next flight."""
        following = next((one for one in line.waiting if not one.leads), None)
        if following is not None:
            _lead(following)
            return
        line.flights -= 1
        if not line.flights and not line.waiting:
            del self._lines[key]

    async def _together(self, key: str, batch: Sequence[_Waiting[Item, Outcome]]) -> bool:
        try:
            outcomes = await self._perform(key, [one.item for one in batch])
        except Exception:  # noqa: BLE001 - each is tried alone, and meets its own error there
            return False
        for one, outcome in zip(batch, outcomes, strict=True):
            _settle(one, outcome)
        return True

    async def _alone(self, key: str, one: _Waiting[Item, Outcome]) -> None:
        try:
            (outcome,) = await self._perform(key, [one.item])
        except Exception as error:  # noqa: BLE001 - raised to its caller
            _settle(one, error)
        else:
            _settle(one, outcome)


def _lead(one: _Waiting[Item, Outcome]) -> None:
    one.leads = True
    if one.called is not None:
        one.called.set()


def _settle(one: _Waiting[Item, Outcome], outcome: Outcome | Exception) -> None:
    if isinstance(outcome, Exception):
        one.error = outcome
    else:
        one.outcome.append(outcome)
    if one.called is not None:
        one.called.set()
