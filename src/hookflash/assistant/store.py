"""SQL of assistants: the working copy that is edited, and the revisions that were published and never change again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import ForeignKeyViolation, RestrictViolation, UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.difference import merged
from hookflash.base.errors import Conflict, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection

_COLUMNS = "select id, name, revision, config, draft, created_at, updated_at from assistants"
_REVISION = "select revision, kind, config, note, made_by, created_at from assistant_revisions"


@dataclass(frozen=True, slots=True)
class Assistant:
    """An assistant: `config` is what was published, as `revision`, and serves people; `draft` is the working copy."""

    id: str
    name: str
    revision: int
    config: AssistantConfig
    draft: AssistantConfig
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A configuration that never changes again. `kind`: published, or a variant that an experiment tried.

    `note` says what was changed and why; `made_by` is an API key's id, None for the command line.
    """

    revision: int
    kind: str
    config: AssistantConfig
    note: str
    made_by: str | None
    created_at: datetime


def _read(row: dict[str, Any]) -> Assistant:
    config = AssistantConfig.stored(row["config"])
    draft = config if row["draft"] is None else AssistantConfig.stored(row["draft"])
    return Assistant(**(row | {"config": config, "draft": draft}))


def _read_revision(row: dict[str, Any]) -> Revision:
    return Revision(**(row | {"config": AssistantConfig.stored(row["config"])}))


async def create(
    conn: Connection, account_id: str, config: AssistantConfig, *, made_by: str | None = None
) -> Assistant:
    """Published at once, as revision 1. Raises Conflict when the account has an assistant of this name."""
    assistant_id = new_id("asst")
    try:
        await conn.execute(
            "insert into assistants (id, account_id, name, config) values (%s, %s, %s, %s)",
            (assistant_id, account_id, config.name, Jsonb(config.to_dict())),
        )
    except UniqueViolation:
        raise Conflict("There is an assistant of this name already.") from None
    await _keep_revision(conn, account_id, assistant_id, config, "published", "", made_by)
    return await get(conn, assistant_id)


async def _keep_revision(
    conn: Connection,
    account_id: str,
    assistant_id: str,
    config: AssistantConfig,
    kind: str,
    note: str,
    made_by: str | None,
) -> int:
    cursor = await conn.execute(
        "insert into assistant_revisions (account_id, assistant_id, revision, config, kind, note, made_by)"
        " select %s, %s, coalesce(max(revision), 0) + 1, %s, %s, %s, %s from assistant_revisions where assistant_id = %s"
        " returning revision",
        (account_id, assistant_id, Jsonb(config.to_dict()), kind, note, made_by, assistant_id),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["revision"])


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
    found = await conn.execute(
        f"{_REVISION} where assistant_id = %s and revision > %s order by revision limit %s",
        (assistant_id, after, limit + 1),
    )
    rows = await found.fetchall()
    items = [_read_revision(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].revision) if len(rows) > limit else None)


async def revision(conn: Connection, assistant_id: str, number: int) -> Revision:
    """Raises NotFound."""
    found = await conn.execute(f"{_REVISION} where assistant_id = %s and revision = %s", (assistant_id, number))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such revision.")
    return _read_revision(row)


async def edit(conn: Connection, assistant_id: str, draft: AssistantConfig, now: datetime) -> Assistant:
    """Change the working copy; nobody is served by it before it is published. Raises NotFound, Conflict for its name."""
    before = await get(conn, assistant_id, lock=True)
    cursor = await conn.execute("select 1 from assistants where name = %s and id <> %s", (draft.name, assistant_id))
    if await cursor.fetchone() is not None:
        raise Conflict("There is an assistant of this name already.")
    kept = None if draft == before.config else Jsonb(draft.to_dict())
    await conn.execute("update assistants set draft = %s, updated_at = %s where id = %s", (kept, now, assistant_id))
    return await get(conn, assistant_id)


async def publish(
    conn: Connection, account_id: str, assistant_id: str, now: datetime, *, note: str = "", made_by: str | None = None
) -> Assistant:
    """Make a revision of the working copy, for sessions that begin from now on.

    Raises NotFound, and Conflict when it is what is published already, or an experiment runs.
    """
    before = await get(conn, assistant_id, lock=True)
    if before.draft == before.config:
        raise Conflict(
            "There is nothing to publish: the working copy is what is published.",
            hint="change the working copy first: PATCH /v1/assistants/{id}",
        )
    return await _publish(conn, account_id, before, before.draft, None, now, note, made_by)


async def restore(
    conn: Connection,
    account_id: str,
    assistant_id: str,
    number: int,
    now: datetime,
    *,
    note: str = "",
    made_by: str | None = None,
) -> Assistant:
    """Publish an earlier revision again, as a new one. What is unpublished in the working copy stays there.

    Raises NotFound, and Conflict while an experiment runs.
    """
    before = await get(conn, assistant_id, lock=True)
    wanted = (await revision(conn, assistant_id, number)).config
    draft = wanted if before.draft == before.config else before.draft
    return await _publish(conn, account_id, before, wanted, draft, now, note or f"Revision {number} again.", made_by)


async def update(
    conn: Connection,
    account_id: str,
    assistant_id: str,
    config: AssistantConfig,
    now: datetime,
    *,
    note: str = "",
    made_by: str | None = None,
) -> Assistant:
    """Publish a configuration at once; what else is unpublished in the working copy stays there.

    Raises NotFound, and Conflict for its name and while an experiment runs.
    """
    before = await get(conn, assistant_id, lock=True)
    draft = merged(before.config, config, before.draft)
    return await _publish(conn, account_id, before, config, draft, now, note, made_by)


async def _publish(
    conn: Connection,
    account_id: str,
    before: Assistant,
    config: AssistantConfig,
    draft: AssistantConfig | None,
    now: datetime,
    note: str,
    made_by: str | None,
) -> Assistant:
    cursor = await conn.execute("select 1 from experiments where assistant_id = %s and state = 'running'", (before.id,))
    if await cursor.fetchone() is not None:
        raise Conflict(
            "An experiment runs with this assistant: what is published now would serve nobody.",
            hint="conclude the experiment first",
        )
    number = await _keep_revision(conn, account_id, before.id, config, "published", note, made_by)
    left = None if draft is None or draft == config else Jsonb(draft.to_dict())
    try:
        await conn.execute(
            "update assistants set name = %s, config = %s, revision = %s, draft = %s, updated_at = %s where id = %s",
            (config.name, Jsonb(config.to_dict()), number, left, now, before.id),
        )
    except UniqueViolation:
        raise Conflict("There is an assistant of this name already.") from None
    return await get(conn, before.id)


async def add_variant(
    conn: Connection, account_id: str, assistant_id: str, config: AssistantConfig, note: str, made_by: str | None
) -> int:
    """Keep a configuration for an experiment: its revision. The assistant must be locked."""
    return await _keep_revision(conn, account_id, assistant_id, config, "variant", note, made_by)


async def delete(conn: Connection, assistant_id: str) -> None:
    """Raises Conflict while an integration uses it."""
    await get(conn, assistant_id)
    # The way in by the API is the assistant's own, and goes with it.
    await conn.execute("delete from integrations where assistant_id = %s and sender like 'web:%%'", (assistant_id,))
    try:
        await conn.execute("delete from assistants where id = %s", (assistant_id,))
    except (ForeignKeyViolation, RestrictViolation):
        raise Conflict(
            "An integration uses this assistant.", hint="join the integration to another one first"
        ) from None
