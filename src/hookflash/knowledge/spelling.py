"""Questions as they are typed on a telephone: shorthand written out, and slips of the finger mended by the passages' words."""

import re
from collections.abc import Callable, Iterable

_SHORT = """
u you|r are|ur your|wen when|wut what|hav have|pls please|plz please|thx thanks|abt about|b4 before|cuz because
tmrw tomorrow|tmr tomorrow|2day today|2moro tomorrow|hrs hours|mins minutes|shud should|wud would|cud could
howmuch how much|whats what|wheres where|hows how|whens when|q qué|xq porque|pq porque|tb también|dnd donde
"""
_PAIRS = (each.partition(" ") for line in _SHORT.strip().splitlines() for each in line.split("|"))
SHORTHAND = {short: full for short, _, full in _PAIRS}
# Shorter words have too many neighbours; of longer ones two slips may be mended.
SHORTEST, LONG = 4, 8
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[\w']+")
# Of a company, hours alone are those at which it is open; documents call them so.
_HOURS = re.compile(
    r"^(?:what(?: are|'s)? )?(?:(?:the|your) )?(?:(?:business|store|shop|working|office) )?hours"
    r"(?: ?[?.!]*$|(?= (?:on|for|of|at|today|tomorrow)\b))",
    re.IGNORECASE,
)


def written_out(question: str) -> str:
    """The question without shorthand, as documents would put it."""

    def write(found: re.Match[str]) -> str:
        word: str = found.group()
        return SHORTHAND.get(word.lower(), word)

    return _HOURS.sub("opening hours", _TOKEN.sub(write, question).strip())


def mended(question: str, texts: Iterable[str], known: Callable[[str], bool]) -> str:
    """The question with words that nobody knows replaced by the one word of the texts that they are a slip away from.

    `known` tells real words: "boats" is none of ours, and still no misspelt "boots".
    """
    words = _WORD.findall(question)
    if all(len(word) < SHORTEST or known(word.lower()) for word in words):
        return question
    ours: set[str] = {word for text in texts for word in _WORD.findall(text.lower()) if len(word) >= SHORTEST}

    def mend(found: re.Match[str]) -> str:
        said: str = found.group()
        word = said.lower()
        if len(word) < SHORTEST or word in ours or known(word):
            return said
        for slips in (1, 2) if len(word) >= LONG else (1,):
            near = sorted(other for other in ours if _slips(word, other, slips) <= slips)
            # Its plural is the same word.
            if near and all(other.startswith(near[0]) for other in near):
                return near[0]
        return said

    return _WORD.sub(mend, question)


def _slips(one: str, other: str, most: int) -> int:
    """Letters that were left out, put in, mistaken or swapped; more than `most` is not counted exactly."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            least = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                least = min(least, before[j - 2] + 1)
            row.append(least)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return last[-1]
