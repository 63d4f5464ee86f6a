"""What leaves for an answer: plain, cheap to send, within the segment budget, split at sentence borders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.channels.think import compose
from hookflash.twilio.segments import count, utf16_length

SENTENCES = "Boots can be returned within 30 days. They must be clean. Bring the receipt or the order number. "


def test_markdown_becomes_plain_and_typography_becomes_cheap() -> None:
    said = "**Returns** \u2013 it\u2019s free\u2026\n\n- within 30 days\n- unused\n"
    (body,) = compose(said, "sms", 3, 1600)
    assert "**" not in body
    assert "it's free..." in body
    assert count(body).encoding == "GSM-7"


def test_whatsapp_keeps_its_own_emphasis_and_its_characters() -> None:
    (body,) = compose("**Returns** it\u2019s free", "whatsapp", None, 1600)
    assert body == "*Returns* it\u2019s free"


def test_what_only_unicode_can_say_stays() -> None:
    assert compose("नमस्ते, जूते 30 दिन में वापस करें।", "sms", 3, 1600) == ["नमस्ते, जूते 30 दिन में वापस करें।"]


@pytest.mark.parametrize("budget", [1, 2, 3, 10])
def test_a_budget_shortens_whole_sentences(budget: int) -> None:
    bodies = compose(SENTENCES * 30, "sms", budget, 1600)
    assert len(bodies) == 1
    assert count(bodies[0]).number <= budget
    assert bodies[0].endswith(".")


def test_within_the_budget_nothing_is_taken_away() -> None:
    assert compose(SENTENCES, "sms", 1, 1600) == [SENTENCES.strip()]


def test_a_long_answer_is_split_between_sentences() -> None:
    bodies = compose(SENTENCES * 30, "whatsapp", None, 1600)
    assert len(bodies) == 2
    assert " ".join(bodies) == (SENTENCES * 30).strip()
    assert all(body.endswith(".") for body in bodies)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30), max_size=200
    ),
    st.integers(20, 1600),
)
def test_no_part_is_over_the_limit_and_no_word_is_lost(words: list[str], limit: int) -> None:
    text = " ".join(words)
    bodies = compose(text, "whatsapp", None, limit)
    assert all(0 < utf16_length(body) <= limit for body in bodies)
    assert all(body.strip() for body in bodies)


@given(st.text(max_size=2_000), st.integers(1, 10))
def test_no_answer_costs_more_than_its_budget(text: str, budget: int) -> None:
    assert sum(count(body).number for body in compose(text, "sms", budget, 1600)) <= budget


@pytest.mark.parametrize("nothing", ["", "   ", "\n\n"])
def test_nothing_to_say_is_no_message(nothing: str) -> None:
    assert compose(nothing, "sms", 3, 1600) == []
