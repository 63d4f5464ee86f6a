"""Knowledge entries in a conversation: which of them a question is for, and the entry that is the answer itself."""

from dataclasses import replace

import msgspec
from tests.stories.test_answer import RETURNS, SHIPPING, desk

from hookflash.assistant.choose import Entry
from hookflash.conversation.turn import LineTraits
from hookflash.knowledge.passage import Found
from hookflash.testing.model import Says

POLICIES = Entry("src_a", "policies", "Returns and warranty.", 400)
RATES = Entry("src_b", "rates", "What shipping costs and how long it takes. Ask in English.", 400)
UNSURE = Found((msgspec.structs.replace(RETURNS, score=0.45),))
VOICE = LineTraits("voice", 600, spoken=True)


async def test_the_model_says_once_which_entry_a_question_is_for_and_how_it_is_put() -> None:
    shop, model = desk(Says("2: How long does shipping take?"), Says("Two days [1].", 0.9, (1,)))
    shop.entries, shop.found = (POLICIES, RATES), UNSURE
    shop.found_in["src_b"] = Found((msgspec.structs.replace(SHIPPING, score=0.9),))
    ending = await shop.hear(shop.turn("When will it be here?"))
    assert (ending.kind, ending.text) == ("answered", "Two days.")
    assert shop.searched == ["When will it be here?", "How long does shipping take?"]
    assert [source.title for source in ending.sources] == ["Shipping", "Returns"]
    choosing, answering = model.requests
    assert "2. rates: What shipping costs" in choosing.system
    assert "Shipping takes 2 days." in answering.system
    assert ending.usage.input_tokens == 200


async def test_a_search_that_is_certain_asks_the_model_for_the_answer_only() -> None:
    shop, model = desk(Says("Within 30 days [1].", 0.9, (1,)))
    shop.entries = (POLICIES, RATES)
    await shop.hear(shop.turn("Can I return a coat?"))
    assert len(model.requests) == 1


async def test_a_caller_does_not_wait_for_the_choice_when_something_was_found() -> None:
    shop, model = desk(Says("Within 30 days [1].", 0.9, (1,)))
    shop.entries, shop.found = (POLICIES, RATES), UNSURE
    await shop.hear(shop.turn("Can I return a coat?", line=VOICE))
    assert len(model.requests) == 1


async def test_the_passage_of_a_final_entry_goes_to_the_customer_as_it_is() -> None:
    shop, model = desk()
    shop.entries = (replace(POLICIES, id="src", final_response=True),)
    ending = await shop.hear(shop.turn("Can I return a coat?"))
    assert (ending.kind, ending.text, ending.model) == ("answered", "Return within 30 days.", "entry")
    assert [source.cited for source in ending.sources] == [True]
    assert model.requests == []
