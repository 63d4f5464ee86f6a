"""SQL of messages that are to leave later."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import psycopg

from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection

_ROW = (
    "select id, contact_id, integration_id, address, sender, body as text, due_at, state, why, created_at"
    " from scheduled_messages"
)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A message put by. `scope` is whose opt-out ends it."""

    id: str
    contact_id: str
    integration_id: str
    address: str
    sender: str
    scope: str
    body: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """One as it stands. `state` is waiting, sent or canceled."""

    id: str
    contact_id: str
    integration_id: str
    address: str
    sender: str
    text: str
    due_at: datetime
    state: str
    why: str | None
    created_at: datetime


async def page(
    conn: Connection, limit: int, cursor: str | None, *, contact_id: str | None = None, state: str | None = None
) -> Page[ScheduledRow]:
    """Oldest first. Raises Invalid for a cursor of something else."""
    after = decode_cursor(cursor, str, str) if cursor else ("-infinity", "")
    try:
        found = await conn.execute(
            f"{_ROW} where (created_at, id) > (%s::timestamptz, %s) and (%s::text is null or contact_id = %s)"
            " and (%s::text is null or state = %s) order by created_at, id limit %s".encode(),
            (*after, contact_id, contact_id, state, state, limit + 1),
        )
    except psycopg.DataError:
        raise Invalid("This is no cursor of this list.", field="cursor") from None
    rows = [ScheduledRow(**row) for row in await found.fetchall()]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], encode_cursor(last.created_at.isoformat(), last.id) if last else None)


async def get(conn: Connection, message_id: str, *, lock: bool = False) -> ScheduledRow:
    """With `lock` nobody else sees to it before this transaction ends. Raises NotFound."""
    found = await conn.execute(f"{_ROW} where id = %s{' for update' if lock else ''}".encode(), (message_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such scheduled message.")
    return ScheduledRow(**row)


async def cancel(conn: Connection, message_id: str, why: str) -> ScheduledRow:
    """Raises NotFound, and Conflict for one that waits no more."""
    row = await get(conn, message_id, lock=True)
    if row.state != "waiting":
        raise Conflict(f"The message waits no more: it is {row.state}.")
    await close(conn, message_id, "canceled", why)
    return await get(conn, message_id)


async def is_there(conn: Connection, key: str) -> bool:
    """Whether the tool call of this key has put one by."""
    cursor = await conn.execute("select 1 from scheduled_messages where key = %s", (key,))
    return await cursor.fetchone() is not None


async def pending(conn: Connection, contact_id: str) -> int:
    """How many wait for a contact; nobody else adds one before this transaction ends."""
    await conn.execute("select 1 from contacts where id = %s for update", (contact_id,))
    cursor = await conn.execute(
        "select count(*)::int as n from scheduled_messages where contact_id = %s and state = 'waiting'", (contact_id,)
    )
    row = await cursor.fetchone()
    return row["n"] if row else 0


async def add(conn: Connection, account_id: str, key: str, new: Scheduled, now: datetime) -> bool:
    """False when the tool call of this key has put it by before."""
    cursor = await conn.execute(
        "insert into scheduled_messages (id, account_id, contact_id, integration_id, key, address, sender, scope, body,"
        " due_at, created_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing returning id",
        (
            new.id,
            account_id,
            new.contact_id,
            new.integration_id,
            key,
            new.address,
            new.sender,
            new.scope,
            new.body,
            new.due_at,
            now,
        ),
    )
    return await cursor.fetchone() is not None


async def waiting(conn: Connection, message_id: str) -> Scheduled | None:
    """One that still waits; nobody else sees to it before this transaction ends."""
    cursor = await conn.execute(
        "select id, contact_id, integration_id, address, sender, scope, body, due_at from scheduled_messages"
        " where id = %s and state = 'waiting' for update",
        (message_id,),
    )
    row = await cursor.fetchone()
    return Scheduled(**row) if row else None


async def close(conn: Connection, message_id: str, state: Literal["sent", "canceled"], why: str | None) -> None:
    """It waits no more."""
    await conn.execute("update scheduled_messages set state = %s, why = %s where id = %s", (state, why, message_id))
