"""SQL of lanes: claiming them, what their holder sees, committing a turn, and the way of each message out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from hookflash.base.errors import Fenced
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.conversation.journal_store import journal, to_json
from hookflash.conversation.lane import Held, Leaving, Newer, Outgoing, Thought, Unanswered, Work
from hookflash.conversation.message import Direction, Media, Message
from hookflash.conversation.turn import Contact, Exchange, Session
from hookflash.db.pool import Connection
from hookflash.db.together import Together

HISTORY = 8
# When the integration of message `m`, or its assistant, was last changed.
_STAMP = (
    "(select greatest(i.updated_at, a.updated_at) from integrations i join assistants a on a.id = i.assistant_id"
    " where i.id = m.integration_id) as stamp"
)
MAX_PARTS = 10


def _media(rows: list[dict[str, Any]]) -> tuple[Media, ...]:
    return tuple(Media(**row) for row in rows)


async def claim(conn: Connection, worker: int, lease: float, most: int) -> list[Held]:
    """Take up to `most` due lanes, for all accounts."""
    cursor = await conn.execute("select * from claim_lanes(%s, make_interval(secs => %s), %s)", (worker, lease, most))
    return [Held(r["contact_id"], r["account_id"], r["fence"], worker) for r in await cursor.fetchall()]


async def next_due(conn: Connection) -> float | None:
    """Seconds until the next lane is due (negative: overdue), or None when no lane waits."""
    cursor = await conn.execute("select extract(epoch from next_lane_due() - clock_timestamp())::float8 as seconds")
    row = await cursor.fetchone()
    return row["seconds"] if row else None


async def load(conn: Connection, held: Held) -> tuple[Work, list[str]]:
    """Everything that a lane's holder needs to see, and the messages that nobody can answer: see `fail`.

    A session goes with its assistant, and its messages are then nobody's.
    """
    going = await conn.execute(
        f"select m.*, {_STAMP}, extract(epoch from clock_timestamp() - m.posted_at)::float8 as posted_age,"  # noqa: S608
        " extract(epoch from m.not_before - clock_timestamp())::float8 as waits"
        " from messages m where m.contact_id = %s and m.direction = 'out' and m.state in ('waiting', 'posting')"
        " order by m.seq limit 50",
        (held.contact_id,),
    )
    said = await conn.execute(
        f"select m.*, {_STAMP}, extract(epoch from clock_timestamp() - m.created_at)::float8 as age from messages m"  # noqa: S608
        " where m.contact_id = %s and m.direction = 'in' and m.state = 'unanswered' order by m.at, m.seq limit 50",
        (held.contact_id,),
    )
    person = await conn.execute(
        "select c.id, c.name, c.language, c.traits, l.failures from contacts c"
        " left join lanes l on l.contact_id = c.id where c.id = %s",
        (held.contact_id,),
    )
    # Whichever of them is meant: as a rule there is one.
    windows = await conn.execute(
        "select s.id, s.assistant_id, s.revision, s.settings, s.started_at, r.config, array("
        "   select jsonb_build_array(t.said, t.answered, coalesce(t.record -> 'sources', '[]')) from turns t"
        "   where t.session_id = s.id order by t.at desc limit %s) as past"
        " from sessions s join assistant_revisions r on r.assistant_id = s.assistant_id and r.revision = s.revision"
        " where s.id in (select m.session_id from messages m"
        "   where m.contact_id = %s and m.direction = 'in' and m.state = 'unanswered')",
        (HISTORY, held.contact_id),
    )
    said_rows = await said.fetchall()
    going_rows = await going.fetchall()
    who = await person.fetchone()
    unanswered: Unanswered | None = None
    orphans: list[str] = []
    if said_rows and who:
        contact = Contact(who["id"], who["name"], who["language"], who["traits"])
        group = [r for r in said_rows if r["integration_id"] == said_rows[0]["integration_id"]]
        sessions = {r["id"]: r for r in await windows.fetchall()}
        session = sessions.get(group[-1]["session_id"])
        if session is None:
            orphans = [r["id"] for r in group]
        else:
            unanswered = _unanswered(contact, group, session)
    work = Work(
        contact_id=held.contact_id,
        leaving=tuple(leaving(r) for r in going_rows),
        unanswered=unanswered,
        failures=who["failures"] or 0 if who else 0,
        more=unanswered is not None and len(unanswered.messages) < len(said_rows),
        stamps={r["integration_id"]: r["stamp"] for r in (*going_rows, *said_rows)},
    )
    return work, orphans


async def fail(conn: Connection, message_ids: list[str], why: str, now: datetime) -> None:
    """These messages will not be answered."""
    await conn.execute(
        "update messages set state = 'failed', why = %s, updated_at = %s where id = any(%s) and state = 'unanswered'",
        (why, now, message_ids),
    )


def _unanswered(contact: Contact, rows: list[dict[str, Any]], session: dict[str, Any]) -> Unanswered:
    history = tuple(
        Exchange(said, answered, tuple(source["chunk_id"] for source in sources if source["cited"]))
        for said, answered, sources in reversed(session["past"])
        if answered or said
    )
    return Unanswered(
        integration_id=rows[0]["integration_id"],
        contact=contact,
        session=Session(
            session["id"], session["assistant_id"], session["revision"], session["config"], session["started_at"]
        ),
        settings=session["settings"],
        messages=tuple(_message(r) for r in rows),
        sender=rows[-1]["sender"],
        history=history,
        quiet_for=min(r["age"] for r in rows),
        waited=max(r["age"] for r in rows),
    )


def _message(r: dict[str, Any]) -> Message:
    return Message(
        r["id"],
        Direction(r["direction"]),
        Address.parse(r["address"]),
        r["body"],
        r["at"],
        _media(r["media"]),
        r["language"],
    )


def leaving(r: dict[str, Any]) -> Leaving:
    """A row of messages (with `posted_age` and `waits` in seconds where they matter)."""
    return Leaving(
        id=r["id"],
        contact_id=r["contact_id"],
        account_id=r["account_id"],
        integration_id=r["integration_id"],
        address=r["address"],
        sender=r["sender"],
        body=r["body"],
        kind=r["kind"],
        state=r["state"],
        attempts=r["attempts"],
        poster=r["poster"],
        posted_age=r.get("posted_age"),
        waits=r.get("waits"),
    )


async def commit_turn(
    conn: Connection, held: Held, thought: Thought, now: datetime, *, final: bool, post_now: bool
) -> tuple[Leaving, ...] | Newer:
    """The end of the think act: answers as rows on their way, the turn, the journal; all or nothing.

    Raises Fenced when the lane is no longer ours. Newer when more was said meanwhile (unless `final`). With
    `post_now` the first row comes back already marked `posting`, so that it may leave at once.
    """
    unanswered = thought.unanswered
    ids = [m.id for m in unanswered.messages]
    lane = await conn.execute(
        "select 1 from lanes where contact_id = %s and worker = %s and fence = %s for update",
        (held.contact_id, held.worker, held.fence),
    )
    state = await conn.execute(
        """
        select (select count(*) from messages where id = any(%(ids)s) and state = 'unanswered') as ours,
          exists (select from messages where contact_id = %(contact)s and direction = 'in' and state = 'unanswered'
                    and integration_id = %(integration)s and id <> all(%(ids)s)) as newer,
          coalesce((select opted_out from opt_outs where address = %(address)s and sender = %(scope)s), false) as out,
          exists (select from tickets where contact_id = %(contact)s and state = 'claimed') as human,
          (select disabled from integrations where id = %(integration)s) as disabled
        """,
        {
            "ids": ids,
            "contact": held.contact_id,
            "integration": unanswered.integration_id,
            "address": str(unanswered.messages[-1].address),
            "scope": thought.scope,
        },
    )
    if await lane.fetchone() is None:
        raise Fenced("another worker holds this lane")
    found = await state.fetchone()
    if found is None or found["ours"] == 0:
        return ()
    if found["newer"] and not final:
        return Newer()
    withheld = (
        ("opted out" if found["out"] else None)
        or ("a person has taken over" if found["human"] else None)
        or ("the integration is disabled" if found["disabled"] else None)
    )
    outgoing = () if withheld else thought.outgoing
    turn_id = thought.turn_id
    rest = Together()
    await rest.execute(
        "update messages set state = %s, why = coalesce(%s, why), turn_id = %s, language = coalesce(%s, language),"
        " updated_at = %s where id = any(%s) and state = 'unanswered'",
        (_state(thought, withheld), withheld or thought.why, turn_id, thought.language, now, ids),
    )
    rows = await _insert_outgoing(conn, held, unanswered, outgoing, turn_id, thought.language, now, post_now=post_now)
    await rest.execute(
        "insert into turns (id, account_id, contact_id, session_id, said, question, answered, kind, confidence, model,"
        " prompt_revision, language, record, cost_micros, at) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            turn_id,
            held.account_id,
            held.contact_id,
            unanswered.session.id,
            thought.said,
            thought.question,
            "" if withheld else thought.answered,
            withheld or thought.kind,
            thought.confidence,
            thought.model,
            thought.prompt_revision,
            thought.language,
            Jsonb(thought.record),
            thought.cost_micros,
            now,
        ),
    )
    await journal(
        rest,
        held.account_id,
        "turn",
        turn_id,
        held.contact_id,
        {
            "messages": ids,
            "kind": withheld or thought.kind,
            "said": thought.said,
            "question": thought.question,
            "answered": "" if withheld else thought.answered,
            "model": thought.model,
            "prompt_revision": thought.prompt_revision,
            "confidence": thought.confidence,
            "cost_micros": thought.cost_micros,
            **thought.record,
        },
        now,
    )
    await add_spend(rest, held.account_id, str(unanswered.messages[-1].address), thought.cost_micros, now)
    await rest.execute(
        "update sessions set last_at = greatest(last_at, %s) where id = %s", (now, unanswered.session.id)
    )
    if thought.hand_off and not withheld:
        await open_ticket(
            rest,
            held.account_id,
            held.contact_id,
            unanswered.session.id,
            turn_id,
            thought.hand_off,
            thought.said,
            now,
        )
    await rest.execute("update lanes set failures = 0 where contact_id = %s and failures > 0", (held.contact_id,))
    if thought.language is not None and thought.language != unanswered.contact.language:
        await rest.execute(
            "update contacts c set language = %s from integrations i where c.id = %s and i.id = %s"
            " and coalesce((i.config ->> 'contact_collection')::boolean, true)",
            (thought.language, held.contact_id, unanswered.integration_id),
        )
    await rest.run(conn)
    if any(out.delay for out in outgoing):
        await conn.execute("select pg_notify('inline', %s)", (" ".join(ids),))
    return rows


def _state(thought: Thought, withheld: str | None) -> str:
    """What becomes of the messages that were thought about."""
    if withheld is None:
        return thought.state
    return "human" if withheld == "a person has taken over" else "silenced"


async def add_spend(conn: Connection | Together, account_id: str, address: str, micros: int, now: datetime) -> None:
    """Add to today's spend of a number and of the account."""
    if micros <= 0:
        return
    shard = hash(address) % 8
    await conn.execute(
        "insert into spend as s (account_id, day, address, shard, micros) values (%s, %s, %s, 0, %s), (%s, %s, '', %s, %s)"
        " on conflict (account_id, day, address, shard) do update set micros = s.micros + excluded.micros",
        (account_id, now.date(), address, micros, account_id, now.date(), shard, micros),
    )


async def open_ticket(
    conn: Connection | Together,
    account_id: str,
    contact_id: str,
    session_id: str | None,
    turn_id: str | None,
    reason: str,
    summary: str,
    now: datetime,
) -> None:
    """Ask for a person; a contact has at most one open ticket, which a further reason refreshes."""
    await conn.execute(
        "insert into tickets as t (id, account_id, contact_id, session_id, turn_id, reason, summary, created_at, updated_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (contact_id) where state = 'open' do update set reason = excluded.reason,"
        " summary = left(t.summary || E'\\n' || excluded.summary, 4000), turn_id = excluded.turn_id, updated_at = excluded.updated_at",
        (new_id("tick"), account_id, contact_id, session_id, turn_id, reason, summary[:2000], now, now),
    )


async def _insert_outgoing(
    conn: Connection,
    held: Held,
    unanswered: Unanswered,
    outgoing: Sequence[Outgoing],
    turn_id: str | None,
    language: str | None,
    now: datetime,
    *,
    post_now: bool,
) -> tuple[Leaving, ...]:
    rows: list[Leaving] = []
    for part, out in enumerate(outgoing[:MAX_PARTS]):
        posting = part == 0 and post_now and out.delay == 0
        row = Leaving(
            id=new_id("msg"),
            contact_id=held.contact_id,
            account_id=held.account_id,
            integration_id=unanswered.integration_id,
            address=str(unanswered.messages[-1].address),
            sender=unanswered.sender,
            body=out.body,
            kind=out.kind,
            state="posting" if posting else "waiting",
            attempts=1 if posting else 0,
            poster=held.worker if posting else None,
            posted_age=0.0 if posting else None,
            waits=out.delay,
        )
        rows.append(row)
        await conn.execute(
            "insert into messages (id, account_id, contact_id, integration_id, session_id, turn_id, direction, kind, address,"
            " sender, body, language, state, in_reply_to, part, attempts, poster, posted_at, not_before, segments, cost_micros, at)"
            " values (%s, %s, %s, %s, %s, %s, 'out', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
            " case when %s then clock_timestamp() end, clock_timestamp() + make_interval(secs => %s), %s, %s, %s)"
            " on conflict (in_reply_to) where kind = 'acknowledgement' do nothing",
            (
                row.id,
                held.account_id,
                held.contact_id,
                unanswered.integration_id,
                unanswered.session.id,
                turn_id,
                out.kind,
                row.address,
                row.sender,
                out.body,
                language,
                row.state,
                unanswered.messages[0].id,
                part,
                row.attempts,
                row.poster,
                posting,
                out.delay,
                out.segments,
                out.cost_micros,
                now,
            ),
        )
    return tuple(rows)


async def acknowledge(
    conn: Connection, held: Held, unanswered: Unanswered, out: Outgoing, scope: str, now: datetime
) -> Leaving | None:
    """Put the one acknowledgement of a turn on its way; None when it has left before or may not leave."""
    lane = await conn.execute(
        "select not coalesce((select opted_out from opt_outs where address = %s and sender = %s), false)"
        " and not exists (select from messages where in_reply_to = %s and kind = 'acknowledgement')"
        " and not exists (select from tickets where contact_id = %s and state = 'claimed')"
        " and not (select disabled from integrations where id = %s) as may"
        " from lanes where contact_id = %s and worker = %s and fence = %s for update",
        (
            str(unanswered.messages[-1].address),
            scope,
            unanswered.messages[0].id,
            held.contact_id,
            unanswered.integration_id,
            held.contact_id,
            held.worker,
            held.fence,
        ),
    )
    row = await lane.fetchone()
    if row is None:
        raise Fenced("another worker holds this lane")
    if not row["may"]:
        return None
    rows = await _insert_outgoing(conn, held, unanswered, (out,), None, None, now, post_now=True)
    return rows[0]


async def release(conn: Connection, held: Held, due_in: float | None, *, failed: bool = False) -> None:
    """Let go of a lane; due again in `due_in` seconds (None: when something new comes).

    What was said to another integration than the one just answered is due at once.
    """
    await conn.execute(
        "update lanes set worker = null, lease_until = null,"
        " due_at = least(due_at, clock_timestamp() + make_interval(secs => %(due)s), case when %(due)s::float8 is null"
        "   and exists (select from messages where contact_id = %(contact)s and direction = 'in' and state = 'unanswered')"
        "   then clock_timestamp() end),"
        " failures = case when %(failed)s then least(failures + 1, 1000) else failures end"
        " where contact_id = %(contact)s and worker = %(worker)s and fence = %(fence)s",
        {
            "due": due_in,
            "failed": failed,
            "contact": held.contact_id,
            "worker": held.worker,
            "fence": held.fence,
        },
    )


async def wake(conn: Connection, contact_id: str) -> None:
    """Make a lane due now."""
    await conn.execute("update lanes set due_at = clock_timestamp() where contact_id = %s", (contact_id,))
    await conn.execute("select pg_notify('lanes', '')")


async def give_up(conn: Connection, held: Held, unanswered: Unanswered, why: str, now: datetime) -> None:
    """Thinking failed for good: the messages are kept as failed and a person is asked."""
    ids = [m.id for m in unanswered.messages]
    await fail(conn, ids, why, now)
    await conn.execute("update lanes set failures = 0 where contact_id = %s", (held.contact_id,))
    said = "\n".join(m.words for m in unanswered.messages)
    await open_ticket(conn, held.account_id, held.contact_id, unanswered.session.id, None, why, said, now)
    await journal(conn, held.account_id, "failed", ids[0], held.contact_id, {"messages": ids, "why": why}, now)


async def save_media(conn: Connection, message_id: str, media: Sequence[Media]) -> None:
    """Keep what became of a message's attachments."""
    await conn.execute("update messages set media = %s where id = %s", (Jsonb(to_json(tuple(media))), message_id))
