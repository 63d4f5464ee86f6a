"""What an assistant's owner can set about safety: what comes in, what a third party may see, what may be said, and for how much."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hookflash.safety.grounding import LEAST_WORDS
from hookflash.safety.moderation import CATEGORIES
from hookflash.safety.personal import KINDS

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Usd = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Kind = Annotated[str, Field(max_length=20)]
Category = Annotated[str, Field(max_length=40)]
Topic = Annotated[str, Field(min_length=3, max_length=200)]
Outcome = Literal["flag", "block", "hand_off"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InjectionConfig(_Strict):
    """Attempts to take the assistant over."""

    outcome: Outcome = Field(
        default="block",
        description="What becomes of a message that tries it: answered all the same and noted, refused politely, or"
        " left to a person.",
    )
    threshold: Share = Field(default=0.85, description="From this score (0 to 1) on a message counts as an attempt.")
    clean: bool = Field(
        default=True,
        description="Whether sentences that instruct the assistant are taken out of passages and tools' answers.",
    )


class PiiConfig(_Strict):
    """Personal data, and who gets to see it."""

    mask: bool = Field(default=True, description="Whether models of others see placeholders instead of personal data.")
    kinds: Annotated[
        tuple[Kind, ...], Field(strict=False, max_length=20, description="The kinds of personal data that are masked.")
    ] = KINDS
    finder: Annotated[str, Field(pattern=r"^[a-z0-9_-]+(:[^\s]{1,120})?$")] = Field(
        default="patterns", description="What finds it: patterns, or presidio where that extra is installed."
    )
    own_models: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=140)], ...],
        Field(strict=False, max_length=10, description="Models that run at your own place and see everything."),
    ] = ()
    tools_see: bool = Field(
        default=True, description="Whether tools are given the real values, when the model passes a placeholder on."
    )
    keep_out: Annotated[
        tuple[Kind, ...],
        Field(strict=False, max_length=20, description="The kinds that never enter the record of a turn."),
    ] = ("card", "aadhaar")

    @field_validator("kinds", "keep_out")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"no such kind: {', '.join(unknown)}; there are: {', '.join(KINDS)}")
        return kinds


class GroundingConfig(_Strict):
    """What an answer must rest on."""

    outcome: Literal["record", "remove", "unknown"] = Field(
        default="remove",
        description="What becomes of a sentence that nothing supports: only noted, taken out, or the whole answer is"
        " given up for 'I do not know'.",
    )
    least_words: Share = Field(
        default=LEAST_WORDS,
        description="The least share of a sentence's words that must occur in passages or tools' answers. Figures, dates,"
        " prices, names and links must always.",
    )


def _outcomes() -> dict[Category, Outcome]:
    return {"self-harm": "hand_off", "harassment": "flag"}


class ModerationConfig(_Strict):
    """Words that should not be there."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9_-]+(:[^\s]{1,120})?$")] = Field(
        default="local",
        description="Who judges: local, or a moderation endpoint such as openai:omni-moderation-latest.",
    )
    outcome: Outcome = Field(default="block", description="What becomes of a message over a threshold.")
    outcomes: dict[Category, Outcome] = Field(
        default_factory=_outcomes,
        description="Other outcomes for some categories, such as self-harm.",
    )
    thresholds: dict[Category, Share] = Field(
        default_factory=dict, description="Thresholds for some categories; 0.5 for the others, 1 turns one off."
    )
    answers: bool = Field(default=True, description="Whether answers of language models are judged too.")

    @field_validator("outcomes", "thresholds")
    @classmethod
    def _known(cls, given: dict[str, object]) -> dict[str, object]:
        unknown = sorted(set(given) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"no such category: {', '.join(unknown)}; there are: {', '.join(CATEGORIES)}")
        return given


class SpendConfig(_Strict):
    """The most that answers may cost. What one number and the account may cost a day is set at the integration."""

    session_usd: Usd = Field(default=5.0, description="The most that one session may cost.")
    day_usd: Usd = Field(default=200.0, description="The most that this assistant may cost a day (UTC).")


class SafetyConfig(_Strict):
    """Everything about safety; the defaults are on."""

    injection: InjectionConfig = Field(default_factory=InjectionConfig, description="Attempts to take it over.")
    pii: PiiConfig = Field(default_factory=PiiConfig, description="Personal data.")
    grounding: GroundingConfig = Field(default_factory=GroundingConfig, description="What answers must rest on.")
    moderation: ModerationConfig = Field(
        default_factory=ModerationConfig, description="Words that should not be there."
    )
    barred_topics: Annotated[
        tuple[Topic, ...],
        Field(strict=False, max_length=20, description="Topics that it does not speak about, each described in words."),
    ] = ()
    barred_outcome: Literal["block", "hand_off"] = Field(
        default="block", description="What becomes of a question about a barred topic: refused, or left to a person."
    )
    barred_likeness: Share = Field(
        default=0.4, description="How like a barred topic a question must be (cosine of the embedding)."
    )
    spend: SpendConfig = Field(default_factory=SpendConfig, description="The most that answers may cost.")
