"""What an answer states must stand in what it was given, however it is written; the rest of it must at least speak of it."""

import pytest

from hookflash.safety.facts import facts, number
from hookflash.safety.grounding import Evidence, ground

GIVEN = """Returns. You have 60 days to return a jacket, until March 5. Orders over $1,000.50 ship free, others cost 5.95 dollars.
The store in Portland is open from 9 am to 5:30 pm, Monday to Saturday. Students get 15% off. See https://acme.example/returns or
write to help@acme.example, phone +1 (503) 555-0142. Ask for Maria Lopez. Two boots weigh 840 g."""


@pytest.mark.parametrize(
    "sentence",
    [
        "You have sixty days to return it.",
        "You can return a jacket within 60 days, until 5 March.",
        "Orders over $1000.5 ship free.",
        "Orders above 1.000,50 $ ship free.",
        "Others cost $5.95.",
        "We open at 09:00 and close at 17:30.",
        "The store in Portland opens at 9.",
        "Students get 15 percent off.",
        "See acme.example/returns.",
        "Call 503-555-0142 and ask for Maria Lopez.",
        "Please let me know if you need anything else!",
        "Do you mean the store in Boston?",
        "I do not know that.",
        "It weighs 840 grams in all [1].",
    ],
)
def test_what_was_given_may_be_said(sentence: str) -> None:
    assert Evidence([GIVEN]).check(sentence).supported, Evidence([GIVEN]).check(sentence)


@pytest.mark.parametrize(
    ("sentence", "missing"),
    [
        ("You have 61 days.", "61"),
        ("You have ninety days.", "ninety"),
        ("Orders over $100 ship free.", "$100"),
        ("Students get 20% off.", "20%"),
        ("We close at 6 pm.", "6 pm"),
        ("You can return it until March 7.", "March 7"),
        ("See https://acme.example/refunds.", "https://acme.example/refunds"),
        ("Write to sales@acme.example.", "sales@acme.example"),
        ("Call 503-555-0199.", "503-555-0199"),
        ("Ask for John Smith at the store.", "John Smith"),
        ("The store is open on Sunday.", "sunday"),
    ],
)
def test_what_was_not_given_is_found_out(sentence: str, missing: str) -> None:
    checked = Evidence([GIVEN]).check(sentence)
    assert not checked.supported
    assert checked.score == 0
    assert any(missing in each for each in checked.missing), checked


def test_an_invented_sentence_without_any_fact_speaks_of_other_things() -> None:
    assert not Evidence([GIVEN]).check("Penguins usually enjoy swimming through freezing water.").supported
    assert Evidence([GIVEN]).check("Jackets can be returned.").supported


def test_the_persons_own_numbers_may_be_repeated_but_prove_no_price() -> None:
    evidence = Evidence([GIVEN], ["I bought it 45 days ago, so I get 90% off and a $500 refund?"])
    assert evidence.check("After 45 days you can still return it.").supported
    assert not evidence.check("Yes, you get 90% off.").supported
    assert not evidence.check("You get a $500 refund.").supported


def test_in_another_language_facts_are_compared_and_words_are_not() -> None:
    evidence = Evidence([GIVEN], words=False)
    assert evidence.check("Tiene sesenta días para devolver la chaqueta.").supported
    assert evidence.check("आपके पास ६० दिन हैं।").supported
    assert not evidence.check("Tiene 30 días.").supported


def test_an_answer_is_scored_by_its_sentences() -> None:
    good = ground(["You have 60 days to return a jacket."], Evidence([GIVEN]))
    half = ground(["You have 60 days to return a jacket.", "The fee is $17 for each jacket here."], Evidence([GIVEN]))
    assert good.score > 0.8
    assert half.score == pytest.approx(good.score / 2, abs=0.1)
    assert [each.text for each in half.unsupported] == ["The fee is $17 for each jacket here."]
    assert ground([], Evidence([])).score == 1.0


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1,000", "1000"),
        ("1.000", "1000"),
        ("9.50", "9.5"),
        ("9,5", "9.5"),
        ("1,00,000", "100000"),
        ("1.000,50", "1000.5"),
        ("007", "7"),
    ],
)
def test_numbers_are_one_however_they_are_written(written: str, value: str) -> None:
    assert number(written) == value


def test_facts_of_many_kinds() -> None:
    found = {(f.kind, f.value) for f in facts("On 2026-03-05 at noon, twenty-one people paid €9 by www.a.example/x.")}
    assert {("date", "3-5"), ("time", "12:00"), ("number", "21"), ("money", "9"), ("link", "a.example/x")} <= found
