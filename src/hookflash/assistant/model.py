"""What is asked of a language model, by any vendor, and what it gives back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hookflash.conversation.turn import Usage
from hookflash.knowledge.passage import Passage


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the person sent."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it; `schema` is the JSON Schema of its input."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool used. `id` is the vendor's, for the result; arguments that are no object come as `{}`."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the dialogue as the model sees it. One of the role `tool` is the result of the call `call_id`."""

    role: Literal["user", "assistant", "tool"]
    text: str
    images: tuple[Image, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model. `system` and `messages` say everything to a generative model.

    `question` (follow-ups resolved) and `passages` (numbered from 1 in the prompt) are the same in structured form,
    for models that extract. `language` is ISO 639-1 (`hi-Latn` for romanised Hindi).
    """

    system: str
    messages: tuple[ChatMessage, ...]
    question: str
    passages: tuple[Passage, ...]
    language: str
    temperature: float = 0.2
    max_tokens: int = 400
    max_chars: int | None = None
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The structured outcome. `confidence` is 0..1; `sources` are passage numbers from 1; `model` answered.

    With `calls` it is not an answer yet: the tools are to be used, and the model asked again with their results.
    """

    answer: str
    confidence: float
    sources: tuple[int, ...]
    model: str
    usage: Usage = field(default_factory=Usage)
    clarifying: bool = False
    calls: tuple[ToolCall, ...] = ()


Stream = Callable[[str], Awaitable[None]]


class ChatModel(Protocol):
    """A language model. Streams the words of the answer as they come; raises ModelFailed (it knows `retryable`)."""

    @property
    def name(self) -> str: ...

    @property
    def sees_images(self) -> bool: ...

    @property
    def generative(self) -> bool:
        """Whether it follows `system` and writes freely; one that extracts knows only `question` and `passages`."""
        ...

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply: ...


async def nowhere(_: str) -> None:
    """A stream for those who only want the whole."""
