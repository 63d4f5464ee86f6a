"""Making many documents searchable in this process, with progress: what was new, unchanged, or could not be read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from mimetypes import guess_type

import anyio

from hookflash.knowledge import store
from hookflash.knowledge.source import Document, KnowledgeSource
from hookflash.wiring import Core

_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Handed:
    """A document as it is handed in; `read` gives its bytes when its turn has come."""

    name: str
    size: int
    read: Callable[[], bytes]


@dataclass(slots=True)
class Outcome:
    """What became of them; `failed` tells name and reason. `sources` are the names of those that they belong to."""

    indexed: list[Document] = field(default_factory=list)
    unchanged: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    vanished: int = 0
    sources: list[str] = field(default_factory=list)

    @property
    def chunks(self) -> int:
        return sum(document.chunk_count for document in self.indexed)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told: one more document is through; chunks done of all, of the one in work."""

    document: Callable[[], None] = lambda: None
    chunks: Callable[[str, int, int], None] = lambda name, done, of: None


async def source_named(core: Core, account_id: str, name: str) -> KnowledgeSource:
    """The account's source of this name, made if it is not there yet."""
    async with core.db.tenant(account_id) as conn:
        found = await store.find_source(conn, name)
        return found or await store.create_source(
            conn, account_id, name=name, description="", kind="file", model=core.settings.embedder
        )


async def index_all(
    core: Core, account_id: str, source: KnowledgeSource, documents: Sequence[Handed], watcher: Watcher = Watcher()
) -> Outcome:
    """Index documents, a few at a time. What is wrong with a document ends in the outcome, nothing else does."""
    outcome = Outcome()
    indexer = core.indexer()
    waiting = iter(documents)

    async def some() -> None:
        for document in waiting:
            await one(document)
            watcher.document()

    async def one(handed: Handed) -> None:
        most = core.settings.max_upload_bytes
        if handed.size > most:
            told = f"the file has {handed.size / 1e6:,.1f} MB; at most {most / 1e6:,.1f} MB are read"
            outcome.failed.append((handed.name, told))
            return
        try:
            data = handed.read()
        except OSError as error:
            outcome.failed.append((handed.name, f"the file cannot be read: {error.strerror}"))
            return
        async with core.db.tenant(account_id) as conn:
            put, changed = await store.put_document(
                conn,
                source,
                name=handed.name,
                content_type=guess_type(handed.name)[0] or "",
                data=data,
                url=None,
                now=core.clock.now(),
                queue=False,
            )
        if not changed:
            outcome.unchanged += 1
            return
        indexed = await indexer.index(account_id, put.id, lambda done, of: watcher.chunks(handed.name, done, of))
        if indexed is not None and indexed.status == "FAILED":
            outcome.failed.append((handed.name, indexed.error or "it cannot be read"))
        elif indexed is not None:
            outcome.indexed.append(indexed)

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(some)
    outcome.failed.sort()
    return outcome


def handed_in(entries: Iterable[tuple[str, bytes]]) -> list[Handed]:
    """Documents whose bytes are at hand."""

    def of(data: bytes) -> Callable[[], bytes]:
        return lambda: data

    return [Handed(name, len(data), of(data)) for name, data in entries]
