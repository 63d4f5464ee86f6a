"""SQL of a turn's end: what was thought becomes rows on their way, a record, a cost, perhaps a ticket; all or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from hookflash.base.errors import Fenced
from hookflash.base.ids import new_id
from hookflash.conversation.journal_store import journal
from hookflash.conversation.lane import Held, Leaving, Newer, Outgoing, Thought, Unanswered
from hookflash.db.pool import Connection
from hookflash.db.together import Together

MAX_PARTS = 10


@dataclass(frozen=True, slots=True)
class Commit:
    """A turn to be committed on a lane that we hold. `final`: also when more was said meanwhile. With `post_now` the
    first row comes back already marked `posting`, so that it may leave at once.
    """

    held: Held
    thought: Thought
    final: bool
    post_now: bool


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The sign that a turn takes longer, on a lane that we hold. `scope`: whom an opt-out would be said to."""

    held: Held
    unanswered: Unanswered
    out: Outgoing
    scope: str


async def commit_turns(
    conn: Connection, commits: Sequence[Commit], now: datetime
) -> list[tuple[Leaving, ...] | Newer | Fenced]:
    """The end of the think act of several contacts: answers as rows on their way, the turns, the journal; all or nothing.

    For each Fenced when its lane is no longer ours, Newer when more was said meanwhile (unless `final`).
    """
    lanes = await _lock(conn, [c.held for c in commits])
    states = await conn.execute(
        """
        select x.contact,
          (select count(*) from messages where id = any(string_to_array(x.ids, ' ')) and state = 'unanswered') as ours,
          exists (select from messages m where m.contact_id = x.contact and m.direction = 'in' and m.state = 'unanswered'
                    and m.integration_id = x.integration and m.id <> all(string_to_array(x.ids, ' '))
                    and m.via <> 'assistants') as newer,
          coalesce((select opted_out from opt_outs where address = x.address and sender = x.scope), false) as out,
          exists (select from tickets t where t.contact_id = x.contact and t.state = 'claimed') as human,
          (select disabled from integrations where id = x.integration) as disabled
        from jsonb_to_recordset(%s) as x (contact text, integration text, address text, scope text, ids text)
        """,
        (
            Jsonb(
                [
                    {
                        "contact": c.held.contact_id,
                        "integration": c.thought.unanswered.integration_id,
                        "address": str(c.thought.unanswered.messages[-1].address),
                        "scope": c.thought.scope,
                        "ids": " ".join(m.id for m in c.thought.unanswered.messages),
                    }
                    for c in commits
                ]
            ),
        ),
    )
    ours = {r["contact_id"] for r in await lanes.fetchall()}
    found = {r["contact"]: r for r in await states.fetchall()}
    outcomes: list[tuple[Leaving, ...] | Newer | Fenced] = []
    spent: dict[str, int] = {}
    assistants: dict[str, int] = {}
    for commit in commits:
        contact_id = commit.held.contact_id
        state = found[contact_id]
        if contact_id not in ours:
            outcomes.append(Fenced("another worker holds this lane"))
        elif state["ours"] == 0:
            outcomes.append(())
        elif state["newer"] and not commit.final:
            outcomes.append(Newer())
        else:
            withheld = (
                ("opted out" if state["out"] else None)
                or ("a person has taken over" if state["human"] else None)
                or ("the integration is disabled" if state["disabled"] else None)
            )
            outcomes.append(await _commit_turn(conn, commit, withheld, now))
            address = str(commit.thought.unanswered.messages[-1].address)
            spent[address] = spent.get(address, 0) + commit.thought.cost_micros
            assistant_id = commit.thought.unanswered.session.assistant_id
            assistants[assistant_id] = assistants.get(assistant_id, 0) + commit.thought.cost_micros
    if commits:
        await add_spend(conn, commits[0].held.account_id, spent, now, assistants)
    return outcomes


async def _commit_turn(conn: Connection, commit: Commit, withheld: str | None, now: datetime) -> tuple[Leaving, ...]:
    held, thought = commit.held, commit.thought
    unanswered = thought.unanswered
    ids = [m.id for m in unanswered.messages]
    outgoing = () if withheld else thought.outgoing
    turn_id = thought.turn_id
    rest = Together()
    await rest.execute(
        "update messages set state = %s, why = coalesce(%s, why), turn_id = %s, language = coalesce(%s, language),"
        " updated_at = %s where id = any(string_to_array(%s, ' ')) and state = 'unanswered'",
        (_state(thought, withheld), withheld or thought.why, turn_id, thought.language, now, " ".join(ids)),
    )
    rows = await _insert_outgoing(
        conn, held, unanswered, outgoing, turn_id, thought.language, now, post_now=commit.post_now
    )
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
    await rest.execute(
        "update sessions set last_at = greatest(last_at, %s), spent_micros = spent_micros + %s, rate_at = %s where id = %s",
        (
            now,
            thought.cost_micros,
            None if withheld or thought.rate_after is None else now + timedelta(seconds=thought.rate_after),
            unanswered.session.id,
        ),
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
    for message_id, body in thought.concealed.items():
        await conn.execute(
            "update messages set body = %s, raw = case when raw ? 'Body' then jsonb_set(raw, '{Body}', to_jsonb(%s::text))"
            " else raw end where id = %s and turn_id = %s",
            (body, body, message_id, turn_id),
        )
    if any(out.delay for out in outgoing):
        await conn.execute("select pg_notify('inline', %s)", (" ".join(ids),))
    return rows


def _state(thought: Thought, withheld: str | None) -> str:
    """What becomes of the messages that were thought about."""
    if withheld is None:
        return thought.state
    return "human" if withheld == "a person has taken over" else "silenced"


async def add_spend(
    conn: Connection | Together,
    account_id: str,
    spent: Mapping[str, int],
    now: datetime,
    assistants: Mapping[str, int] | None = None,
) -> None:
    """Add to today's spend of numbers, in micro-dollars, of the account, and of assistants (what of it was theirs). Always in
    one order, so that none waits for another that waits for it.
    """
    rows = {(address, 0): micros for address, micros in spent.items() if micros > 0}
    for (address, _), micros in list(rows.items()):
        shard = ("", hash(address) % 8)
        rows[shard] = rows.get(shard, 0) + micros
    for assistant_id, micros in (assistants or {}).items():
        if micros > 0:
            rows[f"assistant:{assistant_id}", hash(next(iter(spent), "")) % 8] = micros
    if not rows:
        return
    ordered = sorted(rows)
    await conn.execute(
        "insert into spend as s (account_id, day, address, shard, micros)"
        " select %s, %s, x.address, x.shard, x.micros"
        "   from jsonb_to_recordset(%s) as x (address text, shard smallint, micros bigint)"
        " on conflict (account_id, day, address, shard) do update set micros = s.micros + excluded.micros",
        (
            account_id,
            now.date(),
            Jsonb([{"address": key[0], "shard": key[1], "micros": rows[key]} for key in ordered]),
        ),
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


async def _lock(conn: Connection, lanes: Sequence[Held]) -> AsyncCursor[DictRow]:
    """Lock the lanes, in the one order for all who lock several; it gives the contacts of those that are still ours.

    What else is asked of them is asked in a following statement: this one may have waited, and sees what was before.
    """
    return await conn.execute(
        "select l.contact_id from jsonb_to_recordset(%s) as h (contact_id text, worker integer, fence bigint)"
        " join lanes l on l.contact_id = h.contact_id and l.worker = h.worker and l.fence = h.fence"
        " order by l.contact_id for update of l",
        (Jsonb([{"contact_id": h.contact_id, "worker": h.worker, "fence": h.fence} for h in lanes]),),
    )


async def acknowledge(
    conn: Connection, acknowledgements: Sequence[Acknowledgement], now: datetime
) -> list[Leaving | Fenced | None]:
    """Put the one acknowledgement of each turn on its way, a contact each; None when it has left before or may not leave."""
    lanes = await _lock(conn, [a.held for a in acknowledgements])
    states = await conn.execute(
        """
        select x.contact,
          not coalesce((select opted_out from opt_outs where address = x.address and sender = x.scope), false)
            and not exists (select from messages where in_reply_to = x.message and kind = 'acknowledgement')
            and not exists (select from tickets where contact_id = x.contact and state = 'claimed')
            and not (select disabled from integrations where id = x.integration) as may
        from jsonb_to_recordset(%s) as x (contact text, integration text, address text, scope text, message text)
        """,
        (
            Jsonb(
                [
                    {
                        "contact": a.held.contact_id,
                        "integration": a.unanswered.integration_id,
                        "address": str(a.unanswered.messages[-1].address),
                        "scope": a.scope,
                        "message": a.unanswered.messages[0].id,
                    }
                    for a in acknowledgements
                ]
            ),
        ),
    )
    ours = {r["contact_id"] for r in await lanes.fetchall()}
    may = {r["contact"] for r in await states.fetchall() if r["may"]}
    outcomes: list[Leaving | Fenced | None] = []
    spent: dict[str, int] = {}
    for each in acknowledgements:
        if each.held.contact_id not in ours:
            outcomes.append(Fenced("another worker holds this lane"))
        elif each.held.contact_id not in may:
            outcomes.append(None)
        else:
            (row,) = await _insert_outgoing(
                conn, each.held, each.unanswered, (each.out,), None, None, now, post_now=True
            )
            outcomes.append(row)
            spent[row.address] = spent.get(row.address, 0) + each.out.cost_micros
    await add_spend(conn, acknowledgements[0].held.account_id, spent, now)
    return outcomes
