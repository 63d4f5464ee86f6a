"""Which words are a rating, and what it is worth."""

import pytest

from hookflash.insight.feedback import rating_of, score_of


@pytest.mark.parametrize(
    ("words", "rating"),
    [
        ("5", 5),
        (" 1 ", 1),
        ("4.", 4),
        ("3/5", 3),
        ("5!!", 5),
        ("4\N{VARIATION SELECTOR-16}\N{COMBINING ENCLOSING KEYCAP}", 4),
        ("0", None),
        ("6", None),
        ("15", None),
        ("4 5", None),
        ("5 boots please", None),
        ("four", None),
        ("", None),
        ("٣", None),
        ("²", None),
    ],
)
def test_only_a_bare_number_from_one_to_five_is_a_rating(words: str, rating: int | None) -> None:
    assert rating_of(words) == rating


def test_ratings_are_spread_over_the_whole_scale() -> None:
    assert [score_of(rating) for rating in range(1, 6)] == [0.0, 0.25, 0.5, 0.75, 1.0]
