"""The structured outcome: any cut into pieces reads the same, and what broke off or strayed is still understood."""

import itertools
import json
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookflash.assistant.structured import SCHEMA, Outcome, Reader, read, reply_of
from hookflash.base.errors import ModelFailed
from hookflash.conversation.turn import Usage

GOOD = '{"answer": "Yes, 30 days.", "confidence": 0.9, "sources": [1, 3], "clarifying": false}'


def read_in_pieces(text: str, cuts: list[int]) -> tuple[str, Outcome]:
    reader = Reader()
    edges = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    streamed = "".join(reader.feed(text[a:b]) for a, b in itertools.pairwise(edges))
    return streamed, reader.finish()


texts = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\{}[],:\n 😀é1')), max_size=60)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    answer=texts,
    confidence=st.floats(0, 1),
    sources=st.lists(st.integers(1, 9), max_size=4, unique=True),
    clarifying=st.booleans(),
    extra=st.dictionaries(texts.filter(lambda k: k not in SCHEMA["properties"]), json_values, max_size=2),
    order=st.randoms(use_true_random=False),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 2]),
    around=st.sampled_from([("", ""), ("```json\n", "\n```"), ("Here it is: ", " Hope that helps {you}!")]),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_every_object_is_read_in_any_pieces(
    answer: str,
    confidence: float,
    sources: list[int],
    clarifying: bool,
    extra: dict[str, object],
    order: Random,
    escaped: bool,
    indent: int | None,
    around: tuple[str, str],
    cuts: list[int],
) -> None:
    items = list(
        {"answer": answer, "confidence": confidence, "sources": sources, "clarifying": clarifying, **extra}.items()
    )
    order.shuffle(items)
    text = around[0] + json.dumps(dict(items), ensure_ascii=escaped, indent=indent) + around[1]
    streamed, outcome = read_in_pieces(text, cuts)
    spoken = answer.replace("\x00", "")
    assert streamed == spoken
    assert outcome == Outcome(spoken.strip(), confidence, tuple(sources), clarifying, True)


@given(text=st.text(max_size=80) | texts, cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_any_text_reads_the_same_in_any_pieces(text: str, cuts: list[int]) -> None:
    streamed, outcome = read_in_pieces(text, cuts)
    assert outcome == read(text)
    assert streamed.strip() in ("", outcome.answer)


@given(
    lead=st.sampled_from(['{"answer": "', '{"confidence": 1, "answer":"', 'ok {"answer":\n"']),
    tail=texts,
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_answers_that_look_like_json_read_the_same_in_any_pieces(lead: str, tail: str, cuts: list[int]) -> None:
    streamed, outcome = read_in_pieces(lead + tail, cuts)
    assert outcome == read(lead + tail)
    assert outcome.answer.startswith(streamed.strip())


@given(cut=st.integers(0, len(GOOD)))
def test_an_object_that_breaks_off_keeps_what_was_said(cut: int) -> None:
    outcome = read(GOOD[:cut])
    assert "Yes, 30 days.".startswith(outcome.answer) or cut == 0
    if cut >= GOOD.index('", "conf'):
        assert outcome.answer == "Yes, 30 days."


def test_a_surrogate_pair_may_be_cut_anywhere() -> None:
    text = '{"answer": "a \\ud83d\\ude00 b"}'
    for cut in range(len(text)):
        streamed, outcome = read_in_pieces(text, [cut])
        assert streamed == outcome.answer == "a 😀 b"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer": "lone \\ud83d half"}', "lone \ufffd half"),
        ('{"answer": "lone \\ude00"}', "lone \ufffd"),
        ('{"answer": "two \ud83d\ude00 halves"}', "two 😀 halves"),
        ('{"answer": "line\nend"}', "line\nend"),
        ('{"answer": "He said "hi" to me", "confidence": 1}', 'He said "hi" to me'),
        ('{"answer": "first", "answer": "second"}', "first"),
        ('{"note": {"answer": "inner"}, "answer": "outer"}', "outer"),
        ('Use {name} or {"a": 1}: {"answer": "this"}', "this"),
        ("We are open from 9 to 5.", "We are open from 9 to 5."),
        ("```\nJust text.\n```", "Just text."),
        ("Write {name} there.", "Write {name} there."),
        ('{"confidence": 0.4}', ""),
        ('{"answer": null}', ""),
        ("", ""),
    ],
)
def test_the_odd_ones(text: str, answer: str) -> None:
    assert read(text).answer == answer


@pytest.mark.parametrize(
    ("stated", "confidence"),
    [
        ("0.8", 0.8),
        ('"0.8"', 0.8),
        ("80", 0.8),
        ('"80%"', 0.8),
        ("-1", 0.0),
        ("1e9", 1.0),
        ("true", None),
        ('"high"', None),
    ],
)
def test_confidence_is_bounded_however_it_is_written(stated: str, confidence: float | None) -> None:
    assert read(f'{{"answer": "x", "confidence": {stated}}}').confidence == confidence


def test_sources_are_taken_from_marks_when_they_are_not_listed() -> None:
    assert read("We ship in 3 days [2], free above 50 EUR [1][2].").sources == (2, 1)
    assert read('{"answer": "x", "sources": ["[2]", "4"]}').sources == (2, 4)
    assert read('{"answer": "x [9]", "sources": []}').sources == ()


def test_only_passages_that_were_given_can_be_sources() -> None:
    reply = reply_of(read(GOOD), 2, "m", Usage())
    assert (reply.answer, reply.sources, reply.confidence) == ("Yes, 30 days.", (1,), 0.9)


def test_an_answer_that_broke_off_ends_at_its_last_sentence() -> None:
    reply = reply_of(read('{"answer": "We ship today. It takes two da'), 1, "m", Usage())
    assert reply.answer == "We ship today."


def test_no_answer_is_a_failure_that_may_pass() -> None:
    with pytest.raises(ModelFailed) as failed:
        reply_of(read('{"confidence": 1}'), 1, "m", Usage())
    assert failed.value.retryable


def test_the_schema_is_strict_as_vendors_demand() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert SCHEMA["required"] == list(SCHEMA["properties"])
    msgspec.json.encode(SCHEMA)
