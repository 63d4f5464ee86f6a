"""SQL of the attempts of a call of ours: each is due, dialled, rings and is over, and each step is taken once."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.base.errors import NotFound
from hookflash.base.ids import new_id
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to reach a person. `first_at` is when the first of its call was due, `retries` how many may follow that."""

    id: str
    account_id: str
    call_id: str
    number: int
    state: str
    call_sid: str | None
    due_at: datetime
    began_at: datetime | None
    integration_id: str
    address: str
    sender: str
    way: str
    purpose: str
    call_state: str
    retries: int
    first_at: datetime


_SELECT = (
    "select a.id, a.account_id, a.call_id, a.number, a.state, a.call_sid, a.due_at, a.began_at, c.integration_id,"
    " c.address, c.sender, c.way, coalesce(c.purpose, '') as purpose, c.state as call_state, c.retries,"
    " c.started_at as first_at from call_attempts a join calls c on c.id = a.call_id"
)


async def add_attempt(
    conn: Connection, account_id: str, call_id: str, number: int, state: str, due_at: datetime, now: datetime
) -> str:
    """An attempt that is due at a time, or that is being dialled now; its id."""
    attempt_id = new_id("try")
    await conn.execute(
        "insert into call_attempts (id, account_id, call_id, number, state, due_at, began_at)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (attempt_id, account_id, call_id, number, state, due_at, now if state == "dialling" else None),
    )
    return attempt_id


async def get_attempt(conn: Connection, attempt_id: str) -> Attempt:
    """The attempt, held against others until the transaction ends. Raises NotFound."""
    cursor = await conn.execute(f"{_SELECT} where a.id = %s for update of a, c", (attempt_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such attempt.")
    return Attempt(**row)


async def attempt_of(conn: Connection, call_sid: str) -> Attempt | None:
    """The attempt that Twilio knows by this sid, held as above; None for a call that came in."""
    cursor = await conn.execute(f"{_SELECT} where a.call_sid = %s for update of a, c", (call_sid,))
    row = await cursor.fetchone()
    return Attempt(**row) if row else None


async def put_off(conn: Connection, attempt_id: str, due_at: datetime) -> None:
    """Not now."""
    await conn.execute("update call_attempts set due_at = %s where id = %s", (due_at, attempt_id))


async def dialling(conn: Connection, attempt: Attempt, now: datetime) -> None:
    """From here on Twilio may have been asked."""
    await conn.execute("update call_attempts set state = 'dialling', began_at = %s where id = %s", (now, attempt.id))
    await conn.execute(
        "update calls set state = 'queued', why = null, ended_at = null, updated_at = %s where id = %s",
        (now, attempt.call_id),
    )


async def ringing(conn: Connection, attempt_id: str, call_sid: str, now: datetime) -> bool:
    """Twilio has the call under this sid; False when that was known, or the attempt is of no account any more."""
    cursor = await conn.execute(
        "update call_attempts set state = 'ringing', call_sid = %s where id = %s and call_sid is null returning call_id",
        (call_sid, attempt_id),
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await conn.execute("update calls set call_sid = %s, updated_at = %s where id = %s", (call_sid, now, row["call_id"]))
    return True


async def attempt_over(conn: Connection, attempt_id: str, why: str, now: datetime) -> bool:
    """It is over; True for whoever says so first."""
    cursor = await conn.execute(
        "update call_attempts set state = 'over', why = %s, ended_at = %s where id = %s and state <> 'over' returning id",
        (why, now, attempt_id),
    )
    return await cursor.fetchone() is not None


async def waits(conn: Connection, call_id: str, why: str, now: datetime) -> None:
    """The call is not over: another attempt will follow."""
    await conn.execute(
        "update calls set state = 'waiting', why = %s, ended_at = null, token_hash = null, updated_at = %s where id = %s",
        (why, now, call_id),
    )


async def known_sids(conn: Connection, sids: list[str]) -> set[str]:
    """Which of these calls are calls of ours."""
    cursor = await conn.execute(
        "select call_sid from calls where call_sid = any(%s)"
        " union select call_sid from call_attempts where call_sid = any(%s)",
        (sids, sids),
    )
    return {row["call_sid"] for row in await cursor.fetchall()}
