"""SQL of identities: whose one is, which ones a contact has, and one more of them on proof."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.base.errors import Conflict, NotFound
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.conversation.identity import Identity
from hookflash.conversation.journal_store import journal
from hookflash.conversation.merge_store import merge
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class HeldIdentity:
    """An identity of a contact. `proof`: `message` for an address that they wrote from, else how we know."""

    identity: str
    proof: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Attached:
    """`added` is False when the contact had it before; `merged` is the contact that had it and is gone."""

    contact_id: str
    identity: str
    added: bool
    merged: str | None = None


async def find_contact(conn: Connection, identity: Identity) -> str | None:
    """The id of the contact that this is."""
    address = identity.address
    addresses = [str(address)] if address is not None else [f"web:{identity.value}"]
    cursor = await conn.execute(
        "select contact_id from contact_identities where identity = %s"
        " union all select contact_id from contact_addresses where address = any(%s) limit 1",
        (str(identity), addresses),
    )
    row = await cursor.fetchone()
    return row["contact_id"] if row else None


async def ensure_contact(conn: Connection, account_id: str, identity: Identity, proof: str, now: datetime) -> str:
    """The id of the contact that this is; makes the contact if need be."""
    found = await find_contact(conn, identity)
    if found is not None:
        return found
    contact_id = new_id("cont")
    await conn.execute(
        "insert into contacts (id, account_id, created_at, last_seen_at) values (%s, %s, %s, %s)",
        (contact_id, account_id, now, now),
    )
    holder = await _claim(conn, account_id, contact_id, identity, proof, now)
    if holder != contact_id:
        # Somebody made the same contact at the same time, and was first.
        await conn.execute("delete from contacts where id = %s", (contact_id,))
    return holder


async def identities(conn: Connection, contact_id: str) -> list[HeldIdentity]:
    """All of a contact's, addresses first. Raises NotFound."""
    await _require(conn, contact_id)
    addresses = await conn.execute(
        "select address from contact_addresses where contact_id = %s order by address", (contact_id,)
    )
    others = await conn.execute(
        "select identity, proof, at from contact_identities where contact_id = %s order by identity", (contact_id,)
    )
    proven = {row["identity"]: HeldIdentity(**row) for row in await others.fetchall()}
    named = [str(Identity.of(Address.parse(row["address"]))) for row in await addresses.fetchall()]
    return [proven.pop(name, HeldIdentity(name, "message", None)) for name in named] + list(proven.values())


async def attach_identity(
    conn: Connection,
    account_id: str,
    contact_id: str,
    identity: Identity,
    proof: str,
    now: datetime,
    *,
    merging: bool = False,
) -> Attached:
    """On this proof the contact is also that person: messages from that address are theirs from now on.

    When another contact has the identity, the two are merged with `merging`, else Conflict is raised, which `merge` also does
    for one that is being answered. Raises NotFound.
    """
    await _require(conn, contact_id)
    before = await find_contact(conn, identity)
    if before == contact_id:
        return Attached(contact_id, str(identity), added=False)
    holder = before or await _claim(conn, account_id, contact_id, identity, proof, now)
    if holder == contact_id:
        body = {"kind": identity.kind.value, "proof": proof}
        await journal(conn, account_id, "contact.identified", contact_id, contact_id, body, now)
        return Attached(contact_id, str(identity), added=True)
    if not merging:
        raise Conflict(
            "Another contact has this identity.", hint="when they are one person, merge the two: POST .../merge"
        )
    await merge(conn, account_id, contact_id, holder, proof, now)
    return Attached(contact_id, str(identity), added=True, merged=holder)


async def _claim(
    conn: Connection, account_id: str, contact_id: str, identity: Identity, proof: str, now: datetime
) -> str:
    """Whose it is in the end: another's when that was quicker."""
    address = identity.address
    if address is not None:
        cursor = await conn.execute(
            "insert into contact_addresses as a (account_id, address, contact_id) values (%s, %s, %s)"
            " on conflict (account_id, address) do update set address = a.address returning contact_id",
            (account_id, str(address), contact_id),
        )
        row = await cursor.fetchone()
        holder: str = row["contact_id"] if row else contact_id
        if holder != contact_id:
            return holder
    cursor = await conn.execute(
        "insert into contact_identities as i (account_id, identity, contact_id, proof, at) values (%s, %s, %s, %s, %s)"
        " on conflict (account_id, identity) do update set identity = i.identity returning contact_id",
        (account_id, str(identity), contact_id, proof, now),
    )
    row = await cursor.fetchone()
    return row["contact_id"] if row else contact_id


async def _require(conn: Connection, contact_id: str) -> None:
    cursor = await conn.execute("select 1 from contacts where id = %s", (contact_id,))
    if await cursor.fetchone() is None:
        raise NotFound("There is no such contact.")
