"""SQL of making one person of two contacts, when it is proven that they are one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.conversation.intake_store import opt_out
from hookflash.conversation.journal_store import journal
from hookflash.db.pool import Connection

# A call that has been live for longer has lost its end.
_LONGEST_CALL = timedelta(hours=4)
# Tables that refer to contacts, whose rows are not just handed over.
_ELSE = frozenset({"lanes", "tickets", "contact_traits"})


@dataclass(frozen=True, slots=True)
class Merged:
    """`contact_id` stays, `other_id` is gone; `moved` counts rows by table."""

    contact_id: str
    other_id: str
    moved: dict[str, int]


async def merge(
    conn: Connection, account_id: str, keep_contact_id: str, other_contact_id: str, proof: str, now: datetime
) -> Merged:
    """Everything of the other contact becomes the kept one's: addresses, sessions, messages, consent, memory, what waits.

    `proof` says how we know (`api:<key>`, `verification:<id>`) and is journaled. What both have: the newer value of a trait
    stays, of each source; an opt-out of either holds for both. Raises NotFound, Invalid for one and the same contact, and
    Conflict while the other is being answered or on the telephone: nothing is changed then. The kept one may be, so a turn of
    its own may merge another contact into it.
    """
    if keep_contact_id == other_contact_id:
        raise Invalid("A contact cannot be merged with itself.", field="contact_id")
    both = sorted((keep_contact_id, other_contact_id))
    await hold(conn, both, other_contact_id, now)
    found = await conn.execute(
        "select id, name, language, traits, trait_times, created_at from contacts where id = any(%s) order by id for update",
        (both,),
    )
    rows = {row["id"]: row for row in await found.fetchall()}
    if len(rows) < 2:
        raise NotFound("There is no such contact.")
    keep, other = rows[keep_contact_id], rows[other_contact_id]
    await _consent(conn, account_id, keep_contact_id, other_contact_id, now)
    moved = await _hand_over(conn, keep_contact_id, other_contact_id)
    moved["contact_traits"] = await _traits(conn, keep_contact_id, other_contact_id)
    await _tickets(conn, keep_contact_id, other_contact_id, now)
    await _lane(conn, account_id, keep_contact_id, other_contact_id)
    traits, times = newer(keep, other)
    await conn.execute(
        "update contacts k set name = coalesce(k.name, o.name), language = coalesce(k.language, o.language),"
        " traits = %(traits)s, trait_times = %(times)s, remembered = k.remembered or o.remembered,"
        " created_at = least(k.created_at, o.created_at), last_seen_at = greatest(k.last_seen_at, o.last_seen_at)"
        " from contacts o where k.id = %(keep)s and o.id = %(other)s",
        {"traits": Jsonb(traits), "times": Jsonb(times), "keep": keep_contact_id, "other": other_contact_id},
    )
    await conn.execute("delete from contacts where id = %s", (other_contact_id,))
    merged = Merged(keep_contact_id, other_contact_id, {table: count for table, count in moved.items() if count})
    body = {"other": other_contact_id, "proof": proof, "moved": merged.moved}
    await journal(conn, account_id, "contact.merged", keep_contact_id, keep_contact_id, body, now)
    return merged


async def hold(conn: Connection, contact_ids: list[str], going: str, now: datetime) -> None:
    """Keep these contacts (ids in order) from being written to or claimed until the transaction ends.

    Locks are taken as whoever takes a message in does: addresses, then lanes. Raises Conflict while the one that is `going` to
    be gone is being answered: whoever does that has its id in hand.
    """
    await conn.execute(
        'select from contact_addresses where contact_id = any(%s) order by address collate "C" for update',
        (contact_ids,),
    )
    lanes = await conn.execute(
        "select contact_id, worker from lanes where contact_id = any(%s) order by contact_id for update", (contact_ids,)
    )
    calls = await conn.execute(
        "select exists (select from calls where contact_id = %s and state = 'live' and started_at > %s) as live",
        (going, now - _LONGEST_CALL),
    )
    row = await calls.fetchone()
    if any(lane["worker"] is not None and lane["contact_id"] == going for lane in await lanes.fetchall()):
        raise Conflict("This contact is being answered right now.", hint="try again in a few seconds")
    if row and row["live"]:
        raise Conflict("This contact is on the telephone right now.", hint="try again when the call is over")


def newer(keep: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The traits of two contacts as one, and since when each has its value. Of equal age the kept one's stays."""
    traits, times = dict(keep["traits"]), dict(keep["trait_times"])
    for name, value in other["traits"].items():
        if name not in traits or _since(other, name) > _since(keep, name):
            traits[name], times[name] = value, _since(other, name).isoformat()
    return traits, times


def _since(contact: Mapping[str, Any], name: str) -> datetime:
    written = contact["trait_times"].get(name)
    since: datetime = datetime.fromisoformat(written) if written else contact["created_at"]
    return since


async def _consent(conn: Connection, account_id: str, keep: str, other: str, now: datetime) -> None:
    """Who said stop from one address is not written to at another of the kind, unless they said otherwise there."""
    cursor = await conn.execute(
        "select distinct n.address, o.sender from contact_addresses a"
        " join opt_outs o on o.account_id = a.account_id and o.address = a.address and o.opted_out"
        " join contact_addresses n on n.contact_id = any(%(both)s) and n.address <> a.address"
        " where a.contact_id = any(%(both)s)"
        "   and (o.sender like 'MG%%' or (n.address like 'whatsapp:%%') = (o.sender like 'whatsapp:%%'))"
        "   and not exists (select from opt_outs s where s.address = n.address and s.sender = o.sender)"
        " order by n.address, o.sender",
        {"both": [keep, other]},
    )
    for row in await cursor.fetchall():
        await opt_out(conn, account_id, row["address"], row["sender"], "merge", now)


async def _hand_over(conn: Connection, keep: str, other: str) -> dict[str, int]:
    """Whatever refers to the other contact refers to the kept one; where that has such a row already, it stays alone."""
    cursor = await conn.execute(
        "select c.conrelid::regclass::text as name, a.attname as part from pg_constraint c"
        " join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]"
        " where c.contype = 'f' and c.confrelid = 'contacts'::regclass and cardinality(c.conkey) = 1 order by 1"
    )
    moved = {}
    for row in await cursor.fetchall():
        if row["name"] in _ELSE:
            continue
        table, part = sql.Identifier(row["name"]), sql.Identifier(row["part"])
        update = sql.SQL("update {} set {} = %s where {} = %s").format(table, part, part)
        try:
            async with conn.transaction():
                moved[row["name"]] = (await conn.execute(update, (keep, other))).rowcount
        except UniqueViolation:
            moved[row["name"]] = await _one_by_one(conn, table, part, keep, other)
    return moved


async def _one_by_one(conn: Connection, table: sql.Identifier, part: sql.Identifier, keep: str, other: str) -> int:
    rows = await conn.execute(sql.SQL("select ctid::text as place from {} where {} = %s").format(table, part), (other,))
    update = sql.SQL("update {} set {} = %s where ctid = %s::tid").format(table, part)
    moved = 0
    for row in await rows.fetchall():
        try:
            async with conn.transaction():
                moved += (await conn.execute(update, (keep, row["place"]))).rowcount
        except UniqueViolation:
            continue
    return moved


async def _traits(conn: Connection, keep: str, other: str) -> int:
    await conn.execute(
        "delete from contact_traits k using contact_traits o where k.contact_id = %s and o.contact_id = %s"
        " and o.name = k.name and o.source = k.source and o.at > k.at",
        (keep, other),
    )
    done = await conn.execute(
        "update contact_traits o set contact_id = %(keep)s where o.contact_id = %(other)s and not exists"
        " (select from contact_traits k where k.contact_id = %(keep)s and k.name = o.name and k.source = o.source)",
        {"keep": keep, "other": other},
    )
    return done.rowcount


async def _tickets(conn: Connection, keep: str, other: str, now: datetime) -> None:
    """Two open tickets become one."""
    await conn.execute(
        "update tickets k set summary = left(k.summary || E'\\n' || o.summary, 4000), updated_at = %(now)s from tickets o"
        " where k.contact_id = %(keep)s and k.state = 'open' and o.contact_id = %(other)s and o.state = 'open'",
        {"keep": keep, "other": other, "now": now},
    )
    await conn.execute(
        "update tickets o set state = 'closed', updated_at = %(now)s where o.contact_id = %(other)s and o.state = 'open'"
        " and exists (select from tickets k where k.contact_id = %(keep)s and k.state = 'open')",
        {"keep": keep, "other": other, "now": now},
    )
    await conn.execute("update tickets set contact_id = %s where contact_id = %s", (keep, other))


async def _lane(conn: Connection, account_id: str, keep: str, other: str) -> None:
    """What waited in the other's lane waits in the kept one's, and somebody looks at once."""
    done = await conn.execute(
        "insert into lanes as l (contact_id, account_id, due_at)"
        " select %s, %s, clock_timestamp() from lanes o where o.contact_id = %s"
        " on conflict (contact_id) do update set due_at = clock_timestamp()",
        (keep, account_id, other),
    )
    if done.rowcount:
        await conn.execute("delete from lanes where contact_id = %s", (other,))
        await conn.execute("select pg_notify('lanes', '')")
