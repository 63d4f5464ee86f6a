"""Big sources whose vectors also lie in Milvus: found at every moment, wherever the copy stands, and gone from there too."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Unavailable
from hookflash.db.pool import Database
from hookflash.knowledge import copy_store, store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.copy_jobs import Copier
from hookflash.knowledge.document import Limits
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.jobs import Indexer
from hookflash.knowledge.library_store import KnowledgeBase
from hookflash.knowledge.passage import Found, Vector
from hookflash.knowledge.source import KnowledgeSource
from hookflash.providers.vectors import VectorsConfig, open_vectors
from hookflash.testing.wait import until
from hookflash.workspace import store as workspace
from tests.doors.test_knowledge_store import Words, page

CLOCK = SystemClock()


@dataclass
class Watched:
    """The real place; counts searches, and can be away."""

    inner: ChunkVectors
    away: bool = False
    searches: int = 0

    @property
    def place(self) -> str:
        return self.inner.place

    def _check(self) -> None:
        if self.away:
            raise Unavailable("Milvus is away.")

    async def put(self, account_id: str, source_id: str, model: str, rows: Sequence[tuple[int, Vector]]) -> None:
        self._check()
        await self.inner.put(account_id, source_id, model, rows)

    async def remove(self, account_id: str, model: str, chunk_ids: Sequence[int]) -> None:
        self._check()
        await self.inner.remove(account_id, model, chunk_ids)

    async def forget(self, account_id: str, source_id: str) -> None:
        self._check()
        await self.inner.forget(account_id, source_id)

    async def count(self, account_id: str, source_id: str, model: str) -> int:
        return await self.inner.count(account_id, source_id, model)

    async def nearest(
        self, account_id: str, sources: Sequence[str], model: str, vectors: Vector, limit: int
    ) -> list[Ranked]:
        self.searches += 1
        self._check()
        return await self.inner.nearest(account_id, sources, model, vectors, limit)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Library:
    """An account with a source that counts as big, and its copy."""

    db: Database
    account: str
    source: KnowledgeSource
    outside: Watched
    embedders: dict[str, Words] = field(default_factory=lambda: {name: Words(name) for name in ("one", "two")})

    @property
    def copier(self) -> Copier:
        return Copier(self.db, self.outside)

    @property
    def indexer(self) -> Indexer:
        return Indexer(self.db, CLOCK, self.embedders.__getitem__, Limits(), copied=True)

    async def index(self, name: str, text: str) -> str:
        async with self.db.tenant(self.account) as conn:
            document, _ = await store.put_document(
                conn,
                self.source,
                name=name,
                content_type="text/markdown",
                data=text.encode(),
                url=None,
                now=CLOCK.now(),
                queue=False,
            )
        await self.indexer.index(self.account, document.id)
        return document.id

    async def copy(self) -> None:
        await self.copier.copy(self.account, self.source.id)

    async def find(self, question: str) -> Found:
        base = KnowledgeBase(self.db, CLOCK, self.embedders.__getitem__, outside=self.outside)
        found = await base.search(await base.scope(self.account, ()), question)
        assert isinstance(found, Found)
        return found

    async def texts(self, question: str) -> str:
        """Of the passages that the vectors found."""
        found = await self.find(question)
        assert found.degraded is None
        return " ".join(passage.text for passage in found.passages if passage.dense is not None)

    async def copied(self, model: str = "one") -> int:
        return await self.outside.count(self.account, self.source.id, model)

    async def waiting(self) -> int:
        async with self.db.tenant(self.account) as conn:
            return await copy_store.count_changes(conn, self.source.id)


@pytest.fixture
async def library(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Library]:
    monkeypatch.setattr(store, "IN_MEMORY_AT_MOST", 2)
    account = await workspace.create_account(database, "Acme")
    async with database.tenant(account) as conn:
        source = await store.create_source(conn, account, name="shop", description="", kind="file", model="one")
    outside = Watched(open_vectors(VectorsConfig(str(tmp_path / "own.db"))))
    yield Library(database, account, source, outside)
    await outside.aclose()


async def test_a_big_source_is_copied_and_searched_there_and_what_came_since_is_found_too(library: Library) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))
    assert "ninety" in await library.texts("What do boots cost?")
    assert library.outside.searches == 0, "nothing is copied yet"
    async with library.db.system() as conn:
        cursor = await conn.execute("select task_name from procrastinate_jobs")
        assert [row["task_name"] for row in await cursor.fetchall()] == ["knowledge.copy"]
    await library.copy()
    assert (await library.copied(), await library.waiting()) == (3, 0)
    assert "ninety" in await library.texts("What do boots cost?")
    assert library.outside.searches == 1
    await library.index("new.md", page(Lamps="Lamps burn kerosene.", Ropes="Ropes are long."))
    assert (await library.copied(), await library.waiting()) == (3, 2)
    assert "kerosene" in await library.texts("What do lamps burn?"), "before the copy knows of it"
    await library.copier.copy_all()
    assert (await library.copied(), await library.waiting()) == (5, 0)
    assert "kerosene" in await library.texts("What do lamps burn?")
    assert library.outside.searches == 3
    assert await library.copier.check(library.account, library.source.id)


async def test_a_vector_that_is_being_written_while_copying_begins_is_not_missed(library: Library) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))

    async def waits_for_a_lock() -> bool:
        async with library.db.system() as conn:
            cursor = await conn.execute(
                "select 1 from pg_locks where relation = 'embeddings'::regclass and not granted"
            )
            return await cursor.fetchone() is not None

    async with anyio.create_task_group() as tasks, library.db.tenant(library.account) as conn:
        await conn.execute(
            "insert into embeddings select chunk_id, account_id, source_id, 'two', vector from embeddings limit 1"
        )
        tasks.start_soon(library.copy)
        await until(waits_for_a_lock)
    assert (await library.copied("one"), await library.copied("two"), await library.waiting()) == (3, 1, 0)


async def test_what_is_gone_takes_nobodys_place_and_leaves_the_copy(library: Library) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))
    old = await library.index("old.md", page(**{f"Old{n}": f"Boots cost seventy, mark {n}." for n in range(6)}))
    await library.copy()
    async with library.db.tenant(library.account) as conn:
        await store.delete_document(conn, old, CLOCK.now())
    assert await library.copied() == 9
    texts = await library.texts("What do boots cost?")
    assert "ninety" in texts
    assert "seventy" not in texts
    assert await library.copier.check(library.account, library.source.id)
    await library.copier.copy_all()
    assert await library.copied() == 3
    async with library.db.tenant(library.account) as conn:
        await store.delete_source(conn, library.source.id)
    await library.copier.copy_all()
    assert (await library.copied(), await library.waiting()) == (0, 0)
    async with library.db.system() as conn:
        assert await copy_store.copies_behind(conn, library.outside.place) == []


async def test_while_the_index_is_away_postgresql_answers_with_a_note(library: Library) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))
    await library.copy()
    library.outside.away = True
    found = await library.find("What do boots cost?")
    assert found.degraded == "vector index: Milvus is away."
    assert "ninety" in found.passages[0].text
    assert found.passages[0].dense is not None
    await library.index("new.md", page(Lamps="Lamps burn kerosene."))
    await library.copier.copy_all()
    assert await library.waiting() == 1
    library.outside.away = False
    await library.copier.copy_all()
    assert (await library.copied(), await library.waiting()) == (4, 0)


async def test_another_model_gets_a_copy_of_its_own_and_the_old_one_goes(library: Library) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))
    await library.copy()
    async with library.db.tenant(library.account) as conn:
        await store.update_source(conn, library.source.id, CLOCK.now(), name=None, description=None, model="two")
    await library.indexer.embed_anew(library.account, library.source.id, "two")
    assert "ninety" in await library.texts("What do boots cost?"), "from what the copy is behind"
    await library.copier.copy_all()
    assert (await library.copied("one"), await library.copied("two"), await library.waiting()) == (0, 3, 0)
    assert "ninety" in await library.texts("What do boots cost?")


async def test_an_index_that_lost_vectors_is_noticed_and_filled_anew_and_another_place_begins_empty(
    library: Library, tmp_path: Path
) -> None:
    await library.index("shop.md", page(Boots="Boots cost ninety.", Tents="Tents are red.", Hats="Hats are wool."))
    await library.copy()
    await library.outside.forget(library.account, library.source.id)
    assert not await library.copier.check(library.account, library.source.id)
    await library.copier.begin_again(library.account, library.source.id)
    assert "ninety" in await library.texts("What do boots cost?")
    await library.copy()
    assert await library.copied() == 3
    await library.outside.aclose()
    library.outside = Watched(open_vectors(VectorsConfig(str(tmp_path / "other.db"))))
    assert "ninety" in await library.texts("What do boots cost?")
    assert library.outside.searches == 0
    await library.copier.copy_all()
    assert await library.copied() == 3
    await Copier(library.db, None).copy_all()
    await library.index("new.md", page(Lamps="Lamps burn kerosene."))
    assert await library.waiting() == 0, "nothing is copied where there is no index"
