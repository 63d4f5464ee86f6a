"""SQL of messages that are to leave later."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from hookflash.db.pool import Connection


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
