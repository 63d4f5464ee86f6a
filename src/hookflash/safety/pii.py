"""Numbers that must not be kept: payment cards and Aadhaar, found by their check digits, however they are spaced."""

import re
from functools import lru_cache

_SPOKEN = (
    "zero oh cero",
    "one uno",
    "two dos",
    "three tres",
    "four cuatro",
    "five cinco",
    "six seis",
    "seven siete",
    "eight ocho",
    "nine nueve",
)
_WORDS = {word: str(value) for value, words in enumerate(_SPOKEN) for word in words.split()}
_TOKEN = rf"(?:\b(?:(?P<times>double|triple)\s+)?(?P<word>{'|'.join(_WORDS)})\b|(?:\b(?P<more>double|triple)\s+)?(?P<digits>\d+))"
_ONE = re.compile(_TOKEN, re.IGNORECASE)
_PLAIN = re.sub(r"\?P<\w+>", "?:", _TOKEN)
# Digits as they are written and as they are said, mixed too; never those of a number that begins with a plus.
_RUN = re.compile(rf"(?<![\d+]){_PLAIN}(?:[\s,.\-–/]{{1,3}}{_PLAIN})*(?!\d)", re.IGNORECASE)
_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_P = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a payment card's number."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def verhoeff(digits: str) -> bool:
    """Whether the last digit is the check digit of an Aadhaar number."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _D[check][_P[place % 8][int(digit)]]
    return check == 0


def _kind(digits: str) -> str | None:
    if len(set(digits)) < 2:
        return None
    if 13 <= len(digits) <= 19 and digits[0] in "23456" and luhn(digits):
        return "[card number]"
    if len(digits) == 12 and digits[0] in "23456789" and verhoeff(digits):
        return "[Aadhaar number]"
    return None


def mask_numbers(text: str) -> str:
    """The text with card and Aadhaar numbers replaced by what they are; also when they were spoken digit by digit."""
    return _RUN.sub(_masked, text)


def digits_in(text: str) -> int:
    """How many digits the longest number in a text has, written or spoken."""
    runs = (sum(len(_digits(one)) for one in _ONE.finditer(run.group())) for run in _RUN.finditer(text))
    return max(runs, default=0)


def mask_digits(text: str, least: int = 3) -> str:
    """The text with every number of so many digits taken out, whatever number it is: where one was asked for."""

    def masked(run: re.Match[str]) -> str:
        return "[number]" if sum(len(_digits(one)) for one in _ONE.finditer(run.group())) >= least else run.group()

    return _RUN.sub(masked, mask_numbers(text))


@lru_cache(maxsize=8)
def numbers(text: str) -> list[tuple[int, int, str]]:
    """Where card and Aadhaar numbers stand in a text: start, end, and `[card number]` or `[Aadhaar number]`."""
    return [found for run in _RUN.finditer(text) for found in _numbers(run)]


def _masked(run: re.Match[str]) -> str:
    text, first = run.group(), run.start()
    out, done = [], 0
    for start, end, kind in _numbers(run):
        out += [text[done : start - first], kind]
        done = end - first
    return "".join((*out, text[done:]))


def _numbers(run: re.Match[str]) -> list[tuple[int, int, str]]:
    """Of a run of digits the numbers in it, which begin and end where a group does: an expiry date may follow a card."""
    text, at = run.group(), run.start()
    groups = [(found.start(), found.end(), _digits(found)) for found in _ONE.finditer(text)]
    out, first = [], 0
    while first < len(groups):
        digits, found = "", None
        for last in range(first, len(groups)):
            digits += groups[last][2]
            if len(digits) > 19:
                break
            kind = _kind(digits)
            if kind is not None:
                found = (last, kind)
        if found is None:
            first += 1
            continue
        out.append((at + groups[first][0], at + groups[found[0]][1], found[1]))
        first = found[0] + 1
    return out


def _digits(token: re.Match[str]) -> str:
    times = {"double": 2, "triple": 3}.get((token["times"] or token["more"] or "").casefold(), 1)
    if token["word"]:
        return _WORDS[token["word"].casefold()] * times
    written = token["digits"]
    if not written.isascii():
        # ४१११ as well as 4111.
        written = "".join(str(int(digit)) for digit in written)
    return written[0] * (times - 1) + written
