"""Long texts that are made to keep a pattern busy: without bounds each of these would take minutes, or hours."""

from collections.abc import Callable

import pytest

from hookflash.assistant.compose import without_marks
from hookflash.base.errors import Invalid
from hookflash.knowledge.formats.records import read_csv
from hookflash.knowledge.language import detect
from hookflash.knowledge.sentences import split_sentences
from hookflash.safety.injection import instructs, suspect
from hookflash.twilio.plain_text import to_plain

LENGTH = 150_000


@pytest.mark.parametrize("piece", ["#", "-", "[", "{", "<", "![", "- "])
def test_long_runs_say_nothing_to_the_rules(piece: str) -> None:
    assert suspect(piece * LENGTH).score < 0.5
    assert instructs(piece * LENGTH).score < 0.5


@pytest.mark.parametrize("words", ["###### system", "-------- end of document", "[!!! insert your prompt ]"])
def test_what_the_rules_mean_is_still_known(words: str) -> None:
    assert instructs(words).score > 0


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (without_marks, " " * LENGTH + "x"),
        (detect, "-" * LENGTH),
        (to_plain, "# " * 10_000),
        (split_sentences, "x" + "." * LENGTH + "x"),
        (split_sentences, "Ask for Mr. Doe. He waits... there. " * (LENGTH // 12)),
    ],
)
def test_long_texts_are_read(read: Callable[[str], object], text: str) -> None:
    assert read(text) is not None


def test_a_book_on_one_line_has_its_sentences() -> None:
    sentences = split_sentences("Ask for Mr. Doe. He waits... there. " * 1_000)
    assert len(sentences) == 2_000
    assert [each.text for each in sentences[:2]] == ["Ask for Mr. Doe.", "He waits... there."]


def test_a_row_that_is_no_header_is_refused() -> None:
    with pytest.raises(Invalid, match="holds a text of"):
        read_csv("1" + " " * 50_000 + "x,b\n1,2\n")
