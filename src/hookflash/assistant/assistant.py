"""An assistant's configuration: who it says it is, which models answer, within which bounds."""

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from hookflash.assistant.memory_config import MemoryConfig
from hookflash.assistant.templates import KEYS
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.remembered import Remembered
from hookflash.safety.config import SafetyConfig

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?$")]
TemplateKey = Annotated[str, Field(max_length=40)]

# In place of the sources of an assistant that answers from none: one that names none answers from all.
NO_SOURCE = "none"


class AskRating(BaseModel):
    """Whether people are asked, once a session, how they were served."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    enabled: bool = Field(default=False, description="Whether they are asked after an answer, by text.")
    after_minutes: int = Field(
        default=10, ge=1, le=1_200, description="How long they say nothing more before they are asked, in minutes."
    )
    within_hours: int = Field(
        default=24, ge=1, le=168, description="For how long a number from 1 to 5 counts as the answer, in hours."
    )


class AssistantConfig(BaseModel):
    """Everything that can be set of an assistant. A session keeps the configuration that it began with."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(
        default="Assistant",
        min_length=1,
        max_length=80,
        description="What staff call it. The model is not told, unless a text below says it.",
    )
    company: str = Field(default="", max_length=80, description="The company that it answers for.")
    role: str = Field(
        default="",
        max_length=400,
        description="The role line, such as: You are Acme Support: concise, factual, only company documents.",
    )
    personality: str = Field(
        default="", max_length=2_000, description="Tone and manner, up to 2,000 characters (about 400 tokens)."
    )
    models: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]+(:[^\s]{1,120})?$")], ...],
        Field(
            strict=False,
            min_length=1,
            max_length=6,
            description="Models in the order in which they are tried, such as openai:gpt-4o-mini, then extractive.",
        ),
    ] = ("extractive",)
    temperature: float = Field(
        default=0.2, ge=0.0, le=2.0, allow_inf_nan=False, description="0 is the most predictable, 2 the least."
    )
    max_tokens: int = Field(default=400, ge=16, le=4_096, description="The longest answer, in tokens of the model.")
    citations: bool = Field(default=False, description="Whether an answer names the documents that it rests on.")
    required: str = Field(
        default="",
        max_length=300,
        description="A link or title that ends every answer from the documents; empty for none.",
    )
    segment_budget: int = Field(default=3, ge=1, le=10, description="The most SMS segments that one answer may cost.")
    confidence_threshold: float = Field(
        default=0.4,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Answers that are less certain than this are not given.",
    )
    clarify: bool = Field(default=True, description="Whether it may ask back once when it is not certain.")
    hand_off: bool = Field(
        default=True,
        description="Whether a ticket for a person is opened when one is asked for, when it does not know, or nothing works.",
    )
    languages: Annotated[
        tuple[Language, ...],
        Field(
            strict=False,
            max_length=30,
            description="Languages that it answers in, the first for all others; empty: whatever the customer writes.",
        ),
    ] = ()
    templates: dict[Language, dict[TemplateKey, Annotated[str, Field(max_length=1_000)]]] = Field(
        default_factory=dict, description="Own texts instead of the built-in ones: by language, then by key."
    )
    sources: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(
            strict=False,
            max_length=100,
            description="Ids of the knowledge sources that it answers from; empty: from all, `none`: from none.",
        ),
    ] = ()
    tools: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(strict=False, max_length=100, description="Ids of the tools that it may use, most important first."),
    ] = ()
    max_tool_calls: int = Field(default=8, ge=1, le=50, description="The most uses of tools in one turn.")
    max_turn_usd: float = Field(
        default=0.5, gt=0, le=100, allow_inf_nan=False, description="Above this cost a turn uses no more tools."
    )
    cache: bool = Field(
        default=True,
        description="Whether a question that was answered before, on unchanged knowledge, is answered alike.",
    )
    memory: MemoryConfig = Field(default_factory=MemoryConfig, description="What it remembers of customers.")
    safety: SafetyConfig = Field(
        default_factory=SafetyConfig, description="What may come in, be seen by others, and be said."
    )
    voice: VoiceConfig = Field(default_factory=VoiceConfig, description="How it speaks on the telephone.")
    ask_rating: AskRating = Field(
        default_factory=AskRating, description="Whether people are asked how they were served."
    )
    history_tokens: int = Field(
        default=800, ge=0, le=8_000, description="How much of the session's past the model is shown, in tokens."
    )

    @field_validator("templates")
    @classmethod
    def _known_keys(cls, templates: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        unknown = sorted({key for texts in templates.values() for key in texts} - KEYS)
        if unknown:
            raise ValueError(f"no such template: {', '.join(unknown)}; there are: {', '.join(sorted(KEYS))}")
        return templates

    @classmethod
    def stored(cls, config: dict[str, Any]) -> "AssistantConfig":
        """Read a configuration that was stored, perhaps by another version: fields that it does not know are ignored.

        What is read once is not looked at again: nobody may change it.
        """
        return _read(config)

    def to_dict(self) -> dict[str, Any]:
        """As it is stored: plain JSON values."""
        return self.model_dump(mode="json")


@lru_cache(1_024)
def _stored(config: bytes) -> AssistantConfig:
    fields = AssistantConfig.model_fields
    return AssistantConfig.model_validate({k: v for k, v in msgspec.json.decode(config).items() if k in fields})


_read: Remembered[dict[str, Any], AssistantConfig] = Remembered(lambda config: _stored(msgspec.json.encode(config)))
