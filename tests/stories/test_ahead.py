"""Searching ahead of a question: what was found is used once, and nothing is left of what was broken off."""

from dataclasses import dataclass, field

import anyio

from hookflash.assistant.ahead import GOOD_FOR, Ahead
from hookflash.base.phone import Address, Kind
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn, Usage
from hookflash.knowledge.passage import Found, NothingFound
from hookflash.testing.clock import VirtualClock, settle


@dataclass
class World:
    degraded: str | None = None
    clock: VirtualClock = field(default_factory=VirtualClock)
    searched: list[str] = field(default_factory=list)
    found: list[NothingFound | Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ahead = Ahead(
            self.search, lambda words, history: words, lambda turn, question: Usage(embedding_micros=2), self.clock
        )

    async def search(self, turn: Turn, question: str) -> Found | NothingFound:
        self.searched.append(question)
        await self.clock.sleep(1.0)
        return NothingFound(f"no match for {question}", self.degraded)

    def turn(self, words: str, session: str = "ses_1") -> Turn:
        now = self.clock.now()
        message = Message("msg_1", Direction.IN, Address(Kind.VOICE, "+15551234567"), words, now, ())
        contact = Contact("con_1", None, None)
        line = LineTraits("voice", max_chars=600, spoken=True)
        return Turn(
            "trn_1", "acc_1", "int_1", contact, Session(session, "asst_1", 1, {}, now), (message,), (), line, now
        )

    async def ask(self, words: str, session: str = "ses_1") -> None:
        self.found.append(await self.ahead.search(self.turn(words, session), words))


async def test_a_question_that_was_looked_for_is_not_searched_for_again() -> None:
    world = World()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.ahead.look, world.turn("how much is a tent"))
        await world.clock.advance(0.5)
        tasks.start_soon(world.ask, "How much is a tent?")
        await world.clock.advance(0.6)
    assert world.searched == ["how much is a tent"]
    assert [found.why for found in world.found if isinstance(found, NothingFound)] == [
        "no match for how much is a tent"
    ]


async def test_a_question_that_goes_on_or_is_of_another_call_is_searched_for() -> None:
    world = World()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.ahead.look, world.turn("how much is a tent"))
        await world.clock.advance(1.0)
        tasks.start_soon(world.ask, "how much is a tent for two")
        tasks.start_soon(world.ask, "how much is a tent", "ses_2")
        await world.clock.advance(1.0)
    assert sorted(world.searched[1:]) == ["how much is a tent", "how much is a tent for two"]


async def test_a_search_that_was_broken_off_leaves_nothing_and_holds_nobody() -> None:
    world = World()
    scope = anyio.CancelScope()

    async def look() -> None:
        with scope:
            await world.ahead.look(world.turn("how much is a tent"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await settle()
        tasks.start_soon(world.ask, "how much is a tent")
        await settle()
        scope.cancel()
        await world.clock.advance(1.0)
    assert world.searched == ["how much is a tent"] * 2
    assert len(world.found) == 1


async def test_what_was_found_by_half_or_long_ago_is_searched_for_again() -> None:
    world = World(degraded="embedder: away")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.ahead.look, world.turn("how much is a tent"))
        await world.clock.advance(1.0)
        world.degraded = None
        tasks.start_soon(world.ahead.look, world.turn("how much is a tent"))
        await world.clock.advance(GOOD_FOR + 1)
        tasks.start_soon(world.ask, "how much is a tent")
        await world.clock.advance(1.0)
    assert world.searched == ["how much is a tent"] * 3
