"""What a search yields: passages with their provenance, or the plain outcome that nothing was found."""

from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Passage(msgspec.Struct, frozen=True):
    """A piece of a document. `score` (0..1) orders a result and is comparable between results of one embedder.

    `dense` is the cosine with the question, `keyword` the BM25 score; either is None where that half did not see it.
    """

    chunk_id: int
    source_id: str
    document_id: str
    title: str
    headings: tuple[str, ...]
    text: str
    url: str | None
    score: float
    dense: float | None
    keyword: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """At least one passage, best first. `degraded` says which half of the search failed, and why."""

    passages: tuple[Passage, ...]
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class NothingFound:
    """No passage bears on the question; `why` is `empty knowledge`, `no match`, or what failed."""

    why: str
    degraded: str | None = None


class Embedder(Protocol):
    """Turns texts into unit vectors. `name` identifies weights and settings: other name, other vectors."""

    @property
    def name(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut by the model."""
        ...

    def count_tokens(self, text: str) -> int: ...

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimensions), float32, rows of length 1. Raises Unavailable when the vendor fails."""
        ...
