"""Questions as they are typed on a telephone, and several in one sentence."""

import pytest

from hookflash.knowledge.questions_asked import questions_of
from hookflash.knowledge.spelling import mended, written_out

TEXTS = ("Standard shipping costs $5.95.", "Students get a discount.", "Hiking boots", "a tent, two tents")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wen r u open", "when are you open"),
        ("Whats ur address?", "what your address?"),
        ("When do you open?", "When do you open?"),
        ("", ""),
        ("What are your hours?", "opening hours"),
        ("hours", "opening hours"),
        ("store hours on Sunday", "opening hours on Sunday"),
        ("What are your opening hours?", "What are your opening hours?"),
        ("Can I cancel within 24 hours?", "Can I cancel within 24 hours?"),
    ],
)
def test_shorthand_is_written_out(typed: str, meant: str) -> None:
    assert written_out(typed) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("how much is shiping", "how much is shipping"),
        ("how much is shpiping", "how much is shipping"),
        ("studnet discont", "student discount"),
        ("do you sell boats", "do you sell boats"),
        ("two tetns", "two tents"),
        ("xyzzy", "xyzzy"),
    ],
)
def test_a_word_that_nobody_knows_is_taken_for_the_one_that_it_is_a_slip_from(typed: str, meant: str) -> None:
    real = {"much", "student", "boats", "sell"}
    assert mended(typed, (*TEXTS, "student"), lambda word: word in real) == meant


@pytest.mark.parametrize(
    ("sentence", "questions"),
    [
        ("When do you open and do you ship to Canada?", ["When do you open", "do you ship to Canada?"]),
        ("¿Cuánto cuesta el envío y cuándo llega el paquete?", ["¿Cuánto cuesta el envío", "cuándo llega el paquete?"]),
        ("Do you sell tents and boots?", ["Do you sell tents and boots?"]),
        ("I bought a tent, and when it came it was torn.", ["I bought a tent, and when it came it was torn."]),
        ("How much and when?", ["How much and when?"]),
    ],
)
def test_questions_that_a_sentence_joins(sentence: str, questions: list[str]) -> None:
    assert questions_of(sentence) == questions
