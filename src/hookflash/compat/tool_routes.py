"""Tools under Twilio's names."""

from typing import Annotated, Any

import msgspec
from fastapi import Request, Response

from hookflash.assistant import store as assistants_store
from hookflash.assistant import tool_routes as ours
from hookflash.assistant import tool_store as stored
from hookflash.assistant.tool_target import PARTS
from hookflash.base.errors import Invalid, NotFound
from hookflash.base.paging import Page
from hookflash.compat import kept_store, shapes
from hookflash.compat import tool_store as store
from hookflash.compat.assistant_routes import join_tool
from hookflash.compat.door_routes import built, entered, given, here, listed, nothing, router, shown
from hookflash.compat.names import Thing, policy_of
from hookflash.compat.paging import Asked
from hookflash.compat.policy_store import policies_of
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller

tools = router()

Reading = Annotated[Caller, entered("tools:read")]
Writing = Annotated[Caller, entered("tools:write")]

_KINDS = {"WEBHOOK": "http", "HTTP": "http", "MCP": "mcp", "PYTHON": "python", "BUILTIN": "builtin"}
_THEIRS = {
    "input": "meta.input_schema",
    "who": "policy.policy_details",
    "kind": "type",
    **{part: f"meta.{part}" for part in (*PARTS, "auth", "final_response")},
}
# Of a tool's meta, what we have a field for.
_OURS = (*PARTS, "auth", "final_response")


@tools.get("/v1/Tools")
async def list_tools(request: Request, caller: Reading) -> Response:
    """All of the account, oldest first, or those of one assistant."""
    return await _list(request, caller, request.query_params.get("AssistantId"), ("AssistantId",))


@tools.get("/v1/Assistants/{their_id}/Tools")
async def list_tools_of_assistant(their_id: str, request: Request, caller: Reading) -> Response:
    """Those that an assistant has."""
    return await _list(request, caller, their_id)


async def _list(request: Request, caller: Caller, of: str | None, filters: tuple[str, ...] = ()) -> Response:
    at = here(request, caller)

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Tool]:
        if of:
            # An assistant has few: its list is one page.
            found = await assistants_store.get(conn, Thing.ASSISTANT.ours(of))
            return Page(await store.tools_of(conn, at, found.config.tools), None)
        page = await stored.page(conn, asked.size, asked.cursor)
        return Page(await store.shown(conn, at, page.items), page.cursor)

    return await listed(request, caller, "tools", read, filters)


@tools.post("/v1/Tools")
async def create_tool(request: Request, caller: Writing) -> Response:
    """It is attached to an assistant at once, if one is named."""
    body = await given(request, shapes.ToolGiven)
    for field in ("name", "type", "enabled"):
        if getattr(body, field) is None:
            raise Invalid("Field required", field=field)
    kind = _kind(body.type)
    fields = _fields(body) | {"kind": kind}
    fields.setdefault("description", body.name)
    if kind != "builtin":
        fields.setdefault("input", "{}")
    form = built(ours.ToolBody, fields, _THEIRS)
    async with caller.transaction() as conn:
        made = await ours.create_tool(form, request, caller.within(conn))
        await kept_store.keep(conn, caller.account_id, made.id, _kept(body, {}))
        if body.assistant_id is not None:
            await _attach(conn, request, caller, body.assistant_id, made.id)
        (answer,) = await store.tools_of(conn, here(request, caller), [made.id])
    return shown(answer, 201)


@tools.get("/v1/Tools/{their_id}")
async def get_tool(their_id: str, request: Request, caller: Reading) -> Response:
    """One, with its policies."""
    at = here(request, caller)
    async with caller.transaction() as conn:
        found = await stored.get(conn, Thing.TOOL.ours(their_id))
        (answer,) = await store.shown(conn, at, [found])
        policies = await policies_of(conn, at, [found.id])
    return shown(shapes.ToolWithPolicies(**dict(answer), policies=policies))


@tools.put("/v1/Tools/{their_id}")
async def update_tool(their_id: str, request: Request, caller: Writing) -> Response:
    """What is given changes; of `meta`, too."""
    body = await given(request, shapes.ToolGiven)
    our_id = Thing.TOOL.ours(their_id)
    async with caller.transaction() as conn:
        before = await stored.get(conn, our_id, lock=True)
        if body.type is not None and _kind(body.type) != before.tool.kind:
            raise Invalid("the type of a tool stays what it is", field="type")
        if body.policy is not None and body.policy.id not in (None, policy_of(our_id)):
            raise Invalid("this is no policy of the tool", field="policy.id")
        form = built(ours.ToolChanges, _fields(body), _THEIRS)
        await ours.update_tool(our_id, form, request, caller.within(conn))
        kept = (await kept_store.kept(conn, [our_id])).get(our_id, {})
        await kept_store.keep(conn, caller.account_id, our_id, _kept(body, kept))
        if body.assistant_id is not None:
            await _attach(conn, request, caller, body.assistant_id, our_id)
        (answer,) = await store.tools_of(conn, here(request, caller), [our_id])
    return shown(answer)


@tools.delete("/v1/Tools/{their_id}")
async def delete_tool(their_id: str, caller: Writing) -> Response:
    """Assistants that have it go on without it."""
    await ours.delete_tool(Thing.TOOL.ours(their_id), caller)
    return nothing()


async def _attach(conn: Connection, request: Request, caller: Caller, assistant_id: str, tool_id: str) -> None:
    try:
        await join_tool(conn, request, caller, Thing.ASSISTANT.ours(assistant_id), tool_id)
    except NotFound:
        raise Invalid("there is no such assistant", field="assistant_id") from None


def _kind(given: str | None) -> str:
    kind = _KINDS.get((given or "").upper())
    if kind is None:
        raise Invalid(f"one of {', '.join(_KINDS)} is expected", field="type")
    return kind


def _fields(body: shapes.ToolGiven) -> dict[str, Any]:
    """The fields of our own form that are given."""
    meta = body.meta or {}
    fields = {name: meta[name] for name in _OURS if meta.get(name) is not None or (name == "auth" and name in meta)}
    if isinstance(fields.get("method"), str):
        fields["method"] = fields["method"].upper()
    if body.name is not None:
        fields["name"] = store.our_name(body.name)
    if body.description:
        fields["description"] = body.description
    if body.enabled is not None:
        fields["enabled"] = body.enabled
    if meta.get("input_schema") is not None:
        fields["input"] = store.our_input(meta["input_schema"])
    if body.policy is not None:
        fields["who"] = body.policy.policy_details
    return fields


def _kept(body: shapes.ToolGiven, before: dict[str, Any]) -> dict[str, Any]:
    """What has no field with us. What proves who we are to the tool is no part of it."""
    kept = dict(before)
    if body.name is not None:
        kept["name"] = body.name
    if body.meta is not None:
        kept["meta"] = before.get("meta", {}) | {k: v for k, v in body.meta.items() if k not in _OURS}
        if len(msgspec.json.encode(kept["meta"])) > 20_000:
            raise Invalid("at most 20,000 bytes of JSON", field="meta")
    if body.policy is not None:
        kept["policy"] = body.policy.model_dump(include={"name", "description", "type"}, exclude_none=True)
    return kept
