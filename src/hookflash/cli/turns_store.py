"""SQL of what came of one text: the turn that answered it, and whether anything is still on its way."""

from dataclasses import dataclass
from typing import Any

from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Taken:
    """A turn as it was recorded; `record` has its sources, stages, segments and verdicts (see channels.think)."""

    id: str
    said: str
    question: str | None
    answered: str
    kind: str
    confidence: float | None
    model: str | None
    language: str | None
    record: dict[str, Any]
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of an inbound text.

    `settled` when nothing of its person waits to be answered or to leave, `arrived` when what left is also delivered. `sent`
    counts what has left for the address it came from since it came.
    """

    state: str
    why: str | None
    settled: bool
    arrived: bool
    turn: Taken | None
    sent: int


async def fate_of(conn: Connection, sid: str) -> Fate | None:
    """The fate of the text with this MessageSid; None when it has not arrived."""
    cursor = await conn.execute(
        "select m.state, m.why, m.turn_id, exists (select from messages o where o.contact_id = m.contact_id"
        "   and (o.direction = 'out' and o.state in ('waiting', 'posting')"
        "        or o.direction = 'in' and o.state = 'unanswered')) as busy,"
        " exists (select from messages o where o.contact_id = m.contact_id and o.direction = 'out'"
        "   and o.state in ('accepted', 'scheduled', 'queued', 'sending', 'sent')) as under_way,"
        " (select count(*)::int from messages o where o.contact_id = m.contact_id and o.direction = 'out'"
        "   and o.address = m.address and o.created_at >= m.created_at"
        "   and o.state in ('accepted', 'queued', 'sending', 'sent', 'delivered', 'read')) as sent"
        " from messages m where m.sid = %s and m.direction = 'in'",
        (sid,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    turn = None
    if row["turn_id"] is not None:
        cursor = await conn.execute(
            "select id, said, question, answered, kind, confidence, model, language, record, cost_micros from turns"
            " where id = %s",
            (row["turn_id"],),
        )
        found = await cursor.fetchone()
        turn = Taken(**found) if found else None
    return Fate(row["state"], row["why"], not row["busy"], not (row["busy"] or row["under_way"]), turn, row["sent"])


async def headings_of(conn: Connection, chunk_ids: list[int]) -> dict[int, tuple[str, ...]]:
    """Under which headings chunks stand."""
    cursor = await conn.execute("select id, headings from chunks where id = any(%s)", (chunk_ids,))
    return {row["id"]: tuple(row["headings"]) for row in await cursor.fetchall()}


async def real_numbers(conn: Connection) -> list[tuple[str, str]]:
    """Enabled integrations with Twilio that are not the emulator's: their ids and senders."""
    cursor = await conn.execute(
        "select id, sender from integrations where not disabled and not (meta ? 'emulator')"
        " and not starts_with(sender, 'web:') order by id"
    )
    return [(row["id"], row["sender"]) for row in await cursor.fetchall()]


async def turns_of_call(conn: Connection, call_id: str) -> list[Taken]:
    """The turns of a telephone call in their order; `answered` is what was heard."""
    cursor = await conn.execute(
        "select id, said, question, answered, kind, confidence, model, language, record, cost_micros from turns"
        " where record ->> 'call' = %s order by (record ->> 'number')::int, at",
        (call_id,),
    )
    return [Taken(**row) for row in await cursor.fetchall()]
