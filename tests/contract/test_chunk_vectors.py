"""One suite for every place of our own chunks' vectors: PostgreSQL, and Milvus (Milvus Lite)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hookflash.base.errors import Invalid, Unavailable
from hookflash.db.pool import Database
from hookflash.knowledge import store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.passage import Vector
from hookflash.knowledge.vector_store import PostgresVectors
from hookflash.providers.vectors import VectorsConfig, open_vectors
from hookflash.workspace import store as workspace

DIMENSIONS = 32
CHUNKS = 300
MODEL = "openai:text-embedding-3-small@32"


@dataclass
class Shelf:
    """A place that is empty, and chunks to put there: of two accounts, the first of which has two sources."""

    vectors: ChunkVectors
    accounts: tuple[str, str]
    sources: tuple[str, str, str]
    chunks: dict[str, list[int]]

    async def put(self, source: int, rows: Vector, model: str = MODEL) -> list[int]:
        """Vectors of the source's first chunks; gives their ids."""
        name, account = self.sources[source], self.accounts[source // 2]
        ids = self.chunks[name][: len(rows)]
        await self.vectors.put(account, name, model, list(zip(ids, rows, strict=True)))
        return ids

    async def nearest(self, vector: Vector, limit: int, *sources: int, model: str = MODEL) -> list[tuple[int, float]]:
        names = [self.sources[source] for source in sources]
        (found,) = await self.vectors.nearest(self.accounts[0], names, model, vector[None], limit)
        return list(found)

    async def count(self, source: int, model: str = MODEL) -> int:
        return await self.vectors.count(self.accounts[source // 2], self.sources[source], model)


@pytest.fixture(params=["postgresql", "milvus"])
async def shelf(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Shelf]:
    accounts = (await workspace.create_account(database, "One"), await workspace.create_account(database, "Two"))
    chunks: dict[str, list[int]] = {}
    for account, name in ((accounts[0], "a"), (accounts[0], "b"), (accounts[1], "c")):
        async with database.tenant(account) as conn:
            source = await store.create_source(conn, account, name=name, description="", kind="text", model=MODEL)
            await conn.execute(
                "insert into documents (id, account_id, source_id, name, content_type, digest, size)"
                " values (%s, %s, %s, 'd', 'text/plain', '', 0)",
                (f"doc_{name}", account, source.id),
            )
            cursor = await conn.execute(
                "insert into chunks (account_id, source_id, document_id, ordinal, text, headings, digest, tokens, terms)"
                " select %s, %s, %s, n, 'text', '{}', '', 1, '' from generate_series(1, %s) n returning id",
                (account, source.id, f"doc_{name}", CHUNKS),
            )
            chunks[source.id] = sorted(row["id"] for row in await cursor.fetchall())
    first, second, third = chunks
    vectors: ChunkVectors = PostgresVectors(database)
    if request.param == "milvus":
        vectors = open_vectors(VectorsConfig(str(tmp_path / "own.db")))
    yield Shelf(vectors, accounts, (first, second, third), chunks)
    await vectors.aclose()


def rows(count: int, seed: int = 1, dimensions: int = DIMENSIONS) -> Vector:
    made = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


async def test_an_empty_place_counts_nothing_and_finds_nothing(shelf: Shelf) -> None:
    assert await shelf.count(0) == 0
    assert await shelf.nearest(rows(1)[0], 5, 0, 1) == []
    await shelf.vectors.remove(shelf.accounts[0], MODEL, [1])
    await shelf.vectors.forget(shelf.accounts[0], shelf.sources[0])


async def test_the_nearest_are_those_that_an_exact_search_finds(shelf: Shelf) -> None:
    given = rows(CHUNKS)
    ids = await shelf.put(0, given)
    assert await shelf.count(0) == CHUNKS
    asked = rows(2, seed=2)
    found = await shelf.vectors.nearest(shelf.accounts[0], [shelf.sources[0]], MODEL, asked, 10)
    for vector, ranked in zip(asked, found, strict=True):
        cosines = given @ vector
        best = np.argsort(-cosines)[:10]
        assert {i for i, _ in ranked} == {ids[place] for place in best}
        assert [cosine for _, cosine in ranked] == pytest.approx(cosines[best].tolist(), abs=2e-3)


async def test_accounts_sources_and_models_are_apart(shelf: Shelf) -> None:
    same = rows(1)
    (one,), (two,), _ = await shelf.put(0, same), await shelf.put(1, same), await shelf.put(2, same)
    await shelf.put(0, rows(2, seed=3, dimensions=8), "other")
    assert [i for i, _ in await shelf.nearest(same[0], 9, 0)] == [one]
    assert [i for i, _ in await shelf.nearest(same[0], 9, 1)] == [two]
    assert {i for i, _ in await shelf.nearest(same[0], 9, 0, 1)} == {one, two}
    assert await shelf.nearest(same[0], 9, 2) == [], "a source of another account"
    assert len(await shelf.nearest(rows(1, dimensions=8)[0], 9, 0, 1, model="other")) == 2
    assert [await shelf.count(source) for source in (0, 1, 2)] == [1, 1, 1]
    assert await shelf.count(0, "other") == 2


async def test_what_is_put_again_is_there_once_and_what_is_removed_is_gone(shelf: Shelf) -> None:
    given = rows(3)
    ids = await shelf.put(0, given)
    await shelf.put(0, given)
    assert await shelf.count(0) == 3
    await shelf.vectors.remove(shelf.accounts[0], MODEL, [ids[0], 10**12])
    await shelf.vectors.remove(shelf.accounts[0], MODEL, [])
    await shelf.vectors.remove(shelf.accounts[1], MODEL, ids)
    assert {i for i, _ in await shelf.nearest(given[0], 9, 0)} == set(ids[1:])


async def test_a_source_is_forgotten_with_all_its_models(shelf: Shelf) -> None:
    for source in (0, 1, 2):
        await shelf.put(source, rows(2))
    await shelf.put(0, rows(2, dimensions=8), "other")
    await shelf.vectors.forget(shelf.accounts[1], shelf.sources[0])
    assert await shelf.count(0) == 2, "another account has no say"
    await shelf.vectors.forget(shelf.accounts[0], shelf.sources[0])
    assert [await shelf.count(source) for source in (0, 1, 2)] == [0, 2, 2]
    assert await shelf.count(0, "other") == 0


async def test_a_vector_of_another_size_is_refused_and_nothing_is_changed(shelf: Shelf) -> None:
    await shelf.put(0, rows(1))
    name, account = shelf.sources[0], shelf.accounts[0]
    later = shelf.chunks[name][1:3]
    wrong = [(later[0], rows(1)[0]), (later[1], rows(1, dimensions=8)[0])]
    with pytest.raises(Invalid, match="8 numbers"):
        await shelf.vectors.put(account, name, MODEL, wrong)
    assert await shelf.count(0) == 1


async def test_regions_share_a_server_and_not_their_vectors(tmp_path: Path) -> None:
    file = str(tmp_path / "own.db")
    here = open_vectors(VectorsConfig(file, region="eu-west-1"))
    await here.put("acct_1", "src_1", MODEL, [(1, rows(1)[0])])
    await here.aclose()
    there = open_vectors(VectorsConfig(file))
    assert there.place != here.place
    assert await there.count("acct_1", "src_1", MODEL) == 0
    await there.forget("acct_1", "src_1")
    await there.aclose()
    assert await here.count("acct_1", "src_1", MODEL) == 1
    await here.aclose()


async def test_one_that_nobody_serves_is_unavailable_and_no_id_becomes_an_expression() -> None:
    away = open_vectors(VectorsConfig("http://127.0.0.1:9"))
    with pytest.raises(Unavailable):
        await away.count("acct_1", "src_1", MODEL)
    with pytest.raises(Invalid):
        await away.nearest("acct_1", ['x"] or account_id in ["acct_2'], MODEL, rows(1), 1)
    await away.aclose()
