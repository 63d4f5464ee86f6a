"""The vectors of chunks in PostgreSQL, searched through the graph of each big source."""

from collections.abc import Sequence

from hookflash.base.errors import Invalid
from hookflash.db.pool import Database
from hookflash.knowledge import store
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.passage import Vector


class PostgresVectors:
    """ChunkVectors where the chunks are: a vector is kept as long as its chunk, and none is without one."""

    place = "postgresql"

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, account_id: str, source_id: str, model: str, rows: Sequence[tuple[int, Vector]]) -> None:
        async with self._db.tenant(account_id) as conn:
            cursor = await conn.execute(
                "select vector_dims(vector) as size from embeddings where source_id = %s and model = %s limit 1",
                (source_id, model),
            )
            row = await cursor.fetchone()
            size = row["size"] if row else len(rows[0][1]) if rows else 0
            for _, vector in rows:
                if len(vector) != size:
                    raise Invalid(f"a vector has {len(vector)} numbers, those of {model} have {size}")
            texts = [(chunk_id, store.vector_text(vector)) for chunk_id, vector in rows]
            await store.add_vectors(conn, account_id, source_id, model, texts)

    async def remove(self, account_id: str, model: str, chunk_ids: Sequence[int]) -> None:
        async with self._db.tenant(account_id) as conn:
            await conn.execute(
                "delete from embeddings where chunk_id = any(%s) and model = %s", (list(chunk_ids), model)
            )

    async def forget(self, account_id: str, source_id: str) -> None:
        async with self._db.tenant(account_id) as conn:
            await conn.execute("delete from embeddings where source_id = %s", (source_id,))

    async def count(self, account_id: str, source_id: str, model: str) -> int:
        async with self._db.tenant(account_id) as conn:
            cursor = await conn.execute(
                "select count(*)::int as n from embeddings where source_id = %s and model = %s", (source_id, model)
            )
            row = await cursor.fetchone()
        return row["n"] if row else 0

    async def nearest(
        self, account_id: str, sources: Sequence[str], model: str, vectors: Vector, limit: int
    ) -> list[Ranked]:
        found: list[list[tuple[int, float]]] = [[] for _ in vectors]
        for vector, ranked in zip(vectors, found, strict=True):
            for source in sources:
                async with self._db.at_once(account_id) as conn:
                    ranked += await store.nearest_indexed(conn, source, model, vector, limit)
        return [sorted(ranked, key=lambda scored: (-scored[1], scored[0]))[:limit] for ranked in found]

    async def aclose(self) -> None:
        """The database is not ours to close."""
