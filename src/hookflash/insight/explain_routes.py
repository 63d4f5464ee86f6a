"""The whole reason of an answer, over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from hookflash.insight import explain_store
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import router

explanations = router("/v1/messages", "messages")

MessageId = Annotated[
    str,
    Path(
        max_length=64,
        description="A message to us or from us, by our id or Twilio's (SM...); or a turn.",
        examples=["msg_06bq3v0d5k8n2r7t1w4y9zac3e"],
    ),
]


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ShownGate(_Shown):
    """What one gate said."""

    at: Literal["arrival", "turn"] = Field(description="When the message arrived, or when it was thought about.")
    gate: str
    verdict: str = Field(description="Pass, Reply, Silence or HandOff.")
    why: str | None


class ShownPassage(_Shown):
    """A passage that the answer was given."""

    chunk_id: int
    document_id: str
    title: str
    headings: list[str]
    url: str | None
    score: float
    dense: float | None = Field(description="Cosine with the question.")
    keyword: float | None = Field(description="BM25.")
    cited: bool = Field(description="Whether the answer rests on it.")
    text: str | None
    state: Literal["there", "gone", "elsewhere"] = Field(
        description="gone: the document was changed or deleted since. elsewhere: it lies in an index of yours."
    )


class ShownPrompt(_Shown):
    """The system prompt, built again from the configuration of then and the passages, before personal data was masked."""

    proof: Literal["same", "differs", "unproven", "none"] = Field(
        description="same: proven by the hash that was kept. differs: it is not the one, see `why`."
    )
    why: str
    system: str | None


class ShownExplanation(_Shown):
    """Why an answer is as it is."""

    message_id: str | None
    turn_id: str | None = Field(description="Null when the message came to no turn: it waits, or a gate stopped it.")
    contact_id: str
    session_id: str | None
    assistant_id: str | None
    revision: int | None = Field(description="The assistant's revision that answered.")
    experiment_id: str | None
    variant: str | None
    at: datetime
    said: str
    question: str | None = Field(description="As it was understood, and searched for.")
    answered: str
    kind: str
    why: str | None
    language: str | None
    gates: list[ShownGate]
    passages: list[ShownPassage]
    tools: list[dict[str, Any]]
    known: list[str] = Field(description="What the model was told of the person.")
    prompt: ShownPrompt
    prompt_revision: str | None
    checks: dict[str, Any] = Field(description="What else was recorded: grounding, moderation ...")
    confidence: float | None
    threshold: float | None = Field(description="Below this confidence the answer is not given.")
    models: list[str] = Field(description="Those of the assistant, in the order in which they are tried.")
    model: str | None = Field(description="The one that answered.")
    degraded: list[str] = Field(description="Each fallback that was taken, and why.")
    cost_micros: int = Field(description="Millionths of a US dollar, all together.")
    text_micros: int
    usage: dict[str, int]
    stages: dict[str, float] = Field(description="Milliseconds.")
    call: dict[str, Any] | None = Field(description="Of speech: the call, what was interrupted, its measures.")
    feedback: list[dict[str, Any]]
    corrections: list[dict[str, Any]]


@explanations.get("/{message_id}/explanation", responses=answers(404))
async def explain_message(
    message_id: MessageId, caller: Annotated[Caller, allowed("messages:read")]
) -> ShownExplanation:
    """The whole reason of an answer: gates, the question as understood, passages, tools, prompt, checks, models, cost."""
    async with caller.transaction() as conn:
        return ShownExplanation.model_validate(await explain_store.explain(conn, message_id))
