"""SQL of transfers: a caller waits in a room, a person is rung, and one of a few ends becomes of it, once."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.base.errors import NotFound
from hookflash.base.ids import new_id
from hookflash.conversation.journal_store import journal
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Transfer:
    """A caller on the way to a person. `caller_sid` is the caller's call, `call_sid` the one to the person.

    `state`: ringing, joined, or how it came to nothing: declined, busy, no-answer, failed, abandoned (the caller left).
    """

    id: str
    call_id: str
    target: str
    state: str
    caller_sid: str
    call_sid: str | None
    over: bool


_SELECT = (
    "select t.id, t.call_id, t.target, t.state, c.call_sid as caller_sid, t.call_sid,"
    " t.ended_at is not null as over"
    " from transfers t join calls c on c.id = t.call_id"
)


async def begin_transfer(
    conn: Connection, account_id: str, call_id: str, contact_id: str, target: str, now: datetime
) -> str:
    """The caller goes to wait; the transfer's id."""
    transfer_id = new_id("xfer")
    await conn.execute(
        "insert into transfers (id, account_id, call_id, target, state, at) values (%s, %s, %s, %s, 'ringing', %s)",
        (transfer_id, account_id, call_id, target, now),
    )
    await journal(conn, account_id, "transfer", call_id, contact_id, {"transfer": transfer_id, "target": target}, now)
    return transfer_id


async def get_transfer(conn: Connection, transfer_id: str) -> Transfer:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_SELECT} where t.id = %s", (transfer_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such transfer.")
    return Transfer(**row)


async def rung(conn: Connection, transfer_id: str, call_sid: str) -> None:
    """The person's telephone rings by this call."""
    await conn.execute(
        "update transfers set call_sid = coalesce(call_sid, %s) where id = %s", (call_sid or None, transfer_id)
    )


async def joined(conn: Connection, transfer_id: str) -> bool:
    """The person takes the call; False when nobody waits for them any more."""
    cursor = await conn.execute(
        "update transfers set state = 'joined' where id = %s and state = 'ringing' returning id", (transfer_id,)
    )
    return await cursor.fetchone() is not None


async def left(conn: Connection, transfer_id: str, now: datetime) -> None:
    """The person who had taken the call is gone."""
    await conn.execute(
        "update transfers set ended_at = %s where id = %s and state = 'joined' and ended_at is null",
        (now, transfer_id),
    )


async def came_to_nothing(conn: Connection, transfer_id: str, state: str, now: datetime) -> bool:
    """Nobody took it; True for whoever says so first, as long as the person has not joined."""
    cursor = await conn.execute(
        "update transfers set state = %s, ended_at = %s where id = %s and state = 'ringing' returning id",
        (state, now, transfer_id),
    )
    return await cursor.fetchone() is not None


async def abandoned(conn: Connection, call_id: str, now: datetime) -> list[str]:
    """The caller has hung up: the calls of persons who are rung for nothing, or may be on their way to an empty room."""
    cursor = await conn.execute(
        "update transfers set state = case state when 'ringing' then 'abandoned' else state end, ended_at = %s"
        " where call_id = %s and state in ('ringing', 'joined') and ended_at is null returning call_sid",
        (now, call_id),
    )
    return [row["call_sid"] for row in await cursor.fetchall() if row["call_sid"]]
