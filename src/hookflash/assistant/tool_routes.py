"""Tools, over HTTP: what an assistant may do, tried out before a customer does."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hookflash.assistant import tool_store as store
from hookflash.assistant.builtin import Builtin
from hookflash.assistant.notation import check_schema, problems, read, write
from hookflash.assistant.tool import Limits, Policy, RemoteTool, Tool, ToolAnswer, signing_secret
from hookflash.assistant.tool_auth import READ, ToolAuth, WebUrl
from hookflash.assistant.tool_target import AT_AN_ADDRESS, PARTS, config_of, same_place
from hookflash.assistant.toolbox_store import Run
from hookflash.base.errors import Conflict, HookflashError, Invalid
from hookflash.base.ids import new_id
from hookflash.base.paging import Page
from hookflash.base.secret import Sealer
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router
from hookflash.rest.storable import FreeObject

tools = router("/v1/tools", "tools")
tool_imports = router("/v1/tool-imports", "tools")

ToolId = Annotated[str, Path(max_length=64, examples=["tool_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("tools:read")]
Writing = Annotated[Caller, allowed("tools:write")]
Seconds = Annotated[float, Field(ge=0.5, le=60.0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Listed = Annotated[list[Text], Field(max_length=50)]


class Who(BaseModel):
    """Who may use it; empty: everybody."""

    model_config = ConfigDict(extra="forbid")

    channels: Annotated[list[Literal["sms", "whatsapp", "voice", "web"]], Field(max_length=4)] = []
    traits: FreeObject = Field(default_factory=dict, description="Traits that the customer must have.")
    verified: bool = Field(default=False, description="Only a customer who has proven to hold their phone.")


class ToolBody(BaseModel):
    """A tool to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", examples=["order_status"])
    description: str | None = Field(
        default=None,
        min_length=1,
        max_length=4_000,
        description="By it the model decides when to use the tool. Only a tool of the house has one already.",
    )
    input: str | FreeObject | None = Field(
        default=None,
        description="What it takes: a TypeScript-like type, `{ order_id: string }`, or a JSON Schema. "
        "A tool of the house brings its own.",
        examples=["{ order_id: string; urgent?: boolean }"],
    )
    kind: Literal["http", "mcp", "python", "builtin"] = Field(
        default="http",
        description="A web address, a tool of an MCP server, a Python function that is installed, a tool of the house.",
    )
    method: Literal["GET", "POST"] | None = Field(default=None, description="http. Unset: POST.")
    url: WebUrl | None = Field(default=None, description="http, mcp.", examples=["https://erp.example.com/orders"])
    remote_name: Text | None = Field(default=None, description="mcp: what the server calls it.")
    function: Text | None = Field(default=None, description="python: a name of the entry points `hookflash.tools`.")
    builtin: Text | None = Field(default=None, description="builtin: its name.")
    hosts: Listed | None = Field(default=None, description="send_link: hosts to which links may lead.")
    traits: Listed | None = Field(default=None, description="look_up_customer: what the model may see of a customer.")
    timeout_seconds: Seconds | None = Field(
        default=None, description="How long it may take, all tries together. Unset: 10."
    )
    auth: ToolAuth | None = Field(default=None, description="How we prove who we are; never shown again.")
    who: Who = Field(default_factory=Who)
    final_response: bool = Field(default=False, description="Its output goes to the customer as it is.")
    enabled: bool = True


class ToolChanges(BaseModel):
    """The fields of a tool that change."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
    description: str | None = Field(default=None, min_length=1, max_length=4_000)
    input: str | FreeObject | None = Field(default=None, examples=["{ order_id: string; urgent?: boolean }"])
    method: Literal["GET", "POST"] | None = None
    url: WebUrl | None = Field(default=None, description="At another server `auth` must be given again.")
    remote_name: Text | None = None
    function: Text | None = None
    builtin: Text | None = None
    hosts: Listed | None = None
    traits: Listed | None = None
    timeout_seconds: Seconds | None = None
    auth: ToolAuth | None = Field(default=None, description="null removes it.")
    who: Who | None = None
    final_response: bool | None = None
    enabled: bool | None = None


class ShownTool(BaseModel):
    """A tool. `input` is the type as a person reads it, `schema` the same as JSON Schema."""

    id: str = Field(examples=["tool_06bq3v0d5k8n2r7t1w4y9zac3e"])
    name: str
    description: str
    input: str
    input_schema: dict[str, Any]
    kind: str
    method: str | None
    url: str | None
    remote_name: str | None
    function: str | None
    builtin: str | None
    hosts: list[str] | None
    traits: list[str] | None
    timeout_seconds: float | None
    authenticated: bool = Field(description="Whether credentials are kept for it.")
    who: Who
    final_response: bool
    enabled: bool
    created_at: datetime
    updated_at: datetime


class Trial(BaseModel):
    """Arguments to try a tool with."""

    model_config = ConfigDict(extra="forbid")

    arguments: FreeObject = Field(default_factory=dict, examples=[{"order_id": "A-1001"}])
    identity: str = Field(default="user_id:test", max_length=200, description="On whose behalf.")


class Tried(BaseModel):
    """What came of it."""

    outcome: Literal["answered", "refused", "failed"]
    text: str
    ms: float


class Import(BaseModel):
    """The tools of an MCP server to take over."""

    model_config = ConfigDict(extra="forbid")

    url: WebUrl = Field(examples=["https://mcp.example.com/mcp"])
    auth: ToolAuth | None = Field(default=None, description="How we prove who we are; never shown again.")
    tools: dict[Text, Text] | None = Field(
        default=None, description="Which: the name there, and the name here. Unset: all, under their own names."
    )


class Refused(BaseModel):
    """A tool that was not taken over."""

    name: str
    why: str


class Imported(BaseModel):
    """What came of it."""

    created: list[ShownTool]
    refused: list[Refused]


class SigningSecret(BaseModel):
    """What the signature of the requests to a tool is made with."""

    secret: str


class ShownCall(BaseModel):
    """A call that a turn has made."""

    model_config = ConfigDict(from_attributes=True)

    key: str = Field(description="Its Idempotency-Key.")
    turn_id: str
    contact_id: str | None
    name: str
    arguments: dict[str, Any]
    outcome: Literal["answered", "refused", "failed"]
    answer: str = Field(description="What it gave, or why it gave nothing.")
    ms: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Workbench:
    """What the routes of tools need besides the office; it lies in `app.state.workbench`.

    `calls` are by kind, `signing` is what each tool's own secret follows from, `offered` gives the tools of an MCP server,
    `functions` those Python functions that are installed.
    """

    sealer: Sealer
    limits: Limits
    calls: Mapping[str, Run]
    signing: bytes
    offered: Callable[[str, ToolAuth | None], Awaitable[tuple[RemoteTool, ...]]]
    functions: Callable[[], tuple[str, ...]]
    builtins: Mapping[str, Builtin]

    async def attempt(self, tool: Tool, sealed: bytes | None, arguments: dict[str, Any], identity: str) -> Tried:
        """Call a tool outside of any conversation; `sealed` is its secret as it is kept."""
        call = self.calls.get(tool.kind)
        if call is None:
            why = "it acts within a conversation, and cannot be tried without one"
            return Tried(outcome="refused", text=why, ms=0.0)
        wrong = problems(tool.schema, arguments)
        if wrong:
            return Tried(outcome="refused", text="; ".join(wrong[:5]), ms=0.0)
        auth = READ.validate_json(self.sealer.open(sealed, tool.id).get_secret_value()) if sealed else None
        began = time.perf_counter()
        outcome = await call(tool, arguments, session_id="test", identity=identity, key=new_id("try"), auth=auth)
        ms = round((time.perf_counter() - began) * 1000, 1)
        text = outcome.text if isinstance(outcome, ToolAnswer) else outcome.why
        return Tried(outcome=store.outcome_name(outcome), text=text, ms=ms)


def _shown(stored: store.StoredTool) -> ShownTool:
    tool = stored.tool
    return ShownTool(
        id=tool.id,
        name=tool.name,
        description=tool.description,
        input=stored.notation or write(tool.schema),
        input_schema=tool.schema,
        kind=tool.kind,
        **{part: tool.config.get(part) for part in PARTS},
        authenticated=stored.has_secret,
        who=Who.model_validate(msgspec.to_builtins(tool.policy)),
        final_response=tool.final_response,
        enabled=tool.enabled,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def _checked(limits: Limits, name: str, description: str) -> None:
    for what, text, most in (
        ("name", name, limits.name_chars),
        ("description", description, limits.description_chars),
    ):
        if len(text) > most:
            raise Invalid(
                f"The {what} has {len(text)} characters, and at most {most} are allowed.",
                field=what,
                hint=f"HOOKFLASH_TOOL_{what.upper()}_CHARS sets the limit",
            )


def _input(limits: Limits, given: str | Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    if isinstance(given, str):
        return read(given, most_properties=limits.properties), given
    return check_schema(given, most_properties=limits.properties), None


def _policy(who: Who) -> Policy:
    return Policy(tuple(who.channels), dict(who.traits), who.verified)


def _bench(request: Request) -> Workbench:
    bench: Workbench = request.app.state.workbench
    return bench


@tools.get("", **listed(ShownTool))
async def list_tools(asked: ListAsked, caller: Reading) -> Listing[ShownTool] | Response:
    """All tools, oldest first."""
    return await caller.list(asked, store.page, _shown)


@tools.post("", status_code=201, responses=answers(409))
async def create_tool(body: ToolBody, request: Request, caller: Writing) -> ShownTool:
    """Make a tool. Assistants use it when its id is among their `tools`."""
    async with caller.transaction() as conn:
        return _shown(await _create(conn, caller, _bench(request), body))


@tool_imports.post("", status_code=201)
async def import_tools(body: Import, request: Request, caller: Writing) -> Imported:
    """Take over the tools of an MCP server. Those that cannot be (a name that exists, too many properties) say why."""
    bench = _bench(request)
    try:
        offered = {remote.name: remote for remote in await bench.offered(body.url, body.auth)}
    except HookflashError as error:
        # Whatever ails the server that was named: we are well.
        raise Invalid(error.message, field="url", hint=error.hint) from None
    wanted = body.tools if body.tools is not None else {name: name for name in offered}
    created, refused = [], []
    async with caller.transaction() as conn:
        for there, here in wanted.items():
            try:
                form = _taken(bench.limits, offered.get(there), here, body)
                async with conn.transaction():
                    created.append(_shown(await _create(conn, caller, bench, form)))
            except (Invalid, Conflict) as error:
                refused.append(Refused(name=there, why=error.message))
    return Imported(created=created, refused=refused)


@tools.get("/{tool_id}", responses=answers(404))
async def get_tool(tool_id: ToolId, caller: Reading) -> ShownTool:
    """One tool."""
    async with caller.transaction() as conn:
        return _shown(await store.get(conn, tool_id))


@tools.patch("/{tool_id}", responses=answers(404, 409))
async def update_tool(tool_id: ToolId, body: ToolChanges, request: Request, caller: Writing) -> ShownTool:
    """Change the fields that are given; turns that begin from now on use the tool as it is then."""
    bench = _bench(request)
    given = body.model_fields_set
    for name in sorted(given - {"auth"}):
        if getattr(body, name) is None:
            raise Invalid(f"{name} cannot be null.", field=name)
    async with caller.transaction() as conn:
        stored = await store.get(conn, tool_id, lock=True)
        tool, notation = stored.tool, stored.notation
        if body.input is not None:
            if tool.kind == "builtin":
                raise Invalid("A tool of the house brings its own input.", field="input")
            schema, notation = _input(bench.limits, body.input)
            tool = replace(tool, schema=schema)
        config = config_of(tool.kind, tool.config | {name: getattr(body, name) for name in PARTS & given})
        _there(bench, tool.kind, config, body.auth)
        if "auth" not in given and stored.has_secret and not same_place(tool.config, config):
            raise Invalid("What authenticates us is for the server that had it: give it again, or null.", field="auth")
        plain = {n: getattr(body, n) for n in ("name", "description", "final_response", "enabled") if n in given}
        tool = replace(tool, config=config, **plain)
        if body.who is not None:
            tool = replace(tool, policy=_policy(body.who))
        _checked(bench.limits, tool.name, tool.description)
        changed = await store.update(
            conn,
            tool,
            notation,
            caller.now(),
            secret=_sealed(bench, tool_id, body.auth),
            keep_secret="auth" not in given,
        )
        await caller.record(conn, "tool.updated", tool_id, fields=sorted(given))
    return _shown(changed)


@tools.delete("/{tool_id}", status_code=204, responses=answers(404))
async def delete_tool(tool_id: ToolId, caller: Writing) -> None:
    """Delete a tool. Assistants that name it go on without it."""
    async with caller.transaction() as conn:
        await store.delete(conn, tool_id)
        await caller.record(conn, "tool.deleted", tool_id)


@tools.post("/{tool_id}/test", responses=answers(404))
async def try_tool(tool_id: ToolId, body: Trial, request: Request, caller: Writing) -> Tried:
    """Call the tool once, as an assistant would, and show what came of it. What it does is really done."""
    bench = _bench(request)
    async with caller.transaction() as conn:
        tool = (await store.get(conn, tool_id)).tool
        sealed = await store.secret_of(conn, tool_id)
        await caller.record(conn, "tool.tested", tool_id, name=tool.name)
    return await bench.attempt(tool, sealed, body.arguments, body.identity)


@tools.get("/{tool_id}/signing-secret", responses=answers(404))
async def get_signing_secret(tool_id: ToolId, request: Request, caller: Writing) -> SigningSecret:
    """The secret with which the tool's server checks `X-Hookflash-Signature`; each tool has its own."""
    async with caller.transaction() as conn:
        stored = await store.get(conn, tool_id)
    return SigningSecret(secret=signing_secret(_bench(request).signing, stored.id))


@tools.get("/{tool_id}/calls", **listed(ShownCall, 404))
async def list_tool_calls(tool_id: ToolId, asked: ListAsked, caller: Reading) -> Listing[ShownCall] | Response:
    """The calls that turns have made of it, oldest first. Numbers of cards do not show."""

    async def read_page(conn: Connection, limit: int, cursor: str | None) -> Page[store.KeptCall]:
        return await store.calls(conn, tool_id, limit, cursor)

    return await caller.list(asked, read_page, ShownCall.model_validate)


async def _create(conn: Connection, caller: Caller, bench: Workbench, body: ToolBody) -> store.StoredTool:
    config = config_of(body.kind, {part: getattr(body, part) for part in PARTS if getattr(body, part) is not None})
    _there(bench, body.kind, config, body.auth)
    description, notation = body.description, None
    if body.kind == "builtin":
        builtin = bench.builtins[config["builtin"]]
        if body.input is not None:
            raise Invalid("A tool of the house brings its own input.", field="input")
        description, schema = description or builtin.description, builtin.schema
    else:
        if body.input is None:
            raise Invalid("Say what the tool takes, such as { order_id: string }; {} for nothing.", field="input")
        schema, notation = _input(bench.limits, body.input)
    if description is None:
        raise Invalid("The model decides by the description whether to use the tool: write one.", field="description")
    _checked(bench.limits, body.name, description)
    tool = Tool(
        new_id("tool"),
        body.name,
        description,
        schema,
        body.kind,
        config,
        _policy(body.who),
        body.final_response,
        body.enabled,
    )
    made = await store.create(conn, caller.account_id, tool, notation, _sealed(bench, tool.id, body.auth))
    await caller.record(conn, "tool.created", tool.id, name=tool.name, config=config)
    return made


def _there(bench: Workbench, kind: str, config: Mapping[str, Any], auth: ToolAuth | None) -> None:
    """Whether what a tool refers to is there. Raises Invalid."""
    if auth is not None and kind not in AT_AN_ADDRESS:
        raise Invalid(f"A tool of the kind {kind} needs no authentication.", field="auth")
    for part, known in (("function", bench.functions()), ("builtin", tuple(sorted(bench.builtins)))):
        if part in config and config[part] not in known:
            raise Invalid(
                f"There is no {part} {config[part]} here; there are: {', '.join(known) or 'none'}.", field=part
            )
    needs = bench.builtins[config["builtin"]].needs if kind == "builtin" else None
    for part in sorted({"hosts", "traits"} & set(config)):
        if config[part] and part != needs:
            raise Invalid(f"A tool {config['builtin']} has no {part}.", field=part)
        if part == needs and not config[part]:
            raise Invalid(f"A tool {config['builtin']} needs {part}.", field=part)


def _taken(limits: Limits, remote: RemoteTool | None, name: str, asked: Import) -> ToolBody:
    """A server's tool as a body; a description that is too long is cut, it can be changed. Raises Invalid."""
    if remote is None:
        raise Invalid("The server has no such tool.")
    text, most = " ".join(remote.description.split()) or remote.name, limits.description_chars
    form = {
        "name": name,
        "description": text if len(text) <= most else text[: most - 1] + "…",
        "input": remote.schema,
        "kind": "mcp",
        "url": asked.url,
        "remote_name": remote.name,
    }
    try:
        return ToolBody.model_validate(form).model_copy(update={"auth": asked.auth})
    except ValidationError as error:
        what = error.errors(include_url=False, include_input=False)[0]
        raise Invalid(f"{what['loc'][0]}: {what['msg']}") from None


def _sealed(bench: Workbench, tool_id: str, auth: ToolAuth | None) -> bytes | None:
    return bench.sealer.seal(auth.model_dump_json(), tool_id) if auth is not None else None
