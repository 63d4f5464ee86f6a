"""Cutting documents: nothing is lost, nothing is too long, and a change stays where it was made."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import Block, Extracted, Kind, Place

CountTokens = Callable[[str], int]


def words(text: str) -> int:
    return len(text.split())


def pieces_of_four(text: str) -> int:
    """Like a subword tokenizer: a start and an end sign, and one token for every four letters."""
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def jealous(text: str) -> int:
    """Counts a whole higher than the sum of its parts, as no tokenizer should."""
    return len(text) // 3 + text.count("\n") * 5 + (len(text) // 40) ** 2


COUNTERS: list[CountTokens] = [words, pieces_of_four, len, jealous]

text = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]) | st.sampled_from(" ...!?\n")
)
prose = st.lists(
    st.sampled_from(["alpha", "beta.", "Gamma", "12", "a.m.", "(delta)", "epsilon!", "x" * 70]), max_size=40
).map(" ".join)
blocks = st.builds(
    Block,
    kind=st.sampled_from(list(Kind)),
    text=(text | prose).map(str.strip).filter(bool),
    level=st.integers(1, 4),
    place=st.none(),
)
bodies = blocks.filter(lambda block: block.kind is not Kind.HEADING)


def visible(*parts: str) -> str:
    return "".join("".join(parts).split())


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(letter in rest for letter in part)


def cut(
    *blocks: Block, title: str = "Guide", count_tokens: CountTokens = words, max_tokens: int = 30, small_tokens: int = 8
) -> list[Chunk]:
    return chunk(
        Extracted(title, blocks),
        count_tokens=count_tokens,
        max_tokens=max_tokens,
        small_tokens=small_tokens,
        overlap_tokens=6,
    )


def heading(text: str, level: int = 2) -> Block:
    return Block(Kind.HEADING, text, level)


def paragraph(text: str, page: int | None = None) -> Block:
    return Block(Kind.PARAGRAPH, text, place=Place("page", page, page) if page else None)


@settings(deadline=None, max_examples=200)
@given(st.lists(bodies, max_size=8), st.sampled_from(COUNTERS), st.integers(16, 90))
def test_no_character_of_the_text_is_lost_or_doubled(given: list[Block], count: CountTokens, limit: int) -> None:
    document = Extracted("T", tuple(given))
    chunks = chunk(document, count_tokens=count, max_tokens=limit, overlap_tokens=0)
    assert visible(*(each.text for each in chunks)) == visible(*(block.text for block in given))


@settings(deadline=None, max_examples=200)
@given(st.lists(blocks, max_size=10), st.sampled_from(COUNTERS), st.integers(16, 90))
def test_every_chunk_keeps_the_limit_and_headings_are_kept(given: list[Block], count: CountTokens, limit: int) -> None:
    document = Extracted("A title", tuple(given))
    chunks = chunk(document, count_tokens=count, max_tokens=limit, small_tokens=12)
    assert all(count(each.indexed_text) <= limit or len(each.text) == 1 for each in chunks)
    assert [each.ordinal for each in chunks] == list(range(len(chunks)))
    body = [block.text for block in given if block.kind is not Kind.HEADING]
    assert is_subsequence(visible(*body), visible(*(each.text for each in chunks)))
    texts = visible(*(each.text for each in chunks))
    paths = {text for each in chunks for text in each.headings}
    assert all(block.text in paths or visible(block.text) in texts for block in given if block.kind is Kind.HEADING)
    assert chunk(document, count_tokens=count, max_tokens=limit, small_tokens=12) == chunks


def test_sections_know_their_headings_and_the_title_is_not_repeated() -> None:
    chunks = cut(
        heading("Guide", 1),
        paragraph("All about our shop and what it can do for you today."),
        heading("Returns"),
        heading("Shoes", 3),
        paragraph("Shoes can be returned within thirty days if nobody wore them outside."),
        heading("Hours"),
        paragraph("We are open from ten to seven on every day but Sunday."),
    )
    assert [each.headings for each in chunks] == [(), ("Returns", "Shoes"), ("Hours",)]
    assert chunks[1].indexed_text == (
        "Guide > Returns > Shoes\nShoes can be returned within thirty days if nobody wore them outside."
    )


def test_small_neighbours_under_one_heading_share_a_chunk_and_others_do_not() -> None:
    chunks = cut(
        heading("Hours"),
        heading("Monday", 3),
        paragraph("Ten to six."),
        heading("Sunday", 3),
        paragraph("Closed."),
        heading("Address"),
        paragraph("Pier Lane."),
        heading("Phone", 3),
        paragraph("On the card."),
    )
    assert [(each.headings, each.text) for each in chunks] == [
        (("Hours",), "Monday\nTen to six.\nSunday\nClosed."),
        (("Address",), "Pier Lane.\nPhone\nOn the card."),
    ]


def test_a_heading_with_nothing_below_it_is_kept() -> None:
    assert [each.text for each in cut(heading("Closed on Sundays"))] == ["Closed on Sundays"]
    assert [each.text for each in cut(heading("Guide", 1))] == ["Guide"]


def test_rows_and_items_stay_whole() -> None:
    rows = [Block(Kind.ROW, f"Size: {size}; Length: {size} centimetres or so; Stock: yes") for size in range(36, 46)]
    chunks = cut(*rows)
    assert len(chunks) > 2
    assert [line for each in chunks for line in each.text.split("\n")] == [row.text for row in rows]


def test_sentences_stay_whole_and_only_a_cut_paragraph_overlaps() -> None:
    sentences = [f"Sentence number {number} tells the reader something new." for number in range(12)]
    chunks = cut(paragraph(" ".join(sentences)), max_tokens=30)
    assert len(chunks) > 2
    for each in chunks:
        assert re.fullmatch(r"(?:Sentence number \d+ tells the reader something new\. ?)+", each.text)
    loose = cut(*(paragraph(sentence) for sentence in sentences), max_tokens=30)
    assert sorted(line for each in loose for line in each.text.split("\n")) == sorted(sentences)


def test_a_cut_paragraph_repeats_its_last_sentence() -> None:
    chunks = cut(paragraph("One two three four five six seven eight. Nine ten. " * 4), max_tokens=22)
    assert [each.text.startswith("Nine ten. One two") for each in chunks[:2]] == [False, True]


def test_a_question_stays_with_every_part_of_its_answer() -> None:
    answer = " ".join(f"Answer sentence number {number} is here." for number in range(10))
    chunks = cut(
        heading("Why?", 1),
        Block(Kind.RECORD, "Because."),
        heading("How?", 1),
        Block(Kind.RECORD, answer),
        heading("When?", 1),
        Block(Kind.RECORD, "Now."),
    )
    assert chunks[0].indexed_text == "Guide > Why?\nBecause."
    assert [each.headings for each in chunks] == [("Why?",)] + [("How?",)] * (len(chunks) - 2) + [("When?",)]
    assert len(chunks) > 3


def test_the_place_spans_the_pages_of_the_text() -> None:
    chunks = cut(paragraph("First part of it.", 3), paragraph("Second part of it.", 4))
    assert [str(each.place) for each in chunks] == ["pages 3-4"]


def test_a_change_touches_only_the_chunk_where_it_was_made() -> None:
    def document(hours: str) -> tuple[Block, ...]:
        sections = [
            ("Returns", "Thirty days for shoes and sixty days for all clothing."),
            ("Hours", hours),
            ("Repairs", "Zips are twenty-eight dollars and take a week or so."),
        ]
        return tuple(block for name, text in sections for block in (heading(name), paragraph(text)))

    before = cut(*document("Open from ten to six on every day of the week."))
    after = cut(*document("New winter times apply now.\nOpen from ten to five on every day."))
    assert len(before) == len(after) == 3
    assert [old.digest == new.digest for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_the_digest_depends_on_title_headings_and_text_only() -> None:
    first = cut(paragraph("The same words.", 1))[0]
    moved = cut(
        heading("Other"),
        paragraph("Some other words that are long enough to stand alone."),
        heading("Guide", 1),
        paragraph("x"),
    )
    assert cut(paragraph("The same words.", 9))[0].digest == first.digest
    assert cut(paragraph("The same words."), title="Other")[0].digest != first.digest
    assert cut(heading("H"), paragraph("The same words."))[0].digest != first.digest
    assert first.digest not in {each.digest for each in moved}


def test_a_long_title_and_a_word_without_end_do_not_break_the_limit() -> None:
    chunks = cut(heading("h" * 500), paragraph("w" * 5_000), title="t" * 400, count_tokens=len, max_tokens=40)
    assert all(len(each.indexed_text) <= 40 for each in chunks)
    assert "".join(each.text for each in chunks) == "w" * 5_000


def test_text_that_a_tokenizer_counts_as_one_unknown_token_is_still_cut() -> None:
    chunks = cut(paragraph("w" * 100_000), count_tokens=words, max_tokens=30)
    assert max(len(each.text) for each in chunks) <= 30 * 12


def test_a_limit_too_low_for_any_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the least is 16"):
        cut(paragraph("x"), max_tokens=15)
