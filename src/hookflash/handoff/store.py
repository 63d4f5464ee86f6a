"""SQL of tickets: reading them, and moving them on. They are opened where the conversation is stored."""

from datetime import datetime
from typing import Any

from hookflash.base.errors import NotFound
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection
from hookflash.handoff.ticket import State, Ticket
from hookflash.knowledge import curated_store

MOST_QUESTION_CHARS = 300

_TICKET = (
    "select id, contact_id, session_id, turn_id, reason, summary, state, created_at, updated_at,"
    " (select a.id from curated_answers a where a.account_id = tickets.account_id and a.origin = 'ticket'"
    "   and a.origin_id = tickets.id) as answer_id from tickets"
)


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


async def propose_answer(
    conn: Connection, account_id: str, ticket_id: str, answer: str, question: str | None, now: datetime
) -> Ticket:
    """Offer what a person answered as a curated answer, once; `question` is that of the ticket's turn if unset.

    Raises NotFound.
    """
    ticket = await get_ticket(conn, ticket_id)
    cursor = await conn.execute(
        "select coalesce(t.question, t.said) as question, t.language, s.assistant_id from turns t"
        " join sessions s on s.id = t.session_id where t.id = %s",
        (ticket.turn_id,),
    )
    turn = await cursor.fetchone() or {"question": ticket.summary, "language": None, "assistant_id": None}
    await curated_store.propose(
        conn,
        account_id,
        question=(question or turn["question"]).strip()[:MOST_QUESTION_CHARS],
        answer=answer,
        origin="ticket",
        origin_id=ticket_id,
        now=now,
        assistant_id=turn["assistant_id"],
        language=turn["language"],
    )
    return await get_ticket(conn, ticket_id)
