"""SQL of taking messages in: who wrote, the one statement that stores an arrival, and opt-outs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from hookflash.base.errors import Fenced
from hookflash.base.ids import new_id
from hookflash.conversation.intake import Arrival, Past, Standing, Taken
from hookflash.conversation.journal import entry_hash
from hookflash.conversation.journal_store import to_json
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a sender that is on its way; see `read`."""

    met: AsyncCursor[DictRow]
    known: AsyncCursor[DictRow]


async def standing(
    conn: Connection, arrival: Arrival, scope: str, session_ms: int, rate: int, now: datetime
) -> Standing:
    """What is known of one sender: `meet`, `ask` and `read`."""
    (met,) = await meet(conn, [arrival])
    return await read(await ask(conn, met, arrival, scope, session_ms, rate, now))


async def meet(conn: Connection, arrivals: Sequence[Arrival]) -> list[AsyncCursor[DictRow]]:
    """Make the senders' contacts if need be, and wait until no other arrival of theirs is being taken in.

    The arrivals are of one account, each from another address. In one order for all who do this: else each could wait for
    the other.
    """
    met = {}
    for address in sorted(str(arrival.address) for arrival in arrivals):
        met[address] = await conn.execute(
            "insert into contact_addresses as a (account_id, address, contact_id) values (%s, %s, %s)"
            " on conflict (account_id, address) do update set unreachable_code = null returning contact_id",
            (arrivals[0].account_id, address, new_id("cont")),
        )
    # Before anything else of the contacts, as whoever commits turns of theirs does.
    await conn.execute(
        "select from lanes l join contact_addresses a on a.contact_id = l.contact_id"
        " where a.account_id = %s and a.address = any(string_to_array(%s, E'\\x1f')) order by l.contact_id for update of l",
        (arrivals[0].account_id, "\x1f".join(met)),
    )
    return [met[str(arrival.address)] for arrival in arrivals]


async def ask(
    conn: Connection,
    met: AsyncCursor[DictRow],
    arrival: Arrival,
    scope: str,
    session_ms: int,
    rate: int,
    now: datetime,
) -> Asked:
    """Ask what is known of a sender whom we have met. Messages of the last minute are counted up to `rate`."""
    day = now.date()
    known = await conn.execute(
        """
        select c.language,
          coalesce((select o.opted_out from opt_outs o where o.address = %(address)s and o.sender = %(scope)s), false)
            as opted_out,
          exists (select from tickets t where t.contact_id = a.contact_id and t.state = 'claimed') as human,
          (select m.id from messages m where m.account_id = %(account)s and m.sid = %(sid)s) as seen,
          p.contact as spent_contact, p.account as spent_account, p.assistant as spent_assistant,
          w.id as session_id,
          coalesce(w.spent_micros, 0) as spent_session,
          greatest(i.updated_at, (select t.updated_at from assistants t where t.id = i.assistant_id)) as stamp,
          exists (select from verifications v where v.contact_id = a.contact_id and v.state = 'pending') as awaits_code,
          (select count(*) from (select m.at from messages m where m.contact_id = a.contact_id and m.direction = 'in'
             order by m.seq desc limit %(rate)s) r where r.at > %(now)s - interval '1 minute') as in_last_minute,
          array(select jsonb_build_array(r.direction, left(r.body, 200), extract(epoch from (%(now)s - r.at)))
                from (select m.direction, m.body, m.at from messages m where m.contact_id = a.contact_id
                      order by m.seq desc limit 24) r) as recent
        from contact_addresses a left join contacts c on c.id = a.contact_id
        left join integrations i on i.id = %(integration)s
        left join lateral (select coalesce(sum(s.micros) filter (where s.address = %(address)s), 0)::bigint as contact,
            coalesce(sum(s.micros) filter (where s.address = ''), 0)::bigint as account,
            coalesce(sum(s.micros) filter (where s.address = 'assistant:' || i.assistant_id), 0)::bigint as assistant
          from spend s where s.account_id = %(account)s and s.day = %(day)s
            and s.address in (%(address)s, '', 'assistant:' || i.assistant_id)) p on true
        left join lateral (select s.id, s.spent_micros from sessions s
            where s.contact_id = a.contact_id and s.assistant_id = i.assistant_id
              and s.last_at > %(now)s - make_interval(secs => %(session)s)
            order by s.last_at desc limit 1) w on true
        where a.account_id = %(account)s and a.address = %(address)s
        """,
        {
            "account": arrival.account_id,
            "address": str(arrival.address),
            "scope": scope,
            "sid": arrival.sid,
            "day": day,
            "now": now,
            "integration": arrival.integration_id,
            "session": session_ms / 1000,
            "rate": rate,
        },
    )
    return Asked(met, known)


async def read(asked: Asked) -> Standing:
    """What is known of the sender."""
    made = await asked.met.fetchone()
    row = await asked.known.fetchone()
    if made is None or row is None:  # pragma: no cover
        raise Fenced("the contact vanished while its message was taken in")
    recent = tuple(Past(direction, text, float(age)) for direction, text, age in row["recent"])
    return Standing(
        contact_id=made["contact_id"],
        language=row["language"],
        opted_out=row["opted_out"],
        human_has_it=row["human"],
        in_last_minute=row["in_last_minute"],
        spent_contact=row["spent_contact"],
        spent_account=row["spent_account"],
        recent=recent,
        seen=row["seen"],
        session_id=row["session_id"],
        stamp=row["stamp"],
        awaits_code=row["awaits_code"],
        spent_session=row["spent_session"],
        spent_assistant=row["spent_assistant"],
    )


_BEGIN = """
  insert into sessions as s (id, account_id, contact_id, assistant_id, revision, settings, started_at, last_at,
                             experiment_id, variant)
  select %(session)s, %(account)s, %(contact)s, i.assistant_id, coalesce(e.revisions[x.place], a.revision),
         %(settings)s, %(now)s, %(now)s, e.id, e.names[x.place]
  from claimed, integrations i join assistants a on a.id = i.assistant_id
    left join experiments e on e.assistant_id = a.id and e.state = 'running'
    cross join lateral (select experiment_place(e.id, %(contact)s) + 1 as place) x
  where i.id = %(integration)s and %(session)s::text is not null
  returning id"""
_GO_ON = """
  update sessions s set last_at = greatest(s.last_at, %(now)s) from claimed where s.id = %(session)s returning s.id"""
_ACCEPT = """
with claimed as (
  insert into messages (id, account_id, contact_id, integration_id, session_id, direction, address, sender, body, media,
                        language, state, why, via, sid, raw, at)
  values (%(id)s, %(account)s, %(contact)s, %(integration)s, %(session)s, 'in', %(address)s, %(sender)s, %(body)s,
          %(media)s, %(language)s, %(state)s, %(why)s, %(via)s, %(sid)s, %(raw)s, %(at)s)
  on conflict (account_id, sid) where sid is not null do nothing
  returning id),
person as (
  insert into contacts as c (id, account_id, name, language, last_seen_at)
  select %(contact)s, %(account)s, %(name)s, %(language)s, %(now)s from claimed
  on conflict (id) do update set last_seen_at = greatest(c.last_seen_at, excluded.last_seen_at),
    name = coalesce(excluded.name, c.name), language = coalesce(excluded.language, c.language)
  returning id),
window_ as ({window}),
{notices}lane as (
  insert into lanes as l (contact_id, account_id, due_at)
  select %(contact)s, %(account)s, clock_timestamp() + %(burst)s * interval '1 millisecond'
  from claimed where %(wake)s
  on conflict (contact_id) do update set due_at =
    least(excluded.due_at, coalesce((select min(u.created_at) from messages u where u.contact_id = excluded.contact_id
      and u.direction = 'in' and u.state = 'unanswered') + %(burst)s * interval '4 milliseconds', excluded.due_at))
  returning due_at),
entry as (
  insert into journal (account_id, at, kind, subject, contact_id, body, hash)
  select %(account)s, %(now)s, 'received', %(id)s, %(contact)s, %(entry)s, %(hash)s from claimed
  returning 1)
select (select count(*) from claimed) as claimed,
       (select pg_notify('lanes', '') from lane) as woken
"""
_NOTICES = """opted as (
  insert into opt_outs as o (account_id, address, sender, opted_out, via, since)
  select %(account)s, %(address)s, %(scope)s, %(opt)s, 'keyword', %(now)s from claimed where %(opt)s::boolean is not null
  on conflict (account_id, address, sender) do update
    set opted_out = excluded.opted_out, via = excluded.via, since = excluded.since
  returning 1),
withdrawn as (
  update messages m set state = case when m.direction = 'in' then 'silenced' else 'withheld' end,
    why = 'opted out', updated_at = %(now)s
  from claimed where %(opt)s::boolean and m.contact_id = %(contact)s
    and m.integration_id in (select i.id from integrations i where coalesce(i.messaging_service_sid, i.sender) = %(scope)s)
    and (m.direction = 'in' and m.state = 'unanswered' or m.direction = 'out' and m.state = 'waiting')
  returning 1),
notice as (
  insert into messages (id, account_id, contact_id, integration_id, session_id, direction, kind, address, sender, body,
                        language, state, in_reply_to, at)
  select %(notice_id)s, %(account)s, %(contact)s, %(integration)s, %(session)s, 'out', 'notice', %(address)s, %(sender)s,
         %(notice)s, %(language)s, 'waiting', %(id)s, %(now)s
  from claimed where %(notice)s::text is not null
  returning id),
"""


# By whether a session goes on, and whether there is more to it than a message: each without what it does not need.
_ACCEPTED = {
    (goes_on, more): _ACCEPT.replace("{window}", _GO_ON if goes_on else _BEGIN).replace(
        "{notices}", _NOTICES if more else ""
    )
    for goes_on in (False, True)
    for more in (False, True)
}


async def accept(
    conn: Connection, arrival: Arrival, known: Standing, taken: Taken, now: datetime, *, begin: str | None = None
) -> tuple[str, AsyncCursor[DictRow]]:
    """Store an arrival with all that follows from it, in one statement; its message id, and what `claimed` asks.

    `begin` is the id of the session that begins if none is running; without it one only begins for an answer.
    """
    message_id = new_id("msg")
    session_id = known.session_id or begin or (new_id("sess") if taken.state == "unanswered" else None)
    opt = {"stop": True, "start": False}.get(arrival.word or "")
    body = msgspec.json.encode(
        {
            "sid": arrival.sid,
            "from": str(arrival.address),
            "to": str(arrival.sender),
            "text": arrival.text if taken.logged is None else taken.logged,
            "media": len(arrival.media),
            "via": arrival.via,
            "verdicts": taken.verdicts,
            "state": taken.state,
        }
    ).decode()
    cursor = await conn.execute(
        _ACCEPTED[known.session_id is not None, opt is not None or taken.notice is not None],
        {
            "id": message_id,
            "account": arrival.account_id,
            "contact": known.contact_id,
            "integration": arrival.integration_id,
            "session": session_id,
            "address": str(arrival.address),
            "sender": str(arrival.sender),
            "body": arrival.text,
            "media": Jsonb(to_json(arrival.media)),
            "language": arrival.language if taken.collect else None,
            "state": taken.state,
            "why": taken.why,
            "via": arrival.via,
            "sid": arrival.sid,
            "raw": Jsonb(arrival.raw),
            "at": arrival.at,
            "now": now,
            "name": arrival.name if taken.collect else None,
            "settings": Jsonb(taken.settings),
            "scope": taken.scope,
            "opt": opt,
            "notice": taken.notice,
            "notice_id": new_id("msg"),
            "burst": taken.burst_ms if taken.notice is None else 0,
            "wake": taken.state == "unanswered" or taken.notice is not None,
            "entry": body,
            "hash": entry_hash(arrival.account_id, now, "received", message_id, body),
        },
    )
    if arrival.given is not None:
        await conn.execute(
            "update verifications v set given = %s, given_by = m.id from messages m"
            " where m.id = %s and v.contact_id = m.contact_id and v.state = 'pending'",
            (arrival.given, message_id),
        )
    return message_id, cursor


async def claimed(stored: AsyncCursor[DictRow]) -> bool:
    """Whether `accept` has stored it: False for a duplicate."""
    row = await stored.fetchone()
    return bool(row and row["claimed"])


async def received(conn: Connection, account_id: str, sids: list[str]) -> dict[str, datetime]:
    """When those of these messages arrived that we have, by the vendor's id."""
    cursor = await conn.execute(
        "select sid, at from messages where account_id = %s and sid = any(%s)", (account_id, sids)
    )
    return {r["sid"]: r["at"] for r in await cursor.fetchall()}


async def opt_out(
    conn: Connection, account_id: str, address: str, scope: str, via: str, now: datetime, *, out: bool = True
) -> None:
    """Record an opt-out (or its end), and withhold what waits to leave for that person from that sender."""
    await conn.execute(
        "insert into opt_outs as o (account_id, address, sender, opted_out, via, since) values (%s, %s, %s, %s, %s, %s)"
        " on conflict (account_id, address, sender) do update"
        " set opted_out = excluded.opted_out, via = excluded.via, since = excluded.since",
        (account_id, address, scope, out, via, now),
    )
    if out:
        await conn.execute(
            "update messages set state = 'withheld', why = 'opted out', updated_at = %s where account_id = %s and address = %s"
            " and direction = 'out' and state = 'waiting' and kind <> 'notice'"
            " and integration_id in (select id from integrations where coalesce(messaging_service_sid, sender) = %s)",
            (now, account_id, address, scope),
        )
