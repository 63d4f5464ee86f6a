"""SQL of verifications: those of a session, and where the proof that came of one holds."""

from dataclasses import replace
from datetime import datetime

from hookflash.assistant.verification import Verification
from hookflash.conversation.journal_store import journal
from hookflash.db.pool import Connection

_SELECT = (
    "select id, contact_id, session_id, number, place, waiting, started_at, sent_at, expires_at, state, sid, seeds, tries, sends,"
    " given, given_by, decided_by, told, last_code, closed_at from verifications"
)


async def latest(conn: Connection, session_id: str) -> Verification | None:
    """The last one that was begun in a session."""
    cursor = await conn.execute(
        f"{_SELECT} where session_id = %s order by started_at desc, id desc limit 1", (session_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    last = bytes(row["last_code"]) if row["last_code"] is not None else None
    return Verification(**{**row, "seeds": tuple(row["seeds"]), "last_code": last})


async def begun_since(conn: Connection, contact_id: str, since: datetime) -> int:
    """How many were begun for a person."""
    cursor = await conn.execute(
        "select count(*)::int as n from verifications where contact_id = %s and started_at > %s", (contact_id, since)
    )
    row = await cursor.fetchone()
    return row["n"] if row else 0


async def add(conn: Connection, account_id: str, new: Verification) -> bool:
    """Begin one; False when another is pending in the session."""
    cursor = await conn.execute(
        "insert into verifications (id, account_id, contact_id, session_id, number, place, waiting, sends, started_at,"
        " sent_at, expires_at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing returning id",
        (
            new.id,
            account_id,
            new.contact_id,
            new.session_id,
            new.number,
            new.place,
            new.waiting,
            new.sends,
            new.started_at,
            new.sent_at,
            new.expires_at,
        ),
    )
    return await cursor.fetchone() is not None


async def save(conn: Connection, account_id: str, old: Verification, new: Verification, now: datetime) -> bool:
    """Keep what became of one; False when somebody else has changed it meanwhile. Its end stands in the journal."""
    done = await conn.execute(
        "update verifications set place = %s, waiting = %s, state = %s, tries = %s, sends = %s, sent_at = %s, given = %s,"
        " decided_by = %s, told = %s, last_code = %s, closed_at = %s"
        " where id = %s and state = %s and tries = %s and sends = %s and given_by is not distinct from %s",
        (
            new.place,
            new.waiting,
            new.state,
            new.tries,
            new.sends,
            new.sent_at,
            new.given,
            new.decided_by,
            new.told,
            new.last_code,
            new.closed_at,
            old.id,
            old.state,
            old.tries,
            old.sends,
            old.given_by,
        ),
    )
    if done.rowcount and new.state != old.state:
        await _tell(conn, account_id, new, now)
    return bool(done.rowcount)


async def settle(conn: Connection, account_id: str, old: Verification, new: Verification, now: datetime) -> bool:
    """Keep what a look at a code, or a send, that was counted before has come to; False when it is over already.

    Others may have been counted meanwhile: theirs stay so.
    """
    done = await conn.execute(
        "update verifications set state = %s, tries = tries + %s, sends = sends + %s, given = null, decided_by = %s, told = %s,"
        " last_code = %s, closed_at = %s where id = %s and state = 'pending'",
        (
            new.state,
            new.tries - old.tries,
            new.sends - old.sends,
            new.decided_by,
            new.told,
            new.last_code,
            new.closed_at,
            old.id,
        ),
    )
    if done.rowcount and new.state != old.state:
        await _tell(conn, account_id, new, now)
    return bool(done.rowcount)


async def _tell(conn: Connection, account_id: str, new: Verification, now: datetime) -> None:
    by = "verify" if new.sid else "text"
    body = {"state": new.state, "session": new.session_id, "tries": new.tries, "by": by}
    await journal(conn, account_id, "verification", new.id, new.contact_id, body, now)


async def by_verify(conn: Connection, verification: Verification, sid: str) -> Verification:
    """Twilio has it under this sid."""
    await conn.execute("update verifications set sid = %s where id = %s", (sid, verification.id))
    return replace(verification, sid=sid)


async def by_message(conn: Connection, verification: Verification, message_id: str) -> Verification:
    """A message of ours brings the code."""
    await conn.execute(
        "update verifications set seeds = seeds || %s::text where id = %s", (message_id, verification.id)
    )
    return replace(verification, seeds=(*verification.seeds, message_id))


async def proven(conn: Connection, session_id: str, place: str, now: datetime) -> None:
    """The person of a session holds their phone; that is good where they talk from."""
    await conn.execute(
        "update sessions set verified_at = %s, verified_place = %s where id = %s", (now, place, session_id)
    )


async def proven_place(conn: Connection, session_id: str) -> str | None:
    """Where the proof holds."""
    cursor = await conn.execute("select verified_place from sessions where id = %s", (session_id,))
    row = await cursor.fetchone()
    return row["verified_place"] if row else None
