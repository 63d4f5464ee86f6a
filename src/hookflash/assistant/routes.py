"""Assistants over HTTP: the working copy that is edited, and the revisions that are published."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.assistant import store, tool_store
from hookflash.assistant.assistant import NO_SOURCE, AssistantConfig
from hookflash.assistant.difference import changed, differences
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


RevisionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="A revision's number.", examples=[1])]


class ShownAssistant(AssistantConfig):
    """An assistant: its working copy. Sessions begin with the revision that is published, and keep it."""

    id: str = Field(examples=["asst_06bq3v0d5k8n2r7t1w4y9zac3e"])
    revision: int = Field(description="The revision that is published, and that new sessions begin with.")
    unpublished: list[str] = Field(description="Fields of the working copy that differ from what is published.")
    created_at: datetime
    updated_at: datetime


class ShownRevision(BaseModel):
    """A configuration that never changes again."""

    model_config = ConfigDict(from_attributes=True)

    revision: int
    kind: Literal["published", "variant"] = Field(description="Published to everybody, or tried by an experiment.")
    config: AssistantConfig
    note: str = Field(description="What was changed, and why.")
    made_by: str | None = Field(description="The API key that made it; null for the command line.")
    created_at: datetime


class ShownDifference(BaseModel):
    """A field that differs."""

    model_config = ConfigDict(from_attributes=True)

    field: str = Field(examples=["personality", "voice.way"])
    before: Any
    after: Any


class ShownComparison(BaseModel):
    """What differs between two configurations, field by field."""

    differences: list[ShownDifference]


class Publication(BaseModel):
    """Why something is published."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=500, examples=["Shorter answers: people asked for it."])


def _shown(assistant: store.Assistant) -> ShownAssistant:
    return ShownAssistant(
        id=assistant.id,
        revision=assistant.revision,
        unpublished=[each.field for each in differences(assistant.config, assistant.draft)],
        created_at=assistant.created_at,
        updated_at=assistant.updated_at,
        **dict(assistant.draft),
    )


async def check_sources(conn: Connection, sources: tuple[str, ...]) -> None:
    """Raises Invalid for a source that the account does not have."""
    unknown = sorted({*sources} - {NO_SOURCE} - await known_sources(conn, sources)) if sources else []
    if unknown:
        raise Invalid(f"There is no such source: {', '.join(unknown)}.", field="sources")


async def check_tools(conn: Connection, request: Request, wanted: tuple[str, ...]) -> None:
    """Raises Invalid for a tool that the account does not have, and for too many."""
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
    """Make an assistant, and publish it as revision 1. Without `models` it is given those that the server is set up with."""
    if "models" not in body.model_fields_set:
        models: tuple[str, ...] = request.app.state.models
        body = body.model_copy(update={"models": models})
    async with caller.transaction() as conn:
        await check_sources(conn, body.sources)
        await check_tools(conn, request, body.tools)
        made = await store.create(conn, caller.account_id, body, made_by=caller.principal.key_id)
        await caller.record(conn, "assistant.created", made.id, config=body.to_dict())
    return _shown(made)


@assistants.get("/{assistant_id}", responses=answers(404))
async def get_assistant(assistant_id: AssistantId, caller: Reading) -> ShownAssistant:
    """One assistant."""
    async with caller.transaction() as conn:
        return _shown(await store.get(conn, assistant_id))


@assistants.patch("/{assistant_id}", responses=answers(404, 409))
async def update_assistant(
    assistant_id: AssistantId,
    body: AssistantConfig,
    request: Request,
    caller: Writing,
    publish: Annotated[bool, Query(description="Publish the working copy at once.")] = False,
) -> ShownAssistant:
    """Change the fields that are given, in the working copy: nobody is served by it before it is published.

    Of an object within, such as `safety`, what is not given stays too; lists and maps are replaced as a whole.
    """
    changes = {name: getattr(body, name) for name in sorted(body.model_fields_set)}
    async with caller.transaction() as conn:
        before = await store.get(conn, assistant_id, lock=True)
        await check_sources(conn, changes.get("sources", ()))
        await check_tools(conn, request, changes.get("tools", ()))
        after = await store.edit(conn, assistant_id, changed(before.draft, body), caller.now())
        await caller.record(
            conn,
            "assistant.updated",
            assistant_id,
            changes=body.model_dump(mode="json", include=body.model_fields_set),
        )
        if publish and after.draft != after.config:
            after = await _publish(conn, caller, assistant_id, "")
    return _shown(after)


@assistants.post("/{assistant_id}/publish", responses=answers(404, 409))
async def publish_assistant(
    assistant_id: AssistantId, caller: Writing, body: Publication | None = None
) -> ShownAssistant:
    """Make a revision of the working copy; it serves sessions that begin from now on.

    409 when there is nothing to publish, and while an experiment runs.
    """
    async with caller.transaction() as conn:
        return _shown(await _publish(conn, caller, assistant_id, body.note if body else ""))


async def _publish(conn: Connection, caller: Caller, assistant_id: str, note: str) -> store.Assistant:
    by = caller.principal.key_id
    published = await store.publish(conn, caller.account_id, assistant_id, caller.now(), note=note, made_by=by)
    await caller.record(conn, "assistant.published", assistant_id, revision=published.revision, note=note)
    return published


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
    """Every revision of an assistant, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[store.Revision]:
        return await store.revisions(conn, assistant_id, limit, cursor)

    return await caller.list(asked, read, ShownRevision.model_validate)


@assistants.get("/{assistant_id}/revisions/{revision}", responses=answers(404))
async def get_revision(assistant_id: AssistantId, revision: RevisionNumber, caller: Reading) -> ShownRevision:
    """One revision."""
    async with caller.transaction() as conn:
        await store.get(conn, assistant_id)
        return ShownRevision.model_validate(await store.revision(conn, assistant_id, revision))


@assistants.get("/{assistant_id}/revisions/{revision}/diff/{other}", responses=answers(404))
async def compare_revisions(
    assistant_id: AssistantId,
    revision: RevisionNumber,
    other: Annotated[
        str,
        Path(pattern=r"^(draft|[1-9]\d{0,8})$", description="Another revision, or `draft`: the working copy."),
    ],
    caller: Reading,
) -> ShownComparison:
    """What another revision, or the working copy, has other than this one, field by field."""
    async with caller.transaction() as conn:
        assistant = await store.get(conn, assistant_id)
        before = await store.revision(conn, assistant_id, revision)
        after = assistant.draft if other == "draft" else (await store.revision(conn, assistant_id, int(other))).config
    found = differences(before.config, after)
    return ShownComparison(differences=[ShownDifference.model_validate(each) for each in found])


@assistants.post("/{assistant_id}/revisions/{revision}/restore", responses=answers(404, 409))
async def restore_revision(
    assistant_id: AssistantId, revision: RevisionNumber, caller: Writing, body: Publication | None = None
) -> ShownAssistant:
    """Publish an earlier revision again, as a new one. What is unpublished in the working copy stays there."""
    note, by = body.note if body else "", caller.principal.key_id
    async with caller.transaction() as conn:
        restored = await store.restore(
            conn, caller.account_id, assistant_id, revision, caller.now(), note=note, made_by=by
        )
        await caller.record(conn, "assistant.restored", assistant_id, revision=restored.revision, again=revision)
    return _shown(restored)
