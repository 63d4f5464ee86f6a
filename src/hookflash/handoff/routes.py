"""Tickets, over HTTP: who waits for a person, taking over, and giving back to the assistant."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.handoff import store
from hookflash.handoff.ticket import State, Ticket, moves
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

tickets = router("/v1/tickets", "tickets")

TicketId = Annotated[str, Path(max_length=64, examples=["tick_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("tickets:read")]


class ShownTicket(BaseModel):
    """Somebody needs a person."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    contact_id: str
    session_id: str | None
    turn_id: str | None
    reason: str
    summary: str = Field(description="What was said.")
    state: State = Field(description="While it is claimed the assistant says nothing to this contact.")
    answer_id: str | None = Field(description="The curated answer that what a person answered was proposed as.")
    created_at: datetime
    updated_at: datetime


class TicketChange(BaseModel):
    """How far it is now."""

    model_config = ConfigDict(extra="forbid")

    state: State = Field(examples=["claimed"])
    answer: str | None = Field(
        None,
        min_length=1,
        max_length=1_600,
        description="What the person answered, to be proposed as a curated answer.",
        examples=["Yes, we repair zips; it takes a week."],
    )
    question: str | None = Field(
        None, min_length=1, max_length=300, description="What was asked, as others would ask it; unset: as it was."
    )


@tickets.get("", **listed(ShownTicket))
async def list_tickets(
    asked: ListAsked,
    caller: Reading,
    state: Annotated[State | None, Query(description="Only those that are this far.")] = None,
    contact_id: Annotated[str | None, Query(max_length=64, description="Only those of this contact.")] = None,
) -> Listing[ShownTicket] | Response:
    """Tickets, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[Ticket]:
        return await store.list_tickets(conn, limit, cursor, state, contact_id)

    return await caller.list(asked, read, ShownTicket.model_validate)


@tickets.get("/{ticket_id}", responses=answers(404))
async def get_ticket(ticket_id: TicketId, caller: Reading) -> ShownTicket:
    """One ticket."""
    async with caller.transaction() as conn:
        return ShownTicket.model_validate(await store.get_ticket(conn, ticket_id))


@tickets.patch("/{ticket_id}", responses=answers(404, 409))
async def update_ticket(
    ticket_id: TicketId, body: TicketChange, caller: Annotated[Caller, allowed("tickets:write")]
) -> ShownTicket:
    """Claim a ticket, which silences the assistant for its contact, or close it, which gives the contact back.

    From open to claimed or closed, from claimed to closed; everything else is a conflict (409). What was answered may become
    a curated answer, once it is approved.
    """
    async with caller.transaction() as conn:
        ticket = await store.get_ticket(conn, ticket_id, lock=True)
        if moves(ticket.state, body.state):
            ticket = await store.set_state(conn, ticket_id, body.state, caller.now())
            await caller.record(conn, f"ticket.{body.state}", ticket_id, ticket.contact_id)
        if body.answer is not None:
            account_id, now = caller.account_id, caller.now()
            ticket = await store.propose_answer(conn, account_id, ticket_id, body.answer, body.question, now)
    return ShownTicket.model_validate(ticket)
