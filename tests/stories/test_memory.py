"""A returning customer is known by name and by what they bought; another customer is not, not even by the cache."""

from dataclasses import dataclass, field

import anyio

from hookflash.assistant.answer import answerer
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.followup import resolve
from hookflash.assistant.means import Means
from hookflash.assistant.memory import Note, Recalled, Trait, choose
from hookflash.assistant.remember import Learned, Past, by_rules
from hookflash.base.breaker import Breakers
from hookflash.base.phone import Address
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Contact, Ending, LineTraits, Session, Turn
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import Found, NothingFound, Passage
from hookflash.testing.answer_cache import MemoryAnswerCache
from hookflash.testing.clock import VirtualClock
from hookflash.testing.model import Says, ScriptedModel

KETTLES = Passage(1, "src", "doc", "Kettles", (), "Kettles have two years of warranty.", None, 0.8, 0.8, 4.0)
ADA, BO = "+15550111222", "+15550111333"


@dataclass
class Shop:
    """An assistant that remembers by rules what people told it in earlier sessions."""

    model: ScriptedModel
    clock: VirtualClock
    found: Found | NothingFound = field(default_factory=lambda: Found((KETTLES,)))
    learned: dict[str, Learned] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()

    def ends(self, number: str, *said: str) -> None:
        """A session of this customer is over."""
        turns = [Past(f"turn_{n}", words, "Fine.", "answered", self.clock.now()) for n, words in enumerate(said)]
        self.learned[number] = by_rules(turns)

    async def recall(self, turn: Turn, question: str) -> Recalled:
        known = self.learned.get(turn.contact.id)
        if known is None:
            return Recalled(degraded=self.degraded)
        traits = [Trait(name, value, "conversation", turn.now) for name, value in known.traits.items()]
        notes = [Note("observation", seen.text, turn.now) for seen in known.observations]
        return choose(question, "en", traits, notes, tokens=250)

    def __post_init__(self) -> None:
        async def search(turn: Turn, question: str) -> Found | NothingFound:
            return self.found

        async def version(turn: Turn) -> str:
            return "v1"

        self.answer = answerer(
            Means(
                search=search,
                models=lambda _: self.model,
                breakers=Breakers(self.clock),
                cache=MemoryAnswerCache(),
                knowledge_version=version,
                detect=detect,
                follow_up=resolve,
                clock=self.clock,
                memory=self.recall,
            )
        )

    async def asks(self, number: str, words: str) -> Ending:
        now = self.clock.now()
        config = AssistantConfig(company="Acme", models=("m",)).to_dict()
        said = Message("msg_1", Direction.IN, Address.parse(number), words, now, ())
        turn = Turn(
            "trn_1",
            "acc_1",
            "int_1",
            Contact(number, None, None),
            Session("ses_1", "asst_1", 1, config, now),
            (said,),
            (),
            LineTraits("sms", 1600, segment_budget=3),
            now,
        )
        endings: list[Ending] = []

        async def say(segment: Segment) -> None:
            pass

        async def work() -> None:
            endings.append(await self.answer(turn, say))

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while not endings:
                await self.clock.next()
        return endings[0]


def open_shop(*steps: Says) -> Shop:
    clock = VirtualClock()
    return Shop(ScriptedModel(clock, *steps, name="m"), clock)


async def test_a_returning_customer_is_known_and_another_one_is_not() -> None:
    shop = open_shop(Says("Yes Ada, your red kettle has two years."), Says("Kettles have two years."))
    shop.ends(ADA, "Hi, my name is Ada. I bought a red kettle.")
    first = await shop.asks(ADA, "How long is the warranty of my kettle?")
    told = shop.model.requests[0].system
    # A model of others learns everything but the name.
    assert "- name: [NAME_1]" in told
    assert "I bought a red kettle" in told
    assert (first.kind, first.text) == ("answered", "Yes Ada, your red kettle has two years.")
    second = await shop.asks(BO, "How long is the warranty of my kettle?")
    assert second.text == "Kettles have two years."
    assert "Ada" not in shop.model.requests[1].system
    assert "<customer>" not in shop.model.requests[1].system


async def test_an_answer_to_anybody_is_cached_and_a_customers_own_is_not() -> None:
    shop = open_shop(Says("Two years."), Says("Two years, also for the red one, Ada."), Says("Two years for all."))
    await shop.asks(BO, "How long is the warranty of a kettle?")
    shop.ends(ADA, "my name is Ada, I bought a red kettle.")
    own = await shop.asks(ADA, "How long is the warranty of a kettle?")
    assert own.text == "Two years, also for the red one, Ada."
    again = await shop.asks(BO, "How long is the warranty of a kettle?")
    assert (again.text, again.model) == ("Two years.", "cache (m)")


async def test_what_is_known_answers_where_no_document_does() -> None:
    shop = open_shop(Says("A red kettle, Ada.", 0.9, ()))
    shop.found = NothingFound("no match")
    shop.ends(ADA, "my name is Ada, I bought a red kettle last week.")
    assert (await shop.asks(ADA, "What did I buy last week?")).text == "A red kettle, Ada."
    nobody = await shop.asks(BO, "What did I buy last week?")
    assert nobody.kind == "unknown"
    assert len(shop.model.requests) == 1


async def test_a_memory_that_is_away_is_a_note_on_the_answer() -> None:
    shop = open_shop(Says("Two years."))
    shop.degraded = ("customer profiles: no answer in time",)
    ending = await shop.asks(BO, "How long is the warranty of a kettle?")
    assert (ending.kind, ending.degraded) == ("answered", ("customer profiles: no answer in time",))
