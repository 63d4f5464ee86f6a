"""SQL of tools, their secrets, and the answers that calls have had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.assistant.tool import Policy, Tool, ToolAnswer, ToolFailed, ToolOutcome, ToolRefused
from hookflash.base.errors import Conflict, NotFound
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection

_COLUMNS = (
    "select id, name, description, schema, notation, kind, config, policy, final_response, enabled,"
    " secret is not null as has_secret, created_at, updated_at from tools"
)


@dataclass(frozen=True, slots=True)
class StoredTool:
    """A tool as its owner sees it."""

    tool: Tool
    notation: str | None
    has_secret: bool
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> str:
        return self.tool.id


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A call that was made; `answer` is what it gave, or why it gave nothing."""

    seq: int
    key: str
    turn_id: str
    contact_id: str | None
    name: str
    arguments: dict[str, Any]
    outcome: str
    answer: str
    ms: float
    at: datetime


def _read(row: dict[str, Any]) -> StoredTool:
    tool = Tool(
        row["id"],
        row["name"],
        row["description"],
        row["schema"],
        row["kind"],
        row["config"],
        msgspec.convert(row["policy"], Policy),
        row["final_response"],
        row["enabled"],
    )
    return StoredTool(tool, row["notation"], row["has_secret"], row["created_at"], row["updated_at"])


async def create(
    conn: Connection, account_id: str, tool: Tool, notation: str | None, secret: bytes | None
) -> StoredTool:
    """Raises Conflict when the account has a tool of this name."""
    try:
        await conn.execute(
            "insert into tools (id, account_id, name, description, schema, notation, kind, config, secret, policy,"
            " final_response, enabled) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                tool.id,
                account_id,
                tool.name,
                tool.description,
                Jsonb(tool.schema),
                notation,
                tool.kind,
                Jsonb(tool.config),
                secret,
                Jsonb(msgspec.to_builtins(tool.policy)),
                tool.final_response,
                tool.enabled,
            ),
        )
    except UniqueViolation:
        raise Conflict(f"There is a tool named {tool.name} already.") from None
    return await get(conn, tool.id)


async def update(
    conn: Connection, tool: Tool, notation: str | None, now: datetime, *, secret: bytes | None, keep_secret: bool
) -> StoredTool:
    """Raises Conflict for a name that is taken and NotFound."""
    try:
        await conn.execute(
            "update tools set name = %s, description = %s, schema = %s, notation = %s, kind = %s, config = %s, policy = %s,"
            " final_response = %s, enabled = %s, updated_at = %s,"
            " secret = case when %s then secret else %s end where id = %s",
            (
                tool.name,
                tool.description,
                Jsonb(tool.schema),
                notation,
                tool.kind,
                Jsonb(tool.config),
                Jsonb(msgspec.to_builtins(tool.policy)),
                tool.final_response,
                tool.enabled,
                now,
                keep_secret,
                secret,
                tool.id,
            ),
        )
    except UniqueViolation:
        raise Conflict(f"There is a tool named {tool.name} already.") from None
    return await get(conn, tool.id)


async def get(conn: Connection, tool_id: str, *, lock: bool = False) -> StoredTool:
    """With `lock` nobody else changes it before this transaction ends. Raises NotFound."""
    cursor = await conn.execute(f"{_COLUMNS} where id = %s{' for update' if lock else ''}", (tool_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such tool.")
    return _read(row)


async def page(conn: Connection, limit: int, cursor: str | None) -> Page[StoredTool]:
    """Oldest first."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (await conn.execute(f"{_COLUMNS} where id > %s order by id limit %s", (after, limit + 1))).fetchall()
    items = [_read(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def named(conn: Connection, ids: Sequence[str]) -> list[StoredTool]:
    """Those of these tools that there are, each once, in their order."""
    rows = await (await conn.execute(f"{_COLUMNS} where id = any(%s)", (list(ids),))).fetchall()
    found = {row["id"]: _read(row) for row in rows}
    return [found[tool_id] for tool_id in dict.fromkeys(ids) if tool_id in found]


async def secret_of(conn: Connection, tool_id: str) -> bytes | None:
    """What authenticates us to it, sealed."""
    row = await (await conn.execute("select secret from tools where id = %s", (tool_id,))).fetchone()
    return bytes(row["secret"]) if row and row["secret"] is not None else None


async def delete(conn: Connection, tool_id: str) -> None:
    """Raises NotFound. Assistants that name it go on without it."""
    await get(conn, tool_id)
    await conn.execute("delete from tools where id = %s", (tool_id,))


async def before_calling(conn: Connection, tool_id: str, key: str) -> tuple[str | None, bytes | None]:
    """What this very call was answered before, if it was; and what authenticates us to the tool, sealed."""
    cursor = await conn.execute(
        "select (select answer from tool_calls where key = %s and outcome = 'answered') as answer,"
        " (select secret from tools where id = %s) as secret",
        (key, tool_id),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row["answer"], bytes(row["secret"]) if row["secret"] is not None else None


async def record(
    conn: Connection,
    account_id: str,
    key: str,
    turn_id: str,
    tool: Tool,
    outcome: ToolOutcome,
    ms: float,
    now: datetime,
    *,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    contact_id: str | None = None,
) -> None:
    """Keep what became of a call; one that was answered stays so. `arguments` are as they may be kept.

    A contact that there is not (of a trial) is not named.
    """
    text = outcome.text if isinstance(outcome, ToolAnswer) else outcome.why
    await conn.execute(
        "insert into tool_calls (account_id, key, turn_id, contact_id, tool_id, name, arguments, outcome, answer, ms, at)"
        " values (%s, %s, %s, (select id from contacts where id = %s), %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (account_id, key) do update set outcome = excluded.outcome, answer = excluded.answer,"
        " ms = excluded.ms, at = excluded.at, turn_id = excluded.turn_id where tool_calls.outcome <> 'answered'",
        (
            account_id,
            key,
            turn_id,
            contact_id,
            tool.id,
            tool.name,
            Jsonb(dict(arguments)),
            outcome_name(outcome),
            text,
            ms,
            now,
        ),
    )


async def calls(conn: Connection, tool_id: str, limit: int, cursor: str | None) -> Page[KeptCall]:
    """Of one tool, oldest first. Raises NotFound."""
    await get(conn, tool_id)
    after = decode_cursor(cursor, int)[0] if cursor else 0
    rows = await (
        await conn.execute(
            "select seq, key, turn_id, contact_id, name, arguments, outcome, answer, ms, at from tool_calls"
            " where tool_id = %s and seq > %s order by seq limit %s",
            (tool_id, after, limit + 1),
        )
    ).fetchall()
    items = [KeptCall(**row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].seq) if len(rows) > limit else None)


def outcome_name(outcome: ToolOutcome) -> Literal["answered", "refused", "failed"]:
    """answered, refused or failed."""
    match outcome:
        case ToolAnswer():
            return "answered"
        case ToolRefused():
            return "refused"
        case ToolFailed():
            return "failed"
