"""SQL of lanes: claiming them, what their holder sees, and letting go of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from hookflash.base.phone import Address
from hookflash.conversation.commit_store import open_ticket
from hookflash.conversation.journal_store import journal, to_json
from hookflash.conversation.lane import Held, Leaving, Unanswered, Work
from hookflash.conversation.message import Direction, Media, Message
from hookflash.conversation.turn import Contact, Exchange, Session
from hookflash.db.pool import Connection

HISTORY = 8
# When the integration of message `m`, or its assistant, was last changed.
_STAMP = (
    "(select greatest(i.updated_at, a.updated_at) from integrations i join assistants a on a.id = i.assistant_id"
    " where i.id = m.integration_id) as stamp"
)


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


Revisions = dict[tuple[str, int], dict[str, Any]]
MOST_REVISIONS = 1_000


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of several lanes: `going` and `said` by contact, `who` and `sessions` by their ids."""

    going: dict[str, list[dict[str, Any]]]
    said: dict[str, list[dict[str, Any]]]
    who: dict[str, dict[str, Any]]
    sessions: dict[str, dict[str, Any]]

    @property
    def revisions(self) -> set[tuple[str, int]]:
        """Of assistants, that these sessions have."""
        return {(r["assistant_id"], r["revision"]) for r in self.sessions.values()}


async def read(conn: Connection, contacts: Sequence[str]) -> Read:
    """Everything that the holders of these contacts' lanes need to see, but for the configurations: see `configs`."""
    # The driver takes long over an array.
    ids = " ".join(contacts)
    going = await conn.execute(
        f"select m.*, {_STAMP}, extract(epoch from clock_timestamp() - m.posted_at)::float8 as posted_age,"  # noqa: S608
        " extract(epoch from m.not_before - clock_timestamp())::float8 as waits"
        " from unnest(string_to_array(%s, ' ')) c (id) cross join lateral (select * from messages o"
        "   where o.contact_id = c.id and o.direction = 'out' and o.state in ('waiting', 'posting')"
        "   order by o.seq limit 50) m order by m.seq",
        (ids,),
    )
    said = await conn.execute(
        f"select m.*, {_STAMP}, extract(epoch from clock_timestamp() - m.created_at)::float8 as age"  # noqa: S608
        " from unnest(string_to_array(%s, ' ')) c (id) cross join lateral (select * from messages i"
        "   where i.contact_id = c.id and i.direction = 'in' and i.state = 'unanswered'"
        "   order by i.at, i.seq limit 50) m order by m.at, m.seq",
        (ids,),
    )
    people = await conn.execute(
        "select c.id, c.name, c.language, c.traits, c.remembered, l.failures from contacts c"
        " left join lanes l on l.contact_id = c.id where c.id = any(string_to_array(%s, ' '))",
        (ids,),
    )
    # Whichever of them is meant: as a rule there is one for each contact.
    windows = await conn.execute(
        "select s.id, s.assistant_id, s.revision, s.settings, s.started_at, array("
        "   select jsonb_build_array(t.said, t.answered, coalesce(t.record -> 'sources', '[]')) from turns t"
        "   where t.session_id = s.id order by t.at desc limit %s) as past"
        " from sessions s where s.id in (select i.session_id from unnest(string_to_array(%s, ' ')) c (id), messages i"
        "   where i.contact_id = c.id and i.direction = 'in' and i.state = 'unanswered')",
        (HISTORY, ids),
    )
    return Read(
        said=_by_contact(await said.fetchall()),
        going=_by_contact(await going.fetchall()),
        who={r["id"]: r for r in await people.fetchall()},
        sessions={r["id"]: r for r in await windows.fetchall()},
    )


async def configs(conn: Connection, wanted: Collection[tuple[str, int]]) -> Revisions:
    """The configurations of these revisions, as far as their assistants still exist; they never change."""
    fresh = await conn.execute(
        "select r.assistant_id, r.revision, r.config from assistant_revisions r"
        " join jsonb_to_recordset(%s) as x (assistant_id text, revision integer) using (assistant_id, revision)",
        (Jsonb([{"assistant_id": assistant_id, "revision": revision} for assistant_id, revision in wanted]),),
    )
    return {(r["assistant_id"], r["revision"]): r["config"] for r in await fresh.fetchall()}


def works(contacts: Sequence[str], found: Read, revisions: Revisions) -> list[tuple[Work, list[str]]]:
    """For each contact its lane as the holder finds it, and the messages that nobody can answer: see `fail`.

    A session goes with its assistant, and its messages are then nobody's.
    """
    for row in found.sessions.values():
        row["config"] = revisions.get((row["assistant_id"], row["revision"]))
    return [_work(c, found.going.get(c, []), found.said.get(c, []), found.who.get(c), found.sessions) for c in contacts]


def _by_contact(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["contact_id"], []).append(row)
    return found


def _work(
    contact_id: str,
    going: list[dict[str, Any]],
    said: list[dict[str, Any]],
    who: dict[str, Any] | None,
    sessions: dict[str, dict[str, Any]],
) -> tuple[Work, list[str]]:
    unanswered: Unanswered | None = None
    orphans: list[str] = []
    if said and who:
        contact = Contact(who["id"], who["name"], who["language"], who["traits"], who["remembered"])
        group = [r for r in said if r["integration_id"] == said[0]["integration_id"]]
        if said[0]["via"] == "assistants":
            # Whoever said it through the API waits for the answer to it alone.
            group = group[:1]
        session = sessions.get(group[-1]["session_id"])
        if session is None or session["config"] is None:
            orphans = [r["id"] for r in group]
        else:
            unanswered = _unanswered(contact, group, session)
    work = Work(
        contact_id=contact_id,
        leaving=tuple(leaving(r) for r in going),
        unanswered=unanswered,
        failures=who["failures"] or 0 if who else 0,
        more=unanswered is not None and len(unanswered.messages) < len(said),
        stamps={r["integration_id"]: r["stamp"] for r in (*going, *said)},
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


@dataclass(frozen=True, slots=True)
class Release:
    """A lane to let go of; due again in `due_in` seconds (None: when something new comes)."""

    held: Held
    due_in: float | None
    failed: bool = False


async def release(conn: Connection, lanes: Sequence[Release]) -> None:
    """Let go of lanes. What was said to another integration than the one just answered is due at once."""
    # Locked in the order in which all lock them: else whoever takes messages in could wait for us, and we for them.
    await conn.execute(
        "with mine as materialized (select l.contact_id, x.due, x.failed from jsonb_to_recordset(%s)"
        "   as x (contact_id text, worker integer, fence bigint, due float8, failed boolean)"
        "   join lanes l on l.contact_id = x.contact_id and l.worker = x.worker and l.fence = x.fence"
        "   order by l.contact_id for update of l)"
        " update lanes l set worker = null, lease_until = null,"
        " due_at = least(l.due_at, clock_timestamp() + make_interval(secs => x.due), case when x.due is null"
        "   and exists (select from messages m where m.contact_id = l.contact_id and m.direction = 'in'"
        "     and m.state = 'unanswered') then clock_timestamp() end),"
        " failures = case when x.failed then least(l.failures + 1, 1000) else l.failures end"
        " from mine x where l.contact_id = x.contact_id",
        (
            Jsonb(
                [
                    {
                        "contact_id": r.held.contact_id,
                        "worker": r.held.worker,
                        "fence": r.held.fence,
                        "due": r.due_in,
                        "failed": r.failed,
                    }
                    for r in lanes
                ]
            ),
        ),
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
