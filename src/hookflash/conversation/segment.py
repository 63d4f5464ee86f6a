"""A piece of a reply on its way to the person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Some text of a reply; `last` on the piece that ends it (its text may be empty)."""

    text: str
    last: bool = False
