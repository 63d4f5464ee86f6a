"""SQL of policies as Twilio's API shows them: who may use a tool, or be told of knowledge. Each has one at most."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from hookflash.assistant import tool_store
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.compat import kept_store, shapes
from hookflash.compat.names import Here, policy_of
from hookflash.db.pool import Connection
from hookflash.knowledge.store import get_source

_BARS = (
    "(coalesce(policy -> 'verified', 'false') = 'true' or coalesce(policy -> 'channels', '[]') <> '[]'"
    " or coalesce(policy -> 'traits', '{}') <> '{}')"
)
_OURS = (
    f"select id from (select id from tools where {_BARS} union all select id from sources where {_BARS}) p"  # noqa: S608
    " where id > %s order by id limit %s"
).encode()


class _Dated(Protocol):
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


async def policies_of(conn: Connection, at: Here, our_ids: Sequence[str]) -> list[shapes.Policy]:
    """Of these tools and sources, those that not everybody may use. Raises NotFound."""
    kept = await kept_store.kept(conn, our_ids)
    found = []
    for our_id in our_ids:
        if our_id.startswith("tool_"):
            stored = await tool_store.get(conn, our_id)
            policy, of = msgspec.to_builtins(stored.tool.policy), stored
            shown = _shown(at, our_id, policy, kept.get(our_id, {}), of)
        else:
            source = await get_source(conn, our_id)
            shown = _shown(at, our_id, source.policy, kept.get(our_id, {}), source)
        if shown is not None:
            found.append(shown)
    return found


async def page(conn: Connection, at: Here, limit: int, cursor: str | None) -> Page[shapes.Policy]:
    """All of the account: those of knowledge, then those of tools."""
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (await conn.execute(_OURS, (after, limit + 1))).fetchall()
    ids = [row["id"] for row in rows[:limit]]
    return Page(await policies_of(conn, at, ids), encode_cursor(ids[-1]) if len(rows) > limit else None)


def _shown(
    at: Here, our_id: str, policy: Mapping[str, Any], kept: Mapping[str, Any], of: _Dated
) -> shapes.Policy | None:
    details = {name: value for name, value in policy.items() if value}
    if not details:
        return None
    said = kept.get("policy", {})
    return shapes.Policy(
        id=policy_of(our_id),
        name=said.get("name", ""),
        description=said.get("description", ""),
        account_sid=at.sid,
        type=said.get("type", "access"),
        policy_details=details,
        date_created=of.created_at,
        date_updated=of.updated_at,
    )
