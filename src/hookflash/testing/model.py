"""A language model by script: replies, delays and failures under a clock."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from hookflash.assistant.model import ModelReply, ModelRequest, Stream, ToolCall
from hookflash.base.clock import Clock
from hookflash.base.errors import ModelFailed
from hookflash.conversation.turn import Usage

_USED = Usage(100, 20, model_micros=30)


@dataclass(frozen=True, slots=True)
class Says:
    """A reply; `delay` seconds before its first word and `pause` between words."""

    answer: str
    confidence: float = 0.9
    sources: tuple[int, ...] = (1,)
    clarifying: bool = False
    delay: float = 0.0
    pause: float = 0.0
    usage: Usage = _USED


@dataclass(frozen=True, slots=True)
class Uses:
    """The wish to use tools: (name, arguments) of each, all at once."""

    calls: tuple[tuple[str, dict[str, Any]], ...]
    delay: float = 0.0
    usage: Usage = _USED


@dataclass(frozen=True, slots=True)
class Fails:
    """A failure, after `delay` seconds and, if any, the beginning of an answer."""

    message: str = "The model is away."
    retryable: bool = True
    delay: float = 0.0
    after: str = ""


class ScriptedModel:
    """A ChatModel that says what it was told to, in order; without a script it always says `default`.

    What it was asked is kept in `requests`.
    """

    def __init__(
        self,
        clock: Clock,
        *steps: Says | Uses | Fails,
        name: str = "scripted",
        default: Says | Uses | Fails = Says("Fine."),
        sees_images: bool = False,
        generative: bool = True,
    ) -> None:
        self.name = name
        self.sees_images = sees_images
        self.generative = generative
        self.requests: list[ModelRequest] = []
        self._clock = clock
        self._used = 0
        self._steps = deque(steps)
        self._default = default

    def then(self, *steps: Says | Uses | Fails) -> None:
        """Add to the script."""
        self._steps.extend(steps)

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        self.requests.append(request)
        step = self._steps.popleft() if self._steps else self._default
        await self._clock.sleep(step.delay)
        if isinstance(step, Fails):
            if step.after:
                await stream(step.after)
            raise ModelFailed(step.message, retryable=step.retryable)
        if isinstance(step, Uses):
            self._used += len(step.calls)
            calls = tuple(
                ToolCall(f"call_{self._used}_{number}", name, arguments)
                for number, (name, arguments) in enumerate(step.calls)
            )
            return ModelReply("", 0.5, (), self.name, step.usage, calls=calls)
        words = step.answer.split(" ")
        for number, word in enumerate(words):
            if number:
                await self._clock.sleep(step.pause)
            await stream(word if number == len(words) - 1 else word + " ")
        sources = tuple(n for n in step.sources if n <= len(request.passages))
        return ModelReply(step.answer, step.confidence, sources, self.name, step.usage, step.clarifying)
