"""The knowledge of all accounts in PostgreSQL, with the indexes of its sources in memory."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from hookflash.base.clock import Clock
from hookflash.base.coalesced import Coalesced
from hookflash.db.pool import Database
from hookflash.knowledge import answer_store, entry_store, index_store, scope_store, store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.external import merged
from hookflash.knowledge.external_store import Elsewhere
from hookflash.knowledge.far_store import BigSources
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.keywords import KeywordIndex
from hookflash.knowledge.passage import Embedder, Found, NothingFound, Passage, Vector
from hookflash.knowledge.questions import Questions
from hookflash.knowledge.rerank import Reranking
from hookflash.knowledge.search import MAX_QUESTION, Limits, search
from hookflash.knowledge.shelf import Key, Shelf
from hookflash.knowledge.source import EntryFacts, Scope
from hookflash.knowledge.vectors import VectorIndex

# Of a source: id, version, embedding model, kind, JSON of who may see it.
Version = tuple[str, int, str, str, str | None, bool]

Ids = NDArray[np.int64]

# Numbers in vectors among which the nearest are looked for while everybody else waits, about 3 ms: a thread of its own
# would cost a search more.
_AT_ONCE = 50_000_000
# For how long an index that is not ours is taken to be unchanged: so long an answer from it is given again.
UNCHANGED_SECONDS = 600
# Passages that are remembered: some 10 MB.
PASSAGES = 10_000
# Sets of sources whose entries are remembered.
SCOPES = 1_000


class KnowledgeBase:
    """Searches what accounts have handed in. `embedder` gives an embedder by the name that a source remembers.

    `elsewhere` searches the indexes of accounts that are not ours; without it they are left out. `outside` holds copies
    of the vectors of sources that are too big for memory.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        embedder: Callable[[str], Embedder],
        elsewhere: Elsewhere | None = None,
        *,
        outside: ChunkVectors | None = None,
        reranking: Reranking | None = None,
    ) -> None:
        self._db = db
        self._big = BigSources(db, clock, outside)
        self._reranking = reranking
        self._elsewhere = elsewhere
        self._clock = clock
        self._embedder = embedder
        self._asked: dict[str, Questions] = {}
        # How many chunks a source has at a version, which counting them each time would cost more than the search.
        self._sizes: dict[str, tuple[int, int]] = {}
        self._keywords: Shelf[KeywordIndex] = Shelf(self._keyword_index)
        self._entries: OrderedDict[tuple[str, str], list[EntryFacts]] = OrderedDict()
        self._passages: OrderedDict[int, tuple[int, Passage]] = OrderedDict()
        self._vectors: Shelf[VectorIndex] = Shelf(self._vector_index)
        self._versions: Coalesced[tuple[str, ...], list[Version]] = Coalesced(self._versions_of_all)
        self._kept: Coalesced[str, bytes | None] = Coalesced(self._kept_of_all)
        self._keeping: Coalesced[tuple[str, bytes], None] = Coalesced(self._keep_all)

    async def scope(self, account_id: str, sources: Sequence[str]) -> Scope:
        """These sources (none named: all) of the account, as they are now."""
        found = await self._versions(account_id, tuple(sources))
        unknown = [source for source, version, *_ in found if self._sizes.get(source, (0, 0))[0] != version]
        if unknown:
            async with self._db.at_once(account_id) as conn:
                counted = await store.count_chunks(conn, unknown)
            self._sizes |= {s: (version, counted[s]) for s, version, *_ in found if s in counted}
        span = int(self._clock.now().timestamp()) // UNCHANGED_SECONDS
        return Scope(
            account_id,
            tuple((s, v, model, self._sizes.get(s, (v, 0))[1]) for s, v, model, *_ in found),
            tuple((s, span) for s, _, _, kind, *_ in found if kind == "database") if self._elsewhere else (),
            tuple((s, policy) for s, *_, policy, _ in found if policy),
            curated=not found or found[0][-1],
        )

    async def search(self, scope: Scope, question: str, limits: Limits | None = None) -> Found | NothingFound:
        """The passages of the scope that bear on the question, those of other indexes merged in."""
        limits = limits or Limits()
        elsewhere = [source for source, _ in scope.elsewhere]
        if self._elsewhere is None or not elsewhere or not question.strip():
            return await self._ours(scope, question, limits)
        own: Found | NothingFound = NothingFound("empty knowledge")
        others: list[list[Passage]] = []
        failures: list[str] = []
        outside = self._elsewhere

        async def ours() -> None:
            nonlocal own
            own = await self._ours(scope, question, limits)

        async def theirs() -> None:
            nonlocal others, failures
            asked = question[:MAX_QUESTION].strip()
            others, failures = await outside.search(scope.account_id, elsewhere, asked, limits)

        async with anyio.create_task_group() as both:
            both.start_soon(ours)
            both.start_soon(theirs)
        found = merged(own, others, failures, limits)
        if isinstance(found, Found):
            self._remember({p.chunk_id: (0, p) for p in found.passages if p.chunk_id < 0})
        return found

    async def _ours(self, scope: Scope, question: str, limits: Limits) -> Found | NothingFound:
        return await search(
            question, scope, store=self, embedder=self._questions, limits=limits, reranking=self._reranking
        )

    async def entries(self, scope: Scope) -> list[EntryFacts]:
        """What the scope's sources say of themselves; remembered until one of them is another."""
        key = (scope.account_id, scope.version)
        found = self._entries.get(key)
        if found is None:
            async with self._db.at_once(scope.account_id) as conn:
                found = await entry_store.entries(conn, [source for source, *_ in scope.sources])
            self._entries[key] = found
            if len(self._entries) > SCOPES:
                self._entries.popitem(last=False)
        return found

    def _questions(self, model: str) -> Embedder:
        if model not in self._asked:
            self._embedder(model)
            self._asked[model] = Questions(lambda: self._embedder(model))
        return self._asked[model]

    async def nearest(
        self, scope: Scope, model: str, vectors: Vector, limit: int, failures: list[str]
    ) -> Sequence[Ranked]:
        """In memory; those of sources too big for that in the index outside, or through their graphs."""
        mine = [(s, version, chunks) for s, version, m, chunks in scope.sources if m == model and chunks]
        small = [((s, model), version) for s, version, chunks in mine if chunks <= store.IN_MEMORY_AT_MOST]
        big = [s for s, _, chunks in mine if chunks > store.IN_MEMORY_AT_MOST]
        indexes = await self._vectors.indexes(scope.account_id, small)

        def near() -> list[list[tuple[int, float]]]:
            return [[scored for index in indexes for scored in index.nearest(v, limit)] for v in vectors]

        many = sum(map(len, indexes)) * vectors.size > _AT_ONCE
        found = await anyio.to_thread.run_sync(near) if many else near()
        if big:
            far = await self._big.nearest(scope.account_id, big, model, vectors, limit, failures)
            for ranked, others in zip(found, far, strict=True):
                ranked += others
        return [sorted(ranked, key=lambda scored: (-scored[1], scored[0]))[:limit] for ranked in found]

    async def indexes(self, scope: Scope) -> Sequence[KeywordIndex]:
        sources = [((source,), version) for source, version, _, chunks in scope.sources if chunks]
        return await self._keywords.indexes(scope.account_id, sources)

    async def passages(self, scope: Scope, chunk_ids: Sequence[int]) -> dict[int, Passage]:
        """Those of the scope's chunks that (still) exist, remembered until their source's version moves on."""
        versions = {source: version for source, version, *_ in scope.sources}
        theirs = {source for source, _ in scope.elsewhere}
        found: dict[int, Passage] = {}
        for chunk_id in chunk_ids:
            version, passage = self._passages.get(chunk_id, (0, None))
            if passage is not None and (versions.get(passage.source_id) == version or passage.source_id in theirs):
                found[chunk_id] = passage
                self._passages.move_to_end(chunk_id)
        missing = [i for i in chunk_ids if i not in found and i >= 0]
        if missing:
            async with self._db.at_once(scope.account_id) as conn:
                read = await store.passages(conn, missing)
            mine = {i: passage for i, passage in read.items() if passage.source_id in versions}
            found |= mine
            self._remember({i: (versions[passage.source_id], passage) for i, passage in mine.items()})
        return found

    async def kept(self, account_id: str, key: str) -> bytes | None:
        """An answer that was given before."""
        return await self._kept(account_id, key)

    async def keep(self, account_id: str, key: str, answer: bytes) -> None:
        await self._keeping(account_id, (key, answer))

    async def _versions_of_all(self, account_id: str, wanted: Sequence[tuple[str, ...]]) -> list[list[Version]]:
        found = {}
        async with self._db.at_once(account_id) as conn:
            cursors = {sources: await scope_store.versions_of(conn, sources) for sources in dict.fromkeys(wanted)}
            for sources, cursor in cursors.items():
                found[sources] = await scope_store.read_versions(cursor)
        return [found[sources] for sources in wanted]

    async def _kept_of_all(self, account_id: str, keys: Sequence[str]) -> list[bytes | None]:
        async with self._db.at_once(account_id) as conn:
            found = await answer_store.cached_answers(conn, keys)
        return [found.get(key) for key in keys]

    async def _keep_all(self, account_id: str, answers: Sequence[tuple[str, bytes]]) -> list[None]:
        async with self._db.at_once(account_id, durable=False) as conn:
            await answer_store.keep_answers(conn, account_id, dict(answers), self._clock.now())
        return [None] * len(answers)

    def _remember(self, passages: dict[int, tuple[int, Passage]]) -> None:
        self._passages |= passages
        while len(self._passages) > PASSAGES:
            self._passages.popitem(last=False)

    async def _keyword_index(self, account_id: str, key: Key, held: KeywordIndex | None) -> KeywordIndex:
        (source,) = key
        index = held or KeywordIndex.build((), ())
        async with self._db.tenant(account_id) as conn:
            new, gone = _changes(index.ids, await index_store.chunk_ids(conn, source))
            rows = await index_store.terms(conn, source, new)
            languages = await index_store.languages(conn, source)
        return await anyio.to_thread.run_sync(index.changed, rows, gone, languages)

    async def _vector_index(self, account_id: str, key: Key, held: VectorIndex | None) -> VectorIndex:
        source, model = key
        index = held or VectorIndex.build(())
        async with self._db.tenant(account_id) as conn:
            new, gone = _changes(index.ids, await index_store.chunk_ids(conn, source))
            rows = await index_store.vectors(conn, source, model, new)
        return await anyio.to_thread.run_sync(index.changed, rows, gone)


def _changes(held: Ids, now: Ids) -> tuple[Ids, Ids]:
    """Which chunks came and which went: a chunk's words and vector never change."""
    return np.setdiff1d(now, held, assume_unique=True), np.setdiff1d(held, now, assume_unique=True)
