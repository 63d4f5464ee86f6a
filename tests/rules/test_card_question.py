"""When words of ours ask for a number that must not be kept, and when a recording must be silent for it."""

import pytest

from hookflash.channels.recorder import Hush
from hookflash.safety.card_question import asks_for_card
from hookflash.safety.pii import digits_in, mask_digits


@pytest.mark.parametrize(
    "words",
    [
        "Sure. Please tell me your card number.",
        "What is the security code on the back?",
        "Could you give me the CVV?",
        "Please enter your credit card number, followed by the pound key.",
        "I need your Aadhaar number.",
        "¿Me dice el número de su tarjeta?",
        "Donnez-moi votre numéro de carte bancaire, s'il vous plaît.",
        "Bitte nennen Sie mir Ihre Kartennummer.",
        "Por favor, informe o número do cartão.",
        "कृपया अपना कार्ड नंबर बताइए।",
        "Apna card number bataiye.",
    ],
)
def test_a_question_for_a_card(words: str) -> None:
    assert asks_for_card(words)


@pytest.mark.parametrize(
    "words",
    [
        "We take credit cards and cash.",
        "Is there anything else?",
        "Please tell me your order number.",
        "",
        "A gift card.",
    ],
)
def test_no_question_for_a_card(words: str) -> None:
    assert not asks_for_card(words)


def test_of_what_was_asked_for_every_number_is_masked() -> None:
    assert mask_digits("it is 123, from 09 26") == "it is [number], from [number]"
    assert mask_digits("one two three") == "[number]"
    assert mask_digits("in 10 or 12 days") == "in 10 or 12 days"
    assert mask_digits("4111 1111 1111 1111") == "[card number]"
    assert digits_in("my number is four one one one, twice") == 4


def test_the_recording_is_silent_from_the_question_to_the_end_of_the_turn_that_answers_it() -> None:
    hush = Hush()
    hush.replying("Thanks. ")
    assert not hush.wanted
    hush.replying("Thanks. Please tell me your card number.")
    assert hush.wanted
    hush.settled("Thanks. Please tell me your card number.")
    assert hush.wanted
    hush.settled("Thank you, that is paid.")
    assert not hush.wanted


def test_the_recording_is_silent_while_numbers_are_keyed_or_said_unasked() -> None:
    hush = Hush()
    hush.heard("is it 4111")
    assert not hush.wanted
    hush.heard("is it 4111 1")
    assert hush.wanted
    hush.settled("I do not need that.")
    hush.pressed()
    assert hush.wanted
    hush.settled("You chose one.")
    assert not hush.wanted
