"""A source of knowledge and its documents, as their owner sees them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class KnowledgeSource:
    """A named set of documents. While `next_model` is set its passages are embedded anew behind the present ones.

    `description` decides when it is searched and how the question is put; with `final_response` its best passage is the
    answer. `config` is what its kind needs: of `web` where it begins, of `database` where the index lies. `policy`: who may
    see it (channels, traits, verified); empty: everybody.
    """

    id: str
    account_id: str
    name: str
    description: str
    kind: str
    embedding_model: str
    next_model: str | None
    version: int
    documents: int
    chunks: int
    created_at: datetime
    updated_at: datetime
    final_response: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `status`: QUEUED, PROCESSING, COMPLETED or FAILED, then `error` says why."""

    id: str
    source_id: str
    name: str
    title: str
    url: str | None
    content_type: str
    size: int
    language: str | None
    status: str
    error: str | None
    chunk_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How many documents of a source are in which state, and how many of its chunks have a vector of `next_model`."""

    queued: int
    processing: int
    completed: int
    failed: int
    chunks: int
    next_model: str | None
    switched: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What one search may look at: an account's sources, each with its version, the model of its vectors, its chunks.

    `elsewhere` are those whose passages lie in an index that is not ours, each with the time span that we take it to
    be unchanged for. `policies`: JSON of who may see those that are not for everybody. `curated`: whether the account may have
    curated answers.
    """

    account_id: str
    sources: tuple[tuple[str, int, str, int], ...]
    elsewhere: tuple[tuple[str, int], ...] = ()
    policies: tuple[tuple[str, str], ...] = ()
    curated: bool = True

    @property
    def version(self) -> str:
        """Changes with any change of what a search could find."""
        own = (f"{source}:{version}" for source, version, _, _ in self.sources)
        return ",".join((*own, *(f"{source}@{span}" for source, span in self.elsewhere)))

    def only(self, wanted: Collection[str]) -> "Scope":
        """The scope without all but these sources."""
        return Scope(
            self.account_id,
            tuple(source for source in self.sources if source[0] in wanted),
            tuple(source for source in self.elsewhere if source[0] in wanted),
            curated=self.curated,
        )

    @property
    def empty(self) -> bool:
        return not self.elsewhere and not any(chunks for *_, chunks in self.sources)


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """What an entry says of itself, for whoever chooses among entries."""

    id: str
    name: str
    description: str
    final_response: bool
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk as it is stored and listed."""

    id: int
    document_id: str
    ordinal: int
    text: str
    headings: tuple[str, ...]
    place: str | None
    tokens: int


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be stored, with its vector (pgvector's notation) under the source's model."""

    ordinal: int
    text: str
    headings: tuple[str, ...]
    place: str | None
    digest: str
    tokens: int
    terms: bytes
    vector: str
