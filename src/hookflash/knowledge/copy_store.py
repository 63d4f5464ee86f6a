"""SQL of the copies that an index outside PostgreSQL holds: which sources are copied, and what a copy does not know yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from psycopg.rows import tuple_row

from hookflash.db.pool import Connection, Database
from hookflash.knowledge import store
from hookflash.knowledge.passage import Vector


@dataclass(frozen=True, slots=True)
class Behind:
    """Vectors of one model that a copy has yet to get, and those that it has yet to lose."""

    coming: int
    going: int


@dataclass(frozen=True, slots=True)
class Change:
    """Of one chunk: its vector to be put, or (None) to be removed."""

    chunk_id: int
    model: str
    gone: bool
    vector: Vector | None


async def big_sources(conn: Connection) -> list[tuple[str, str]]:
    """(id, name) of the account's sources that have outgrown memory."""
    cursor = await conn.execute(
        "select s.id, s.name from sources s join documents d on d.source_id = s.id group by s.id"
        " having sum(d.chunk_count) > %s order by s.id",
        (store.IN_MEMORY_AT_MOST,),
    )
    return [(r["id"], r["name"]) for r in await cursor.fetchall()]


async def mark(db: Database, account_id: str, source_id: str, place: str) -> bool:
    """From now on the source is copied there: all its vectors are noted as missing. False: it is copied there already."""
    async with db.tenant(account_id) as conn:
        cursor = await conn.execute(
            "select 1 from vector_copies where source_id = %s and place = %s and complete", (source_id, place)
        )
        if await cursor.fetchone() is not None:
            return False
        # Whoever is writing vectors just now does not know of the copy, so what they write has to be seen below.
        await conn.execute("lock table embeddings in share row exclusive mode")
        await conn.execute("delete from vector_changes where source_id = %s", (source_id,))
        await conn.execute(
            "insert into vector_copies (source_id, account_id, place) values (%s, %s, %s)"
            " on conflict (source_id) do update set place = excluded.place, complete = false",
            (source_id, account_id, place),
        )
    async with db.tenant(account_id) as conn:
        # A row for each vector of a big source, which may take longer than any other statement.
        await conn.execute("set local statement_timeout = '10min'")
        await conn.execute(
            "insert into vector_changes (chunk_id, model, account_id, source_id, gone)"
            " select chunk_id, model, account_id, source_id, false from embeddings where source_id = %s"
            " on conflict do nothing",
            (source_id,),
        )
        await conn.execute("update vector_copies set complete = true where source_id = %s", (source_id,))
    return True


async def behind(conn: Connection, place: str, sources: Sequence[str], model: str, most: int) -> dict[str, Behind]:
    """Of those of the sources that are copied there how far the copy is behind, counted up to `most`."""
    counted = (
        "(select count(*)::int from (select from vector_changes v where v.source_id = c.source_id"
        " and v.model = %(model)s and v.gone = {} limit %(most)s) x)"
    )
    cursor = await conn.execute(
        f"select source_id, {counted.format('false')} as coming, {counted.format('true')} as going"  # noqa: S608
        " from vector_copies c where source_id = any(%(sources)s) and place = %(place)s and complete",
        {"sources": list(sources), "model": model, "place": place, "most": most},
    )
    return {r["source_id"]: Behind(r["coming"], r["going"]) for r in await cursor.fetchall()}


async def nearest_coming(
    conn: Connection, sources: Sequence[str], model: str, vector: Vector, limit: int
) -> list[tuple[int, float]]:
    """Exact, among those vectors only that the copies have yet to get; (chunk id, cosine), best first."""
    cursor = await conn.execute(
        "select e.chunk_id, 1 - (e.vector <=> %(v)s::halfvec) as cosine from vector_changes c"
        " join embeddings e on e.chunk_id = c.chunk_id and e.model = c.model"
        " where c.source_id = any(%(sources)s) and c.model = %(model)s and not c.gone"
        " order by cosine desc, e.chunk_id limit %(n)s",
        {"v": store.vector_text(vector), "sources": list(sources), "model": model, "n": limit},
        prepare=False,
    )
    return [(r["chunk_id"], float(r["cosine"])) for r in await cursor.fetchall()]


async def present(conn: Connection, model: str, chunk_ids: Sequence[int]) -> set[int]:
    """Which of these chunks still have a vector of this model."""
    cursor = await conn.execute(
        "select chunk_id from embeddings where chunk_id = any(%s) and model = %s", (list(chunk_ids), model)
    )
    return {r["chunk_id"] for r in await cursor.fetchall()}


async def take(conn: Connection, source_id: str) -> str | None:
    """Hold the source's copy until the transaction ends; gives its place, None when another holds it or there is none."""
    cursor = await conn.execute(
        "select place from vector_copies where source_id = %s for update skip locked", (source_id,)
    )
    row = await cursor.fetchone()
    return row["place"] if row else None


async def source_is_there(conn: Connection, source_id: str) -> bool:
    cursor = await conn.execute("select 1 from sources where id = %s", (source_id,))
    return await cursor.fetchone() is not None


async def changes(conn: Connection, source_id: str, limit: int) -> list[Change]:
    """The next that its copy does not know."""
    async with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        await cursor.execute(
            "select c.chunk_id, c.model, c.gone, e.vector from vector_changes c"
            " left join embeddings e on e.chunk_id = c.chunk_id and e.model = c.model and not c.gone"
            " where c.source_id = %s order by c.model, c.chunk_id limit %s",
            (source_id, limit),
        )
        rows = await cursor.fetchall()
    return [Change(chunk_id, model, gone, _vector(raw) if raw else None) for chunk_id, model, gone, raw in rows]


async def count_changes(conn: Connection, source_id: str) -> int:
    cursor = await conn.execute("select count(*)::int as n from vector_changes where source_id = %s", (source_id,))
    row = await cursor.fetchone()
    return row["n"] if row else 0


async def known(conn: Connection, done: Sequence[Change]) -> None:
    """The copy knows these; one that has changed again since stays."""
    await conn.execute(
        "delete from vector_changes c using unnest(%s::bigint[], %s::text[], %s::bool[]) d (chunk_id, model, gone)"
        " where c.chunk_id = d.chunk_id and c.model = d.model and c.gone = d.gone",
        ([c.chunk_id for c in done], [c.model for c in done], [c.gone for c in done]),
    )


async def forget(conn: Connection, source_id: str) -> None:
    """There is no copy of the source any more."""
    await conn.execute("delete from vector_changes where source_id = %s", (source_id,))
    await conn.execute("delete from vector_copies where source_id = %s", (source_id,))


async def copies_behind(conn: Connection, place: str) -> list[tuple[str, str]]:
    """(account, source) of every copy that is behind or not at this place, of all accounts."""
    cursor = await conn.execute("select account_id, source_id from copies_behind(%s)", (place,))
    return [(r["account_id"], r["source_id"]) for r in await cursor.fetchall()]


async def forget_all(conn: Connection) -> None:
    await conn.execute("select forget_copies()")


def _vector(stored: bytes) -> Vector:
    """From pgvector's binary halfvec: two int16 of head, then big-endian float16."""
    return np.frombuffer(stored, ">f2")[2:].astype(np.float32)
