"""SQL of calls whose service tells afterwards what was heard: the turn before, what of it was heard, calls gone quiet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from hookflash.conversation.journal_store import journal
from hookflash.conversation.turn import Exchange
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class LatestTurn:
    """The turn of a call that was kept last: what was said, our whole answer, and what is thought to have been heard."""

    id: str
    contact_id: str
    said: str
    whole: str
    heard: str


async def latest_turn(conn: Connection, call_id: str) -> LatestTurn | None:
    """None before the first."""
    cursor = await conn.execute(
        "select t.id, t.contact_id, t.said, t.record ->> 'whole' as whole, t.answered as heard from turns t"
        " join calls c on c.session_id = t.session_id"
        " where c.id = %s and t.record ->> 'call' = %s order by t.at desc, t.id desc limit 1",
        (call_id, call_id),
    )
    row = await cursor.fetchone()
    return LatestTurn(**row) if row else None


async def correct_heard(conn: Connection, account_id: str, turn: LatestTurn, heard: str, now: datetime) -> None:
    """Of the answer of a turn this was heard; whoever reads the turn or its message reads that, the journal has both."""
    cut = Jsonb({"interrupted": heard != turn.whole})
    await conn.execute("update turns set answered = %s, record = record || %s where id = %s", (heard, cut, turn.id))
    if heard:
        await conn.execute(
            "update messages set body = %s, updated_at = %s where turn_id = %s and direction = 'out'",
            (heard, now, turn.id),
        )
    else:
        await conn.execute("delete from messages where turn_id = %s and direction = 'out'", (turn.id,))
    await journal(conn, account_id, "turn.heard", turn.id, turn.contact_id, {"answered": heard}, now)


async def exchanges_of(conn: Connection, call_id: str, most: int) -> tuple[Sequence[Exchange], int]:
    """The last so many exchanges of a call, in their order, and how many there were."""
    cursor = await conn.execute(
        "select t.said, t.answered, count(*) over () as all_of_them from turns t join calls c on c.session_id = t.session_id"
        " where c.id = %s and t.record ->> 'call' = %s order by t.at desc, t.id desc limit %s",
        (call_id, call_id, most),
    )
    rows = await cursor.fetchall()
    return [Exchange(row["said"], row["answered"]) for row in reversed(rows)], rows[0]["all_of_them"] if rows else 0


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """A turn of a call: what was heard of the `whole` answer is `answered`. Measures in seconds, cost in micro-dollars."""

    id: str
    said: str
    answered: str
    whole: str
    interrupted: bool
    kind: str
    measures: dict[str, float | None]
    cost_micros: int
    at: datetime


async def turns_of(conn: Connection, call_id: str, most: int) -> list[SpokenRow]:
    """The first so many turns of a call, in their order."""
    cursor = await conn.execute(
        "select t.id, t.said, t.answered, coalesce(t.record ->> 'whole', t.answered) as whole, t.kind, t.cost_micros, t.at,"
        " coalesce((t.record ->> 'interrupted')::boolean, false) as interrupted,"
        " coalesce(t.record -> 'measures', '{}') as measures"
        " from turns t join calls c on c.session_id = t.session_id"
        " where c.id = %s and t.record ->> 'call' = %s order by t.at, t.id limit %s",
        (call_id, call_id, most),
    )
    return [SpokenRow(**row) for row in await cursor.fetchall()]


async def awaits_code(conn: Connection, session_id: str) -> bool:
    """Whether somebody is being verified in a session, so that what they say next may be a code."""
    cursor = await conn.execute(
        "select 1 from verifications where session_id = %s and state = 'pending'", (session_id,)
    )
    return await cursor.fetchone() is not None


async def touch(conn: Connection, call_id: str, now: datetime) -> None:
    """A sign of life of a call."""
    await conn.execute("update calls set updated_at = %s where id = %s", (now, call_id))


async def end_quiet(conn: Connection, address: str, ways: Sequence[str], quiet: timedelta, now: datetime) -> None:
    """Calls of this address that have given no sign for so long are over, though nobody has said so."""
    await conn.execute(
        "update calls set state = 'ended', why = 'no sign of it any more', ended_at = updated_at, token_hash = null"
        " where address = %s and way = any(%s) and state in ('admitted', 'live') and updated_at < %s",
        (address, list(ways), now - quiet),
    )
