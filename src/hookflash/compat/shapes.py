"""Twilio's AI Assistants API as values: what it takes and what it gives, field by field."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=200)]
Long = Annotated[str, Field(max_length=8_000)]
Object = dict[str, Any]


class Given(BaseModel):
    """What is taken: null is as good as nothing, and what nobody knows is passed over."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class CustomerAi(Given):
    """Whether it remembers who it talks with, and draws conclusions about them."""

    perception_engine_enabled: bool
    personalization_engine_enabled: bool


class SegmentCredential(Given):
    """A Segment space of the assistant's own."""

    profile_api_key: Text | None = None
    space_id: Text | None = None
    write_key: Text | None = None


class AssistantGiven(Given):
    """An assistant, or the changes of one."""

    name: Text | None = None
    owner: Text | None = None
    personality_prompt: Long | None = None
    customer_ai: CustomerAi | None = None
    segment_credential: SegmentCredential | None = None


class PolicyGiven(Given):
    """Who may use a tool, or be told of knowledge."""

    id: Text | None = None
    name: Text | None = None
    description: Long | None = None
    type: Text | None = None
    policy_details: Object


class ToolGiven(Given):
    """A tool, or the changes of one."""

    assistant_id: Text | None = None
    name: Text | None = None
    description: Long | None = None
    enabled: bool | None = None
    type: Text | None = None
    meta: Object | None = None
    policy: PolicyGiven | None = None


class KnowledgeGiven(Given):
    """Knowledge, or the changes of it."""

    assistant_id: Text | None = None
    name: Text | None = None
    description: Long | None = None
    type: Text | None = None
    knowledge_source_details: Object | None = None
    embedding_model: Text | None = None
    policy: PolicyGiven | None = None


class KnowledgeChanges(KnowledgeGiven):
    """The specification allows nothing else here."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class FeedbackGiven(Given):
    """What somebody thought."""

    session_id: Annotated[str, Field(min_length=1, max_length=400)]
    message_id: Text | None = None
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    text: Annotated[str, Field(max_length=2_000)] | None = None


class MessageGiven(Given):
    """Something said to an assistant."""

    identity: Annotated[str, Field(min_length=1, max_length=400)]
    body: Annotated[str, Field(min_length=1, max_length=16_000)]
    session_id: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    webhook: Annotated[str, Field(max_length=2_000)] | None = None
    mode: Literal["chat", "email", "voice"] | None = None


class Shown(BaseModel):
    """What is given; a field that is None is left out."""

    model_config = ConfigDict(frozen=True)


class Assistant(Shown):
    account_sid: str
    customer_ai: Object
    id: str
    model: str
    name: str
    owner: str
    url: str
    personality_prompt: str
    date_created: datetime
    date_updated: datetime


class Knowledge(Shown):
    description: str
    id: str
    account_sid: str
    knowledge_source_details: Object
    name: str
    status: str
    type: str
    url: str
    embedding_model: str
    date_created: datetime
    date_updated: datetime


class Policy(Shown):
    id: str
    name: str
    description: str
    account_sid: str
    type: str
    policy_details: Object
    date_created: datetime
    date_updated: datetime


class Tool(Shown):
    account_sid: str
    description: str
    enabled: bool
    id: str
    meta: Object
    name: str
    requires_auth: bool
    type: str
    url: str
    date_created: datetime
    date_updated: datetime


class ToolWithPolicies(Tool):
    policies: list[Policy]


class AssistantWithAll(Assistant):
    knowledge: list[Knowledge]
    tools: list[Tool]


class KnowledgeStatus(Shown):
    account_sid: str
    status: str
    last_status: str | None
    date_updated: datetime


class Chunk(Shown):
    account_sid: str
    content: str
    metadata: Object
    date_created: datetime
    date_updated: datetime


class Feedback(Shown):
    assistant_id: str
    id: str
    account_sid: str
    message_id: str
    score: float
    session_id: str
    text: str
    date_created: datetime
    date_updated: datetime


class Session(Shown):
    id: str
    account_sid: str
    assistant_id: str
    verified: bool
    identity: str
    date_created: datetime
    date_updated: datetime


class Message(Shown):
    id: str
    account_sid: str
    assistant_id: str
    session_id: str
    identity: str
    role: str
    content: Object
    meta: Object
    date_created: datetime
    date_updated: datetime


class Answered(Shown):
    """What came of something said; `status` is success, failure, or queued while a webhook is to hear of it."""

    status: str
    flagged: bool | None = None
    aborted: bool | None = None
    session_id: str
    account_sid: str
    identity: str | None = None
    body: str | None = None
    error: str | None = None
