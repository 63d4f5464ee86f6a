"""Messages that are to leave later, over HTTP: what was put by for whom, and taking it back."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.paging import Page
from hookflash.conversation import schedule_store as store
from hookflash.conversation.schedule_store import ScheduledRow
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

scheduled = router("/v1/scheduled-messages", "messages")

ScheduledId = Annotated[str, Path(max_length=64, examples=["msg_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("messages:read")]
Writing = Annotated[Caller, allowed("messages:write")]


class ShownScheduled(BaseModel):
    """A message that a tool has put by. When it has left it is a message of the same id, too."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    contact_id: str
    integration_id: str
    address: str = Field(description="Theirs.")
    sender: str = Field(description="Ours.")
    text: str
    due_at: datetime = Field(description="When it is to leave; not before the morning if that is at night.")
    state: Literal["waiting", "sent", "canceled"] = Field(description="sent: it was given to the contact's queue.")
    why: str | None = Field(description="Why it was canceled.")
    created_at: datetime


@scheduled.get("", **listed(ShownScheduled))
async def list_scheduled_messages(
    asked: ListAsked,
    caller: Reading,
    contact_id: Annotated[str | None, Query(max_length=64, description="Only those for this contact.")] = None,
    state: Annotated[
        Literal["waiting", "sent", "canceled"] | None, Query(description="Only those in this state.")
    ] = None,
) -> Listing[ShownScheduled] | Response:
    """Messages that were put by, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[ScheduledRow]:
        return await store.page(conn, limit, cursor, contact_id=contact_id, state=state)

    return await caller.list(asked, read, ShownScheduled.model_validate)


@scheduled.get("/{scheduled_id}", responses=answers(404))
async def get_scheduled_message(scheduled_id: ScheduledId, caller: Reading) -> ShownScheduled:
    """One message that was put by."""
    async with caller.transaction() as conn:
        return ShownScheduled.model_validate(await store.get(conn, scheduled_id))


@scheduled.post("/{scheduled_id}/cancel", responses=answers(404, 409))
async def cancel_scheduled_message(scheduled_id: ScheduledId, caller: Writing) -> ShownScheduled:
    """Take a message back before it leaves. 409 when it waits no more."""
    async with caller.transaction() as conn:
        canceled = await store.cancel(conn, scheduled_id, "taken back by the API")
        await caller.record(conn, "message.canceled", scheduled_id, canceled.contact_id)
    return ShownScheduled.model_validate(canceled)
