"""Background work of knowledge: reading, cutting, embedding and storing documents; changing a source's model."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import anyio.to_thread
import psycopg
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError, Unavailable
from hookflash.db.jobs import Task, defer
from hookflash.db.pool import Database
from hookflash.knowledge import answer_store, store
from hookflash.knowledge.analyze import terms
from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import Limits, RawDocument
from hookflash.knowledge.extract import extract
from hookflash.knowledge.keywords import pack_terms
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import Embedder
from hookflash.knowledge.source import Document, NewChunk
from hookflash.knowledge.web_address import file_name
from hookflash.workspace import store as workspace

log = structlog.get_logger()

BATCH = 64
MAX_CHUNK_TOKENS = 180
KEEP_ANSWERS = timedelta(days=30)

Progress = Callable[[int, int], None]


def _silent(done: int, of: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Read:
    """A document as read: its title, language, and chunks."""

    title: str
    language: str | None
    chunks: list[Chunk]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Indexer:
    """Makes documents searchable. `embedder` gives an embedder by the name that a source remembers.

    `copied`: sources too big for memory are searched in an index outside, so they need no graph here.
    """

    db: Database
    clock: Clock
    embedder: Callable[[str], Embedder]
    limits: Limits
    maintenance_url: str | None = None
    copied: bool = False

    async def index(self, account_id: str, document_id: str, progress: Progress = _silent) -> Document | None:
        """Index one document that was handed in; only chunks that are new are embedded.

        What is wrong with the document itself ends in its status; Unavailable (embedder, database) is raised, to be
        tried again. None when the document is gone, done, or was replaced meanwhile: then another job reads it.
        """
        async with self.db.tenant(account_id) as conn:
            begun = await store.begin_indexing(conn, document_id, self.clock.now())
        if begun is None:
            return None
        document, model, data = begun
        embedder = self.embedder(model)
        # What a server says of a page counts for more than the ending of its address.
        name = file_name(document.url, document.content_type) if document.url else document.name
        raw = RawDocument(name, document.content_type, data)
        try:
            read = await anyio.to_thread.run_sync(read_document, raw, self.limits, embedder, abandon_on_cancel=True)
        except HookflashError as error:
            if error.retryable:
                raise
            log.warning("document cannot be read", document=document_id, reason=error.message)
            async with self.db.tenant(account_id) as conn:
                if not await store.fail_indexing(conn, document, error.message, self.clock.now()):
                    return None
                return await store.get_document(conn, document_id)
        async with self.db.tenant(account_id) as conn:
            have = Counter(await store.known_digests(conn, document_id, model))
        kept: list[tuple[str, int]] = []
        new: list[Chunk] = []
        for piece in read.chunks:
            if have[piece.digest] > 0:
                have[piece.digest] -= 1
                kept.append((piece.digest, piece.ordinal))
            else:
                new.append(piece)
        progress(len(kept), len(read.chunks))
        added = await self._embedded(new, read.language, embedder, lambda n: progress(len(kept) + n, len(read.chunks)))
        async with self.db.tenant(account_id) as conn:
            finished = await store.finish_indexing(
                conn,
                document,
                account_id,
                title=read.title,
                language=read.language,
                model=model,
                kept=kept,
                added=added,
                now=self.clock.now(),
            )
            if not finished:
                return None
            source = await store.get_source(conn, document.source_id)
            if source.chunks > store.IN_MEMORY_AT_MOST:
                await defer(
                    conn,
                    "knowledge.copy" if self.copied else "knowledge.graph",
                    queueing_lock=f"graph:{source.id}",
                    schedule_in=timedelta(seconds=30),
                    account_id=account_id,
                    source_id=source.id,
                )
            # Its vectors are of the model that the source had when we began; the source may be leaving it, or have left it.
            wanted = source.next_model or source.embedding_model
            if wanted != model:
                await defer(
                    conn,
                    "knowledge.embed_anew",
                    lock=source.id,
                    account_id=account_id,
                    source_id=source.id,
                    model=wanted,
                )
            return await store.get_document(conn, document_id)

    async def _embedded(
        self, chunks: Sequence[Chunk], language: str | None, embedder: Embedder, progress: Callable[[int], None]
    ) -> list[NewChunk]:
        added: list[NewChunk] = []
        for start in range(0, len(chunks), BATCH):
            batch = chunks[start : start + BATCH]
            vectors = await embedder.embed([c.indexed_text for c in batch])
            for piece, vector in zip(batch, vectors, strict=True):
                added.append(
                    NewChunk(
                        ordinal=piece.ordinal,
                        text=piece.text,
                        headings=piece.headings,
                        place=str(piece.place) if piece.place else None,
                        digest=piece.digest,
                        tokens=embedder.count_tokens(piece.indexed_text),
                        terms=pack_terms(terms(piece.indexed_text, language or "en")),
                        vector=store.vector_text(vector),
                    )
                )
            progress(len(added))
        return added

    async def embed_anew(self, account_id: str, source_id: str, model: str) -> None:
        """Give every chunk of a source a vector of another model, then let searches use those."""
        embedder = self.embedder(model)
        added = 0
        while True:
            async with self.db.tenant(account_id) as conn:
                missing = await store.chunks_without(conn, source_id, model, BATCH)
                if not missing:
                    if await store.switch_model(conn, source_id, model, self.clock.now()):
                        log.info("source switched to another embedding model", source=source_id, model=model)
                    elif added:
                        await store.changed(conn, source_id, self.clock.now())
                    return
            vectors = await embedder.embed([text for _, text in missing])
            rows = [(chunk_id, store.vector_text(v)) for (chunk_id, _), v in zip(missing, vectors, strict=True)]
            async with self.db.tenant(account_id) as conn:
                await store.add_vectors(conn, account_id, source_id, model, rows)
            added += len(rows)

    async def graph(self, account_id: str, source_id: str) -> None:
        """Build the graph index of a source that has outgrown memory."""
        async with self.db.tenant(account_id) as conn:
            source = await store.get_source(conn, source_id)
        if self.maintenance_url is None or source.chunks <= store.IN_MEMORY_AT_MOST:
            return
        name, statement = store.graph_index(
            source_id, source.embedding_model, self.embedder(source.embedding_model).dimensions
        )
        try:
            async with await psycopg.AsyncConnection.connect(self.maintenance_url, autocommit=True) as owner:
                await owner.execute("set maintenance_work_mem = '512MB'")
                await owner.execute(statement)
                await owner.execute("analyze embeddings")
        except psycopg.OperationalError as error:
            raise Unavailable("The database did not build a graph index.") from error
        log.info("graph index built", source=source_id, index=name)

    async def forget_answers(self) -> None:
        """Drop answers that nobody asked for again."""
        for account_id in await workspace.accounts(self.db):
            async with self.db.tenant(account_id) as conn:
                await answer_store.forget_answers(conn, self.clock.now() - KEEP_ANSWERS)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""

        async def index(account_id: str, document_id: str) -> None:
            await self.index(account_id, document_id)

        run: list[tuple[str, Callable[..., Awaitable[None]]]] = [
            ("knowledge.index", index),
            ("knowledge.embed_anew", self.embed_anew),
            ("knowledge.graph", self.graph),
        ]
        return [
            *(Task(name, call) for name, call in run),
            Task("knowledge.forget_answers", self.forget_answers, every="17 3 * * *"),
        ]


def read_document(raw: RawDocument, limits: Limits, embedder: Embedder) -> Read:
    """Bytes to chunks; keeps a core busy. Raises Invalid or TooLarge with a sentence for the document's owner."""
    extracted = extract(raw, limits=limits)
    most = min(MAX_CHUNK_TOKENS, embedder.max_tokens)
    chunks = chunk(extracted, count_tokens=embedder.count_tokens, max_tokens=most)
    sample = " ".join(b.text for b in extracted.blocks)[:2_000]
    return Read(extracted.title, extracted.language or detect(sample, None), chunks, extracted.notes)
