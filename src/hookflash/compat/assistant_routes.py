"""Assistants under Twilio's names, and the tools and knowledge that are attached to them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Request, Response

from hookflash.assistant import routes as ours
from hookflash.assistant import store, tool_store
from hookflash.assistant.assistant import NO_SOURCE, AssistantConfig
from hookflash.assistant.memory_config import MemoryConfig
from hookflash.base.errors import Invalid, NotFound
from hookflash.base.paging import Page
from hookflash.compat import kept_store, shapes
from hookflash.compat.door_routes import built, entered, given, here, listed, nothing, router, shown
from hookflash.compat.knowledge_store import knowledge_of
from hookflash.compat.names import ASSISTANTS, Here, Thing
from hookflash.compat.paging import Asked
from hookflash.compat.tool_store import tools_of
from hookflash.db.pool import Connection
from hookflash.knowledge.store import get_source, known_sources, list_sources
from hookflash.rest.caller import Caller

assistants = router()

Reading = Annotated[Caller, entered("assistants:read")]
Writing = Annotated[Caller, entered("assistants:write")]

_THEIRS = {"company": "owner", "personality": "personality_prompt", "tools": "tool", "sources": "knowledge"}


def _config(body: shapes.AssistantGiven, memory: MemoryConfig) -> dict[str, Any]:
    """What changes of our configuration; `memory` is what it has of that."""
    given = {"name": body.name, "company": body.owner, "personality": body.personality_prompt}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if body.customer_ai is not None:
        changes["memory"] = memory.model_copy(update=_memory(body.customer_ai.model_dump()))
    return changes


def _memory(engines: Mapping[str, bool]) -> dict[str, bool]:
    """Perception draws conclusions from what is said; personalization also knows the customer's profile."""
    personal = engines["personalization_engine_enabled"]
    return {"enabled": personal or engines["perception_engine_enabled"], "customer_ai": personal}


def _customer_ai(memory: MemoryConfig, kept: Mapping[str, bool] | None) -> dict[str, bool]:
    """As it was put, if that is what it still is."""
    if kept is not None and _memory(kept) == {"enabled": memory.enabled, "customer_ai": memory.customer_ai}:
        return dict(kept)
    return {"perception_engine_enabled": memory.enabled, "personalization_engine_enabled": memory.customer_ai}


def _refuse_credential(body: shapes.AssistantGiven) -> None:
    if body.segment_credential is not None and body.segment_credential.model_dump(exclude_none=True):
        raise Invalid("keys of Segment are set for the server, not for an assistant", field="segment_credential")


async def _shown(conn: Connection, at: Here, found: Sequence[store.Assistant]) -> list[shapes.Assistant]:
    kept = await kept_store.kept(conn, [each.id for each in found])
    return [_one(at, each, kept.get(each.id, {})) for each in found]


def _one(at: Here, found: store.Assistant, kept: dict[str, Any]) -> shapes.Assistant:
    their_id = Thing.ASSISTANT.theirs(found.id)
    return shapes.Assistant(
        account_sid=at.sid,
        customer_ai=_customer_ai(found.config.memory, kept.get("customer_ai")),
        id=their_id,
        model=found.config.models[0],
        name=found.name,
        owner=found.config.company,
        url=at.url(f"{ASSISTANTS}/v1/Assistants/{their_id}"),
        personality_prompt=found.config.personality,
        date_created=found.created_at,
        date_updated=found.updated_at,
    )


@assistants.get("/v1/Assistants")
async def list_assistants(request: Request, caller: Reading) -> Response:
    """All of the account, oldest first."""

    async def read(conn: Connection, asked: Asked) -> Page[shapes.Assistant]:
        page = await store.page(conn, asked.size, asked.cursor)
        return Page(await _shown(conn, here(request, caller), page.items), page.cursor)

    return await listed(request, caller, "assistants", read)


@assistants.post("/v1/Assistants")
async def create_assistant(request: Request, caller: Writing) -> Response:
    """It answers from no knowledge until some is attached."""
    body = await given(request, shapes.AssistantGiven)
    if body.name is None:
        raise Invalid("Field required", field="name")
    _refuse_credential(body)
    config = built(AssistantConfig, {**_config(body, MemoryConfig()), "sources": (NO_SOURCE,)}, _THEIRS)
    async with caller.transaction() as conn:
        made = await ours.create_assistant(config, request, caller.within(conn))
        if body.customer_ai is not None:
            await kept_store.keep(conn, caller.account_id, made.id, {"customer_ai": body.customer_ai.model_dump()})
        (answer,) = await _shown(conn, here(request, caller), [await store.get(conn, made.id)])
    return shown(answer, 201)


@assistants.get("/v1/Assistants/{their_id}")
async def get_assistant(their_id: str, request: Request, caller: Reading) -> Response:
    """One, with its tools and knowledge."""
    async with caller.transaction() as conn:
        found = await store.get(conn, Thing.ASSISTANT.ours(their_id))
        (answer,) = await _shown(conn, here(request, caller), [found])
        tools = await tools_of(conn, here(request, caller), found.config.tools)
        knowledge = await knowledge_of(conn, here(request, caller), await sources_of(conn, found))
    return shown(shapes.AssistantWithAll(**dict(answer), tools=tools, knowledge=knowledge))


@assistants.put("/v1/Assistants/{their_id}")
async def update_assistant(their_id: str, request: Request, caller: Writing) -> Response:
    """What is given changes, for sessions that begin from now on."""
    body = await given(request, shapes.AssistantGiven)
    _refuse_credential(body)
    our_id = Thing.ASSISTANT.ours(their_id)
    async with caller.transaction() as conn:
        found = await store.get(conn, our_id, lock=True)
        changes = _config(body, found.config.memory)
        if changes:
            found = await change(conn, caller, found, changes)
        if body.customer_ai is not None:
            kept = (await kept_store.kept(conn, [our_id])).get(our_id, {})
            await kept_store.keep(
                conn, caller.account_id, our_id, kept | {"customer_ai": body.customer_ai.model_dump()}
            )
        (answer,) = await _shown(conn, here(request, caller), [found])
    return shown(answer)


@assistants.delete("/v1/Assistants/{their_id}")
async def delete_assistant(their_id: str, caller: Writing) -> Response:
    """With its sessions; not while a number is answered by it."""
    await ours.delete_assistant(Thing.ASSISTANT.ours(their_id), caller)
    return nothing()


# What is attached


@assistants.post("/v1/Assistants/{their_id}/Tools/{tool_id}")
async def attach_tool(their_id: str, tool_id: str, request: Request, caller: Writing) -> Response:
    """Attached before: nothing changes."""
    async with caller.transaction() as conn:
        await join_tool(conn, request, caller, Thing.ASSISTANT.ours(their_id), Thing.TOOL.ours(tool_id))
    return nothing()


@assistants.delete("/v1/Assistants/{their_id}/Tools/{tool_id}")
async def detach_tool(their_id: str, tool_id: str, caller: Writing) -> Response:
    """The tool stays, for others."""
    our_tool = Thing.TOOL.ours(tool_id)
    async with caller.transaction() as conn:
        found = await store.get(conn, Thing.ASSISTANT.ours(their_id), lock=True)
        if our_tool not in found.config.tools:
            raise NotFound("This tool is not attached to the assistant.")
        left = tuple(tool for tool in found.config.tools if tool != our_tool)
        await change(conn, caller, found, {"tools": left})
    return nothing()


@assistants.post("/v1/Assistants/{their_id}/Knowledge/{knowledge_id}")
async def attach_knowledge(their_id: str, knowledge_id: str, caller: Writing) -> Response:
    """Attached before: nothing changes."""
    async with caller.transaction() as conn:
        await join_source(conn, caller, Thing.ASSISTANT.ours(their_id), Thing.KNOWLEDGE.ours(knowledge_id))
    return nothing()


@assistants.delete("/v1/Assistants/{their_id}/Knowledge/{knowledge_id}")
async def detach_knowledge(their_id: str, knowledge_id: str, caller: Writing) -> Response:
    """The knowledge stays, for others."""
    our_source = Thing.KNOWLEDGE.ours(knowledge_id)
    async with caller.transaction() as conn:
        found = await store.get(conn, Thing.ASSISTANT.ours(their_id), lock=True)
        sources = await sources_of(conn, found)
        if our_source not in sources:
            raise NotFound("This knowledge is not attached to the assistant.")
        left = tuple(source for source in sources if source != our_source)
        await change(conn, caller, found, {"sources": left or (NO_SOURCE,)})
    return nothing()


async def change(conn: Connection, caller: Caller, found: store.Assistant, changes: dict[str, Any]) -> store.Assistant:
    """Publish these changes of the configuration at once. Raises Invalid under the names that Twilio has for them."""
    config = built(AssistantConfig, dict(found.config) | changes, _THEIRS)
    if config == found.config:
        return found
    changed = await store.update(
        conn, caller.account_id, found.id, config, caller.now(), made_by=caller.principal.key_id
    )
    told = config.model_dump(mode="json", include=set(changes))
    await caller.record(conn, "assistant.updated", found.id, revision=changed.revision, changes=told)
    return changed


async def join_tool(conn: Connection, request: Request, caller: Caller, assistant_id: str, tool_id: str) -> None:
    """Raises NotFound, and Invalid for one tool too many."""
    found = await store.get(conn, assistant_id, lock=True)
    present = tuple(each.id for each in await tool_store.named(conn, found.config.tools))
    await tool_store.get(conn, tool_id)
    if tool_id not in present:
        wanted = (*present, tool_id)
        await ours.check_tools(conn, request, wanted)
        await change(conn, caller, found, {"tools": wanted})


async def join_source(conn: Connection, caller: Caller, assistant_id: str, source_id: str) -> None:
    """Raises NotFound."""
    found = await store.get(conn, assistant_id, lock=True)
    await get_source(conn, source_id)
    sources = await sources_of(conn, found)
    if source_id not in sources:
        await change(conn, caller, found, {"sources": (*sources, source_id)})


async def sources_of(conn: Connection, found: store.Assistant) -> tuple[str, ...]:
    """The sources that an assistant answers from, those that there are."""
    if not found.config.sources:
        page = await list_sources(conn, 1_000, None)
        return tuple(source.id for source in page.items)
    known = await known_sources(conn, found.config.sources)
    return tuple(source for source in dict.fromkeys(found.config.sources) if source in known)
