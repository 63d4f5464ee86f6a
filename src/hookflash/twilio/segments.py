"""SMS segments: how many a text costs, and how to make a text cost fewer, or fit, without hurting its words.

Counting is that of Twilio's message-segment-calculator: 160 GSM-7 septets or 70 UCS-2 units alone, 153 or 67 in each
part of several, and nothing that belongs together is cut in two.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import regex  # type: ignore[import-untyped]

from hookflash.twilio.gsm7 import BASIC, EXTENSION, LOOK_ALIKES

MAX_CHARS = 1600

_GSM7 = re.compile(f"[{re.escape(BASIC + EXTENSION)}]*")
_EXTENSION = re.compile(f"[{re.escape(EXTENSION)}]")
# Twilio keeps what a reader sees as one character together, but (by older Unicode rules) not an Indic conjunct.
_UNIT = regex.compile(r"\X")
_CONJUNCT = regex.compile(r"(?<=[\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d]\u200d?)(?=\p{L})")
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")

# Where a text may be cut: white space that is not a no-break space and carries no combining mark.
_SPACE = r"[^\S\u00a0\u2007\u202f]"
_BARE = r"(?![\p{M}\u200d])"
_ABBREVIATION = r"(?<!\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|e\.g|i\.e|approx)\.)(?<!(?:^|\n)\d{1,2}\.)"
_PARAGRAPH = regex.compile(rf"\n[^\S\n]*\n\s*{_BARE}")
_SENTENCE = regex.compile(
    rf"(?:[.!?…]+{_ABBREVIATION}[\"')\]”’»]*(?={_SPACE}++(?!\p{{Ll}}))(?={_SPACE}+{_BARE})|[।॥。！？]+[”’」』）]*{_BARE})"
    rf"(?:{_SPACE}+{_BARE})?|\n\s*{_BARE}"
)
# Scripts without spaces have their sentence ends.
_WORD = regex.compile(rf"{_SPACE}+{_BARE}|(?<=[।॥。！？][”’」』）]*)(?![”’」』）।॥。！？\p{{M}}\u200d])")
_LEADING = regex.compile(rf"\A(?:{_SPACE}+{_BARE})?")
_FRACTION = regex.compile("([0-9])([¼½¾])")
_DANGLING = regex.compile(r"[\s,;:(\-–—]+$")


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text takes: `units` are septets (GSM-7) or 16-bit units (UCS-2) of the text itself, `number` the bill."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    number: int


def count(text: str) -> Segments:
    """The segments of a text as Twilio bills them (an empty text is one)."""
    if _GSM7.fullmatch(text):
        doubles = len(_EXTENSION.findall(text))
        units = len(text) + doubles
        if units <= 160:
            number = 1
        elif not doubles:
            number = -(-units // 153)
        else:
            number = _pack((2 if c in EXTENSION else 1 for c in text), 153)
        return Segments("GSM-7", units, number)
    units = utf16_length(text)
    if units <= 70:
        return Segments("UCS-2", units, 1)
    size = len if units == len(text) else utf16_length
    return Segments("UCS-2", units, _pack(map(size, _characters(text)), 67))


def utf16_length(text: str) -> int:
    """The length in 16-bit units, in which Twilio counts characters."""
    return len(text) if text.isascii() else len(text) + len(_ASTRAL.findall(text))


def smart(text: str) -> str:
    """The text in GSM-7 look-alikes (straight quotes for curly ones and so on) if that makes all of it GSM-7.

    Otherwise the text as it is, for then nothing is won. Characters without a faithful look-alike are never replaced.
    """
    if _GSM7.fullmatch(text):
        return text
    plain = _FRACTION.sub(r"\1 \2", unicodedata.normalize("NFC", text)).translate(_FAITHFUL)
    return plain if _GSM7.fullmatch(plain) else text


def split(text: str, max_chars: int = MAX_CHARS) -> list[str]:
    """Parts of at most `max_chars` 16-bit units, cut between paragraphs, else lines and sentences, else words.

    Only the white space at a cut is dropped. A word (or URL) is cut only if it alone is over the limit, and then never
    within what a reader sees as one character, unless that alone is over the limit. A blank text has no parts.
    """
    parts = []
    rest = _LEADING.sub("", text).rstrip()
    while utf16_length(rest) > max_chars:
        end = _fitting(rest, max_chars)
        # One more character is looked at, so that a gap that follows a full part counts as a place to cut.
        window = rest[: end + 1]
        cut = _last_cut(_PARAGRAPH, window, end, end // 2) or _last_cut(_SENTENCE, window, end, end // 3)
        cut = cut or _last_cut(_WORD, window, end, 0) or _within_word(rest, end)
        parts.append(rest[: cut[0]])
        rest = _LEADING.sub("", rest[cut[1] :])
    return [part for part in (*parts, rest) if part]


def shorten(text: str, segments: int) -> str:
    """The text within a budget of segments: up to the last sentence that fits, else the last word and "...".

    A sentence end counts only if it keeps a third of what would fit. A word is cut only if it alone is over the budget.
    """
    text = text.strip()
    if count(text).number <= segments:
        return text
    words = [m.start() for m in _WORD.finditer(text)]
    to_word = _longest(words, lambda end: _elide(text[:end]), segments)
    ends = [m.start() + len(m[0].rstrip()) for m in _SENTENCE.finditer(text)]
    to_sentence = _longest(ends, lambda end: text[:end].rstrip(), segments)
    if len(to_sentence) * 3 >= len(to_word) and to_sentence:
        return to_sentence
    if to_word:
        return to_word
    characters = [m.end() for m in _UNIT.finditer(text)]
    return _longest(characters, lambda end: text[:end] + "...", segments)


def _faithful() -> dict[int, str]:
    """Twilio's look-alikes without those that change what is said.

    A combining mark belongs to its letter; single guillemets point the wrong way; invisible characters join or part words;
    spaces are one space.
    """
    table = {}
    for stand_in, characters in LOOK_ALIKES.items():
        for character in characters:
            if unicodedata.combining(character) or unicodedata.category(character) == "Cc":
                continue
            table[ord(character)] = " " if stand_in.isspace() else stand_in
    return table | {ord("‹"): "<", ord("›"): ">", ord("\t"): " "}


_FAITHFUL = _faithful()


def _characters(text: str) -> Iterable[str]:
    for character in _UNIT.findall(text):
        if character == "\r\n":
            yield from character
        elif len(character) > 2 and character > "\u0900":
            yield from _CONJUNCT.split(character)
        else:
            yield character


def _pack(sizes: Iterable[int], room: int) -> int:
    """How many parts of `room` units the pieces fill in order, none of them cut in two."""
    number, free = 1, room
    for size in sizes:
        if size > free:
            number, free = number + 1, room
        free -= size
    return number


def _fitting(text: str, units: int) -> int:
    """How many characters from the start take at most `units` 16-bit units."""
    end = min(len(text), units)
    while (over := utf16_length(text[:end]) - units) > 0:
        end -= -(-over // 2)
    return end


def _last_cut(border: "regex.Pattern[str]", window: str, end: int, least: int) -> tuple[int, int] | None:
    """The last border in the window that keeps more than `least` characters: where the part ends, where the rest begins."""
    found = None
    for match in border.finditer(window):
        stop = match.start() + len(match[0].rstrip())
        if least < stop <= end and stop > 0:
            found = (stop, match.end())
    return found


def _within_word(text: str, end: int) -> tuple[int, int]:
    borders = [m.end() for m in _UNIT.finditer(text[: end + 64])]
    fitting = bisect_right(borders, end)
    cut = borders[fitting - 1] if fitting else max(end, 1)
    return cut, cut


def _elide(text: str) -> str:
    kept: str = _DANGLING.sub("", text)
    return kept and kept + "..."


def _longest(ends: list[int], make: Callable[[int], str], segments: int) -> str:
    """The longest of the texts made of the ascending `ends` that is within the budget, or an empty one."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if count(make(ends[middle])).number <= segments:
            low = middle + 1
        else:
            high = middle
    return make(ends[low - 1]) if low else ""
