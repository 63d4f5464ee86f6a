"""SQL of accounts and API keys."""

from dataclasses import dataclass
from datetime import datetime

from hookflash.base.errors import NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.pool import Connection, Database
from hookflash.rest.auth import NewKey, Principal, make_key


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is shown after it was made: without its text."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Account:
    """Whose everything is."""

    id: str
    name: str
    created_at: datetime


async def create_account(db: Database, name: str) -> str:
    """A new account; its id."""
    account_id = new_id("acct")
    async with db.system() as conn:
        await conn.execute("select create_account(%s, %s)", (account_id, name))
    return account_id


async def accounts(db: Database) -> list[str]:
    """All account ids, oldest first."""
    async with db.system() as conn:
        cursor = await conn.execute("select all_accounts() as account_id")
        return [r["account_id"] for r in await cursor.fetchall()]


async def get_account(conn: Connection) -> Account:
    """The account of this transaction; raises NotFound when it is gone."""
    cursor = await conn.execute("select account_id as id, name, created_at from accounts")
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such account.")
    return Account(**row)


async def account_name(conn: Connection) -> str:
    """What the transaction's own account is called. Raises NotFound."""
    row = await (await conn.execute("select name from accounts")).fetchone()
    if row is None:
        raise NotFound("There is no such account.")
    return str(row["name"])


async def find_key(db: Database, key_hash: bytes) -> Principal | None:
    """Whose key has this hash; None for one that is unknown or revoked."""
    async with db.system() as conn:
        cursor = await conn.execute("select id, account_id, scopes from api_key_by_hash(%s)", (key_hash,))
        row = await cursor.fetchone()
    return Principal(row["account_id"], row["id"], frozenset(row["scopes"])) if row else None


async def create_key(conn: Connection, account_id: str, name: str, scopes: frozenset[str], now: datetime) -> NewKey:
    """A new key; its text is in what comes back and nowhere else."""
    key = make_key()
    await conn.execute(
        "insert into api_keys (id, account_id, name, hash, scopes, created_at) values (%s, %s, %s, %s, %s, %s)",
        (key.id, account_id, name, key.hash, sorted(scopes), now),
    )
    return key


async def get_key(conn: Connection, key_id: str) -> ApiKey:
    """Raises NotFound."""
    cursor = await conn.execute(
        "select id, name, scopes, created_at, revoked_at from api_keys where id = %s", (key_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("There is no such key.")
    return ApiKey(**(row | {"scopes": tuple(row["scopes"])}))


async def list_keys(conn: Connection, limit: int, cursor: str | None) -> Page[ApiKey]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(
            "select id, name, scopes, created_at, revoked_at from api_keys where id > %s order by id limit %s",
            (after, limit + 1),
        )
    ).fetchall()
    items = [ApiKey(**(r | {"scopes": tuple(r["scopes"])})) for r in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def revoke_key(conn: Connection, key_id: str, now: datetime) -> None:
    """Raises NotFound."""
    cursor = await conn.execute(
        "update api_keys set revoked_at = coalesce(revoked_at, %s) where id = %s returning id", (now, key_id)
    )
    if await cursor.fetchone() is None:
        raise NotFound("There is no such key.")
