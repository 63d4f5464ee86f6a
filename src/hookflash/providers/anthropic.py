"""Anthropic: a language model that streams; needs the extra `hookflash[anthropic]`."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, cast

import anthropic
import anyio
import httpx2
from anthropic.types import RawMessageStreamEvent

from hookflash.assistant import cost
from hookflash.assistant.model import ChatMessage, ModelReply, ModelRequest, Stream
from hookflash.assistant.structured import SCHEMA, Reader, calls_of, reply_of
from hookflash.base.clock import within
from hookflash.base.errors import Misconfigured, ModelFailed
from hookflash.conversation.turn import Usage
from hookflash.providers.patience import Failed, is_passing, persist, worth_another
from hookflash.providers.registry import ProviderConfig

HOME = "https://api.anthropic.com"
# Room for the JSON around an answer of `max_tokens`.
_OVERHEAD = 120
# Parameters that some models refuse; they are left out from then on.
_OPTIONAL = ("output_config", "temperature")

# The model of who sets a key and names none.
USUAL = "claude-haiku-4-5"

# A stream, and its events up to the first words.
Begun = tuple[AsyncIterator[RawMessageStreamEvent], list[RawMessageStreamEvent]]


class AnthropicModel:
    """A chat model of Anthropic; `name` is `anthropic:<model>`. Without a model it is Anthropic's usual one."""

    generative = True
    sees_images = True

    def __init__(self, config: ProviderConfig) -> None:
        key = config.text("ANTHROPIC_API_KEY")
        if key is None:
            raise Misconfigured(
                "ANTHROPIC_API_KEY is not set, and without it Anthropic does not answer.",
                hint="set it, or use the model `extractive`",
            )
        self._model = config.model or USUAL
        self.name = f"anthropic:{self._model}"
        self._config = config
        self._refused: set[str] = set()
        limits = config.timeouts
        self._client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=config.text("ANTHROPIC_BASE_URL") or HOME,
            max_retries=0,
            timeout=httpx2.Timeout(limits.total, connect=limits.connect),
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        """Answer; retries before the first words came, never after. Raises ModelFailed."""
        limits = self._config.timeouts
        try:
            return await within(self._config.clock, limits.total, lambda: self._reply(request, stream))
        except TimeoutError:
            raise ModelFailed(f"The model {self.name} did not answer in time.", retryable=True) from None
        except (anthropic.APIError, httpx2.HTTPError) as error:
            raise _failed(self.name, error) from error

    async def _reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        reader = Reader()
        taken = given = 0
        stopped = ""
        wanted: dict[int, list[str]] = {}
        events, before = await self._begin(request)
        try:
            for event in before:
                _note_call(event, wanted)
                if event.type == "message_start":
                    used = event.message.usage
                    taken = (
                        used.input_tokens
                        + (used.cache_read_input_tokens or 0)
                        + (used.cache_creation_input_tokens or 0)
                    )
            latest: RawMessageStreamEvent | None = before[-1]
            while latest is not None:
                if latest.type == "content_block_delta" and latest.delta.type == "text_delta":
                    piece = reader.feed(latest.delta.text)
                    if piece:
                        await stream(piece)
                elif latest.type == "message_delta":
                    given = latest.usage.output_tokens
                    stopped = latest.delta.stop_reason or stopped
                latest = await anext(events, None)
                if latest is not None:
                    _note_call(latest, wanted)
        finally:
            with anyio.CancelScope(shield=True):
                await cast(Any, events).aclose()
        if stopped == "refusal":
            raise ModelFailed(f"The model {self.name} refused to answer.")
        usage = Usage(taken, given)
        usage = Usage(taken, given, model_micros=cost.tokens(self.name, usage).micros)
        outcome = reader.finish()
        calls = calls_of((each[0], each[1], each[2]) for _, each in sorted(wanted.items()))
        if calls:
            return ModelReply(outcome.answer, 0.5, (), self.name, usage, calls=calls)
        return reply_of(outcome, len(request.passages), self.name, usage)

    async def _begin(self, request: ModelRequest) -> Begun:
        """The stream, and its events up to the first words."""
        limits = self._config.timeouts
        return await persist(lambda: within(self._config.clock, limits.first, lambda: self._first(request)))

    async def _first(self, request: ModelRequest) -> Begun | Failed:
        before: list[RawMessageStreamEvent] = []
        try:
            events = _events(await self._open(request))
            async for event in events:
                before.append(event)
                if event.type in ("content_block_delta", "message_delta"):
                    return events, before
        except (anthropic.APIError, httpx2.HTTPError) as error:
            return Failed(_failed(self.name, error), _again(error), error)
        raise ModelFailed(f"The model {self.name} gave no answer.", retryable=True)

    async def _open(self, request: ModelRequest) -> anthropic.AsyncStream[RawMessageStreamEvent]:
        """Ask, and ask for less when the model refuses a parameter, which is remembered."""
        while True:
            try:
                opened = await self._client.messages.create(**self._parameters(request))
            except anthropic.BadRequestError as error:
                refused = [n for n in _OPTIONAL if n not in self._refused and _complains(error.message, n)]
                if not refused:
                    raise
                self._refused.update(refused)
                continue
            return cast(anthropic.AsyncStream[RawMessageStreamEvent], opened)

    def _parameters(self, request: ModelRequest) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens + _OVERHEAD,
            "system": request.system,
            "messages": _messages(request.messages),
            "stream": True,
        }
        if request.tools:
            parameters["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
                for tool in request.tools
            ]
        if "output_config" not in self._refused:
            parameters["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if "temperature" not in self._refused:
            # Anthropic's range ends at 1; newer models take none at all, and the SDK no longer names it.
            parameters["extra_body"] = {"temperature": min(1.0, request.temperature)}
        return parameters


def chat_model(config: ProviderConfig) -> AnthropicModel:
    """The entry point; ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL are read from the options."""
    return AnthropicModel(config)


async def _events(opened: anthropic.AsyncStream[RawMessageStreamEvent]) -> AsyncIterator[RawMessageStreamEvent]:
    """The stream's events, closed whatever happens."""
    async with opened:
        async for event in opened:
            yield event


def _note_call(event: RawMessageStreamEvent, wanted: dict[int, list[str]]) -> None:
    """Gather the calls of tools: id, name, arguments as JSON, by the index of their block."""
    if event.type == "content_block_start" and event.content_block.type == "tool_use":
        wanted[event.index] = [event.content_block.id, event.content_block.name, ""]
    elif event.type == "content_block_delta" and event.delta.type == "input_json_delta" and event.index in wanted:
        wanted[event.index][2] += event.delta.partial_json


def _messages(messages: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    """The results of calls that were made together travel in one message of the user's, as the vendor asks."""
    sent: list[dict[str, Any]] = []
    for message in messages:
        if message.role != "tool":
            sent.append(_message(message))
            continue
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}
        if sent and sent[-1]["role"] == "user" and isinstance(sent[-1]["content"], list):
            sent[-1]["content"].append(result)
        else:
            sent.append({"role": "user", "content": [result]})
    return sent


def _message(message: ChatMessage) -> dict[str, Any]:
    if message.calls:
        said = [{"type": "text", "text": message.text}] if message.text else []
        used = [{"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in message.calls]
        return {"role": message.role, "content": [*said, *used]}
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": i.content_type, "data": b64encode(i.data).decode()},
        }
        for i in message.images
    ]
    return {"role": message.role, "content": [*pictures, {"type": "text", "text": message.text}]}


def _complains(message: str, parameter: str) -> bool:
    message = message.lower()
    return parameter in message or (
        parameter == "output_config" and ("output_format" in message or "structured" in message)
    )


def _again(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if isinstance(error, anthropic.APITimeoutError):
        return False
    if isinstance(error, anthropic.APIStatusError):
        return worth_another(error.status_code, error.response.headers)
    return isinstance(error, anthropic.APIConnectionError | httpx2.TransportError) or type(error) is anthropic.APIError


def _failed(name: str, error: anthropic.APIError | httpx2.HTTPError) -> ModelFailed:
    """In words that hold nothing of what was asked: servers like to quote the request in their messages."""
    if isinstance(error, anthropic.AuthenticationError | anthropic.PermissionDeniedError):
        return ModelFailed(f"The key in ANTHROPIC_API_KEY was not accepted for {name}.", hint="check ANTHROPIC_API_KEY")
    if isinstance(error, anthropic.NotFoundError):
        return ModelFailed(f"Anthropic does not know the model {name}.", hint="check its name")
    if isinstance(error, anthropic.APIStatusError):
        # An error inside of a stream keeps the 200 of its answer: it is the vendor's passing trouble.
        passing = is_passing(error.status_code) or error.status_code < 400
        return ModelFailed(f"The model {name} failed: HTTP {error.status_code}.", retryable=passing)
    reason = "no answer in time" if isinstance(error, anthropic.APITimeoutError) else "the connection broke"
    return ModelFailed(f"The model {name} failed: {reason}.", retryable=True)
