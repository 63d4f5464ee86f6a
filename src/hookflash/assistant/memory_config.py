"""What an assistant may remember of the people it talks with."""

from pydantic import BaseModel, ConfigDict, Field


class MemoryConfig(BaseModel):
    """How an assistant remembers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    enabled: bool = Field(
        default=True,
        description="Whether conversations are remembered, and what is known of a customer is told the model.",
    )
    most_observations: int = Field(
        default=100, ge=0, le=1_000, description="Observations that are kept of one customer; the oldest go first."
    )
    tokens: int = Field(default=250, ge=0, le=4_000, description="The most of it that one answer is told, in tokens.")
    customer_ai: bool = Field(
        default=False,
        description="Whether the customer's profile is also read from Segment, and what was learned written there.",
    )
