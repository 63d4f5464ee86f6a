"""What an answerer works with: the search, the models, the tools and whatever else it is given from outside."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hookflash.assistant.answer_cache import AnswerCache
from hookflash.assistant.choose import Choice, LookedUp
from hookflash.assistant.guard import only_patterns, only_rules
from hookflash.assistant.memory import Remembers, no_memory
from hookflash.assistant.model import ChatModel, Image
from hookflash.assistant.tool import NoTools, Toolbox
from hookflash.assistant.verification import NoProof, Proof
from hookflash.base.breaker import Breakers
from hookflash.base.clock import Clock
from hookflash.conversation.turn import Exchange, Turn, Usage
from hookflash.knowledge.curated import CuratedMatch
from hookflash.knowledge.passage import Found, NothingFound, Passage
from hookflash.safety.moderation import Moderator
from hookflash.safety.personal import Finder

Search = Callable[[Turn, str], Awaitable[Found | NothingFound]]
Recall = Callable[[Turn, tuple[int, ...]], Awaitable[tuple[Passage, ...]]]
Pictures = Callable[[Turn], Awaitable[tuple[Image, ...]]]
Curated = Callable[[Turn, str, str], Awaitable[CuratedMatch | None]]
KnowledgeVersion = Callable[[Turn], Awaitable[str]]
LookUp = Callable[[Turn, str, ChatModel | None, str, Found | NothingFound], Awaitable[LookedUp]]
Detect = Callable[[str, str | None], str]
FollowUp = Callable[[str, tuple[Exchange, ...]], str]
EmbeddingCost = Callable[[Turn, str], Usage]
Hidden = Callable[[Turn], Awaitable[int]]


async def _no_recall(_: Turn, __: tuple[int, ...]) -> tuple[Passage, ...]:
    return ()


async def _no_pictures(_: Turn) -> tuple[Image, ...]:
    return ()


async def _nothing_curated(_: Turn, __: str, ___: str) -> CuratedMatch | None:
    return None


async def _no_entries(_: Turn, __: str, ___: object, ____: str, found: Found | NothingFound) -> LookedUp:
    return LookedUp(found, Choice({}))


async def _none_hidden(_: Turn) -> int:
    return 0


def _free(_: Turn, __: str) -> Usage:
    return Usage()


@dataclass(frozen=True, slots=True)
class Means:
    """What an answerer works with.

    `models` gives a model by name or raises Misconfigured. `knowledge_version` changes with any change of what the
    turn's assistant may rely on. `follow_up` makes a follow-up into a question without a model. `recall` fetches passages
    of earlier turns by chunk id. `pictures` loads those that the person sent. `embedding` is what the search for a
    question consumes. `toolbox` has the tools of the turn's assistant.
    `curated` finds the exact answer that the company has written to a question. `look_up` improves on what a search has found
    by way of the assistant's knowledge entries; it may ask a model once. `proof` knows who has proven to hold their phone,
    `hidden` how many sources the customer may not see. `memory` tells what is known of the customer.
    `moderators` and `finders` give, by name, who judges answers and who finds personal data, or raise Misconfigured.
    """

    search: Search
    models: Callable[[str], ChatModel]
    breakers: Breakers
    cache: AnswerCache
    knowledge_version: KnowledgeVersion
    detect: Detect
    follow_up: FollowUp
    clock: Clock
    recall: Recall = _no_recall
    pictures: Pictures = _no_pictures
    embedding: EmbeddingCost = _free
    toolbox: Toolbox = field(default_factory=NoTools)
    curated: Curated = _nothing_curated
    look_up: LookUp = _no_entries
    proof: Proof = field(default_factory=NoProof)
    hidden: Hidden = _none_hidden
    memory: Remembers = no_memory
    moderators: Callable[[str], Moderator] = only_rules
    finders: Callable[[str], Finder] = only_patterns
