"""Calls, over HTTP: making one, and what is known of those that were."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.base.phone import Address, Kind
from hookflash.channels.outbound import Outbound
from hookflash.channels.redial import MOST_RETRIES, USUAL_RETRIES
from hookflash.channels.store import Integrations
from hookflash.conversation import call_store, heard_store
from hookflash.conversation.call import CallRow
from hookflash.db.pool import Connection
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, listed, router

calls = router("/v1/calls", "calls")

CallId = Annotated[str, Path(max_length=64, examples=["call_06bq3v0d5k8n2r7t1w4y9zac3e"])]
MOST_TURNS = 1_000

Reading = Annotated[Caller, allowed("messages:read")]
Writing = Annotated[Caller, allowed("messages:write")]


class NewCall(BaseModel):
    """A call to make. The assistant of the integration speaks."""

    model_config = ConfigDict(extra="forbid")

    integration_id: str = Field(max_length=64, description="Whose number calls.")
    to: str = Field(max_length=20, description="The person's number, E.164.", examples=["+15551234567"])
    purpose: str = Field(
        "service", min_length=1, max_length=100, description="Why, for the record and for the rules on calling."
    )
    retries: int = Field(
        USUAL_RETRIES,
        ge=0,
        le=MOST_RETRIES,
        description="How often it is tried again when the person is not reached (busy, no answer, failed), after growing"
        " gaps and inside the hours in which they may be called.",
    )


class CallAttempt(BaseModel):
    """One attempt of a call of ours."""

    number: int
    state: str = Field(description="due, dialling, ringing or over.")
    call_sid: str | None
    why: str | None = Field(description="How it ended: completed, busy, no-answer, failed, or why it was not made.")
    due_at: datetime
    ended_at: datetime | None


class CallTransfer(BaseModel):
    """A way to a person on which the caller waited."""

    target: str
    state: str = Field(description="ringing, joined, declined, busy, no-answer, failed, canceled or abandoned.")
    at: datetime
    ended_at: datetime | None


class Call(BaseModel):
    """A telephone call. Costs in micro-dollars by part; `measures` as the call was."""

    id: str
    call_sid: str | None = Field(description="Twilio's id; null until Twilio has taken a call of ours.")
    integration_id: str
    contact_id: str
    session_id: str | None
    direction: str
    way: str = Field(
        description="stream, relay, gather, realtime, or the service that conducts it: vapi, retell, bland, chat."
    )
    address: str
    sender: str
    state: str = Field(description="queued, admitted, live, waiting (for another try), ended or refused.")
    why: str | None
    answered_by: str | None
    purpose: str | None
    summary: str | None
    costs: dict[str, int] = Field(description="By part (telephony, stt, llm, tts), in micro-dollars.")
    measures: dict[str, Any]
    recording: dict[str, Any] | None
    started_at: datetime
    ended_at: datetime | None
    retries: int
    next_try_at: datetime | None = Field(description="When a call that waits is tried again.")
    attempts: list[CallAttempt]
    transfers: list[CallTransfer]


class SpokenTurn(BaseModel):
    """A turn of a call. The whole record of it is at `/v1/turns/{id}`."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    said: str
    answered: str = Field(description="What of the answer was heard.")
    whole: str = Field(description="The answer as it would have been without an interruption.")
    interrupted: bool
    kind: str
    measures: dict[str, float | None] = Field(
        description="Seconds after the end of the caller's speech (stream, realtime): final_words, begun, first_text,"
        " first_sound (sent), first_played."
    )
    cost_micros: int
    at: datetime


class WholeCall(Call):
    """A telephone call with what was said in it."""

    turns: list[SpokenTurn]


def _shown(row: CallRow) -> Call:
    sid = None if row.call_sid.startswith("pending_") else row.call_sid
    return Call(
        id=row.id,
        call_sid=sid,
        integration_id=row.integration_id,
        contact_id=row.contact_id,
        session_id=row.session_id,
        direction=row.direction,
        way=row.way,
        address=row.address,
        sender=row.sender,
        state=row.state,
        why=row.why,
        answered_by=row.answered_by,
        purpose=row.purpose,
        summary=row.summary,
        costs=row.parts,
        measures=row.measures,
        recording=row.recording,
        started_at=row.started_at,
        ended_at=row.ended_at,
        retries=row.retries,
        next_try_at=row.next_try_at,
        attempts=[CallAttempt.model_validate(each) for each in row.attempts],
        transfers=[CallTransfer.model_validate(each) for each in row.transfers],
    )


@calls.post("", status_code=201, response_model=Call, responses=answers(409))
async def create_call(request: Request, caller: Writing, call: NewCall) -> Call:
    """Ring a person, if they may be called now: not who opted out, not at night where they live."""
    outbound: Outbound = request.app.state.outbound
    integrations: Integrations = request.app.state.integrations
    async with caller.transaction() as conn:
        integration = await integrations.get_or_none(conn, call.integration_id)
    if integration is None:
        raise Invalid("There is no such integration.", field="integration_id")
    number = Address.parse(call.to, Kind.VOICE)
    if not number.is_number:
        raise Invalid("not a phone number in E.164 form (+ and 7 to 15 digits)", field="to")
    call_id = await outbound.call(integration, number, call.purpose, call.retries)
    async with caller.transaction() as conn:
        row = await call_store.get_call(conn, call_id)
        await caller.record(conn, "call.made", call_id, row.contact_id, to=row.address, purpose=call.purpose)
    return _shown(row)


@calls.get("", **listed(Call))
async def list_calls(
    caller: Reading,
    asked: ListAsked,
    contact_id: Annotated[str | None, Query(max_length=64, description="Calls of this contact.")] = None,
) -> Any:
    """The calls, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[CallRow]:
        after = str(decode_cursor(cursor, str)[0]) if cursor else ""
        rows = await call_store.list_calls(conn, after, limit + 1, contact_id)
        return Page(rows[:limit], encode_cursor(rows[limit - 1].id) if len(rows) > limit else None)

    return await caller.list(asked, read, _shown)


@calls.get("/{call_id}", response_model=WholeCall, responses=answers(404))
async def get_call(caller: Reading, call_id: CallId) -> WholeCall:
    """One call, with its first thousand turns."""
    async with caller.transaction() as conn:
        row = await call_store.get_call(conn, call_id)
        turns = await heard_store.turns_of(conn, call_id, MOST_TURNS)
    spoken = [SpokenTurn.model_validate(each) for each in turns]
    return WholeCall(**_shown(row).model_dump(), turns=spoken)
