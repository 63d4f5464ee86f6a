"""SQL of integrations."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.types.json import Jsonb

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import Conflict, Invalid, NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.base.secret import Sealer
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings
from hookflash.db.pool import Connection, Database

_COLUMNS = (
    "i.id, i.account_id, i.name, i.assistant_id, i.sender, i.messaging_service_sid, i.credentials, i.config, i.meta,"
    " i.disabled, i.stopped_code, i.stopped_why, i.backfilled_to, i.created_at, i.updated_at, a.config as assistant,"
    " greatest(i.updated_at, a.updated_at) as stamp"
    " from integrations i join assistants a on a.id = i.assistant_id"
)

FRESH = 1.0
KEPT = 1_000


class Integrations:
    """Reads and writes integrations; opens their sealed credentials. `fallback` serves those that have none of their own."""

    def __init__(self, sealer: Sealer, fallback: Credentials) -> None:
        self._sealer = sealer
        self._fallback = fallback
        self._known: OrderedDict[str, tuple[Integration, float]] = OrderedDict()

    def _read(self, row: dict[str, Any]) -> Integration:
        own = row["credentials"]
        credentials = (
            msgspec.json.decode(self._sealer.open(own, row["id"]).get_secret_value(), type=Credentials)
            if own
            else self._fallback
        )
        return Integration(
            id=row["id"],
            account_id=row["account_id"],
            name=row["name"],
            assistant_id=row["assistant_id"],
            sender=row["sender"],
            messaging_service_sid=row["messaging_service_sid"],
            credentials=credentials,
            settings=IntegrationSettings.model_validate(row["config"]),
            meta=row["meta"],
            disabled=row["disabled"],
            stopped_code=row["stopped_code"],
            stopped_why=row["stopped_why"],
            backfilled_to=row["backfilled_to"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            assistant=AssistantConfig.stored(row["assistant"]),
            has_credentials=own is not None,
            stamp=row["stamp"],
        )

    def _seal(self, integration_id: str, credentials: Credentials | None) -> bytes | None:
        if credentials is None:
            return None
        return self._sealer.seal(msgspec.json.encode(credentials).decode(), integration_id)

    async def find(self, db: Database, integration_id: str) -> Integration | None:
        """For a webhook, which names the integration but no account."""
        async with db.system() as conn:
            cursor = await conn.execute("select account_of_integration(%s) as account_id", (integration_id,))
            row = await cursor.fetchone()
        if row is None or row["account_id"] is None:
            return None
        async with db.at_once(row["account_id"]) as conn:
            return await self.get_or_none(conn, integration_id)

    # The last ones used stay in memory: each is read anew unless a transaction has seen lately that it is unchanged.

    def known(self, integration_id: str, now: float) -> Integration | None:
        """As it certainly was `FRESH` seconds ago or later; `now` is monotonic."""
        integration, seen = self._known.get(integration_id, (None, 0.0))
        return integration if now - seen <= FRESH else None

    def keep(self, integration: Integration, now: float) -> Integration:
        self._known[integration.id] = (integration, now)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return integration

    def seen(self, integration_id: str, stamp: datetime | None, now: float) -> None:
        """A transaction has just seen this stamp: what is in memory is as it is now, or goes."""
        found = self._known.pop(integration_id, None)
        if found is not None and found[0].stamp == stamp:
            self._known[integration_id] = (found[0], now)

    async def get_or_none(self, conn: Connection, integration_id: str) -> Integration | None:
        cursor = await conn.execute(f"select {_COLUMNS} where i.id = %s", (integration_id,))
        row = await cursor.fetchone()
        return self._read(row) if row else None

    async def get(self, conn: Connection, integration_id: str, *, lock: bool = False) -> Integration:
        """With `lock` nobody else changes it before this transaction ends. Raises NotFound."""
        if lock:
            await conn.execute("select 1 from integrations where id = %s for update", (integration_id,))
        found = await self.get_or_none(conn, integration_id)
        if found is None:
            raise NotFound("There is no such integration.")
        return found

    async def page(
        self, conn: Connection, limit: int, cursor: str | None, meta: Mapping[str, str] | None = None
    ) -> Page[Integration]:
        """`meta`: only those whose meta has these values, compared as text."""
        after = decode_cursor(cursor, str)[0] if cursor else ""
        wanted = meta or {}
        rows = await (
            await conn.execute(
                f"select {_COLUMNS} where i.id > %s and not exists"  # noqa: S608
                " (select from unnest(%s::text[], %s::text[]) w (key, value) where i.meta ->> w.key is distinct from w.value)"
                " order by i.id limit %s",
                (after, list(wanted), list(wanted.values()), limit + 1),
            )
        ).fetchall()
        items = [self._read(r) for r in rows[:limit]]
        return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)

    async def create(
        self,
        conn: Connection,
        account_id: str,
        *,
        name: str,
        assistant_id: str,
        sender: str,
        messaging_service_sid: str | None,
        credentials: Credentials | None,
        settings: IntegrationSettings,
        meta: dict[str, Any],
    ) -> Integration:
        """Raises Conflict when the account has an integration of this sender, Invalid for an unknown assistant."""
        integration_id = new_id("intg")
        found = await conn.execute("select 1 from assistants where id = %s", (assistant_id,))
        if await found.fetchone() is None:
            raise Invalid("There is no such assistant.", field="assistant_id")
        try:
            await conn.execute(
                "insert into integrations (id, account_id, name, assistant_id, sender, messaging_service_sid, credentials,"
                " config, meta) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    integration_id,
                    account_id,
                    name,
                    assistant_id,
                    sender,
                    sender if sender.startswith("MG") else messaging_service_sid,
                    self._seal(integration_id, credentials),
                    Jsonb(settings.model_dump()),
                    Jsonb(meta),
                ),
            )
        except UniqueViolation:
            raise Conflict(
                "This account has an integration of that sender already.",
                hint="change that one; hookflash integrations list shows it",
            ) from None
        return await self.get(conn, integration_id)

    async def update(self, conn: Connection, integration_id: str, now: datetime, **changes: Any) -> Integration:
        """Change some of name, assistant_id, settings, meta, disabled, credentials, messaging_service_sid.

        Any change also lets a sender that Twilio had refused try again.
        """
        await self.get(conn, integration_id)
        if "settings" in changes:
            changes["config"] = Jsonb(changes.pop("settings").model_dump())
        if "meta" in changes:
            changes["meta"] = Jsonb(changes["meta"])
        if "credentials" in changes:
            changes["credentials"] = self._seal(integration_id, changes["credentials"])
        if "assistant_id" in changes:
            found = await conn.execute("select 1 from assistants where id = %s", (changes["assistant_id"],))
            if await found.fetchone() is None:
                raise Invalid("There is no such assistant.", field="assistant_id")
        changes |= {"stopped_code": None, "stopped_why": None, "updated_at": now}
        columns = ", ".join(f"{column} = %({column})s" for column in changes)
        await conn.execute(
            f"update integrations set {columns} where id = %(id)s",  # noqa: S608
            changes | {"id": integration_id},
        )
        await conn.execute(
            "with freed as (update messages set state = 'waiting', why = null where integration_id = %s and state = 'parked'"
            "   and sid is null and poster is null returning contact_id),"
            " locked as materialized (select l.contact_id from lanes l where l.contact_id in (select contact_id from freed)"
            "   order by l.contact_id for update)"
            " update lanes set due_at = clock_timestamp() where contact_id in (select contact_id from locked)",
            (integration_id,),
        )
        await conn.execute("select pg_notify('lanes', '')")
        return await self.get(conn, integration_id)

    async def delete(self, conn: Connection, integration_id: str) -> None:
        """Raises NotFound; Conflict while it has messages, which would go with it: disable it instead."""
        await self.get(conn, integration_id)
        used = await conn.execute("select 1 from messages where integration_id = %s limit 1", (integration_id,))
        if await used.fetchone() is not None:
            raise Conflict("This integration has messages.", hint="disable it instead: its history is kept")
        try:
            await conn.execute("delete from integrations where id = %s", (integration_id,))
        except ForeignKeyViolation:
            raise Conflict("This integration is in use.", hint="disable it instead") from None

    async def active(self, db: Database) -> list[tuple[str, str]]:
        """(integration id, account id) of all that are not disabled, for all accounts."""
        async with db.system() as conn:
            cursor = await conn.execute("select id, account_id from active_integrations()")
            return [(r["id"], r["account_id"]) for r in await cursor.fetchall()]

    async def backfilled(self, conn: Connection, integration_id: str, to: datetime) -> None:
        await conn.execute("update integrations set backfilled_to = %s where id = %s", (to, integration_id))
