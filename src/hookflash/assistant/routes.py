"""Assistants and their revisions, over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import BaseModel, Field

from hookflash.assistant import store, tool_store
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.tool_routes import Workbench
from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.knowledge.store import known_sources
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

assistants = router("/v1/assistants", "assistants")

AssistantId = Annotated[str, Path(max_length=64, examples=["asst_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("assistants:read")]
Writing = Annotated[Caller, allowed("assistants:write")]


class ShownAssistant(AssistantConfig):
    """An assistant: its configuration as it is now. Sessions that run keep the revision that they began with."""

    id: str = Field(examples=["asst_06bq3v0d5k8n2r7t1w4y9zac3e"])
    revision: int = Field(description="Counts the changes, from 1.")
    created_at: datetime
    updated_at: datetime


class ShownRevision(BaseModel):
    """A configuration as it was from `created_at` on, until the next revision."""

    revision: int
    config: AssistantConfig
    created_at: datetime


def _shown(assistant: store.Assistant) -> ShownAssistant:
    return ShownAssistant(
        id=assistant.id,
        revision=assistant.revision,
        created_at=assistant.created_at,
        updated_at=assistant.updated_at,
        **dict(assistant.config),
    )


def _shown_revision(revision: store.Revision) -> ShownRevision:
    return ShownRevision(revision=revision.revision, config=revision.config, created_at=revision.created_at)


async def _check_sources(conn: Connection, sources: tuple[str, ...]) -> None:
    unknown = sorted(set(sources) - await known_sources(conn, sources)) if sources else []
    if unknown:
        raise Invalid(f"There is no such source: {', '.join(unknown)}.", field="sources")


async def _check_tools(conn: Connection, request: Request, wanted: tuple[str, ...]) -> None:
    bench: Workbench = request.app.state.workbench
    if len(wanted) > bench.limits.tools:
        raise Invalid(
            f"An assistant may have {bench.limits.tools} tools, and {len(wanted)} are named.",
            field="tools",
            hint="HOOKFLASH_TOOLS_PER_ASSISTANT sets the limit",
        )
    known = {stored.id for stored in await tool_store.named(conn, wanted)} if wanted else set()
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise Invalid(f"There is no such tool: {', '.join(unknown)}.", field="tools")


@assistants.get("", **listed(ShownAssistant))
async def list_assistants(asked: ListAsked, caller: Reading) -> Listing[ShownAssistant] | Response:
    """All assistants, oldest first."""
    return await caller.list(asked, store.page, _shown)


@assistants.post("", status_code=201, responses=answers(409))
async def create_assistant(body: AssistantConfig, request: Request, caller: Writing) -> ShownAssistant:
    """Make an assistant. Without `models` it is given those that the server is set up with."""
    if "models" not in body.model_fields_set:
        models: tuple[str, ...] = request.app.state.models
        body = body.model_copy(update={"models": models})
    async with caller.transaction() as conn:
        await _check_sources(conn, body.sources)
        await _check_tools(conn, request, body.tools)
        made = await store.create(conn, caller.account_id, body)
        await caller.record(conn, "assistant.created", made.id, config=body.to_dict())
    return _shown(made)


@assistants.get("/{assistant_id}", responses=answers(404))
async def get_assistant(assistant_id: AssistantId, caller: Reading) -> ShownAssistant:
    """One assistant."""
    async with caller.transaction() as conn:
        return _shown(await store.get(conn, assistant_id))


@assistants.patch("/{assistant_id}", responses=answers(404, 409))
async def update_assistant(
    assistant_id: AssistantId, body: AssistantConfig, request: Request, caller: Writing
) -> ShownAssistant:
    """Change the fields that are given, which makes a new revision; it serves sessions that begin from now on."""
    changes = {name: getattr(body, name) for name in sorted(body.model_fields_set)}
    async with caller.transaction() as conn:
        before = await store.get(conn, assistant_id, lock=True)
        await _check_sources(conn, changes.get("sources", ()))
        await _check_tools(conn, request, changes.get("tools", ()))
        config = before.config.model_copy(update=changes)
        changed = await store.update(conn, caller.account_id, assistant_id, config, caller.now())
        await caller.record(
            conn,
            "assistant.updated",
            assistant_id,
            revision=changed.revision,
            changes=body.model_dump(mode="json", include=body.model_fields_set),
        )
    return _shown(changed)


@assistants.delete("/{assistant_id}", status_code=204, responses=answers(404, 409))
async def delete_assistant(assistant_id: AssistantId, caller: Writing) -> None:
    """Delete an assistant, with its sessions and their turns. Not while an integration uses it (409)."""
    async with caller.transaction() as conn:
        await store.delete(conn, assistant_id)
        await caller.record(conn, "assistant.deleted", assistant_id)


@assistants.get("/{assistant_id}/revisions", **listed(ShownRevision, 404))
async def list_revisions(
    assistant_id: AssistantId, asked: ListAsked, caller: Reading
) -> Listing[ShownRevision] | Response:
    """Every configuration that the assistant has had, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.Revision]:
        return await store.revisions(conn, assistant_id, limit, cursor)

    return await caller.list(asked, read, _shown_revision)
