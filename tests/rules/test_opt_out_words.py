"""The words by which a person stops, starts again, or asks for help: which texts are one, and which only hold one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.compliance.keywords import classify

STOP = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"]
START = ["START", "UNSTOP"]
HELP = ["HELP", "INFO"]
WORDS = [(w, "stop") for w in STOP] + [(w, "start") for w in START] + [(w, "help") for w in HELP]


@given(
    pair=st.sampled_from(WORDS),
    upper=st.lists(st.booleans(), min_size=11, max_size=11),
    before=st.text(" \t\n.,!?'\"-*_()\u00a0\u200e", max_size=4),
    after=st.text(" \t\n.,!?'\"-*_()\u00a0\u200e", max_size=4),
)
def test_any_case_space_and_punctuation(pair: tuple[str, str], upper: list[bool], before: str, after: str) -> None:
    word, kind = pair
    written = "".join(c.upper() if u else c.lower() for c, u in zip(word, upper, strict=False))
    assert classify(before + written + after) == kind


@pytest.mark.parametrize("text", ["ＳＴＯＰ", "Stop 🙏", "«stop»", "STOP\r\n"])
def test_what_phones_make_of_it(text: str) -> None:
    assert classify(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "...", "stop it", "please stop", "don't stop", "STOP ALL", "stopp", "the end", "cancel my order"),
        *("help me", "infos", "startup", "restart", "STOP" * 20),
    ],
)
def test_only_a_whole_message_counts(text: str) -> None:
    assert classify(text) is None


def test_yes_starts_again_only_who_is_out() -> None:
    for text in ("yes", "YES!", " Yes "):
        assert classify(text) is None
        assert classify(text, opted_out=True) == "start"
    assert classify("yes please", opted_out=True) is None


def test_own_words_are_added_to_the_standard_ones() -> None:
    own = {"stop": ["Basta", "no más"], "start": [" alta "], "help": ["ayuda"]}
    assert classify("basta.", own=own) == "stop"
    assert classify("No Más", own=own) == "stop"
    assert classify("ALTA", own=own) == "start"
    assert classify("¿ayuda?", own=own) == "help"
    assert classify("stop", own=own) == "stop"
    assert classify("alta velocidad", own=own) is None


@pytest.mark.parametrize(("told", "kind"), [("STOP", "stop"), ("start", "start"), ("Help", "help")])
def test_twilios_own_verdict_wins(told: str, kind: str) -> None:
    for text in ("arret", "START", "HELP", "anything at all"):
        assert classify(text, told) == kind


@pytest.mark.parametrize("told", ["", "OTHER", None])
def test_an_unknown_verdict_is_none(told: str | None) -> None:
    assert classify("stop", told) == "stop"
    assert classify("hello", told) is None
