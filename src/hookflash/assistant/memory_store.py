"""SQL of what is remembered of a contact: traits, observations, summaries; and of the sessions that are to be remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.memory import NoteKind, Trait
from hookflash.assistant.remember import MOST_TURNS, Learned, Past
from hookflash.base.errors import NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.conversation.commit_store import add_spend
from hookflash.conversation.journal_store import journal
from hookflash.conversation.turn import Contact
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection

MOST_SHOWN = 200
MOST_SUMMARIES = 100
_MEMORY = "select id, kind, session_id, turn_id, source, text, at, updated_at from memories"


@dataclass(frozen=True, slots=True)
class Memory:
    """An observation, or the summary of a session, as stored."""

    id: str
    kind: NoteKind
    session_id: str | None
    turn_id: str | None
    source: str
    text: str
    at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """All that is known of a contact. `traits` has a value for each source; newest observations and summaries first."""

    contact_id: str
    name: str | None
    language: str | None
    traits: tuple[Trait, ...]
    observations: tuple[Memory, ...]
    summaries: tuple[Memory, ...]


@dataclass(frozen=True, slots=True)
class SessionPast:
    """A session whose turns are to be remembered. `since` is up to when they were already; `calls` are calls' summaries.

    `address` is the one that the customer last wrote or called from.
    """

    id: str
    account_id: str
    contact: Contact
    config: AssistantConfig
    collects: bool
    last_at: datetime
    since: datetime | None
    turns: tuple[Past, ...]
    calls: tuple[str, ...]
    in_calls: frozenset[str]
    address: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """What a session left: the traits that were learned in it last, and how many turns it had."""

    contact_id: str
    traits: dict[str, Any]
    turns: int


# Profiles


async def traits_of(conn: Connection, contact_id: str) -> tuple[Trait, ...]:
    """Of every source. Raises NotFound."""
    contact = await conn.execute("select traits, trait_times, created_at from contacts where id = %s", (contact_id,))
    row = await contact.fetchone()
    if row is None:
        raise NotFound("There is no such contact.")
    own = tuple(
        Trait(name, value, "api", _since(row["trait_times"].get(name), row["created_at"]))
        for name, value in row["traits"].items()
    )
    learned = await conn.execute(
        "select name, value, source, at from contact_traits where contact_id = %s order by name, source", (contact_id,)
    )
    return own + tuple(Trait(r["name"], r["value"], r["source"], r["at"]) for r in await learned.fetchall())


def _since(written: str | None, created: datetime) -> datetime:
    return datetime.fromisoformat(written) if written else created


async def profile(conn: Connection, contact_id: str) -> Profile:
    """Raises NotFound."""
    traits = await traits_of(conn, contact_id)
    cursor = await conn.execute("select name, language from contacts where id = %s", (contact_id,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such contact.")
    found: dict[str, tuple[Memory, ...]] = {}
    for kind in ("observation", "summary"):
        rows = await conn.execute(
            f"{_MEMORY} where contact_id = %s and kind = %s order by at desc, id desc limit %s",
            (contact_id, kind, MOST_SHOWN),
        )
        found[kind] = tuple(Memory(**r) for r in await rows.fetchall())
    return Profile(contact_id, row["name"], row["language"], traits, found["observation"], found["summary"])


async def set_own_traits(conn: Connection, contact_id: str, traits: Mapping[str, Any]) -> None:
    """What the company says of the contact, from now on exactly this. Raises NotFound."""
    done = await conn.execute("update contacts set traits = %s where id = %s", (Jsonb(dict(traits)), contact_id))
    if done.rowcount == 0:
        raise NotFound("There is no such contact.")


async def forget_traits(conn: Connection, contact_id: str, names: Sequence[str] | None = None) -> None:
    """What was learned under these names (None: any) is known no more; a name that the contact got so goes with it."""
    if names is None or "name" in names:
        await conn.execute(
            "update contacts c set name = null from contact_traits t where c.id = %s and t.contact_id = c.id"
            " and t.name = 'name' and t.source = 'conversation' and t.value #>> '{}' = c.name",
            (contact_id,),
        )
    await conn.execute(
        "delete from contact_traits where contact_id = %s and (%s::text[] is null or name = any(%s))",
        (contact_id, names, names),
    )
    await _note_remembered(conn, contact_id)


async def learn_traits(
    conn: Connection,
    account_id: str,
    contact_id: str,
    source: Literal["conversation", "segment", "verification"],
    traits: Mapping[str, Any],
    now: datetime,
    *,
    session_id: str | None = None,
    at: datetime | None = None,
) -> None:
    """A source says these of the contact; what it said otherwise before is replaced, unless that was later than `at`."""
    for name, value in traits.items():
        await conn.execute(
            "insert into contact_traits as t (account_id, contact_id, name, source, value, session_id, at)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (contact_id, name, source) do update"
            " set value = excluded.value, session_id = excluded.session_id, at = excluded.at where t.at <= excluded.at",
            (account_id, contact_id, name, source, Jsonb(value), session_id, at or now),
        )
    if traits:
        await conn.execute("update contacts set remembered = true where id = %s and not remembered", (contact_id,))


async def forget(conn: Connection, contact_id: str) -> None:
    """Forget traits, observations and summaries; the contact and what was said stay. Raises NotFound."""
    await set_own_traits(conn, contact_id, {})
    await forget_traits(conn, contact_id)
    await conn.execute("delete from memories where contact_id = %s", (contact_id,))
    await conn.execute("update contacts set remembered = false where id = %s", (contact_id,))


async def _note_remembered(conn: Connection, contact_id: str) -> None:
    await conn.execute(
        "update contacts c set remembered = exists (select from memories m where m.contact_id = c.id)"
        " or exists (select from contact_traits t where t.contact_id = c.id) where c.id = %s",
        (contact_id,),
    )


# Observations and summaries


async def list_observations(conn: Connection, contact_id: str, limit: int, cursor: str | None) -> Page[Memory]:
    """Oldest first. Raises NotFound for the contact."""
    await _require(conn, contact_id)
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(
            f"{_MEMORY} where contact_id = %s and kind = 'observation' and id > %s order by id limit %s",
            (contact_id, after, limit + 1),
        )
    ).fetchall()
    items = [Memory(**row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def get_memory(conn: Connection, contact_id: str, memory_id: str) -> Memory:
    """Raises NotFound."""
    cursor = await conn.execute(f"{_MEMORY} where id = %s and contact_id = %s", (memory_id, contact_id))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such observation of this contact.")
    return Memory(**row)


async def add_observation(
    conn: Connection,
    account_id: str,
    contact_id: str,
    text: str,
    now: datetime,
    *,
    source: str = "api",
    session_id: str | None = None,
    turn_id: str | None = None,
    at: datetime | None = None,
) -> Memory:
    """Raises NotFound for the contact."""
    await _require(conn, contact_id)
    memory_id = new_id("mem")
    await conn.execute(
        "insert into memories (id, account_id, contact_id, kind, session_id, turn_id, source, text, at, updated_at)"
        " values (%s, %s, %s, 'observation', %s, %s, %s, %s, %s, %s)",
        (memory_id, account_id, contact_id, session_id, turn_id, source, text, at or now, now),
    )
    await _kept(conn, account_id, contact_id)
    return await get_memory(conn, contact_id, memory_id)


async def change_memory(
    conn: Connection, account_id: str, contact_id: str, memory_id: str, text: str, now: datetime
) -> Memory:
    """Other words for it. Raises NotFound."""
    await get_memory(conn, contact_id, memory_id)
    await conn.execute(
        "update memories set text = %s, model = null, vector = null, updated_at = %s where id = %s",
        (text, now, memory_id),
    )
    await _kept(conn, account_id, contact_id)
    return await get_memory(conn, contact_id, memory_id)


async def delete_memory(conn: Connection, contact_id: str, memory_id: str) -> None:
    """Raises NotFound."""
    await get_memory(conn, contact_id, memory_id)
    await conn.execute("delete from memories where id = %s", (memory_id,))
    await _note_remembered(conn, contact_id)


async def _kept(conn: Connection, account_id: str, contact_id: str) -> None:
    await conn.execute("update contacts set remembered = true where id = %s and not remembered", (contact_id,))
    await defer(conn, "assistant.embed_memories", queueing_lock=f"memories:{account_id}", account_id=account_id)


async def _require(conn: Connection, contact_id: str) -> None:
    cursor = await conn.execute("select 1 from contacts where id = %s", (contact_id,))
    if await cursor.fetchone() is None:
        raise NotFound("There is no such contact.")


async def without_vectors(conn: Connection, model: str, limit: int) -> list[tuple[str, str]]:
    """Memories (id, text) of the account that have no vector of this model."""
    cursor = await conn.execute(
        "select id, text from memories where model is distinct from %s order by id limit %s", (model, limit)
    )
    return [(row["id"], row["text"]) for row in await cursor.fetchall()]


async def set_vectors(conn: Connection, model: str, vectors: Sequence[tuple[str, str, str]]) -> None:
    """By id, with the text that was embedded and the vector in pgvector's notation; a text that has changed waits."""
    async with conn.cursor() as writer:
        await writer.executemany(
            "update memories set model = %s, vector = %s::halfvec where id = %s and text = %s",
            [(model, vector, memory_id, text) for memory_id, text, vector in vectors],
        )


# Sessions that are over


async def due_sessions(conn: Connection, now: datetime, most: int) -> list[tuple[str, str]]:
    """(account, session) of all accounts."""
    cursor = await conn.execute("select account_id, session_id from sessions_to_remember(%s, %s)", (now, most))
    return [(row["account_id"], row["session_id"]) for row in await cursor.fetchall()]


async def session_past(conn: Connection, session_id: str) -> SessionPast | None:
    """None for a session that is gone, or in which nothing is new."""
    cursor = await conn.execute(
        "select s.id, s.account_id, s.contact_id, s.last_at, s.remembered_to as since, c.name, c.language, c.traits, r.config,"
        " coalesce((s.settings ->> 'contact_collection')::boolean, true) as collects,"
        " (select m.address from messages m where m.session_id = s.id and m.contact_id = s.contact_id"
        "    order by m.seq desc limit 1) as address"
        " from sessions s join contacts c on c.id = s.contact_id"
        " join assistant_revisions r on r.assistant_id = s.assistant_id and r.revision = s.revision"
        " where s.id = %s and (s.remembered_to is null or s.remembered_to < s.last_at)",
        (session_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    turns = await conn.execute(
        "select id, said, answered, kind, at, record ->> 'call' as call from turns where session_id = %s"
        " order by at desc, id desc limit %s",
        (session_id, MOST_TURNS),
    )
    rows = list(reversed(await turns.fetchall()))
    calls = await conn.execute(
        "select id, summary from calls where session_id = %s and summary is not null order by started_at", (session_id,)
    )
    summaries = {call["id"]: call["summary"] for call in await calls.fetchall()}
    return SessionPast(
        id=row["id"],
        account_id=row["account_id"],
        contact=Contact(row["contact_id"], row["name"], row["language"], row["traits"]),
        config=AssistantConfig.stored(row["config"]),
        collects=row["collects"],
        last_at=row["last_at"],
        since=row["since"],
        turns=tuple(Past(t["id"], t["said"], t["answered"], t["kind"], t["at"]) for t in rows),
        calls=tuple(summaries.values()),
        in_calls=frozenset(t["id"] for t in rows if t["call"] in summaries),
        address=row["address"],
    )


async def left_by(conn: Connection, session_id: str) -> Left | None:
    """None for a session that is gone."""
    cursor = await conn.execute(
        "select s.contact_id, (select count(*) from turns t where t.session_id = s.id) as turns,"
        " (select coalesce(jsonb_object_agg(t.name, t.value), '{}') from contact_traits t"
        "   where t.session_id = s.id and t.contact_id = s.contact_id and t.source = 'conversation') as traits"
        " from sessions s where s.id = %s",
        (session_id,),
    )
    row = await cursor.fetchone()
    return Left(**row) if row else None


async def keep(
    conn: Connection, past: SessionPast, learned: Learned | None, model: str, micros: int, now: datetime
) -> bool:
    """Store what a session leaves (None: nothing is to be remembered); False when somebody else has done so meanwhile."""
    done = await conn.execute(
        "update sessions set remembered_to = %s where id = %s and remembered_to is not distinct from %s",
        (past.last_at, past.id, past.since),
    )
    if done.rowcount == 0:
        return False
    if learned is None:
        return True
    said_at = past.turns[-1].at if past.turns else past.last_at
    if learned.summary:
        await conn.execute(
            "insert into memories as m (id, account_id, contact_id, kind, session_id, source, text, at, updated_at)"
            " values (%s, %s, %s, 'summary', %s, 'conversation', %s, %s, %s)"
            " on conflict (session_id) where kind = 'summary' do update set text = excluded.text, at = excluded.at,"
            "   updated_at = excluded.updated_at, model = null, vector = null",
            (new_id("mem"), past.account_id, past.contact.id, past.id, learned.summary, said_at, now),
        )
    when = {turn.turn_id: turn.at for turn in past.turns}
    for seen in learned.observations:
        await conn.execute(
            "insert into memories (id, account_id, contact_id, kind, session_id, turn_id, source, text, at, updated_at)"
            " select %(id)s, %(account)s, %(contact)s, 'observation', %(session)s, %(turn)s, 'conversation', %(text)s,"
            "   %(at)s, %(now)s where not exists (select from memories m where m.contact_id = %(contact)s"
            "   and m.kind = 'observation' and lower(m.text) = lower(%(text)s))",
            {
                "id": new_id("mem"),
                "account": past.account_id,
                "contact": past.contact.id,
                "session": past.id,
                "turn": seen.turn_id,
                "text": seen.text,
                "at": when.get(seen.turn_id or "", said_at),
                "now": now,
            },
        )
    await learn_traits(
        conn,
        past.account_id,
        past.contact.id,
        "conversation",
        learned.traits,
        now,
        session_id=past.id,
        at=said_at,
    )
    # Whom a session was with is known from now on, unless they had a name before.
    if isinstance(name := learned.traits.get("name"), str):
        await conn.execute("update contacts set name = %s where id = %s and name is null", (name, past.contact.id))
    for kind, most in (("observation", past.config.memory.most_observations), ("summary", MOST_SUMMARIES)):
        await conn.execute(
            "delete from memories where contact_id = %(contact)s and kind = %(kind)s and id not in (select id from memories"
            " where contact_id = %(contact)s and kind = %(kind)s order by at desc, id desc limit %(most)s)",
            {"contact": past.contact.id, "kind": kind, "most": most},
        )
    if learned.summary or learned.observations:
        await _kept(conn, past.account_id, past.contact.id)
    if past.address is not None:
        await add_spend(conn, past.account_id, {past.address: micros}, now)
    body = {
        "model": model,
        "cost_micros": micros,
        "traits": sorted(learned.traits),
        "observations": len(learned.observations),
    }
    await journal(conn, past.account_id, "remembered", past.id, past.contact.id, body, now)
    return True
