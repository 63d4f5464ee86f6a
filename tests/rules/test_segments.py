"""Segments: Twilio's own cases, and texts that are made cheaper, split or shortened without hurting a word."""

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import assume, given
from hypothesis import strategies as st

from hookflash.twilio.gsm7 import BASIC, EXTENSION, LOOK_ALIKES
from hookflash.twilio.segments import Segments, count, shorten, smart, split, utf16_length

DIGITS = "1234567890" * 40

# twilio's message-segment-calculator, tests/index.test.js (MIT License): text, encoding, segments, bits of the text.
VECTORS = [
    ("" + DIGITS[0:160], "GSM-7", 1, 1120),
    ("" + DIGITS[0:161], "GSM-7", 2, 1127),
    ("" + DIGITS[0:307], "GSM-7", 3, 2149),
    ("\U0001f61c" + DIGITS[1:69], "UCS-2", 1, 1120),
    ("\U0001f61c" + DIGITS[1:70], "UCS-2", 2, 1136),
    ("\U0001f61c" + DIGITS[1:134], "UCS-2", 3, 2160),
    ("\U0001f1ee\U0001f1f9" + DIGITS[1:67], "UCS-2", 1, 1120),
    ("\U0001f1ee\U0001f1f9" + DIGITS[1:68], "UCS-2", 2, 1136),
    ("\U0001f3f3\ufe0f\u200d\U0001f308" + DIGITS[1:65], "UCS-2", 1, 1120),
    ("\U0001f3f3\ufe0f\u200d\U0001f308" + DIGITS[1:66], "UCS-2", 2, 1136),
]

HINDI = "नमस्ते, आपका ऑर्डर कल तक पहुँच जाएगा। क्षमा करें "


@pytest.mark.parametrize(("text", "encoding", "segments", "bits"), VECTORS)
def test_twilios_own_cases(text: str, encoding: str, segments: int, bits: int) -> None:
    counted = count(text)
    assert (counted.encoding, counted.number) == (encoding, segments)
    assert counted.units * (7 if encoding == "GSM-7" else 16) == bits


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1),
        ("1" * 160, 1),
        ("1" * 161, 2),
        ("1" * 306, 2),
        ("1" * 307, 3),
        ("€" + "1" * 158, 1),
        ("€" + "1" * 159, 2),
        ("1" * 152 + "€" + "1" * 151, 2),  # the euro does not fit into the first part's last septet
        ("1" * 152 + "€" + "1" * 152, 3),
        ("😜" + "1" * 68, 1),
        ("😜" + "1" * 69, 2),
        ("😜" + "1" * 133, 3),
        ("\r\n" * 80, 1),
        ("ç" + "a" * 69, 1),
        ("ç" + "a" * 70, 2),
        (HINDI, 1),
        (HINDI * 2, 2),
        (HINDI * 3, 3),
        (HINDI * 4, 3),
        (HINDI * 5, 4),
    ],
)
def test_more_counts(text: str, number: int) -> None:
    assert count(text).number == number


def test_the_alphabet_has_every_character_once() -> None:
    assert len(BASIC) == 127
    assert len(EXTENSION) == 10
    assert len(set(BASIC + EXTENSION)) == 137
    assert sum(map(len, LOOK_ALIKES.values())) == 270


@given(st.text())
def test_counting_any_text(text: str) -> None:
    counted = count(text)
    assert counted.number >= 1
    assert (counted.encoding == "GSM-7") == (set(text) <= set(BASIC + EXTENSION))
    assert counted.encoding == "GSM-7" or counted.units == len(text.encode("utf-16-le", "surrogatepass")) // 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It’s “fine” — really…", 'It\'s "fine" - really...'),
        ("2½ cups, ¾ full", "2 1/2 cups, 3/4 full"),
        ("a\u00a0b\u2003c\u200bd", "a b cd"),
        ("Cafe\u0301", "Café"),
        ("‹a›", "<a>"),
        ("plain", "plain"),
    ],
)
def test_look_alikes_where_they_make_all_of_it_gsm7(text: str, wanted: str) -> None:
    assert smart(text) == wanted
    assert count(wanted).encoding == "GSM-7"


@pytest.mark.parametrize("text", ["It’s 👋", "“नमस्ते”", "‘ç’", "s\u0326 “x”", "a\u0338 = b", "21 °C – ok"])
def test_texts_that_stay_ucs2_are_left_alone(text: str) -> None:
    assert smart(text) == text


@given(st.text(alphabet=st.sampled_from([*"abc 1€{", *"’“—…½é", "\u0301", "👋", "न", "\u200b"])))
def test_smart_is_stable_and_never_dearer(text: str) -> None:
    better = smart(text)
    assert smart(better) == better
    assert better == text or count(better).encoding == "GSM-7"


PIECES = st.sampled_from([
    "word", "Sentence ends. ", "Really? ", "two lines\n", "para\n\n", " ", "\u00a0", "👩‍👩‍👧", "क्षि", "नमस्ते। ", "e\u0301", "🇮🇹",
    "https://example.com/a?b=c.d&e=f!g", "\r\n", "3.5", "Dr. Who ", "\u0301", "你好。再见。", "a" * 30, "🏳️‍🌈",
])  # fmt: skip
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=200))


def visible(text: str) -> str:
    return "".join(text.split())


def words(text: str) -> set[str]:
    """What no cut may go through."""
    pieces = regex.split(r"[^\S\u00a0\u2007\u202f]+(?![\p{M}\u200d])|(?<=[।॥。！？])(?![\p{M}\u200d])", text)
    return {piece.strip() for piece in pieces if piece.strip()}


@given(TEXTS, st.integers(2, 120))
def test_splitting_loses_nothing_and_keeps_the_limit(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(part and utf16_length(part) <= limit for part in parts)
    assert visible("".join(parts)) == visible(text)


@given(TEXTS)
def test_splitting_keeps_words_and_characters_whole(text: str) -> None:
    # A mark that stands on a space belongs to no word.
    assume(not regex.search(r"\s\p{M}", text))
    limit = 80
    parts = split(text, limit)
    allowed = words(text)
    # No-break spaces before or after a word are parts of it.
    if all(utf16_length(word) <= limit for word in regex.split(r"[^\S\u00a0\u2007\u202f]+", text)):
        for part in parts:
            assert words(part) <= allowed
    whole = set(regex.findall(r"\X", text))
    for part in parts:
        broken = {c for c in regex.findall(r"\X", part) if not c.isspace()} - whole
        assert all(utf16_length(c) > limit or c.strip() in text for c in broken)


def test_a_long_text_is_cut_at_the_best_border() -> None:
    assert split("One two.\n\nThree four. Five six", 20) == ["One two.", "Three four. Five six"]
    assert split("Three four. Five six seven", 20) == ["Three four.", "Five six seven"]
    assert split("alpha beta gamma delta", 12) == ["alpha beta", "gamma delta"]
    assert split("Ask Dr. Brown about 3.5 things", 12) == ["Ask Dr.", "Brown about", "3.5 things"]
    assert split("see https://example.com/a.b?c=d now", 32) == ["see https://example.com/a.b?c=d", "now"]
    assert split("你好。" + "a" * 18, 20) == ["你好。", "a" * 18]
    assert split("exactly ten", 11) == ["exactly ten"]
    assert split("  \n ", 10) == []


def test_characters_of_several_code_points_stay_whole() -> None:
    family = "👩‍👩‍👧"
    assert split(family * 4, 20) == [family * 2, family * 2]
    assert split("क्षि" * 5, 9) == ["क्षि" * 2, "क्षि" * 2, "क्षि"]
    assert split("😀" * 3, 3) == ["😀", "😀", "😀"]
    assert split("😀" * 801) == ["😀" * 800, "😀"]


def test_a_word_over_the_limit_is_cut() -> None:
    assert split("a " + "b" * 25, 10) == ["a", "b" * 10, "b" * 10, "b" * 5]


def test_shortening_ends_at_a_sentence() -> None:
    text = "The shop opens at nine. " * 10
    short = shorten(text, 1)
    assert short == ("The shop opens at nine. " * 6).strip()
    assert shorten("Fits as it is.", 1) == "Fits as it is."


def test_shortening_without_a_sentence_end_says_so() -> None:
    short = shorten("word " * 60, 1)
    assert short == " ".join(["word"] * 31) + "..."
    assert count(short) == Segments("GSM-7", 157, 1)
    assert shorten("Hi. " + "and, " * 60, 1).endswith("and...")


@given(TEXTS.map(lambda t: t * 3), st.integers(1, 3))
def test_shortening_keeps_the_budget_and_whole_words(text: str, budget: int) -> None:
    short = shorten(text, budget)
    assert count(short).number <= budget
    if short.strip() != text.strip():
        kept = short.removesuffix("...")
        assert text.strip().startswith(kept)


def test_an_overlong_word_is_cut_for_want_of_anything_better() -> None:
    assert shorten("a" * 500, 1) == "a" * 157 + "..."
