"""SQL of reading what was said and done: contacts, sessions, messages, turns, the journal; and what staff may correct."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from psycopg.types.json import Jsonb

from hookflash.base.errors import Conflict, NotFound
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.conversation.intake_store import opt_out
from hookflash.conversation.lane_store import wake
from hookflash.db.pool import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReachedAt:
    """An address of a contact; `unreachable_code` is the error that says that it takes no messages."""

    address: str
    unreachable_code: int | None


@dataclass(frozen=True, slots=True)
class OptOut:
    """Whether one sender may write to an address, since when, and how we know."""

    address: str
    sender: str
    opted_out: bool
    via: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ContactRow:
    """One person as stored, with all addresses and what was said about consent."""

    id: str
    name: str | None
    language: str | None
    traits: dict[str, Any]
    addresses: tuple[ReachedAt, ...]
    opt_outs: tuple[OptOut, ...]
    created_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One window of context."""

    id: str
    contact_id: str
    assistant_id: str
    revision: int
    started_at: datetime
    last_at: datetime
    verified_at: datetime | None
    experiment_id: str | None
    variant: str | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message, in or out, and how far it got. Money in micro-dollars."""

    id: str
    seq: int
    contact_id: str
    integration_id: str
    session_id: str | None
    turn_id: str | None
    direction: str
    kind: str
    address: str
    sender: str
    text: str
    media: list[dict[str, Any]]
    language: str | None
    state: str
    why: str | None
    via: str
    sid: str | None
    in_reply_to: str | None
    part: int
    attempts: int
    error_code: int | None
    error: str | None
    segments: int | None
    cost_micros: int
    at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TurnRow:
    """The record of one turn. `record` holds verdicts, sources, usage, stages and what was degraded."""

    id: str
    contact_id: str
    session_id: str
    said: str
    question: str | None
    answered: str
    kind: str
    confidence: float | None
    model: str | None
    prompt_revision: str | None
    language: str | None
    record: dict[str, Any]
    cost_micros: int
    at: datetime
    message_ids: list[str]


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One entry of the journal."""

    id: int
    at: datetime
    kind: str
    subject: str
    contact_id: str | None
    body: dict[str, Any]
    hash: str


async def _page(
    conn: Connection,
    select: str,
    key: str,
    wanted: Mapping[str, object],
    limit: int,
    cursor: str | None,
    read: Callable[[dict[str, Any]], T],
    *,
    numbered: bool = False,
) -> Page[T]:
    """One page in the order of `key` (a number or an id); `wanted` are columns and the values that they must have."""
    given = {column: value for column, value in wanted.items() if value is not None}
    conditions = [f"{column} = %({column})s" for column in given]
    parameters: dict[str, object] = {**given, "limit": limit + 1}
    if cursor:
        parameters["after"] = decode_cursor(cursor, int if numbered else str)[0]
        conditions.append(f"{key} > %(after)s")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    found = await conn.execute(f"{select}{where} order by {key} limit %(limit)s".encode(), parameters)
    rows = await found.fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page([read(row) for row in rows], encode_cursor(rows[-1][key]) if more else None)


# Contacts

_CONTACT = """
select c.id, c.name, c.language, c.traits, c.created_at, c.last_seen_at,
  (select coalesce(jsonb_agg(jsonb_build_object('address', a.address, 'unreachable_code', a.unreachable_code)
                             order by a.address), '[]') from contact_addresses a where a.contact_id = c.id) as addresses,
  (select coalesce(jsonb_agg(jsonb_build_object('address', o.address, 'sender', o.sender, 'opted_out', o.opted_out,
                                                'via', o.via, 'since', o.since) order by o.address, o.sender), '[]')
     from contact_addresses a join opt_outs o on o.account_id = a.account_id and o.address = a.address
    where a.contact_id = c.id) as opt_outs
from contacts c
"""


def _contact(row: dict[str, Any]) -> ContactRow:
    return msgspec.convert(row, ContactRow)


async def list_contacts(conn: Connection, limit: int, cursor: str | None, address: str | None) -> Page[ContactRow]:
    """Oldest first; with `address`, the one contact that has it."""
    if address is None:
        return await _page(conn, _CONTACT, "id", {}, limit, cursor, _contact)
    having = "where c.id = (select contact_id from contact_addresses where address = %s)"
    found = await conn.execute(f"{_CONTACT} {having}".encode(), (address,))
    return Page([_contact(row) for row in await found.fetchall()], None)


async def get_contact(conn: Connection, contact_id: str, *, lock: bool = False) -> ContactRow:
    """With `lock` nobody else changes it before this transaction ends. Raises NotFound."""
    if lock:
        await conn.execute("select 1 from contacts where id = %s for update", (contact_id,))
    found = await conn.execute(f"{_CONTACT} where c.id = %s".encode(), (contact_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such contact.")
    return _contact(row)


async def update_contact(conn: Connection, contact_id: str, changes: Mapping[str, Any]) -> ContactRow:
    """Change some of name, language and traits. Raises NotFound."""
    values = {"name": None, "language": None, **changes, "id": contact_id, "traits": Jsonb(changes.get("traits"))}
    done = await conn.execute(
        "update contacts set name = case when %(has_name)s then %(name)s else name end,"
        " language = case when %(has_language)s then %(language)s else language end,"
        " traits = case when %(has_traits)s then %(traits)s else traits end where id = %(id)s",
        values | {f"has_{column}": column in changes for column in ("name", "language", "traits")},
    )
    if done.rowcount == 0:
        raise NotFound("There is no such contact.")
    return await get_contact(conn, contact_id)


async def set_opt_out(
    conn: Connection, account_id: str, contact_id: str, sender: str, now: datetime, *, out: bool
) -> tuple[ContactRow, list[str]]:
    """Note that a sender may not write to a contact (or may again): the contact, and the addresses concerned.

    A number that belongs to a Messaging Service stands for the service. Raises NotFound for contact or sender.
    """
    contact = await get_contact(conn, contact_id)
    found = await conn.execute(
        "select distinct coalesce(messaging_service_sid, sender) as scope from integrations"
        " where sender = %(sender)s or messaging_service_sid = %(sender)s",
        {"sender": sender},
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such sender.")
    scope: str = row["scope"]
    alike = [
        a.address
        for a in contact.addresses
        if scope.startswith("MG") or a.address.startswith("whatsapp:") == scope.startswith("whatsapp:")
    ]
    for address in alike:
        await opt_out(conn, account_id, address, scope, "api", now, out=out)
    return await get_contact(conn, contact_id), alike


# Sessions, messages, turns


def _session(row: dict[str, Any]) -> SessionRow:
    return SessionRow(**row)


_SESSION = "select id, contact_id, assistant_id, revision, started_at, last_at, verified_at, experiment_id, variant from sessions"


async def list_sessions(conn: Connection, limit: int, cursor: str | None, contact_id: str | None) -> Page[SessionRow]:
    return await _page(conn, _SESSION, "id", {"contact_id": contact_id}, limit, cursor, _session)


async def get_session(conn: Connection, session_id: str) -> SessionRow:
    """Raises NotFound."""
    found = await conn.execute(f"{_SESSION} where id = %s".encode(), (session_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such session.")
    return _session(row)


_MESSAGE = (
    "select id, seq, contact_id, integration_id, session_id, turn_id, direction, kind, address, sender, body as text, media,"
    " language, state, why, via, sid, in_reply_to, part, attempts, error_code, error, segments, cost_micros, at, created_at,"
    " updated_at from messages"
)


def _message(row: dict[str, Any]) -> MessageRow:
    return MessageRow(**row)


async def list_messages(
    conn: Connection, limit: int, cursor: str | None, wanted: Mapping[str, str | None]
) -> Page[MessageRow]:
    """In the order in which they were stored. `wanted`: values of contact_id, session_id, state, direction."""
    return await _page(conn, _MESSAGE, "seq", wanted, limit, cursor, _message, numbered=True)


async def get_message(conn: Connection, message_id: str) -> MessageRow:
    """Raises NotFound."""
    found = await conn.execute(f"{_MESSAGE} where id = %s".encode(), (message_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such message.")
    return _message(row)


async def resolve_parked(conn: Connection, message_id: str, now: datetime, *, send_again: bool) -> MessageRow:
    """Put a parked message back into its contact's queue, or give it up.

    Raises NotFound, and Conflict for a message that is not parked or that the vendor has after all.
    """
    found = await conn.execute("select state, sid, contact_id from messages where id = %s for update", (message_id,))
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such message.")
    if row["state"] != "parked":
        raise Conflict("This message is not parked.", hint="those that are: GET /v1/messages?state=parked")
    if send_again and row["sid"] is not None:
        raise Conflict("Twilio has this message, so it will not be sent again.")
    if send_again:
        await conn.execute(
            "update messages set state = 'waiting', why = null, attempts = 0, poster = null, posted_at = null,"
            " not_before = null, error_code = null, error = null, updated_at = %s where id = %s",
            (now, message_id),
        )
        await wake(conn, row["contact_id"])
    else:
        await conn.execute(
            "update messages set state = 'discarded', updated_at = %s where id = %s",
            (now, message_id),
        )
    return await get_message(conn, message_id)


async def get_turn(conn: Connection, turn_id: str) -> TurnRow:
    """Raises NotFound."""
    found = await conn.execute(
        "select t.id, t.contact_id, t.session_id, t.said, t.question, t.answered, t.kind, t.confidence, t.model,"
        " t.prompt_revision, t.language, t.record, t.cost_micros, t.at,"
        " array(select m.id from messages m where m.contact_id = t.contact_id and m.turn_id = t.id order by m.seq) as message_ids"
        " from turns t where t.id = %s",
        (turn_id,),
    )
    row = await found.fetchone()
    if row is None:
        raise NotFound("There is no such turn.")
    return TurnRow(**row)


# The journal


def _entry(row: dict[str, Any]) -> JournalRow:
    return JournalRow(**(row | {"body": msgspec.json.decode(row["body"])}))


async def list_journal(
    conn: Connection, limit: int, cursor: str | None, wanted: Mapping[str, str | None]
) -> Page[JournalRow]:
    """In the order of the entries. `wanted`: values of subject, contact_id, kind."""
    select = "select id, at, kind, subject, contact_id, body, encode(hash, 'hex') as hash from journal"
    return await _page(conn, select, "id", wanted, limit, cursor, _entry, numbered=True)
