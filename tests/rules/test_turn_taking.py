"""What words tell about whose turn it is: how long to wait after them, and whether they stop us while we speak."""

import pytest

from hookflash.speech.bargein import is_backchannel, is_echo, is_interruption
from hookflash.speech.endpoint import LIKELY, STOPPED, SURE, UNSURE, USUAL, pause
from hookflash.speech.events import Play, TurnJudged
from hookflash.speech.rules import CallRules
from hookflash.testing.call import ScriptedCall


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("how long do I have to return a jacket?", SURE),
        ("yes", SURE),
        ("yes please", SURE),
        ("no I meant", USUAL),
        ("how long do I have to return a jacket", LIKELY),
        ("how long do I have to return", USUAL),
        ("what time do you", USUAL),
        ("can you put our firm's logo on", USUAL),
        ("I would like to order that today", LIKELY),
        ("I bought a jacket", USUAL),
        ("I bought a jacket.", STOPPED),
        ("I would like to return the.", UNSURE),
        ("do you have tents and", UNSURE),
        ("my order number is 4 5", UNSURE),
        ("quiero devolver los", UNSURE),
        ("¿cuánto cuesta el envío?", SURE),
        ("mera order aur", UNSURE),
        ("", UNSURE),
    ],
)
def test_the_pause_that_ends_a_turn(said: str, seconds: float) -> None:
    assert pause(said) == seconds
    assert pause(said, patience=2.0) == 2.0 * seconds


def test_the_vendor_may_know_better_but_not_against_the_words() -> None:
    assert pause("I bought a jacket", vendor_says_over=True) < SURE
    assert pause("I would like to return the", vendor_says_over=True) == UNSURE


@pytest.mark.parametrize(
    "said", ["uh-huh", "Okay.", "yeah yeah", "mm hmm", "I see, right", "ah okay", "achha theek hai", "claro"]
)
def test_who_listens_does_not_interrupt(said: str) -> None:
    assert is_backchannel(said)
    assert not is_interruption(said)


@pytest.mark.parametrize("said", ["stop", "no", "wait a second", "okay but what about Sundays", "how much is it"])
def test_who_objects_interrupts(said: str) -> None:
    assert is_interruption(said)
    assert is_interruption(said, more=True)


def test_a_word_that_may_begin_a_listeners_is_waited_for() -> None:
    assert not is_interruption("I", more=True)
    assert not is_interruption("okay I", more=True)
    assert is_interruption("I", more=False)
    assert is_interruption("I want", more=True)


@pytest.mark.parametrize(
    ("words", "echo"),
    [
        ("open from ten", True),
        ("sundays", False),
        ("stop", False),
        ("when do you open", False),
        ("no sundays", False),
        ("", False),
    ],
)
def test_our_own_words_are_an_echo(words: str, echo: bool) -> None:
    assert is_echo(words, "We are open from ten to eight. No stop on Sundays.") is echo


def test_one_word_of_ours_is_an_echo_only_while_others_may_follow() -> None:
    assert is_echo("sundays", "Mondays or Sundays?", more=True)
    assert not is_echo("stop", "You may stop me.", more=True)


def test_a_model_that_hears_the_sound_counts_where_words_do_not_tell() -> None:
    assert pause("I bought a jacket", judged=0.95) == USUAL
    assert pause("I bought a jacket.", judged=0.05) == UNSURE
    assert pause("I bought a jacket", judged=0.5) == USUAL
    assert pause("I would like to return the", judged=0.99) == UNSURE
    assert pause("how long do I have to return a jacket?", judged=0.01) == SURE


def test_a_judgment_of_an_older_pause_tells_nothing() -> None:
    def answered(at: float) -> float:
        call = ScriptedCall(rules=CallRules(early=False), first_text=0.0, first_sound=0.0)
        call.says(1.0, 2.0, "I bought a jacket")
        call.at(2.2, TurnJudged(at, 0.01))
        return call.run(6.0).times(Play)[0]

    assert answered(2.0) - answered(1.5) == pytest.approx(UNSURE - USUAL)
