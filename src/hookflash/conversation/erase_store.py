"""SQL of forgetting a person: everything that the database holds of a contact, but for what must stay."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.base.errors import NotFound
from hookflash.conversation.journal_store import journal
from hookflash.conversation.merge_store import hold
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection


@dataclass(frozen=True, slots=True)
class Erased:
    """How much there was."""

    messages: int
    calls: int
    media: int


async def erase(conn: Connection, account_id: str, contact_id: str, by: str, now: datetime) -> Erased:
    """Delete a contact with all that belongs to it; attachments are deleted behind the transaction.

    Two things stay. Opt-outs that hold: who said stop must not be written to when they are met again. And the journal, whose
    entries nobody can change (see its decision record). Raises NotFound, and Conflict while the contact is being answered.
    """
    await hold(conn, [contact_id], contact_id, now)
    counted = await conn.execute(
        "select (select count(*) from messages m where m.contact_id = c.id) as messages,"
        " (select count(*) from calls k where k.contact_id = c.id) as calls,"
        " array(select distinct i ->> 'key' from messages m, jsonb_array_elements(m.media) i"
        "   where m.contact_id = c.id and i ->> 'key' is not null) as keys"
        " from contacts c where c.id = %s for update",
        (contact_id,),
    )
    row = await counted.fetchone()
    if row is None:
        raise NotFound("There is no such contact.")
    found = await conn.execute("select address from contact_addresses where contact_id = %s", (contact_id,))
    addresses = [each["address"] for each in await found.fetchall()]
    await conn.execute("delete from opt_outs where address = any(%s) and not opted_out", (addresses,))
    await conn.execute("delete from spend where address = any(%s)", (addresses,))
    # What was proposed to be answered from now on is in their words until somebody approves it.
    await conn.execute(
        "delete from curated_answers where state = 'proposed' and origin = 'ticket'"
        " and origin_id in (select id from tickets where contact_id = %s)",
        (contact_id,),
    )
    await conn.execute("delete from contacts where id = %s", (contact_id,))
    if row["keys"]:
        await defer(conn, "channels.erase_media", account_id=account_id, keys=row["keys"])
    erased = Erased(row["messages"], row["calls"], len(row["keys"]))
    body = {"by": by, "messages": erased.messages, "calls": erased.calls, "media": erased.media}
    await journal(conn, account_id, "contact.erased", contact_id, None, body, now)
    return erased
