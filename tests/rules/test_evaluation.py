"""Test sets: how they are written, what each expectation asks of an answer, and what counts as a regression."""

import pytest

from hookflash.base.errors import Invalid
from hookflash.conversation.turn import Ending, Source
from hookflash.insight.evaluation import (
    KINDS,
    Answered,
    Case,
    Expectation,
    Judgement,
    Outcome,
    Replayed,
    Step,
    compare,
    judge,
    read_cases,
)

SOURCE = Source(1, "doc_1", "Returns", 0.9, 0.9, 5.0, True)


def ending(text: str, kind: str = "answered", *, hand_off: str | None = None, cited: bool = True) -> Ending:
    sources = (SOURCE,) if cited else ()
    return Ending(kind, text, "q", 0.9, sources, "m", "r", "en", hand_off=hand_off)


def test_a_set_is_read_from_each_of_its_forms() -> None:
    expected = [Case("How long?", (Step("How long?", (Expectation("contains", "60 days"),)),))]
    assert read_cases("a.yaml", "- said: How long?\n  contains: 60 days\n") == expected
    assert read_cases("a.yml", "cases:\n- {said: 'How long?', contains: 60 days}\n") == expected
    assert read_cases("a.json", '[{"said": "How long?", "contains": "60 days"}]') == expected
    assert read_cases("a.jsonl", '{"said": "How long?", "contains": "60 days"}\n\n') == expected


def test_a_conversation_has_steps() -> None:
    (case,) = read_cases(
        "a.yaml", "- name: two\n  steps:\n  - said: one\n  - said: and for shoes?\n    refused: true\n"
    )
    assert case == Case("two", (Step("one"), Step("and for shoes?", (Expectation("refused", True),))))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 3", "case 1 is not a mapping"),
        ("- said: ''", "needs `said`"),
        ("- said: a\n  holds: b", "no such expectation: holds; there are: exact, contains"),
        ("- said: a\n  refused: maybe", "refused must be true: it must say that it does not know"),
        ("- said: a\n  regex: '('", "regex must be a regular expression"),
        ("- said: a\n  contains: [1]", "contains must be a text"),
        ("- steps: []", "steps must be a list"),
        ("- name: a\n  tool: b\n  steps:\n  - said: c", "besides its steps a case has only a name"),
        ("- said: a\n- said: a", "the same name: a"),
        ("said: a", "must be a list of cases"),
        ("[]", "holds no case"),
        ("- {", "cannot be read"),
    ],
)
def test_a_mistake_in_a_set_is_named(text: str, says: str) -> None:
    with pytest.raises(Invalid) as told:
        read_cases("set.yaml", text)
    assert says in told.value.message


@pytest.mark.parametrize(
    ("kind", "value", "good", "bad"),
    [
        ("exact", "Sixty  days.", ending("sixty days."), ending("sixty days, yes")),
        ("contains", ["60", "days"], ending("60 days"), ending("60 weeks")),
        ("lacks", "refund", ending("60 days"), ending("a Refund")),
        ("regex", r"\b\d+ days", ending("60 Days"), ending("sixty days")),
        ("grounded", True, ending("x"), ending("x", cited=False)),
        ("grounded", "returns", ending("x"), ending("x", cited=False)),
        ("refused", True, ending("no idea", "unknown"), ending("60 days")),
        ("refused", False, ending("60 days"), ending("no idea", "unknown")),
        ("asks", True, ending("Which one?", "clarified"), ending("60 days")),
        ("hands_off", True, ending("x", "unknown", hand_off="why"), ending("x")),
        ("hands_off", False, ending("x"), ending("x", hand_off="why")),
    ],
)
def test_each_expectation(kind: str, value: object, good: Ending, bad: Ending) -> None:
    expectation = Expectation(kind, value)  # type: ignore[arg-type]
    assert judge(expectation, good) == Judgement(str(expectation), True)
    refused = judge(expectation, bad)
    assert not refused.passed
    assert refused.why


def test_tools_that_must_be_called() -> None:
    wanted = Expectation("tool", ["order_status", "refund"])
    assert judge(wanted, ending("x"), ("refund", "order_status")).passed
    assert judge(wanted, ending("x"), ("refund",)).why == "not called: order_status"


def test_every_kind_is_explained() -> None:
    assert set(KINDS) == {
        "exact",
        "contains",
        "lacks",
        "regex",
        "grounded",
        "refused",
        "asks",
        "hands_off",
        "tool",
        "judge",
    }


def outcome(name: str, *, passed: bool) -> Outcome:
    return Outcome(name, (Answered("q", "a", "answered", (Judgement("j", passed),), 1.0, 0),))


def test_a_regression_is_what_passed_and_fails_now() -> None:
    difference = compare(
        {"a": True, "b": False, "c": True, "d": False},
        [outcome("a", passed=False), outcome("b", passed=True), outcome("d", passed=False), outcome("e", passed=False)],
    )
    assert difference.broken == ("a",)
    assert difference.mended == ("b",)
    assert difference.new == ("e",)
    assert difference.gone == ("c",)
    assert difference.regressed
    assert not compare({"d": False}, [outcome("d", passed=False)]).regressed


@pytest.mark.parametrize(
    ("now", "kind", "differs"),
    [
        ("You have 60 days to return it.", "answered", False),
        ("You have  60 days to return it!", "answered", False),
        ("You have 30 days to return it.", "answered", True),
        ("We will ask a colleague.", "answered", True),
        ("You have 60 days to return it.", "unknown", True),
        ("You have 60 days to return it: https://x.example/r", "answered", True),
    ],
)
def test_answers_differ_in_their_facts_or_most_of_their_words(now: str, kind: str, *, differs: bool) -> None:
    replayed = Replayed("turn", "cont", "how long?", "answered", "You have 60 days to return it.", kind, now)
    assert replayed.differs is differs
