"""SQL of assistants and their revisions: every change makes a new one, running sessions keep theirs."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.errors import ForeignKeyViolation, RestrictViolation, UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import Conflict, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection

_COLUMNS = "select id, name, revision, config, created_at, updated_at from assistants"


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant as it is now."""

    id: str
    name: str
    revision: int
    config: AssistantConfig
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A configuration as it was from `created_at` on, until the next revision."""

    revision: int
    config: AssistantConfig
    created_at: datetime


def _read(row: dict[str, object]) -> Assistant:
    config = row["config"]
    assert isinstance(config, dict)
    return Assistant(**(row | {"config": AssistantConfig.stored(config)}))  # type: ignore[arg-type]


async def create(conn: Connection, account_id: str, config: AssistantConfig) -> Assistant:
    """Raises Conflict when the account has an assistant of this name."""
    assistant_id = new_id("asst")
    try:
        await conn.execute(
            "insert into assistants (id, account_id, name, config) values (%s, %s, %s, %s)",
            (assistant_id, account_id, config.name, Jsonb(config.to_dict())),
        )
    except UniqueViolation:
        raise Conflict("There is an assistant of this name already.") from None
    await _keep_revision(conn, account_id, assistant_id, 1, config)
    return await get(conn, assistant_id)


async def _keep_revision(
    conn: Connection, account_id: str, assistant_id: str, revision: int, config: AssistantConfig
) -> None:
    await conn.execute(
        "insert into assistant_revisions (account_id, assistant_id, revision, config) values (%s, %s, %s, %s)",
        (account_id, assistant_id, revision, Jsonb(config.to_dict())),
    )


async def get(conn: Connection, assistant_id: str, *, lock: bool = False) -> Assistant:
    """With `lock` nobody else changes it before this transaction ends. Raises NotFound."""
    cursor = await conn.execute(f"{_COLUMNS} where id = %s{' for update' if lock else ''}", (assistant_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such assistant.")
    return _read(row)


async def find(conn: Connection, name: str) -> Assistant | None:
    cursor = await conn.execute(f"{_COLUMNS} where name = %s", (name,))
    row = await cursor.fetchone()
    return _read(row) if row else None


async def page(conn: Connection, limit: int, cursor: str | None) -> Page[Assistant]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (await conn.execute(f"{_COLUMNS} where id > %s order by id limit %s", (after, limit + 1))).fetchall()
    items = [_read(r) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def revisions(conn: Connection, assistant_id: str, limit: int, cursor: str | None) -> Page[Revision]:
    """Oldest first; raises NotFound."""
    await get(conn, assistant_id)
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = await (
        await conn.execute(
            "select revision, config, created_at from assistant_revisions where assistant_id = %s and revision > %s"
            " order by revision limit %s",
            (assistant_id, after, limit + 1),
        )
    ).fetchall()
    items = [Revision(r["revision"], AssistantConfig.stored(r["config"]), r["created_at"]) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].revision) if len(rows) > limit else None)


async def update(
    conn: Connection, account_id: str, assistant_id: str, config: AssistantConfig, now: datetime
) -> Assistant:
    """A new revision, for sessions that begin from now on."""
    try:
        cursor = await conn.execute(
            "update assistants set name = %s, config = %s, revision = revision + 1, updated_at = %s where id = %s returning revision",
            (config.name, Jsonb(config.to_dict()), now, assistant_id),
        )
    except UniqueViolation:
        raise Conflict("There is an assistant of this name already.") from None
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such assistant.")
    await _keep_revision(conn, account_id, assistant_id, row["revision"], config)
    return await get(conn, assistant_id)


async def delete(conn: Connection, assistant_id: str) -> None:
    """Raises Conflict while an integration uses it."""
    await get(conn, assistant_id)
    try:
        await conn.execute("delete from assistants where id = %s", (assistant_id,))
    except (ForeignKeyViolation, RestrictViolation):
        raise Conflict(
            "An integration uses this assistant.", hint="join the integration to another one first"
        ) from None
