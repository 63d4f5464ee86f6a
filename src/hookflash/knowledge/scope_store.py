"""SQL of what a turn may search: sources at their versions, and who may see them."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from hookflash.db.pool import Connection


async def versions_of(conn: Connection, wanted: Sequence[str]) -> AsyncCursor[DictRow]:
    """Ask for the named sources (none named: all of the account) as they are now; see `read_versions`."""
    return await conn.execute(
        "select id, version, embedding_model, kind, nullif(policy, '{}')::text as policy,"
        " exists (select from curated_questions) as curated from sources"
        " where cardinality(%(w)s::text[]) = 0 or id = any(%(w)s) order by id",
        {"w": list(wanted)},
    )


async def read_versions(cursor: AsyncCursor[DictRow]) -> list[tuple[str, int, str, str, str | None, bool]]:
    """Of each source asked for: id, version, embedding model, kind, policy, whether the account has curated answers."""
    return [
        (r["id"], r["version"], r["embedding_model"], r["kind"], r["policy"], r["curated"])
        for r in await cursor.fetchall()
    ]


async def set_policy(conn: Connection, source_id: str, policy: Mapping[str, Any]) -> None:
    """Who may see a source, from the next turn on; an empty policy lets everybody."""
    await conn.execute("update sources set policy = %s where id = %s", (Jsonb(dict(policy)), source_id))
