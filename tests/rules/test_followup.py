"""What a follow-up asks, given what was said before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.assistant.followup import resolve
from hookflash.conversation.turn import Exchange

FOLLOW_UPS = [
    (["How long can I return a jacket?"], "and for shoes?", "How long can I return shoes?"),
    (["How long can I return a jacket?"], "and shoes?", "How long can I return shoes?"),
    (["How long can I return a jacket?"], "what about tents", "How long can I return tents?"),
    (["do you ship to Canada?"], "how much?", "how much: ship to Canada?"),
    (["do you ship to Canada?"], "how long does it take?", "how long does it take: ship to Canada?"),
    (["How much is shipping to Mexico?"], "what about Canada?", "How much is shipping to Canada?"),
    (["How much is shipping to Mexico?"], "and to the UK?", "How much is shipping to the UK?"),
    (["What are your opening hours?"], "and on Sundays?", "What are your opening hours on Sundays?"),
    (["are you open on saturday"], "and sunday?", "are you open sunday?"),
    (["How much is the Ridgeline jacket?"], "is it waterproof?", "is the Ridgeline jacket waterproof?"),
    (["How much is the Ridgeline jacket?"], "how heavy is it", "how heavy is the Ridgeline jacket?"),
    (
        ["How much is the Ridgeline jacket?"],
        "what colors does it come in?",
        "what colors does the Ridgeline jacket come in?",
    ),
    (["what warranty do boots have"], "and tents?", "what warranty do tents have?"),
    (["How long is the warranty on tents?"], "and on jackets?", "How long is the warranty on jackets?"),
    (["where is the Harbor Street store"], "and Millbrook?", "where is Millbrook?"),
    (["What are your opening hours?"], "what about Millbrook?", "What are your opening hours Millbrook?"),
    (["do gift cards expire"], "can I return them?", "can I return them: gift cards expire?"),
    (["how much is a boot fitting"], "how long does it take?", "how long does it take: boot fitting?"),
    (
        ["how much is it to rent a tent for 4 people"],
        "and snowshoes?",
        "how much is it to rent snowshoes for 4 people?",
    ),
    (["How long can I return a jacket?", "and for shoes?"], "and sale items?", "How long can I return sale items?"),
    (
        ["¿Cuánto tiempo tengo para devolver unos zapatos?"],
        "¿y una chaqueta?",
        "¿Cuánto tiempo tengo para devolver una chaqueta?",
    ),
    (
        ["¿Cuánto tiempo tengo para devolver unos zapatos?"],
        "y para la ropa?",
        "¿Cuánto tiempo tengo para devolver la ropa?",
    ),
    (["cuanto cuesta el envio a mexico"], "cuánto tarda?", "cuánto tarda: envio a mexico?"),
    (["a qué hora abren"], "¿y los domingos?", "a qué hora abren los domingos?"),
    (["jacket kitne din me return kar sakte hai"], "aur shoes?", "shoes kitne din me return kar sakte hai?"),
    (["jacket kitne din me return kar sakte hai"], "shoes ka kya?", "shoes kitne din me return kar sakte hai?"),
    (["delivery charge kitna hai"], "kitne din lagenge?", "kitne din lagenge: delivery charge kitna hai?"),
    (["store kab khulta hai"], "aur sunday ko?", "store kab khulta hai sunday?"),
    (["How much is standard shipping?"], "and express?", "How much is express shipping?"),
    (["can I cancel my order?"], "how?", "how: cancel my order?"),
    (["how much is express shipping"], "and overnight?", "how much is overnight shipping?"),
    (["Can I pay by credit card?"], "and PayPal?", "Can I pay by credit card PayPal?"),
    (["Do you have parking at harbor street"], "and wifi?", "Do you have parking at harbor street wifi?"),
    (["how do I become a gold member"], "what do I get?", "what do I get: become a gold member?"),
    (["do you repair zippers on jackets"], "how much is that?", "how much is that: repair zippers on jackets?"),
    (["How do I wash my waterproof jacket?"], "and leather boots?", "How do I wash leather boots?"),
    (["Do you ship to Hawaii?"], "when will it arrive?", "when will it arrive: ship to Hawaii?"),
    (["Do you ship to Hawaii?"], "And do you have a store there?", "do you have a store there: ship to Hawaii?"),
    (["my order is late"], "what should I do?", "what should I do: my order is late?"),
    (["Is there a deposit for rentals?"], "is it refundable?", "is it refundable: a deposit for rentals?"),
    (["return policy?"], "for shoes", "return policy for shoes?"),
    (["how much is the Lumen headlamp"], "in stock?", "how much is the Lumen headlamp in stock?"),
    (
        ["What size should I take in the Granite Mid boot?"],
        "does it come in wide?",
        "does the Granite Mid boot come in wide?",
    ),
]

COMPLETE = [
    ("How long can I return a jacket?", "What are your opening hours?"),
    ("How long can I return a jacket?", "thanks"),
    ("How long can I return a jacket?", "Can I get a student discount?"),
    ("do you buy used gear", "How long is the warranty on tents?"),
    ("do you buy used gear", "is it possible to pay in installments?"),
    ("do you buy used gear", "i want to talk to a human"),
    ("where is my order", "AP-1234567"),
    ("hello", "how much?"),
    ("return policy?", "shipping to canada?"),
    ("return policy?", "warranty?"),
    ("How long can I return a jacket?", "and do you sell gift cards?"),
    ("How long can I return a jacket?", "My zipper broke, do you repair jackets?"),
    ("How long can I return a jacket?", "¿Hacen envíos a Canadá?"),
    ("How long can I return a jacket?", "delivery charge kitna hai"),
    ("How long can I return a jacket?", "ok"),
    ("How long can I return a jacket?", "👍"),
    ("How long can I return a jacket?", ""),
    ("thanks!", "and for shoes?"),
]


def exchanges(*said: str, answered: str = "Some answer.") -> tuple[Exchange, ...]:
    return tuple(Exchange(text, answered) for text in said)


@pytest.mark.parametrize(("said", "question", "expected"), FOLLOW_UPS)
def test_a_follow_up_is_completed(said: list[str], question: str, expected: str) -> None:
    assert resolve(question, exchanges(*said)) == expected


@pytest.mark.parametrize(("said", "question"), COMPLETE)
def test_what_is_complete_is_left_alone(said: str, question: str) -> None:
    assert resolve(question, exchanges(said)) == question


@pytest.mark.parametrize("question", [question for _, question, _ in FOLLOW_UPS])
def test_without_history_nothing_is_added(question: str) -> None:
    assert resolve(question, ()) == question


def test_thanks_in_between_are_passed_over() -> None:
    assert resolve("and for shoes?", exchanges("How long can I return a jacket?", "ok thanks")) == (
        "How long can I return shoes?"
    )


def test_a_chain_of_follow_ups_goes_back_to_its_question() -> None:
    history = exchanges("How much is shipping to Mexico?", "and to Canada?", "what about the UK?")
    assert resolve("and Japan?", history) == "How much is shipping to Japan?"


def test_an_answer_to_our_question_joins_what_it_was_about() -> None:
    history = (Exchange("what do I do with my jacket", "Do you want to return it or have it repaired?"),)
    assert resolve("repaired", history) == "what do I do with my jacket repaired"


def test_a_yes_takes_up_what_we_offered() -> None:
    history = (Exchange("my jacket is too small", "Would you like to exchange it?"),)
    assert resolve("yes please", history) == "my jacket is too small Would you like to exchange it?"


def test_a_new_question_may_follow_our_question() -> None:
    history = (Exchange("my jacket is too small", "Would you like to exchange it?"),)
    assert resolve("What are your opening hours?", history) == "What are your opening hours?"


def test_a_name_that_only_our_answer_gave_is_looked_for_too() -> None:
    history = (Exchange("do you have vegan shoes", "Yes, the Fernway trail running shoe has no animal materials."),)
    assert resolve("how much is it?", history) == "how much is it: have vegan shoes Fernway?"


@given(st.text(max_size=60), st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=4))
def test_any_text_is_taken(question: str, said: list[tuple[str, str]]) -> None:
    history = tuple(Exchange(text, answer) for text, answer in said)
    assert question.strip() == "" or resolve(question, history).strip() != ""


@pytest.mark.parametrize(
    "said", ["no, I meant express", "I meant express", "sorry, i mean express", "actually make that express"]
)
def test_a_correction_asks_the_same_of_something_else(said: str) -> None:
    before = (Exchange("How much is standard shipping?", "Standard shipping is $5.95."),)
    assert "express" in resolve(said, before)
    assert "shipping" in resolve(said, before)
