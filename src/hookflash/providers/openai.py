"""OpenAI, and every server that speaks its protocol: a language model that streams, and an embedder."""

import math
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import httpx2
import msgspec
import numpy as np
import openai
from openai.types.chat import ChatCompletionChunk

from hookflash.assistant import cost
from hookflash.assistant.model import ChatMessage, ModelReply, ModelRequest, Stream, ToolSpec
from hookflash.assistant.structured import SCHEMA, Reader, calls_of, reply_of
from hookflash.base.clock import within
from hookflash.base.errors import Misconfigured, ModelFailed, Unavailable
from hookflash.conversation.turn import Usage
from hookflash.knowledge.passage import Vector
from hookflash.providers.patience import Failed, is_passing, persist, worth_another
from hookflash.providers.registry import ProviderConfig

HOME = "https://api.openai.com/v1"
# Room for the JSON around an answer of `max_tokens`.
_OVERHEAD = 120
_BATCH = 256
_NO_ENTRY = "The key in OPENAI_API_KEY was not accepted for {}."
_CHECK = "check OPENAI_API_KEY and OPENAI_BASE_URL"
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
# Parameters that some servers, or some models, refuse; they are left out from then on.
_NEW = frozenset({"response_format", "stream_options"})
_OPTIONAL = ("response_format", "stream_options", "temperature", "max_completion_tokens", "max_tokens")

# The model of who sets a key and names none.
USUAL = "gpt-4o-mini"

# A stream and its first piece.
Begun = tuple[AsyncIterator[ChatCompletionChunk], ChatCompletionChunk]


class OpenAIModel:
    """A chat model of an OpenAI-compatible server; `name` is `openai:<model>`.

    Without a model it is OpenAI's usual one; of another server, the first that the server lists.
    """

    generative = True
    sees_images = True

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._client, self._at_home = client_of(config)
        self._model = config.model or (USUAL if self._at_home else "")
        self.name = f"openai:{self._model}" if self._model else "openai"
        self._refused: set[str] = set()
        # OpenAI itself wants the newer name, other servers often know only the older one.
        self._limits = (
            ["max_completion_tokens", "max_tokens"] if self._at_home else ["max_tokens", "max_completion_tokens"]
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
        except (openai.APIError, httpx2.HTTPError) as error:
            raise _failed(self.name, error) from error

    async def _reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        reader, usage = Reader(), Usage()
        refusal = False
        wanted: dict[int, list[str]] = {}
        chunks, first = await self._begin(request)
        try:
            chunk: ChatCompletionChunk | None = first
            while chunk is not None:
                if chunk.usage is not None:
                    usage = Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0)
                for choice in chunk.choices:
                    refusal = (
                        refusal
                        or bool(choice.delta and choice.delta.refusal)
                        or choice.finish_reason == "content_filter"
                    )
                    for part in (choice.delta and choice.delta.tool_calls) or ():
                        call = wanted.setdefault(part.index, ["", "", ""])
                        call[0] = part.id or call[0]
                        call[1] += (part.function and part.function.name) or ""
                        call[2] += (part.function and part.function.arguments) or ""
                    piece = reader.feed((choice.delta and choice.delta.content) or "")
                    if piece:
                        await stream(piece)
                chunk = await anext(chunks, None)
        finally:
            with anyio.CancelScope(shield=True):
                await cast(Any, chunks).aclose()
        if refusal:
            raise ModelFailed(f"The model {self.name} refused to answer.")
        outcome = reader.finish()
        calls = calls_of((each[0], each[1], each[2]) for _, each in sorted(wanted.items()))
        if usage == Usage():
            # The server does not count: about four characters make a token.
            said = len(request.system) + sum(len(m.text) for m in request.messages)
            given = len(outcome.answer) + sum(len(each[2]) for each in wanted.values())
            usage = Usage(math.ceil(said / 4), math.ceil(given / 4))
        usage = Usage(usage.input_tokens, usage.output_tokens, model_micros=cost.tokens(self.name, usage).micros)
        if calls:
            return ModelReply(outcome.answer, 0.5, (), self.name, usage, calls=calls)
        return reply_of(outcome, len(request.passages), self.name, usage)

    async def _begin(self, request: ModelRequest) -> Begun:
        """The stream and its first piece."""
        limits = self._config.timeouts
        return await persist(lambda: within(self._config.clock, limits.first, lambda: self._first(request)))

    async def _first(self, request: ModelRequest) -> Begun | Failed:
        try:
            chunks = _pieces(await self._open(request))
            first = await anext(chunks, None)
        except (openai.APIError, httpx2.HTTPError) as error:
            return Failed(_failed(self.name, error), worth_again(error), error)
        if first is None:
            raise ModelFailed(f"The model {self.name} gave no answer.", retryable=True)
        return chunks, first

    async def _open(self, request: ModelRequest) -> openai.AsyncStream[ChatCompletionChunk]:
        """Ask, and ask for less when the server refuses a parameter, which is remembered."""
        if not self._model:
            listed = (await self._client.models.list()).data
            if not listed:
                raise ModelFailed("The server of OPENAI_BASE_URL has no model.", retryable=True)
            self._model = listed[0].id
            self.name = f"openai:{self._model}"
        while True:
            sent = self._parameters(request)
            try:
                return cast(openai.AsyncStream[ChatCompletionChunk], await self._client.chat.completions.create(**sent))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if self._forgo(error, sent):
                    continue
                if self._at_home or not _NEW.intersection(sent):
                    raise
            # A bare "bad request" of a small server: if it takes what every server knows, it did not know the rest.
            plain = {name: value for name, value in sent.items() if name not in _NEW}
            opened = await self._client.chat.completions.create(**plain)
            self._refused |= _NEW
            return cast(openai.AsyncStream[ChatCompletionChunk], opened)

    def _parameters(self, request: ModelRequest) -> dict[str, Any]:
        optional = {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "outcome", "strict": True, "schema": SCHEMA},
            },
            "stream_options": {"include_usage": True},
            "temperature": request.temperature,
            **dict.fromkeys(self._limits[:1], request.max_tokens + _OVERHEAD),
        }
        return {
            "model": self._model,
            "stream": True,
            "messages": [{"role": "system", "content": request.system}, *map(_message, request.messages)],
            **({"tools": [_function(tool) for tool in request.tools]} if request.tools else {}),
            **{name: value for name, value in optional.items() if name not in self._refused},
        }

    def _forgo(self, error: openai.APIStatusError, sent: dict[str, Any]) -> bool:
        """Remember what the server refused; False when it refused nothing that we could leave out."""
        complaint = f"{error.param or ''} {error.message}".lower()
        named = [name for name in _OPTIONAL if name in sent and name in complaint]
        for name in named:
            if name in self._limits:
                self._limits.remove(name)
            else:
                self._refused.add(name)
        return bool(named)


class OpenAIEmbedder:
    """An embeddings endpoint of an OpenAI-compatible server; `name` is `openai:<model>@<dimensions>`.

    The model is written `text-embedding-3-small`, or `bge-m3@1024` where we do not know its dimensions or fewer are wanted.
    """

    def __init__(self, config: ProviderConfig) -> None:
        model, _, wanted = config.model.partition("@")
        self._model = model or "text-embedding-3-small"
        natural = _DIMENSIONS.get(self._model)
        if (wanted and not (wanted.isdigit() and 1 <= int(wanted) <= 8192)) or not (wanted or natural):
            raise Misconfigured(
                f"The dimensions of the embedding model {self._model!r} are not known.",
                hint="name them behind the model, such as openai:bge-m3@1024",
            )
        self.dimensions = int(wanted) if wanted else cast(int, natural)
        self._ask_for_dimensions = self.dimensions != natural
        self.name = f"openai:{self._model}@{self.dimensions}"
        self.max_tokens = 8191 if natural else 512
        self._config = config
        self._client, _ = client_of(config)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    def count_tokens(self, text: str) -> int:
        """About: bytes by four, as the vendor's tokenizer is not here."""
        return math.ceil(len(text.encode("utf-8", "replace")) / 4)

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimensions), float32, rows of length 1. Raises Unavailable when the server fails."""
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            rows[start : start + len(batch)] = await self._batch(batch)
        return rows

    async def _batch(self, texts: list[str]) -> Vector:
        try:
            limits = self._config.timeouts
            vectors = await persist(lambda: within(self._config.clock, limits.total, lambda: self._try(texts)))
        except TimeoutError:
            raise Unavailable(f"The embedder {self.name} did not answer in time.") from None
        if vectors.shape != (len(texts), self.dimensions):
            raise Unavailable(
                f"The embedder {self.name} answered with other dimensions than {self.dimensions}.",
                hint="name the model's dimensions, such as openai:bge-m3@1024",
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(vectors)) or not np.all(lengths > 0):
            raise Unavailable(f"The embedder {self.name} answered with numbers that are no direction.")
        return cast(Vector, (vectors / lengths).astype(np.float32))

    async def _try(self, texts: list[str]) -> Vector | Failed:
        try:
            return await self._ask(texts)
        except openai.AuthenticationError as error:
            return Failed(Unavailable(_NO_ENTRY.format(self.name), hint=_CHECK), False, error)
        except (openai.APIError, httpx2.HTTPError) as error:
            failed = Unavailable(f"The embedder {self.name} failed: {reason_of(error)}.")
            return Failed(failed, worth_again(error), error)

    async def _ask(self, texts: list[str]) -> Vector:
        # An empty text is refused by the vendor; one space has the same meaning.
        parameters: dict[str, Any] = {"model": self._model, "input": [text or " " for text in texts]}
        if self._ask_for_dimensions:
            parameters["dimensions"] = self.dimensions
        try:
            answer = await self._client.embeddings.create(**parameters, encoding_format="float")
        except openai.BadRequestError as error:
            if "dimensions" not in parameters or "dimension" not in error.message.lower():
                raise
            # The server has one size only, and the shape is checked afterwards.
            self._ask_for_dimensions = False
            answer = await self._client.embeddings.create(
                model=self._model, input=parameters["input"], encoding_format="float"
            )
        rows = sorted(answer.data, key=lambda row: row.index)
        try:
            return np.array([row.embedding for row in rows], dtype=np.float32)
        except ValueError:
            return np.zeros((0, 0), dtype=np.float32)


def chat_model(config: ProviderConfig) -> OpenAIModel:
    """The entry point; OPENAI_API_KEY and OPENAI_BASE_URL are read from the options."""
    return OpenAIModel(config)


def embedder(config: ProviderConfig) -> OpenAIEmbedder:
    """The entry point; OPENAI_API_KEY and OPENAI_BASE_URL are read from the options."""
    return OpenAIEmbedder(config)


async def _pieces(opened: openai.AsyncStream[ChatCompletionChunk]) -> AsyncIterator[ChatCompletionChunk]:
    """The stream's chunks, closed whatever happens; those before the first that says something are skipped."""
    async with opened:
        async for chunk in opened:
            if chunk.usage is not None or any(
                (c.delta and (c.delta.content or c.delta.refusal or c.delta.tool_calls)) or c.finish_reason
                for c in chunk.choices
            ):
                yield chunk


def client_of(config: ProviderConfig) -> tuple[openai.AsyncOpenAI, bool]:
    """A client of the server that the options name, and whether that is OpenAI itself. Raises Misconfigured."""
    base_url = (config.text("OPENAI_BASE_URL") or HOME).rstrip("/")
    at_home = base_url == HOME
    key = config.text("OPENAI_API_KEY")
    if key is None and at_home:
        raise Misconfigured(
            "OPENAI_API_KEY is not set, and without it OpenAI does not answer.",
            hint="set it, or set OPENAI_BASE_URL to a server that needs none, or use the model `extractive`",
        )
    limits = config.timeouts
    client = openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=base_url,
        max_retries=0,
        timeout=httpx2.Timeout(limits.total, connect=limits.connect),
    )
    return client, at_home


def _function(tool: ToolSpec) -> dict[str, Any]:
    about = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": about}


def _message(message: ChatMessage) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if message.calls:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
            }
            for call in message.calls
        ]
        return {"role": message.role, "content": message.text or None, "tool_calls": calls}
    if not message.images:
        return {"role": message.role, "content": message.text}
    pictures = [
        {"type": "image_url", "image_url": {"url": f"data:{i.content_type};base64,{b64encode(i.data).decode()}"}}
        for i in message.images
    ]
    return {"role": message.role, "content": [{"type": "text", "text": message.text}, *pictures]}


def worth_again(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if isinstance(error, openai.APITimeoutError):
        return False
    if isinstance(error, openai.APIStatusError):
        return error.code != "insufficient_quota" and worth_another(error.status_code, error.response.headers)
    return isinstance(error, openai.APIConnectionError | httpx2.TransportError) or type(error) is openai.APIError


def _failed(name: str, error: openai.APIError | httpx2.HTTPError) -> ModelFailed:
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return ModelFailed(_NO_ENTRY.format(name), hint=_CHECK)
    if isinstance(error, openai.NotFoundError):
        return ModelFailed(f"The server does not know the model {name}.", hint="check its name and OPENAI_BASE_URL")
    retryable = is_passing(error.status_code) if isinstance(error, openai.APIStatusError) else True
    return ModelFailed(f"The model {name} failed: {reason_of(error)}.", retryable=retryable)


def reason_of(error: Exception) -> str:
    """In words that hold nothing of what was asked: servers like to quote the request in their messages."""
    if isinstance(error, openai.APIStatusError):
        return f"HTTP {error.status_code}" + (f", {error.code}" if error.code else "")
    return "no answer in time" if isinstance(error, openai.APITimeoutError) else "the connection broke"
