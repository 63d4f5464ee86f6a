"""Plain text: paragraphs between blank lines, with lines that were wrapped joined again."""

import re
from itertools import pairwise

from hookflash.knowledge.document import Block, Extracted, Kind

_BLANK = re.compile(r"\n[ \t]*\n\s*")
_BULLET = re.compile(r"(?:[-*•‣–]|\(?\d{1,3}[.)])[ \t]+\S")
_TITLE_LENGTH = 80
# Lines of a file that was wrapped by an editor or a mail program are about this long.
_NARROW, _WIDE = 40, 120


def read_plain(text: str) -> Extracted:
    """Title: a first line that stands alone and does not end like a sentence."""
    pieces = [[line.strip() for line in piece.strip().split("\n")] for piece in _BLANK.split(text.strip())]
    title = ""
    if (
        len(pieces) > 1
        and len(pieces[0]) == 1
        and len(pieces[0][0]) <= _TITLE_LENGTH
        and pieces[0][0][-1:] not in ".!?:;,"
    ):
        title = pieces.pop(0)[0]
    width = max(len(line) for piece in pieces for line in piece)
    wrapped = _NARROW <= width <= _WIDE
    blocks: list[Block] = []
    for piece in pieces:
        blocks += map(_block, _unwrapped(piece, width) if wrapped else piece)
    return Extracted(title, tuple(blocks))


def _unwrapped(lines: list[str], width: int) -> list[str]:
    """Joins a line with the next where it was broken only because it was full; bullets and short lines stay."""
    whole = lines[:1]
    for before, line in pairwise(lines):
        # The next word would not have fitted: that is what wrapping is.
        full = len(before) + 1 + len(line.split(maxsplit=1)[0]) > width
        if full and not _BULLET.match(line):
            whole[-1] += " " + line
        else:
            whole.append(line)
    return whole


def _block(line: str) -> Block:
    return Block(Kind.ITEM if _BULLET.match(line) else Kind.PARAGRAPH, line)
