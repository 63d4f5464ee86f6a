"""Sentences: where one ends and the next begins, in prose, lists and chat alike, with nothing lost."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# After these a sentence always goes on.
INNER = _set("mr mrs ms dr prof sr sra dra vs e.g i.e z.b d.h p.ej bzw fr ud uds mme mlle ca")
# After these it ends when a capital letter follows: "approx. 5 days", "No. 12", but "Cash? No. Only cards."
OPEN = _set(
    """approx incl excl no nr nos vol fig art núm num tel ext max min avg est dept etc inc ltd co corp st ave rd a.m p.m
    u.s u.k jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sat sun usw ggf inkl zzgl
    str pág av avda env tél ul bd ej"""
)
BULLET = re.compile(r"[ \t]*(?:[-*+•‣◦–]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])[ \t]+")
END = re.compile(r"""(?<![.!?…])[.!?…]+["'”’»)\]*_]*(?=\s|$)|[।॥。！？]+["'”’»)\]]*""")
WORD = re.compile(r"[^\s(\[\"'“‘«*_]*$")
SHOWN = re.compile(r"\S")
LONGEST_WORD = 40
LABEL = re.compile(r"[^\W\d_][^.:!?]{0,40}:\s")
# A line this long was wrapped, so that the next one goes on with it; a shorter one stands alone.
WRAPPED = 45


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text` without the space around it; `start` and `end` are its character offsets in the whole."""

    text: str
    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of `text`, in order. Between two of them there is only white space: no other character is lost.

    A bullet, a heading, a row of a table and a short line are each at least one sentence; wrapped lines are joined.
    """
    sentences = []
    for start, end in _blocks(text):
        at = start
        for cut in _cuts(text[start:end]):
            sentences.append(_trimmed(text, at, start + cut))
            at = start + cut
        sentences.append(_trimmed(text, at, end))
    return [sentence for sentence in sentences if sentence.text]


def _trimmed(text: str, start: int, end: int) -> Sentence:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    bare = piece.strip()
    return Sentence(bare, left, left + len(bare))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Runs of lines that belong together: a wrapped paragraph, one bullet, one heading, one row of a table."""
    start = at = 0
    before = ""
    for line in text.splitlines(keepends=True):
        if at > start and not _goes_on(before, line):
            yield start, at
            start = at
        at += len(line)
        before = line
    if at > start:
        yield start, at


def _goes_on(before: str, line: str) -> bool:
    above, bare = before.strip(), line.strip()
    if not above or not bare or _alone(above) or _alone(bare) or BULLET.match(line) or LABEL.match(bare):
        return False
    return len(above) >= WRAPPED or bare[0].islower()


def _alone(bare: str) -> bool:
    return bare[0] in "#|>" or bare.startswith(("```", "---", "===", "***"))


def _cuts(block: str) -> Iterator[int]:
    """Where the sentences of one block end, but for the last."""
    if block.lstrip()[:1] in {"#", "|"}:
        return
    bullet = BULLET.match(block)
    for end in END.finditer(block, bullet.end() if bullet else 0):
        # Only what is near is looked at: a block may be a whole book on one line.
        before = block[max(0, end.start() - LONGEST_WORD) : end.start()]
        after = SHOWN.search(block, end.end())
        if after is not None and not _inside(before, end.group(), after.group()):
            yield end.end()


def _inside(before: str, mark: str, after: str) -> bool:
    """Whether the mark does not end a sentence; `after` is the first character that follows."""
    if mark[0] not in ".…":
        return False
    if mark.startswith(("..", "…")):
        return after.islower()
    found = WORD.search(before)
    word = found.group().lower() if found else ""
    if word in INNER or (len(word) == 1 and word.isalpha() and word not in {"i", "a"}):
        return True
    return word in OPEN and not after.isupper()
