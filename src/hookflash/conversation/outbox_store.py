"""SQL of messages on their way out: marking before the request, and what became of it, whichever way we hear of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from hookflash.base.errors import Fenced
from hookflash.conversation.commit_store import add_spend
from hookflash.conversation.intake_store import opt_out
from hookflash.conversation.journal_store import Told, journal, journal_all
from hookflash.conversation.lane import Held, Leaving
from hookflash.conversation.lane_store import leaving, wake
from hookflash.conversation.outbox import Accepted, Refused
from hookflash.db.pool import Connection
from hookflash.db.together import Together


@dataclass(frozen=True, slots=True)
class Extra:
    """A message to a contact that is nobody's answer: an errand of a tool, a code. Money in micro-dollars."""

    id: str
    contact_id: str
    integration_id: str
    session_id: str | None
    turn_id: str | None
    address: str
    sender: str
    body: str
    kind: str
    language: str | None
    segments: int
    cost_micros: int


async def put(conn: Connection, account_id: str, extra: Extra, now: datetime) -> bool:
    """Put it on its way behind what is waiting for the contact; False when it was before."""
    made = await conn.execute(
        "insert into messages (id, account_id, contact_id, integration_id, session_id, turn_id, direction, kind, address,"
        " sender, body, language, state, via, segments, cost_micros, at)"
        " values (%s, %s, %s, %s, %s, %s, 'out', %s, %s, %s, %s, %s, 'waiting', 'tool', %s, %s, %s)"
        " on conflict (id) do nothing returning id",
        (
            extra.id,
            account_id,
            extra.contact_id,
            extra.integration_id,
            extra.session_id,
            extra.turn_id,
            extra.kind,
            extra.address,
            extra.sender,
            extra.body,
            extra.language,
            extra.segments,
            extra.cost_micros,
            now,
        ),
    )
    if await made.fetchone() is None:
        return False
    await add_spend(conn, account_id, {extra.address: extra.cost_micros}, now)
    await conn.execute(
        "insert into lanes (contact_id, account_id, due_at) values (%s, %s, clock_timestamp())"
        " on conflict (contact_id) do update set due_at = excluded.due_at",
        (extra.contact_id, account_id),
    )
    await conn.execute("select pg_notify('lanes', '')")
    return True


async def mark_posting(conn: Connection, held: Held, row: Leaving, scope: str, now: datetime) -> str | None:
    """Mark a waiting message before its request is made, unless it may not leave any more: then the reason.

    Consent and ownership are asked in the same transaction. Raises Fenced when the lane is not ours.
    """
    cursor = await conn.execute(
        """
        with mine as (select 1 from lanes where contact_id = %(contact)s and worker = %(worker)s and fence = %(fence)s
                      for update),
        barred as (select case
            when %(kind)s <> 'notice' and coalesce((select opted_out from opt_outs where address = %(address)s
                                                     and sender = %(scope)s), false) then 'opted out'
            when %(kind)s in ('answer', 'acknowledgement', 'rating') and exists (select from tickets
              where contact_id = %(contact)s and state = 'claimed') then 'a person has taken over'
            when %(kind)s in ('answer', 'acknowledgement', 'rating') and (select disabled from integrations
              where id = %(integration)s) then 'the integration is disabled'
            when %(kind)s = 'acknowledgement' and exists (select from messages a join messages i on i.id = a.in_reply_to
              where a.id = %(id)s and i.state <> 'unanswered') then 'answered meanwhile' end as why),
        marked as (
          update messages m set
            state = case when b.why is null then 'posting' else 'withheld' end, why = coalesce(b.why, m.why),
            attempts = attempts + 1, poster = %(worker)s, posted_at = clock_timestamp(), updated_at = %(now)s
          from mine, barred b where m.id = %(id)s and m.state = 'waiting' returning m.state, m.why)
        select (select count(*) from mine) as mine, (select state from marked) as state, (select why from marked) as why
        """,
        {
            "contact": held.contact_id,
            "worker": held.worker,
            "fence": held.fence,
            "address": row.address,
            "scope": scope,
            "kind": row.kind,
            "integration": row.integration_id,
            "id": row.id,
            "now": now,
        },
    )
    found = await cursor.fetchone()
    if found is None or not found["mine"]:
        raise Fenced("another worker holds this lane")
    if found["state"] == "posting":
        return None
    return found["why"] or "settled meanwhile"


async def posted(conn: Connection, rows: Sequence[tuple[Leaving, Accepted]], now: datetime) -> None:
    """The vendor has them. A status callback may have told us before."""
    both = Together()
    await both.execute(
        "update messages m set sid = coalesce(m.sid, x.sid),"
        " state = case when m.state in ('posting', 'waiting', 'parked') then x.status else m.state end, updated_at = %s"
        " from jsonb_to_recordset(%s) as x (id text, sid text, status text) where m.id = x.id",
        (now, Jsonb([{"id": row.id, "sid": a.sid, "status": a.status} for row, a in rows])),
    )
    await journal_all(
        both,
        rows[0][0].account_id,
        [Told("sent", row.id, row.contact_id, {"sid": a.sid, "to": row.address, "body": row.body}) for row, a in rows],
        now,
    )
    await both.run(conn)


async def refused(conn: Connection, row: Leaving, outcome: Refused, scope: str, now: datetime) -> None:
    """The vendor will not take it: the message has failed, and what the code says about person and sender is kept.

    When the sender is stopped the message is parked, to go on when an operator has changed the integration.
    """
    await conn.execute(
        "update messages set state = %s, poster = null, error_code = coalesce(error_code, %s), error = coalesce(error, %s), updated_at = %s"
        " where id = %s and state = 'posting' and poster is not distinct from %s",
        ("parked" if outcome.stop_sender else "failed", outcome.code or None, outcome.reason, now, row.id, row.poster),
    )
    await journal(
        conn, row.account_id, "refused", row.id, row.contact_id, {"code": outcome.code, "reason": outcome.reason}, now
    )
    await heed(conn, row.account_id, row.integration_id, row.address, row.sender, scope, outcome, now)


async def heed(
    conn: Connection,
    account_id: str,
    integration_id: str,
    address: str,
    sender: str,
    scope: str,
    outcome: Refused,
    now: datetime,
) -> None:
    """Mark the person or the sender as an error code says."""
    if outcome.opted_out:
        await opt_out(conn, account_id, address, scope, f"error {outcome.code}", now)
    if outcome.unreachable:
        await conn.execute(
            "update contact_addresses a set unreachable_code = %(code)s where account_id = %(account)s and address = %(address)s"
            " and (%(tries)s <= 1 or %(tries)s <= (select count(*) from (select m.error_code from messages m"
            "   where m.contact_id = a.contact_id and m.direction = 'out' and m.address = %(address)s"
            "   and m.state in ('delivered', 'read', 'undelivered', 'failed') order by m.seq desc limit %(tries)s) lately"
            "   where lately.error_code = %(code)s))",
            {"code": outcome.code, "account": account_id, "address": address, "tries": outcome.tries},
        )
    if outcome.stop_sender:
        await stop_sender(conn, integration_id, sender, outcome, now)


async def stop_sender(conn: Connection, integration_id: str, sender: str, outcome: Refused, now: datetime) -> None:
    """Nothing leaves by the integration until an operator has changed it.

    A second number whose texts were led to an integration by mistake says nothing about the integration's own.
    """
    await conn.execute(
        "update integrations set stopped_code = %s, stopped_why = %s, updated_at = %s"
        " where id = %s and (sender = %s or sender like 'MG%%')",
        (outcome.code, outcome.reason, now, integration_id, sender),
    )


async def again(conn: Connection, row: Leaving, delay: float, reason: str, now: datetime) -> None:
    """It was certainly not performed: it waits for its next try, unless another process has made one since."""
    await conn.execute(
        "update messages set state = 'waiting', poster = null, posted_at = null, why = %s, updated_at = %s,"
        " not_before = clock_timestamp() + make_interval(secs => %s)"
        " where id = %s and state = 'posting' and poster is not distinct from %s",
        (reason, now, delay, row.id, row.poster),
    )


async def park(conn: Connection, row: Leaving, reason: str, now: datetime, *, unsent: bool) -> None:
    """It is set aside for an operator. With `unsent` it was certainly not performed, and goes on when the integration is
    changed; otherwise nobody can tell, and it is never sent on a guess.
    """
    await conn.execute(
        "update messages set state = 'parked', poster = case when %s then null else poster end, why = %s, updated_at = %s"
        " where id = %s and (state = 'waiting' or state = 'posting' and poster is not distinct from %s)",
        (unsent, reason, now, row.id, row.poster),
    )
    await journal(conn, row.account_id, "parked", row.id, row.contact_id, {"reason": reason}, now)


async def known_sids(conn: Connection, account_id: str, sids: list[str]) -> set[str]:
    """Which of these ids belong to rows of ours."""
    cursor = await conn.execute("select sid from messages where account_id = %s and sid = any(%s)", (account_id, sids))
    return {r["sid"] for r in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Status:
    """What a status callback says. `message_id` is ours (from its address), `sid` the vendor's."""

    message_id: str | None
    sid: str
    status: str
    error_code: int | None
    reason: str | None


async def apply_status(
    conn: Connection,
    account_id: str,
    told: Status,
    advance: Callable[[str, str], str],
    heeded: Callable[[int], Refused | None],
    scope: str,
    now: datetime,
) -> str | None:
    """Move a message forward as a callback says, never back; keeps the first reason. Its state now, None if unknown.

    A callback also settles a request whose answer was lost: then the contact's lane goes on at once.
    """
    cursor = await conn.execute(
        "select id, contact_id, integration_id, address, sender, state, sid, error_code, error from messages"
        " where account_id = %s and direction = 'out' and (sid = %s or id = %s and (sid is null or sid = %s)) for update",
        (account_id, told.sid, told.message_id, told.sid),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    state = advance(row["state"], told.status)
    first = row["error_code"] is None and told.error_code is not None
    code, reason = (told.error_code, told.reason) if first else (row["error_code"], row["error"])
    if state == row["state"] and row["sid"] == told.sid and code == row["error_code"]:
        return state
    await conn.execute(
        "update messages set state = %s, sid = %s, error_code = %s, error = %s, updated_at = %s where id = %s",
        (state, told.sid, code, reason, now, row["id"]),
    )
    await journal(
        conn,
        account_id,
        "status",
        row["id"],
        row["contact_id"],
        {"status": told.status, "sid": told.sid, "code": told.error_code},
        now,
    )
    outcome = heeded(told.error_code) if told.error_code else None
    if outcome:
        await heed(conn, account_id, row["integration_id"], row["address"], row["sender"], scope, outcome, now)
    if row["state"] in ("posting", "waiting", "parked"):
        await wake(conn, row["contact_id"])
    return state


async def take_inline(conn: Connection, inbound_id: str, scope: str, now: datetime) -> list[Leaving]:
    """Mark the waiting answer of an inbound message as posting, because a response is about to carry it.

    Nothing when it is not there, was taken, may not leave, or something of the same contact has to leave before it.
    """
    cursor = await conn.execute(
        """
        with said as (select contact_id, turn_id, address from messages where id = %(id)s and turn_id is not null),
        ours as (select m.id from messages m, said s where m.turn_id = s.turn_id and m.direction = 'out'
                   and m.kind = 'answer' and m.state = 'waiting'
                   and not coalesce((select o.opted_out from opt_outs o
                                      where o.address = s.address and o.sender = %(scope)s), false)
                   and not exists (select from tickets t where t.contact_id = s.contact_id and t.state = 'claimed')
                   and not (select i.disabled from integrations i where i.id = m.integration_id)
                   and not exists (select from messages b where b.contact_id = s.contact_id and b.direction = 'out'
                                     and b.state in ('waiting', 'posting') and b.turn_id is distinct from s.turn_id))
        update messages m set state = 'posting', attempts = attempts + 1, poster = null, posted_at = clock_timestamp(),
          updated_at = %(now)s
        from ours where m.id = ours.id and m.state = 'waiting'
        returning m.*
        """,
        {"id": inbound_id, "scope": scope, "now": now},
    )
    rows = sorted(await cursor.fetchall(), key=lambda r: r["part"])
    return [leaving(r) for r in rows]
