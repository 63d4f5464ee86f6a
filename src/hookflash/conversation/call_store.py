"""SQL of calls: admitting one, opening its socket once, keeping what was said and heard, and its end."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from hookflash.base.errors import Forbidden, NotFound
from hookflash.base.ids import new_id
from hookflash.conversation.call import CallArrival, CallRow, CallStanding, CallTurn, OpenCall
from hookflash.conversation.commit_store import add_spend, open_ticket
from hookflash.conversation.journal_store import journal
from hookflash.conversation.lane_store import HISTORY
from hookflash.conversation.turn import Contact, Exchange, Session, ending_record
from hookflash.db.pool import Connection

TOKEN_SECONDS = 120


async def call_standing(
    conn: Connection, arrival: CallArrival, scope: str, session_ms: int, now: datetime
) -> CallStanding:
    """What is known of the caller; makes the contact if need be."""
    made = await conn.execute(
        "insert into contact_addresses as a (account_id, address, contact_id) values (%s, %s, %s)"
        " on conflict (account_id, address) do update set address = excluded.address returning contact_id",
        (arrival.account_id, arrival.address, new_id("cont")),
    )
    row = await made.fetchone()
    contact_id = row["contact_id"] if row else new_id("cont")
    await conn.execute(
        "insert into contacts as c (id, account_id, name, last_seen_at) values (%s, %s, %s, %s) on conflict (id) do update"
        " set last_seen_at = excluded.last_seen_at, name = coalesce(c.name, excluded.name)",
        (contact_id, arrival.account_id, arrival.name, now),
    )
    cursor = await conn.execute(
        """
        select c.language,
          exists (select from tickets t where t.contact_id = c.id and t.state = 'claimed') as human,
          (select count(*) from calls k where k.address = %(address)s and k.state in ('admitted', 'live')
             and k.call_sid <> %(sid)s and k.started_at > %(now)s - interval '4 hours') as live,
          (select count(*) from calls k where k.address = %(address)s and k.started_at > %(now)s - interval '1 hour'
             and k.call_sid <> %(sid)s) as recent,
          coalesce((select sum(s.micros)::bigint from spend s where s.account_id = %(account)s and s.day = %(day)s
                      and s.address = %(address)s), 0) as spent_contact,
          coalesce((select sum(s.micros)::bigint from spend s where s.account_id = %(account)s and s.day = %(day)s
                      and s.address = ''), 0) as spent_account,
          coalesce((select sum(s.micros)::bigint from spend s, integrations i where i.id = %(integration)s
                      and s.account_id = %(account)s and s.day = %(day)s and s.address = 'assistant:' || i.assistant_id), 0)
            as spent_assistant,
          coalesce((select o.opted_out from opt_outs o where o.address = %(address)s and o.sender = %(scope)s), false)
            as opted_out,
          w.id as session_id,
          coalesce((select sum(t.cost_micros)::bigint from turns t where t.session_id = w.id), 0) as spent_session
        from contacts c
        left join lateral (select s.id from sessions s join integrations i on i.assistant_id = s.assistant_id
            where i.id = %(integration)s and s.contact_id = c.id
              and s.last_at > %(now)s - make_interval(secs => %(session)s) order by s.last_at desc limit 1) w on true
        where c.id = %(contact)s
        """,
        {
            "contact": contact_id,
            "account": arrival.account_id,
            "address": arrival.address,
            "sid": arrival.call_sid,
            "scope": scope,
            "integration": arrival.integration_id,
            "session": session_ms / 1000,
            "day": now.date(),
            "now": now,
        },
    )
    found = await cursor.fetchone()
    if found is None:
        raise NotFound("The caller's contact is gone.")
    return CallStanding(
        contact_id=contact_id,
        language=found["language"],
        human_has_it=found["human"],
        live_calls=found["live"],
        calls_last_hour=found["recent"],
        spent_contact=found["spent_contact"],
        spent_account=found["spent_account"],
        spent_assistant=found["spent_assistant"],
        spent_session=found["spent_session"],
        session_id=found["session_id"],
        opted_out=found["opted_out"],
    )


async def admit(
    conn: Connection,
    arrival: CallArrival,
    known: CallStanding,
    *,
    state: str,
    why: str | None,
    verdicts: list[Any],
    settings: dict[str, Any],
    now: datetime,
) -> tuple[str, str]:
    """Store a call that was admitted, queued (outbound) or refused: its id, and the token that opens its socket once.

    A repeated request of the same call gets a new token; the one before is worth nothing.
    """
    token = secrets.token_urlsafe(24)
    session_id = known.session_id
    if session_id is None and state != "refused":
        session_id = new_id("sess")
        await conn.execute(
            "insert into sessions (id, account_id, contact_id, assistant_id, revision, settings, started_at, last_at,"
            " experiment_id, variant)"
            " select %s, %s, %s, i.assistant_id, coalesce(e.revisions[x.place], a.revision), %s, %s, %s, e.id,"
            " e.names[x.place] from integrations i join assistants a on a.id = i.assistant_id"
            " left join experiments e on e.assistant_id = a.id and e.state = 'running'"
            " cross join lateral (select experiment_place(e.id, %s) + 1 as place) x where i.id = %s",
            (
                session_id,
                arrival.account_id,
                known.contact_id,
                Jsonb(settings),
                now,
                now,
                known.contact_id,
                arrival.integration_id,
            ),
        )
    cursor = await conn.execute(
        "insert into calls as c (id, account_id, integration_id, contact_id, session_id, call_sid, direction, way, address,"
        " sender, state, token_hash, why, purpose, retries, started_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (account_id, call_sid) do update set token_hash = excluded.token_hash, way = excluded.way,"
        "   state = excluded.state, why = excluded.why, ended_at = null, updated_at = excluded.started_at"
        " returning id, session_id",
        (
            new_id("call"),
            arrival.account_id,
            arrival.integration_id,
            known.contact_id,
            session_id,
            arrival.call_sid,
            arrival.direction,
            arrival.way,
            arrival.address,
            arrival.sender,
            state,
            hashlib.sha256(token.encode()).digest(),
            why,
            arrival.purpose,
            arrival.retries,
            now,
        ),
    )
    row = await cursor.fetchone()
    call_id = row["id"] if row else ""
    if row and session_id != known.session_id and row["session_id"] != session_id:
        # The same request came twice at once, and the other was first.
        await conn.execute("delete from sessions where id = %s", (session_id,))
    await journal(
        conn,
        arrival.account_id,
        "call",
        call_id,
        known.contact_id,
        {"sid": arrival.call_sid, "direction": arrival.direction, "state": state, "why": why, "verdicts": verdicts},
        now,
    )
    return call_id, token


async def open_call(conn: Connection, account_id: str, call_sid: str, token: str, now: datetime) -> OpenCall:
    """The call whose socket this token opens; the token is spent. Raises Forbidden for a wrong, spent or old one."""
    cursor = await conn.execute(
        "update calls set token_hash = null, state = 'live', updated_at = %s where account_id = %s and call_sid = %s"
        " and token_hash = %s and state in ('admitted', 'queued', 'live') and updated_at > %s returning id",
        (now, account_id, call_sid, hashlib.sha256(token.encode()).digest(), now - timedelta(seconds=TOKEN_SECONDS)),
    )
    row = await cursor.fetchone()
    if row is None:
        raise Forbidden("This token does not open a socket of this call.")
    return await get_open_call(conn, row["id"])


async def get_open_call(conn: Connection, call_id: str) -> OpenCall:
    """A call with its contact, session and the session's past. Raises NotFound."""
    cursor = await conn.execute(
        "select c.*, p.name, p.language, p.traits, p.remembered, s.assistant_id, s.revision, s.started_at as session_started, r.config"
        " from calls c join contacts p on p.id = c.contact_id join sessions s on s.id = c.session_id"
        " join assistant_revisions r on r.assistant_id = s.assistant_id and r.revision = s.revision where c.id = %s",
        (call_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such call.")
    past = await conn.execute(
        "select said, answered, record from turns where session_id = %s order by at desc limit %s",
        (row["session_id"], HISTORY),
    )
    history = tuple(
        Exchange(t["said"], t["answered"], tuple(s["chunk_id"] for s in t["record"].get("sources", ()) if s["cited"]))
        for t in reversed(await past.fetchall())
    )
    return OpenCall(
        id=row["id"],
        account_id=row["account_id"],
        integration_id=row["integration_id"],
        call_sid=row["call_sid"],
        direction=row["direction"],
        address=row["address"],
        sender=row["sender"],
        contact=Contact(row["contact_id"], row["name"], row["language"], row["traits"], row["remembered"]),
        session=Session(row["session_id"], row["assistant_id"], row["revision"], row["config"], row["session_started"]),
        history=history,
        started_at=row["started_at"],
        spent_micros=sum(row["parts"].values()),
    )


async def find_call(conn: Connection, call_sid: str) -> str | None:
    """Our id of a call of Twilio's."""
    cursor = await conn.execute("select id from calls where call_sid = %s", (call_sid,))
    row = await cursor.fetchone()
    return row["id"] if row else None


async def find_way(conn: Connection, call_id: str) -> tuple[str, str]:
    """By which way a call came in, and in which direction it goes."""
    cursor = await conn.execute("select way, direction from calls where id = %s", (call_id,))
    row = await cursor.fetchone()
    return (row["way"], row["direction"]) if row else ("", "")


@dataclass(frozen=True, slots=True)
class HowEnded:
    """`why` is set when we ended the socket ourselves; `lost` is how often it broke."""

    why: str | None
    lost: int


async def how_ended(conn: Connection, call_sid: str, goes_on: bool, now: datetime) -> HowEnded | None:
    """How the socket of a call ended; of a call that goes on, one that we did not end ourselves counts as lost once more."""
    cursor = await conn.execute(
        "update calls set measures = case when why is null and %s then jsonb_set(measures, '{lost}',"
        "   to_jsonb(coalesce((measures ->> 'lost')::int, 0) + 1)) else measures end, updated_at = %s"
        " where call_sid = %s returning why, coalesce((measures ->> 'lost')::int, 0) as lost",
        (goes_on, now, call_sid),
    )
    row = await cursor.fetchone()
    return HowEnded(row["why"], row["lost"]) if row else None


async def keep_turn(conn: Connection, call: OpenCall, turn: CallTurn, now: datetime) -> None:
    """Store a settled turn: the words said and those that were heard, as messages; the turn; the journal."""
    ending = turn.ending
    language = ending.language if ending else call.contact.language
    record = turn.record | {
        "call": call.id,
        "number": turn.number,
        "whole": turn.whole,
        "interrupted": turn.interrupted,
        "measures": turn.measures,
        **ending_record(ending),
        "stages": dict(ending.stages) if ending else {},
    }
    for direction, body, state in (("in", turn.said, "answered"), ("out", turn.heard, "delivered")):
        if body:
            await conn.execute(
                "insert into messages (id, account_id, contact_id, integration_id, session_id, turn_id, direction, kind,"
                " address, sender, body, language, state, via, at)"
                " values (%s, %s, %s, %s, %s, %s, %s, 'speech', %s, %s, %s, %s, %s, 'call', %s)",
                (
                    new_id("msg"),
                    call.account_id,
                    call.contact.id,
                    call.integration_id,
                    call.session.id,
                    turn.id,
                    direction,
                    call.address,
                    call.sender,
                    body,
                    language,
                    state,
                    now,
                ),
            )
    await conn.execute(
        "insert into turns (id, account_id, contact_id, session_id, said, question, answered, kind, confidence, model,"
        " prompt_revision, language, record, cost_micros, at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (id) do nothing",
        (
            turn.id,
            call.account_id,
            call.contact.id,
            call.session.id,
            turn.said,
            ending.question if ending else None,
            turn.heard,
            ending.kind if ending else "speech",
            ending.confidence if ending else None,
            ending.model if ending else None,
            ending.prompt_revision if ending else None,
            language,
            Jsonb(record),
            turn.cost_micros,
            now,
        ),
    )
    await journal(
        conn,
        call.account_id,
        "turn",
        turn.id,
        call.contact.id,
        {"said": turn.said, "answered": turn.heard, **record, "cost_micros": turn.cost_micros},
        now,
    )
    assistant = {call.session.assistant_id: turn.cost_micros}
    await add_spend(conn, call.account_id, {call.address: turn.cost_micros}, now, assistant)
    await conn.execute(
        "update sessions set last_at = greatest(last_at, %s), spent_micros = spent_micros + %s where id = %s",
        (now, turn.cost_micros, call.session.id),
    )
    if turn.hand_off:
        await open_ticket(
            conn, call.account_id, call.contact.id, call.session.id, turn.id, turn.hand_off, turn.said, now
        )


async def end_call(
    conn: Connection,
    call_id: str,
    why: str | None,
    now: datetime,
    *,
    measures: dict[str, Any] | None = None,
    parts: dict[str, int] | None = None,
    summary: str | None = None,
) -> None:
    """The call is over, or more has become known of how it was; what is known stays."""
    await conn.execute(
        "update calls set state = 'ended', why = coalesce(why, %s), ended_at = coalesce(ended_at, %s),"
        " measures = measures || %s, parts = parts || %s, summary = coalesce(%s, summary), token_hash = null, updated_at = %s"
        " where id = %s",
        (why, now, Jsonb(measures or {}), Jsonb(parts or {}), summary, now, call_id),
    )
    # Numbers of callers can be made up: who calls next has proven nothing.
    await conn.execute(
        "update sessions set verified_place = null from calls c"
        " where c.id = %s and sessions.id = c.session_id and verified_place like 'voice:%%'",
        (call_id,),
    )


async def add_parts(conn: Connection, call_id: str, parts: dict[str, int]) -> None:
    """More was spent on a call, by part, in micro-dollars."""
    await conn.execute(
        "update calls set parts = parts || coalesce((select jsonb_object_agg(spent.key,"
        " spent.value::bigint + coalesce((calls.parts ->> spent.key)::bigint, 0))"
        " from jsonb_each_text(%s) as spent), '{}') where id = %s",
        (Jsonb(parts), call_id),
    )


async def answered_by(conn: Connection, call_sid: str, who: str, now: datetime) -> None:
    """Who answered an outbound call, in Twilio's words: human, machine_end_beep, fax ..."""
    await conn.execute(
        "update calls set answered_by = %s, updated_at = %s where call_sid = %s", (who[:40], now, call_sid)
    )


async def recorded(conn: Connection, account_id: str, call_sid: str, recording: dict[str, str], now: datetime) -> None:
    """A recording of a call is ready at Twilio."""
    cursor = await conn.execute(
        "update calls set recording_sid = %s, recording = %s, updated_at = %s where call_sid = %s returning id, contact_id",
        (recording.get("sid"), Jsonb(recording), now, call_sid),
    )
    row = await cursor.fetchone()
    if row is not None:
        await journal(conn, account_id, "recording", row["id"], row["contact_id"], recording, now)


_ROW = (
    "select id, call_sid, integration_id, contact_id, session_id, direction, way, address, sender, state, why, answered_by,"
    " purpose, summary, parts, measures, recording, started_at, ended_at, retries,"
    " coalesce((select jsonb_agg(jsonb_build_object('number', a.number, 'state', a.state, 'call_sid', a.call_sid,"
    "   'why', a.why, 'due_at', a.due_at, 'ended_at', a.ended_at) order by a.number)"
    "   from call_attempts a where a.call_id = calls.id), '[]') as attempts,"
    " coalesce((select jsonb_agg(jsonb_build_object('target', t.target, 'state', t.state, 'at', t.at,"
    "   'ended_at', t.ended_at) order by t.at) from transfers t where t.call_id = calls.id), '[]') as transfers"
    " from calls"
)


async def get_call(conn: Connection, call_id: str) -> CallRow:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_ROW} where id = %s", (call_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such call.")
    return CallRow(**row)


async def list_calls(conn: Connection, after: str, limit: int, contact_id: str | None) -> list[CallRow]:
    """Calls with ids above `after`, oldest first; of one contact if it is given."""
    cursor = await conn.execute(
        f"{_ROW} where id > %s and (%s::text is null or contact_id = %s) order by id limit %s",
        (after, contact_id, contact_id, limit),
    )
    return [CallRow(**row) for row in await cursor.fetchall()]
