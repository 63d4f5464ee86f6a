"""SQL of what we keep of other people's things beside what is ours of them, and of where those were imported from."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from hookflash.db.pool import Connection

# The column that makes it go with what it belongs to, by the beginning of that one's id.
_COLUMNS = {"asst": "assistant_id", "tool": "tool_id", "src": "source_id"}


async def keep(conn: Connection, account_id: str, our_id: str, kept: Mapping[str, Any]) -> None:
    """In place of what was kept before."""
    column = _COLUMNS[our_id.partition("_")[0]]
    await conn.execute(
        f"insert into compat_kept (id, account_id, {column}, kept) values (%s, %s, %s, %s)"  # noqa: S608
        " on conflict (id) do update set kept = excluded.kept",
        (our_id, account_id, our_id, Jsonb(dict(kept))),
    )


async def kept(conn: Connection, our_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By our id; those of which nothing is kept are not there."""
    cursor = await conn.execute("select id, kept from compat_kept where id = any(%s)", (list(our_ids),))
    return {row["id"]: row["kept"] for row in await cursor.fetchall()}


async def came_from(conn: Connection, account_id: str, our_id: str, origin: str) -> None:
    """Note where it was imported from."""
    column = _COLUMNS[our_id.partition("_")[0]]
    await conn.execute(
        f"insert into compat_kept (id, account_id, {column}, origin) values (%s, %s, %s, %s)"  # noqa: S608
        " on conflict (id) do update set origin = excluded.origin",
        (our_id, account_id, our_id, origin),
    )


async def of_origin(conn: Connection, origin: str) -> str | None:
    """Our id of what was imported from there."""
    row = await (await conn.execute("select id from compat_kept where origin = %s", (origin,))).fetchone()
    return row["id"] if row else None
