"""Curated answers, over HTTP: written by staff, or proposed and then approved."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.knowledge import curated_store
from hookflash.knowledge.curated import CuratedAnswer, Origin, State
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

curated = router("/v1/answers", "knowledge")

AnswerId = Annotated[str, Path(max_length=64, examples=["ans_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("knowledge:read")]
Writing = Annotated[Caller, allowed("knowledge:write")]
Questions = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=300)]],
    Field(
        min_length=1,
        max_length=50,
        description="Ways to ask it.",
        examples=[["Where are you?", "What is your address?"]],
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=1_600, examples=["12 Harbour Road, Springfield."])]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$", examples=["en"])]


class NewAnswer(BaseModel):
    """An exact answer to questions that are asked again and again."""

    model_config = ConfigDict(extra="forbid")

    questions: Questions
    answer: Text
    assistant_id: str | None = Field(None, max_length=64, description="Unset: for every assistant.")
    language: Language | None = Field(None, description="Unset: whatever language the question is in.")
    state: State = Field("approved", description="Only approved answers are given.")


class AnswerChanges(BaseModel):
    """What to change; what is not given stays. A proposal is approved by `state`."""

    model_config = ConfigDict(extra="forbid")

    questions: Questions | None = None
    answer: Text | None = Field(None, examples=["12 Harbour Road, Springfield."])
    assistant_id: str | None = Field(None, max_length=64)
    language: Language | None = None
    state: State | None = None


class ShownQuestion(BaseModel):
    """One way to ask."""

    model_config = ConfigDict(from_attributes=True)

    question: str
    hits: int = Field(description="How often it led to the answer.")


class ShownAnswer(BaseModel):
    """A curated answer."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    assistant_id: str | None
    language: str | None
    answer: str
    questions: list[ShownQuestion]
    state: State
    origin: Origin = Field(description="Who it comes from: staff, the answer to a ticket, a correction.")
    origin_id: str | None
    hits: int = Field(description="How often it was given.")
    last_hit_at: datetime | None
    created_at: datetime
    updated_at: datetime


@curated.get("", **listed(ShownAnswer))
async def list_answers(
    asked: ListAsked,
    caller: Reading,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
) -> Listing[ShownAnswer] | Response:
    """All curated answers, oldest first."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[CuratedAnswer]:
        return await curated_store.list_answers(conn, limit, cursor, state)

    return await caller.list(asked, read, ShownAnswer.model_validate)


@curated.post("", status_code=201)
async def create_answer(body: NewAnswer, caller: Writing) -> ShownAnswer:
    """Write an answer. It is given from now on to the same questions, and shortly to those that say the same."""
    async with caller.transaction() as conn:
        made = await curated_store.create_answer(
            conn,
            caller.account_id,
            questions=body.questions,
            answer=body.answer,
            now=caller.now(),
            assistant_id=body.assistant_id,
            language=body.language,
            state=body.state,
        )
        await caller.record(conn, "answer.created", made.id, state=made.state)
    return ShownAnswer.model_validate(made)


@curated.get("/{answer_id}", responses=answers(404))
async def get_answer(answer_id: AnswerId, caller: Reading) -> ShownAnswer:
    """One curated answer."""
    async with caller.transaction() as conn:
        return ShownAnswer.model_validate(await curated_store.get_answer(conn, answer_id))


@curated.patch("/{answer_id}", responses=answers(404))
async def update_answer(answer_id: AnswerId, body: AnswerChanges, caller: Writing) -> ShownAnswer:
    """Change what is given; `{"state": "approved"}` accepts a proposal."""
    changes: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"questions"})
    changes = {name: value for name, value in changes.items() if value is not None or name in _MAY_BE_UNSET}
    async with caller.transaction() as conn:
        changed = await curated_store.update_answer(conn, answer_id, changes, body.questions, caller.now())
        await caller.record(conn, "answer.updated", answer_id, state=changed.state)
    return ShownAnswer.model_validate(changed)


@curated.delete("/{answer_id}", status_code=204, responses=answers(404))
async def delete_answer(answer_id: AnswerId, caller: Writing) -> None:
    """Delete an answer; it is given no more."""
    async with caller.transaction() as conn:
        await curated_store.delete_answer(conn, answer_id)
        await caller.record(conn, "answer.deleted", answer_id)


_MAY_BE_UNSET = frozenset({"assistant_id", "language"})
