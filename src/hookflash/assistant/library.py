"""The knowledge of one assistant's turn: which sources it may search, at which version, and the answers kept from them."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from hookflash.assistant import cost
from hookflash.assistant.answer_cache import CachedAnswer
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.choose import Entry, LookedUp, look_up
from hookflash.assistant.model import ChatModel
from hookflash.assistant.tool import Policy, denied
from hookflash.base.errors import Misconfigured
from hookflash.conversation.turn import Turn, Usage
from hookflash.knowledge.passage import Embedder, Found, NothingFound, Passage
from hookflash.knowledge.source import EntryFacts, Scope

# Turns whose scope is remembered: more than one process thinks about at once.
REMEMBERED = 1_000


Verified = Callable[[Turn], Awaitable[bool]]


async def _nobody(_: Turn) -> bool:
    return False


class Knowledge(Protocol):
    """The knowledge of all accounts."""

    async def scope(self, account_id: str, sources: Sequence[str]) -> Scope: ...
    async def search(self, scope: Scope, question: str) -> Found | NothingFound: ...
    async def entries(self, scope: Scope) -> Sequence[EntryFacts]: ...
    async def passages(self, scope: Scope, chunk_ids: Sequence[int]) -> dict[int, Passage]: ...
    async def kept(self, account_id: str, key: str) -> bytes | None: ...
    async def keep(self, account_id: str, key: str, answer: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Library:
    """What an answerer's means are made of; `model` names the embedder of new sources, by which embedding is priced.

    `verified`: whether the customer of a turn has proven to hold their phone.
    """

    knowledge: Knowledge
    embedder: Callable[[str], Embedder]
    model: str
    verified: Verified = _nobody
    _scopes: OrderedDict[str, tuple[Scope, int]] = field(default_factory=OrderedDict, init=False, repr=False)

    async def search(self, turn: Turn, question: str) -> Found | NothingFound:
        return await self.knowledge.search(await self._scope(turn), question)

    async def look_up(
        self,
        turn: Turn,
        question: str,
        model: ChatModel | None,
        language: str = "en",
        first: Found | NothingFound | None = None,
    ) -> LookedUp:
        """Search by way of the assistant's entries; `model` may be asked once which of them the question is for.

        `first` is what a search over all of them has found already.
        """
        scope = await self._scope(turn)
        chunks = {source: count for source, _, _, count in scope.sources}
        entries = [
            Entry(e.id, e.name, e.description, None if e.elsewhere else chunks[e.id], e.final_response)
            for e in await self.knowledge.entries(scope)
        ]

        async def search(sources: tuple[str, ...], asked: str) -> Found | NothingFound:
            return await self.knowledge.search(scope.only(sources), asked)

        return await look_up(model, entries, question, turn.history, search, language=language, first=first)

    async def version(self, turn: Turn) -> str:
        return (await self._scope(turn)).version

    async def recall(self, turn: Turn, chunk_ids: tuple[int, ...]) -> tuple[Passage, ...]:
        found = await self.knowledge.passages(await self._scope(turn), chunk_ids)
        return tuple(found[i] for i in chunk_ids if i in found)

    def embedding_cost(self, turn: Turn, question: str) -> Usage:
        """What it consumes to embed the question."""
        try:
            return cost.embedding(self.embedder(self.model), question)
        except Misconfigured:
            return Usage()

    async def get(self, account_id: str, key: str) -> CachedAnswer | None:
        kept = await self.knowledge.kept(account_id, key)
        return msgspec.json.decode(kept, type=CachedAnswer) if kept else None

    async def put(self, account_id: str, key: str, answer: CachedAnswer) -> None:
        await self.knowledge.keep(account_id, key, msgspec.json.encode(answer))

    async def curated(self, turn: Turn) -> bool:
        """Whether the turn's account may have curated answers: most have none, and need not be asked for one."""
        return (await self._scope(turn)).curated

    async def hidden(self, turn: Turn) -> int:
        """How many sources the customer of this turn may not see."""
        return (await self._looked(turn))[1]

    async def _scope(self, turn: Turn) -> Scope:
        return (await self._looked(turn))[0]

    async def _looked(self, turn: Turn) -> tuple[Scope, int]:
        """One look a turn, so that all of its steps mean the same knowledge."""
        found = self._scopes.get(turn.id)
        if found is None:
            config = AssistantConfig.stored(turn.session.config)
            whole = await self.knowledge.scope(turn.account_id, config.sources)
            found = self._scopes[turn.id] = await self._allowed(turn, whole)
            if len(self._scopes) > REMEMBERED:
                self._scopes.popitem(last=False)
        return found

    async def _allowed(self, turn: Turn, whole: Scope) -> tuple[Scope, int]:
        """What of it the customer may see, and how many sources they may not."""
        policies = {source: msgspec.json.decode(policy, type=Policy) for source, policy in whole.policies}
        if not policies:
            return whole, 0
        verified = any(policy.verified for policy in policies.values()) and await self.verified(turn)
        barred = {source for source, policy in policies.items() if denied(policy, turn, verified=verified) is not None}
        return whole.only([source for source, *_ in whole.sources if source not in barred]), len(barred)
