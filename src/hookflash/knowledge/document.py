"""A document before it is cut up: as it was handed in, and as the blocks that were read from it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one document is accepted."""

    file_bytes: int = 50_000_000
    # Compressed formats unfold: a few kilobytes of ZIP can hold gigabytes.
    unpacked_bytes: int = 250_000_000
    pages: int = 5_000


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A file as it was handed in. `content_type` is what the sender claims, or None; the name's ending is trusted more."""

    name: str
    content_type: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file something stands, counted from 1: `Place("page", 3, 4)`, `Place("row", 12, 12)`."""

    unit: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.unit} {self.first}" if self.first == self.last else f"{self.unit}s {self.first}-{self.last}"


def joined(first: Place | None, second: Place | None) -> Place | None:
    """The place that spans both; None is no place at all. Both must count in the same unit."""
    if first is None or second is None:
        return first or second
    return Place(first.unit, min(first.first, second.first), max(first.last, second.last))


class Kind(StrEnum):
    """What a block is, as far as cutting cares."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    ROW = "row"
    CODE = "code"
    # One row of a CSV file or one object of a JSON Lines file: complete in itself, so always a chunk of its own.
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that has a meaning of its own; `level` (1 is the highest) is for headings only."""

    kind: Kind
    text: str
    level: int = 0
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was read from a document, in its order. `language` is what the document says of itself (ISO 639-1).

    `notes` are sentences for whoever handed it in, such as "pages 3-4 hold no text".
    """

    title: str
    blocks: tuple[Block, ...]
    language: str | None = None
    notes: tuple[str, ...] = ()


def table_rows(rows: list[list[str]], *, place: Place | None = None) -> list[Block]:
    """The rows of a table whose first row names the columns, each as `Day: Monday; Opens: 10 a.m.`, so that it can stand alone."""
    if len(rows) < 2:
        return [Block(Kind.ROW, "; ".join(filter(None, row)), place=place) for row in rows if any(row)]
    head, *body = rows
    blocks = []
    for row in body:
        cells = []
        for position, cell in enumerate(row):
            column = head[position] if position < len(head) else ""
            if cell:
                cells.append(f"{column}: {cell}" if column and column != cell else cell)
        if cells:
            blocks.append(Block(Kind.ROW, "; ".join(cells), place=place))
    return blocks
