"""Cursors come back as they went in, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.base.errors import Invalid
from hookflash.base.paging import decode_cursor, encode_cursor

_PART = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80) | st.integers(-(2**62), 2**62)


@given(st.lists(_PART, min_size=1, max_size=4))
def test_a_cursor_comes_back_as_it_went_in(key: list[str | int]) -> None:
    cursor = encode_cursor(*key)
    assert decode_cursor(cursor, *map(type, key)) == tuple(key)
    assert "=" not in cursor
    assert cursor.isascii()


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        key = decode_cursor(text, str, int)
    except Invalid:
        return
    assert [type(part) for part in key] == [str, int]


@pytest.mark.parametrize(
    "kinds",
    [(str,), (int, str), (str, int, int), (str, str)],
    ids=["too few", "swapped", "too many", "another kind"],
)
def test_a_cursor_of_another_list_is_refused(kinds: tuple[type[str] | type[int], ...]) -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor("a", 1), *kinds)


@pytest.mark.parametrize("cursor", ["", "%", "e30", "bnVsbA", "WzFd" * 3, "é", "W10", "dHJ1ZQ"])
def test_what_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="was not made by this list") as refused:
        decode_cursor(cursor, int)
    assert refused.value.field == "cursor"


def test_true_is_not_a_number() -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor(True), int)
