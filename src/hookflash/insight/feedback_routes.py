"""Feedback and corrections, over HTTP: what people thought of an answer, and what it should have been."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.conversation import read_store
from hookflash.db.pool import Connection
from hookflash.insight import feedback_store, rating_store
from hookflash.insight.feedback import Correction, Feedback
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

feedback = router("/v1/feedback", "feedback")
corrections = router("/v1/corrections", "feedback")
turn_corrections = router("/v1/turns", "feedback")
message_corrections = router("/v1/messages", "feedback")
session_ratings = router("/v1/sessions", "feedback")

FeedbackId = Annotated[str, Path(max_length=64, examples=["fdbk_06bq3v0d5k8n2r7t1w4y9zac3e"])]
TurnId = Annotated[str, Path(max_length=64, examples=["turn_06bq3v0d5k8n2r7t1w4y9zac3e"])]
SessionId = Annotated[str, Path(max_length=64, examples=["sess_06bq3v0d5k8n2r7t1w4y9zac3e"])]
MessageId = Annotated[str, Path(max_length=64, examples=["msg_06bq3v0d5k8n2r7t1w4y9zac3e"])]
OfAssistant = Annotated[str | None, Query(max_length=64, description="Only those of this assistant.")]
ReadingSessions = Annotated[Caller, allowed("sessions:read")]
WritingSessions = Annotated[Caller, allowed("sessions:write")]
ReadingMessages = Annotated[Caller, allowed("messages:read")]
WritingMessages = Annotated[Caller, allowed("messages:write")]


class NewFeedback(BaseModel):
    """What somebody thought of a session, or of one message or turn of it."""

    model_config = ConfigDict(extra="forbid")

    session_id: str = Field(max_length=64, examples=["sess_06bq3v0d5k8n2r7t1w4y9zac3e"])
    message_id: str | None = Field(None, max_length=64, description="The message meant, if it is one.")
    turn_id: str | None = Field(None, max_length=64, description="The turn meant, if it is one.")
    score: float = Field(ge=0, le=1, allow_inf_nan=False, description="0 is bad, 1 is good.", examples=[0.75])
    text: str = Field("", max_length=2_000, examples=["Quick, but the price was missing."])


class ShownFeedback(BaseModel):
    """What somebody thought."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    assistant_id: str
    contact_id: str
    session_id: str
    message_id: str | None
    turn_id: str | None
    score: float
    text: str
    source: str = Field(description="api, rating (a reply to the question how it was), tool or twilio.")
    created_at: datetime


class NewCorrection(BaseModel):
    """What an answer should have been."""

    model_config = ConfigDict(extra="forbid")

    correct: str = Field(min_length=1, max_length=1_600, examples=["We open at nine, on Saturdays at ten."])
    question: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="What was asked, in words that others would use; unset: as it was.",
    )


class ShownCorrection(BaseModel):
    """What was asked, what was answered, and what would have been right."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    assistant_id: str
    contact_id: str
    turn_id: str
    question: str
    wrong: str
    correct: str
    made_by: str | None = Field(description="The API key that made it.")
    answer_id: str | None = Field(description="The curated answer that it proposes; it is given once it is approved.")
    created_at: datetime


class ShownAsked(BaseModel):
    """The question how it was, on its way."""

    model_config = ConfigDict(from_attributes=True)

    message_id: str
    session_id: str
    contact_id: str


@feedback.get("", **listed(ShownFeedback))
async def list_feedback(
    asked: ListAsked,
    caller: ReadingSessions,
    assistant_id: OfAssistant = None,
    session_id: Annotated[str | None, Query(max_length=64, description="Only those of this session.")] = None,
) -> Listing[ShownFeedback] | Response:
    """All feedback, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[Feedback]:
        return await feedback_store.page(conn, limit, cursor, assistant_id=assistant_id, session_id=session_id)

    return await caller.list(asked, read, ShownFeedback.model_validate)


@feedback.post("", status_code=201)
async def give_feedback(body: NewFeedback, caller: WritingSessions) -> ShownFeedback:
    """Say how good a session was, or one message or turn of it."""
    async with caller.transaction() as conn:
        made = await feedback_store.add(
            conn,
            caller.account_id,
            assistant_id=await feedback_store.assistant_of(conn, body.session_id),
            session_id=body.session_id,
            message_id=body.message_id,
            turn_id=body.turn_id,
            score=body.score,
            text=body.text,
            source="api",
            now=caller.now(),
        )
        await caller.record(conn, "feedback.given", made.id, made.contact_id, score=made.score)
    return ShownFeedback.model_validate(made)


@feedback.get("/{feedback_id}", responses=answers(404))
async def get_feedback(feedback_id: FeedbackId, caller: ReadingSessions) -> ShownFeedback:
    """One piece of feedback."""
    async with caller.transaction() as conn:
        return ShownFeedback.model_validate(await feedback_store.get(conn, feedback_id))


@session_ratings.post("/{session_id}/ask-rating", status_code=202, responses=answers(404, 409))
async def ask_rating(session_id: SessionId, caller: WritingSessions) -> ShownAsked:
    """Ask the person of a session how it was, by text; a number from 1 to 5 that they reply becomes feedback.

    409 when they were asked before, nothing was answered by text, or they wait for a colleague.
    """
    async with caller.transaction() as conn:
        asked = await rating_store.ask(conn, caller.account_id, session_id, caller.now())
        await caller.record(conn, "session.rating_asked", session_id, asked.contact_id, message=asked.message_id)
    return ShownAsked.model_validate(asked)


@corrections.get("", **listed(ShownCorrection))
async def list_corrections(
    asked: ListAsked, caller: ReadingMessages, assistant_id: OfAssistant = None
) -> Listing[ShownCorrection] | Response:
    """All corrections, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[Correction]:
        return await feedback_store.corrections(conn, limit, cursor, assistant_id=assistant_id)

    return await caller.list(asked, read, ShownCorrection.model_validate)


@turn_corrections.post("/{turn_id}/correction", status_code=201, responses=answers(404))
async def correct_turn(turn_id: TurnId, body: NewCorrection, caller: WritingMessages) -> ShownCorrection:
    """Say what the answer of a turn should have been. It becomes the proposal of a curated answer."""
    async with caller.transaction() as conn:
        return await _correct(conn, caller, turn_id, body)


@message_corrections.post("/{message_id}/correction", status_code=201, responses=answers(404))
async def correct_message(message_id: MessageId, body: NewCorrection, caller: WritingMessages) -> ShownCorrection:
    """The same, by a message of the turn, to us or from us. 422 when the message belongs to no turn."""
    async with caller.transaction() as conn:
        message = await read_store.get_message(conn, message_id)
        if message.turn_id is None:
            raise Invalid("This message was not answered, so there is nothing to correct.", field="message_id")
        return await _correct(conn, caller, message.turn_id, body)


async def _correct(conn: Connection, caller: Caller, turn_id: str, body: NewCorrection) -> ShownCorrection:
    made = await feedback_store.correct(
        conn,
        caller.account_id,
        turn_id,
        body.correct,
        caller.now(),
        question=body.question,
        made_by=caller.principal.key_id,
    )
    await caller.record(conn, "turn.corrected", turn_id, made.contact_id, correction=made.id)
    return ShownCorrection.model_validate(made)
