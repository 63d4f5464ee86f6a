"""Searching ahead: what somebody is still saying is looked for already, and found when it has become a question."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from hookflash.assistant.answer_cache import normalised
from hookflash.base.clock import Clock
from hookflash.conversation.turn import Exchange, Turn, Usage
from hookflash.knowledge.passage import Found, NothingFound

Search = Callable[[Turn, str], Awaitable[Found | NothingFound]]
EmbeddingCost = Callable[[Turn, str], Usage]
FollowUp = Callable[[str, tuple[Exchange, ...]], str]

# What was found ahead is good for so many seconds, and so many are kept: more than calls are spoken in at once.
GOOD_FOR = 20.0
KEPT = 2_000

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Looked:
    """One search ahead. `done` is set at its end; `found` stays None when it was broken off or did not work."""

    since: float
    done: anyio.Event = field(default_factory=anyio.Event)
    found: Found | NothingFound | None = None


class Ahead:
    """A search that remembers what was looked for ahead, in memory only.

    A question that is the same but for marks and capitals gets what was found, or waits for it; one that goes on beyond is
    searched for anew, with indexes and passages warm.
    """

    def __init__(self, search: Search, follow_up: FollowUp, embedding: EmbeddingCost, clock: Clock) -> None:
        self._search = search
        self._embedding = embedding
        self._follow_up = follow_up
        self._clock = clock
        self._looked: OrderedDict[_Key, _Looked] = OrderedDict()

    async def look(self, turn: Turn) -> Usage:
        """Search for the words of a turn that is not certain yet; what that consumes. Cancelling it breaks it off."""
        question = self._follow_up(turn.words, turn.history)
        key = _key(turn, question)
        if not key[2] or self._under_way(key) is not None:
            return Usage()
        looked = self._looked[key] = _Looked(self._clock.monotonic())
        while len(self._looked) > KEPT:
            self._looked.popitem(last=False)
        try:
            found = await self._search(turn, question)
            if found.degraded is None:
                looked.found = found
        finally:
            if looked.found is None and self._looked.get(key) is looked:
                del self._looked[key]
            looked.done.set()
        return self._embedding(turn, question)

    async def search(self, turn: Turn, question: str) -> Found | NothingFound:
        """What bears on a question."""
        looked = self._under_way(_key(turn, question))
        if looked is not None:
            await looked.done.wait()
            if looked.found is not None:
                return looked.found
        return await self._search(turn, question)

    def _under_way(self, key: _Key) -> _Looked | None:
        looked = self._looked.get(key)
        if looked is None or self._clock.monotonic() - looked.since > GOOD_FOR:
            return None
        return looked


def _key(turn: Turn, question: str) -> _Key:
    return turn.account_id, turn.session.id, normalised(question)
