"""Indexes that are not ours: what one must be able to do, and how what it finds comes into the order of a search."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hookflash.base.errors import Invalid
from hookflash.knowledge.fusion import by_ranks, likelihood
from hookflash.knowledge.passage import Embedder, Found, NothingFound, Passage, Vector
from hookflash.knowledge.search import Limits, chosen


@dataclass(frozen=True, slots=True)
class IndexPlace:
    """Where an index lies. `options` and `secrets` are what its vendor needs; `dimensions` is what the account expects."""

    account_id: str
    vendor: str
    dimensions: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def text(self, name: str, default: str | None = None) -> str:
        """An option; raises Invalid when it is missing and has no default."""
        value = self.options.get(name, default)
        if not isinstance(value, str) or not value.strip():
            raise Invalid(f"an index of {self.vendor} needs {name!r}", field=f"index.options.{name}")
        return value.strip()

    def only(self, options: Sequence[str], secrets: Sequence[str]) -> None:
        """Raises Invalid for an option or a secret that its vendor does not know: a slip of the pen would change nothing."""
        for part, known, given in (("options", options, self.options), ("secrets", secrets, self.secrets)):
            unknown = sorted(set(given) - set(known))
            if unknown:
                there = ", ".join(sorted(known)) or "none"
                raise Invalid(
                    f"an index of {self.vendor} has no {part[:-1]} {unknown[0]!r}; there are: {there}",
                    field=f"index.{part}.{unknown[0]}",
                )

    def secret(self, name: str) -> str:
        value = self.secrets.get(name, "").strip()
        if not value:
            raise Invalid(f"an index of {self.vendor} needs the secret {name!r}", field=f"index.secrets.{name}")
        return value


@dataclass(frozen=True, slots=True)
class Entry:
    """One passage of an index, with its vector of length 1."""

    id: str
    text: str
    vector: Vector
    title: str = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. `cosine` is with the question's vector, `words` (0..1) how well its words fit."""

    id: str
    text: str
    title: str = ""
    url: str | None = None
    cosine: float | None = None
    words: float | None = None


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """`by_text`: whether it can be searched without a vector."""

    dimensions: int
    entries: int
    by_text: bool = False


class ExternalIndex(Protocol):
    """An index of some vendor. Every method raises Unavailable when the vendor does not answer, Invalid when it refuses."""

    async def facts(self) -> IndexFacts: ...

    async def search(self, vector: Vector | None, text: str | None, limit: int) -> Sequence[Hit]:
        """The nearest to the vector (length 1), and where it can to the text; best first. One of both is given."""
        ...

    async def put(self, entries: Sequence[Entry]) -> None:
        """Add these, in the place of those of the same ids. Raises Invalid for a vector of the wrong size."""
        ...

    async def remove(self, ids: Sequence[str]) -> None:
        """Those that are not there are no error."""
        ...

    async def aclose(self) -> None: ...


def check_dimensions(facts: IndexFacts, embedder: Embedder, expected: int | None) -> None:
    """Raises Invalid when questions could not be compared with what the index holds."""
    if expected is not None and facts.dimensions != expected:
        raise Invalid(
            f"the index has {facts.dimensions} dimensions, but {expected} are expected",
            field="index.dimensions",
            hint=f"set dimensions to {facts.dimensions} if this is the right index",
        )
    if embedder.dimensions != facts.dimensions:
        raise Invalid(
            f"the index has {facts.dimensions} dimensions, but the vectors of {embedder.name} have {embedder.dimensions}",
            field="embedding_model",
            hint="name the model that the index was filled with",
        )


def passages_of(source_id: str, hits: Sequence[Hit]) -> list[Passage]:
    """What an index found, as passages. Their chunk ids are below zero: they are none of ours."""
    return [
        Passage(
            chunk_id=-int.from_bytes(hashlib.sha256(f"{source_id}\0{hit.id}".encode()).digest()[:6], "big"),
            source_id=source_id,
            document_id=f"{source_id}:{hit.id}",
            title=hit.title,
            headings=(),
            text=hit.text,
            url=hit.url,
            score=likelihood(hit.cosine) if hit.cosine is not None else hit.words or 0.0,
            dense=hit.cosine,
            keyword=hit.words,
        )
        for hit in hits
        if hit.text.strip()
    ]


def merged(
    own: Found | NothingFound, elsewhere: Sequence[Sequence[Passage]], failures: Sequence[str], limits: Limits
) -> Found | NothingFound:
    """Our passages and those of other indexes by their ranks: scores of different models cannot be compared."""
    degraded = "; ".join(filter(None, (own.degraded, *failures))) or None
    mine = own.passages if isinstance(own, Found) else ()
    rankings = [list(mine), *([p for p in found if p.score >= limits.least_score] for found in elsewhere)]
    by_id = {passage.chunk_id: passage for ranking in rankings for passage in ranking}
    # Of equals of several lists the likelier comes first.
    rankings.sort(key=lambda ranking: -ranking[0].score if ranking else 0.0)
    order = by_ranks([[passage.chunk_id for passage in ranking] for ranking in rankings])
    if not order:
        # What could not be asked might have had it.
        return NothingFound(f"failed: {degraded}" if failures else "no match", degraded)
    return Found(tuple(chosen([by_id[key] for key in order if isinstance(key, int)], limits)), degraded)
