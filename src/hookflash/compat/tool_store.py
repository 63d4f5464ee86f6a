"""SQL of tools as Twilio's API shows them; what was put in comes out as it was."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hookflash.assistant import tool_store as ours
from hookflash.assistant.notation import write
from hookflash.assistant.tool_store import StoredTool
from hookflash.compat import kept_store, shapes
from hookflash.compat.names import ASSISTANTS, Here, Thing
from hookflash.db.pool import Connection

_WEBHOOK = "WEBHOOK"
_DECLARED = re.compile(r"^\s*(?:export\s+)?(?:type\s+\w+\s*=|interface\s+\w+)\s*")
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def our_name(name: str) -> str:
    """A name that a model can call a tool by: that of Twilio may hold anything."""
    plain = _NOT_OF_A_NAME.sub("_", name.strip()).strip("_")
    return plain if plain[:1].isalpha() or plain.startswith("_") else f"tool_{plain}"


def our_input(schema: Any) -> Any:
    """An input as we read it: without the declaration that the type may begin with."""
    return _DECLARED.sub("", schema).strip().removesuffix(";") if isinstance(schema, str) else schema


async def tools_of(conn: Connection, at: Here, our_ids: Sequence[str]) -> list[shapes.Tool]:
    """Those of these tools that there are, in their order."""
    return await shown(conn, at, await ours.named(conn, our_ids))


async def shown(conn: Connection, at: Here, found: Sequence[StoredTool]) -> list[shapes.Tool]:
    """As they are listed."""
    kept = await kept_store.kept(conn, [each.id for each in found])
    return [_tool(at, each, kept.get(each.id, {})) for each in found]


def _tool(at: Here, stored: StoredTool, kept: Mapping[str, Any]) -> shapes.Tool:
    tool, their_id, name = stored.tool, Thing.TOOL.theirs(stored.id), kept.get("name", "")
    return shapes.Tool(
        account_sid=at.sid,
        description=tool.description,
        enabled=tool.enabled,
        id=their_id,
        meta=_meta(stored, kept),
        name=name if name and our_name(name) == tool.name else tool.name,
        requires_auth=stored.has_secret,
        type=_WEBHOOK if tool.kind == "http" else tool.kind.upper(),
        url=at.url(f"{ASSISTANTS}/v1/Tools/{their_id}"),
        date_created=stored.created_at,
        date_updated=stored.updated_at,
    )


def _meta(stored: StoredTool, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What the tool is now; how its input was put, if that is what it still is."""
    meta = {**kept.get("meta", {}), **stored.tool.config}
    put = meta.pop("input_schema", None)
    if our_input(put) not in (stored.notation, stored.tool.schema):
        put = stored.notation or write(stored.tool.schema)
    if stored.tool.final_response:
        meta["final_response"] = True
    return {**meta, "input_schema": put}
