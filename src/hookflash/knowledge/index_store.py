"""SQL of what indexes in memory are made of: which chunks a source has, their words, their vectors."""

from typing import LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import tuple_row

from hookflash.db.pool import Connection

_PIECE = 10_000


async def chunk_ids(conn: Connection, source_id: str) -> NDArray[np.int64]:
    """Of all chunks of a source, ascending."""
    async with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        await cursor.execute(
            "select coalesce(array_agg(id order by id), '{}') from chunks where source_id = %s", (source_id,)
        )
        (ids,) = await cursor.fetchall()
    return np.array(ids[0], np.int64)


async def languages(conn: Connection, source_id: str) -> list[str]:
    """Those that the terms of a source's chunks were analysed in."""
    cursor = await conn.execute(
        "select distinct coalesce(language, 'en') as language from documents where source_id = %s and chunk_count > 0",
        (source_id,),
    )
    return [r["language"] for r in await cursor.fetchall()]


async def terms(conn: Connection, source_id: str, ids: NDArray[np.int64]) -> list[tuple[int, bytes]]:
    """Packed index terms of a source's chunks from the first to the last of these (ascending) ids, by chunk id."""
    return await _in_pieces(
        conn,
        "select id, terms from chunks where source_id = %s and id between %s and %s order by id",
        (source_id,),
        ids,
    )


async def vectors(conn: Connection, source_id: str, model: str, ids: NDArray[np.int64]) -> list[tuple[int, bytes]]:
    """The vectors of those chunks as pgvector's binary halfvec: (chunk id, bytes), by chunk id."""
    return await _in_pieces(
        conn,
        "select chunk_id, vector from embeddings where source_id = %s and model = %s and chunk_id between %s and %s"
        " order by chunk_id",
        (source_id, model),
        ids,
    )


async def _in_pieces(
    conn: Connection, query: LiteralString, of: tuple[str, ...], ids: NDArray[np.int64]
) -> list[tuple[int, bytes]]:
    """Rows for which nobody else has to wait long while they are taken in."""
    found: list[tuple[int, bytes]] = []
    async with conn.cursor(binary=True, row_factory=tuple_row) as cursor:
        for start in range(0, len(ids), _PIECE):
            piece = ids[start : start + _PIECE]
            await cursor.execute(query, (*of, int(piece[0]), int(piece[-1])))
            found += await cursor.fetchall()
    return found
