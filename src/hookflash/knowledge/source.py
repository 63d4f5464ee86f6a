"""A source of knowledge and its documents, as their owner sees them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class KnowledgeSource:
    """A named set of documents. While `next_model` is set its passages are embedded anew behind the present ones."""

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
    """What one search may look at: an account's sources, each with its version and the model of its vectors."""

    account_id: str
    sources: tuple[tuple[str, int, str, int], ...]

    @property
    def version(self) -> str:
        """Changes with any change of what a search could find."""
        return ",".join(f"{source}:{version}" for source, version, _, _ in self.sources)

    @property
    def empty(self) -> bool:
        return not any(chunks for *_, chunks in self.sources)


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
