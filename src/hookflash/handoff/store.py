"""SQL of tickets: reading them, and moving them on. They are opened where the conversation is stored."""

from datetime import datetime
from typing import Any

from hookflash.base.errors import NotFound
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection
from hookflash.handoff.ticket import State, Ticket

_TICKET = "select id, contact_id, session_id, turn_id, reason, summary, state, created_at, updated_at from tickets"


def _read(row: dict[str, Any]) -> Ticket:
    return Ticket(**(row | {"state": State(row["state"])}))


async def list_tickets(
    conn: Connection, limit: int, cursor: str | None, state: State | None, contact_id: str | None
) -> Page[Ticket]:
    """Oldest first."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    found = await conn.execute(
        f"{_TICKET} where id > %(after)s and (%(state)s::text is null or state = %(state)s)"
        " and (%(contact)s::text is null or contact_id = %(contact)s) order by id limit %(limit)s",
        {"after": after, "state": state and state.value, "contact": contact_id, "limit": limit + 1},
    )
    rows = await found.fetchall()
    items = [_read(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def get_ticket(conn: Connection, ticket_id: str, *, lock: bool = False) -> Ticket:
    """With `lock` nobody else changes it before this transaction ends. Raises NotFound."""
    found = await conn.execute(f"{_TICKET} where id = %s{' for update' if lock else ''}", (ticket_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such ticket.")
    return _read(row)


async def set_state(conn: Connection, ticket_id: str, state: State, now: datetime) -> Ticket:
    await conn.execute("update tickets set state = %s, updated_at = %s where id = %s", (state.value, now, ticket_id))
    return await get_ticket(conn, ticket_id)
