"""The fused order: neither half can spoil what the other knows, and every part of a question gets its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.knowledge.fusion import MAX_PARTS, Candidate, attainable, fuse, parts_of


def _ids(candidates: list[Candidate]) -> list[int]:
    return [candidate.chunk_id for candidate in candidates]


def test_with_one_half_its_order_stays() -> None:
    dense = [(4, 0.7), (2, 0.5), (9, 0.2)]
    words = [(7, 12.0), (1, 5.0), (3, 0.5)]
    assert _ids(fuse([dense], [], limit=50, attainable=0.0)) == [4, 2, 9]
    assert _ids(fuse([], words, limit=50, attainable=20.0)) == [7, 1, 3]


def test_a_common_word_does_not_overturn_a_clear_meaning() -> None:
    """The failure of fusing by ranks: first of the keywords, with nothing but a frequent word, comes out on top."""
    dense = [(1, 0.72), (2, 0.41), (3, 0.38)]
    words = [(3, 3.1), (2, 2.9), (1, 0.0001)]
    assert _ids(fuse([dense], words, limit=50, attainable=30.0))[0] == 1


def test_a_rare_name_decides_where_meaning_sees_no_difference() -> None:
    dense = [(1, 0.33), (2, 0.325), (3, 0.32)]
    words = [(3, 14.0)]
    assert _ids(fuse([dense], words, limit=50, attainable=14.0)) == [3, 1, 2]


def test_every_part_of_a_question_gets_its_best_chunk_before_seconds() -> None:
    hours = [(1, 0.75), (2, 0.70), (3, 0.66)]
    shipping = [(11, 0.52), (12, 0.45), (13, 0.41)]
    assert set(_ids(fuse([hours, shipping], [], limit=3, attainable=0.0))[:2]) == {1, 11}


def test_a_greeting_brings_nothing_up() -> None:
    """A part that nothing bears on does not put its best chunk beside that of a part with an answer."""
    greeting = [(20, 0.15), (21, 0.14), (1, 0.05)]
    need = [(1, 0.6), (2, 0.55), (3, 0.5)]
    assert _ids(fuse([greeting, need], [], limit=3, attainable=0.0))[:3] == [1, 2, 3]


def test_what_bears_on_several_parts_is_preferred_to_what_bears_on_one() -> None:
    one = [(1, 0.60), (2, 0.60), (3, 0.3)]
    two = [(1, 0.55), (4, 0.55), (3, 0.3)]
    assert _ids(fuse([one, two], [], limit=4, attainable=0.0))[0] == 1


def test_missing_from_a_full_list_is_at_most_its_last() -> None:
    dense = [(1, 0.50), (2, 0.48)]
    candidates = {c.chunk_id: c for c in fuse([dense], [(3, 4.0), (1, 2.0)], limit=2, attainable=10.0)}
    assert candidates[3].dense is None
    assert candidates[3].keyword == 4.0
    assert candidates[2].keyword is None
    # Both lack one half: each is taken for as good as that half's last, so that only what is known differs.
    assert candidates[3].order - candidates[2].order == pytest.approx(0.005 * (4.0 - 2.0))


def test_scores_are_likelihoods_that_grow_with_either_half() -> None:
    def score(cosine: float, keyword: float) -> float:
        return fuse([[(1, cosine)]], [(1, keyword)], limit=50, attainable=20.0)[0].score

    assert 0 < score(0.1, 0.0) < 0.05
    assert score(0.1, 0.0) < score(0.4, 0.0) < score(0.7, 0.0) < 1
    assert score(0.4, 0.0) < score(0.4, 10.0) < score(0.4, 20.0) == score(0.4, 90.0)
    assert score(0.7, 10.0) > 0.9
    only_words = [fuse([], [(1, keyword)], limit=50, attainable=20.0)[0].score for keyword in (1.0, 10.0, 20.0)]
    assert only_words == sorted(only_words)
    assert only_words[-1] > 0.9


def test_nothing_in_nothing_out() -> None:
    assert fuse([], [], limit=50, attainable=0.0) == []
    assert fuse([[], []], [], limit=50, attainable=0.0) == []
    assert attainable({}) == 0.0


ranking = st.dictionaries(st.integers(0, 30), st.floats(-1, 1), max_size=12).map(
    lambda found: sorted(found.items(), key=lambda entry: -entry[1])
)


@given(st.lists(ranking, max_size=4), st.dictionaries(st.integers(0, 30), st.floats(0.001, 60), max_size=12))
def test_every_chunk_that_was_found_comes_out_once_and_in_order(
    dense: list[list[tuple[int, float]]], words: dict[int, float]
) -> None:
    candidates = fuse(dense, list(words.items()), limit=12, attainable=40.0)
    assert sorted(_ids(candidates)) == sorted({i for found in dense for i, _ in found} | words.keys())
    assert [c.order for c in candidates] == sorted((c.order for c in candidates), reverse=True)
    assert all(0 <= c.score <= 1 for c in candidates)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Can I return shoes?", ["Can I return shoes?"]),
        ("Hi! Can I return shoes? What are your hours?", ["Hi! Can I return shoes?", "What are your hours?"]),
        ("When do you open? Thanks!", ["When do you open? Thanks!"]),
        ("ok", ["ok"]),
        ("", []),
    ],
)
def test_parts_of_a_question(question: str, expected: list[str]) -> None:
    assert parts_of(question) == expected


def test_a_long_story_has_few_parts_and_loses_no_word() -> None:
    story = " ".join(f"This is sentence number {n} of a long story." for n in range(100))
    parts = parts_of(story)
    assert 8 <= len(parts) <= MAX_PARTS
    assert " ".join(parts).split() == story.split()
