"""SQL of the journal: adding entries, sealing those that were added, reading it for verification."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from hookflash.conversation.journal import GENESIS, Broken, Entry, Seal, Sound, Verifier, entry_hash, seal
from hookflash.db.pool import Connection
from hookflash.db.together import Together

SEAL_AT_MOST = 2_000


def to_json(value: object) -> Any:
    """Dataclasses, tuples and dates as JSON types."""
    return msgspec.to_builtins(value)


async def journal(
    conn: Connection | Together,
    account_id: str,
    kind: str,
    subject: str,
    contact_id: str | None,
    body: object,
    now: datetime,
) -> None:
    """Add one entry to the journal in the caller's transaction."""
    text = msgspec.json.encode(to_json(body)).decode()
    await conn.execute(
        "insert into journal (account_id, at, kind, subject, contact_id, body, hash) values (%s, %s, %s, %s, %s, %s, %s)",
        (account_id, now, kind, subject, contact_id, text, entry_hash(account_id, now, kind, subject, text)),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """An entry to come."""

    kind: str
    subject: str
    contact_id: str | None
    body: object


async def journal_all(conn: Connection | Together, account_id: str, told: Sequence[Told], now: datetime) -> None:
    """Add these entries to the journal in the caller's transaction."""
    texts = [msgspec.json.encode(to_json(entry.body)).decode() for entry in told]
    await conn.execute(
        "insert into journal (account_id, at, kind, subject, contact_id, body, hash)"
        " select %s, %s, x.* from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[]) as x",
        (
            account_id,
            now,
            [entry.kind for entry in told],
            [entry.subject for entry in told],
            [entry.contact_id for entry in told],
            texts,
            [
                entry_hash(account_id, now, entry.kind, entry.subject, text)
                for entry, text in zip(told, texts, strict=True)
            ],
        ),
    )


async def accounts_to_seal(conn: Connection) -> list[str]:
    """The accounts whose journal has entries without a seal."""
    cursor = await conn.execute("select accounts_to_seal() as account_id")
    return [r["account_id"] for r in await cursor.fetchall()]


async def seal_journal(conn: Connection, account_id: str, now: datetime) -> int:
    """Seal what the account's journal gained since the last seal; how many entries. One sealer at a time."""
    await conn.execute("select pg_advisory_xact_lock(hashtextextended('seal:' || %s, 0))", (account_id,))
    taken = await conn.execute(
        "delete from journal_unsealed where account_id = %(a)s and entry_id in"
        " (select entry_id from journal_unsealed where account_id = %(a)s order by entry_id limit %(n)s)"
        " returning entry_id, hash",
        {"a": account_id, "n": SEAL_AT_MOST},
    )
    entries = sorted((r["entry_id"], r["hash"]) for r in await taken.fetchall())
    if not entries:
        return 0
    last = await conn.execute(
        "select seq, hash from journal_seals where account_id = %s order by seq desc limit 1", (account_id,)
    )
    head = await last.fetchone()
    made = seal(account_id, head["seq"] + 1 if head else 1, now, entries, head["hash"] if head else GENESIS)
    await conn.execute(
        "insert into journal_seals (account_id, seq, at, entries, previous, hash) values (%s, %s, %s, %s, %s, %s)",
        (account_id, made.seq, made.at, made.entries, made.previous, made.hash),
    )
    return len(entries)


async def verify_journal(conn: Connection, account_id: str) -> Sound | Broken:
    """Read the whole journal of an account, seal by seal, and stop at the first thing that is wrong.

    Entries that no seal lists and that do not wait for one were added behind the journal's back (`unlisted`). Must be
    the first thing in its transaction: it reads one state of the journal, while others write and seal.
    """
    await conn.execute("set transaction isolation level repeatable read")
    verifier = Verifier(account_id)
    listed = 0
    highest = 0
    while True:
        found = await conn.execute(
            "select seq, at, entries, previous, hash from journal_seals where account_id = %s and seq > %s"
            " order by seq limit 20",
            (account_id, highest),
        )
        rows = await found.fetchall()
        if not rows:
            break
        for row in rows:
            sealed = Seal(row["seq"], row["at"], row["entries"], row["previous"], row["hash"])
            numbers = [number for number, _ in sealed.listed()]
            stored = await conn.execute(
                "select id, account_id, at, kind, subject, body, hash from journal where id = any(%s)", (numbers,)
            )
            entries = {r["id"]: Entry(**r) for r in await stored.fetchall()}
            broken = verifier.check(sealed, entries)
            if broken:
                return broken
            highest = row["seq"]
            listed += len(numbers)
    counts = await conn.execute(
        "select (select count(*) from journal where account_id = %(a)s) as entries,"
        " (select count(*) from journal_unsealed u join journal j on j.id = u.entry_id where u.account_id = %(a)s) as waiting",
        {"a": account_id},
    )
    row_counts = await counts.fetchone()
    total, waiting = (row_counts["entries"], row_counts["waiting"]) if row_counts else (0, 0)
    if total != listed + waiting:
        return Broken("unlisted", f"journal entry {await _unlisted(conn, account_id)}")
    return Sound(verifier.entries, verifier.seals, waiting)


async def _unlisted(conn: Connection, account_id: str) -> int:
    """The first entry that no seal lists and that does not wait for one."""
    found = await conn.execute(
        "with listed as materialized (select substring(s.entries from 40 * n + 1 for 8) as id from journal_seals s,"
        "   generate_series(0, length(s.entries) / 40 - 1) n where s.account_id = %(a)s)"
        " select min(j.id) as id from journal j where j.account_id = %(a)s"
        " and not exists (select from listed l where l.id = int8send(j.id))"
        " and not exists (select from journal_unsealed u where u.account_id = %(a)s and u.entry_id = j.id)",
        {"a": account_id},
    )
    row = await found.fetchone()
    return row["id"] if row else 0
