"""OpenAI on this machine: chat completions (streamed or whole), embeddings, moderations and transcriptions."""

import hashlib
from email import message_from_bytes
from typing import Any

import msgspec
import numpy as np

from hookflash.base.clock import Clock
from hookflash.safety.moderation import CATEGORIES, judged
from hookflash.testing.vendor import (
    Answer,
    Drop,
    Hang,
    HangUp,
    Receive,
    Refuse,
    Request,
    Scope,
    Script,
    Send,
    Step,
    Trouble,
    end_events,
    lifespan,
    pieces,
    read,
    send_event,
    send_json,
    start_events,
)

_CREATED = 1_735_689_600


class OpenAIServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts (None: any, or none).

    `unknown` names the parameters that it does not know and refuses, as smaller compatible servers do; `silent` makes it
    ignore them without a word and stream without usage.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        key: str | None = "sk-test",
        unknown: tuple[str, ...] = (),
        silent: bool = False,
        dimensions: int = 1536,
        models: tuple[str, ...] = ("llama-local",),
    ) -> None:
        self.script = Script(clock)
        self.key = key
        self.unknown = unknown
        self.silent = silent
        self.dimensions = dimensions
        self.models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        if request.path.endswith("/models"):
            listed = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "us"} for name in self.models]
            await send_json(send, 200, {"object": "list", "data": listed})
            return
        step = self.script.next(request)
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            await _error(send, 401, "Incorrect API key provided.", "invalid_api_key")
        elif isinstance(step, Hang):
            await self.script.clock.sleep(step.seconds)
            raise HangUp
        elif isinstance(step, Refuse):
            await _error(send, step.status, step.message, step.code, wait=step.wait)
        elif request.path.endswith("/chat/completions"):
            await self._chat(request, step, send)
        elif request.path.endswith("/embeddings"):
            await self._embeddings(request, send)
        elif request.path.endswith("/moderations"):
            await self._moderations(request, step, send)
        elif request.path.endswith("/audio/transcriptions"):
            await self._transcription(request, step, send)
        else:
            await _error(send, 404, f"Invalid URL (POST {request.path})", None)

    async def _chat(self, request: Request, step: Step, send: Send) -> None:
        body = request.body
        refused = next((name for name in self.unknown if name in body), None)
        if refused is not None:
            # The step was meant for the request that succeeds.
            self.script.steps.appendleft(step)
            await _error(send, 400, f"Unrecognized request argument supplied: {refused}", None, parameter=refused)
            return
        if not body.get("model") or not isinstance(body.get("messages"), list) or not body["messages"]:
            await _error(send, 400, "You must provide a model and messages.", None, parameter="messages")
            return
        problem = _problem(body)
        if problem is not None:
            await _error(send, 400, problem, None, parameter="messages")
            return
        text = step.text if isinstance(step, Answer | Drop | Trouble) else ""
        taken = sum(len(str(m.get("content"))) for m in body["messages"]) // 4
        usage = {"prompt_tokens": taken, "completion_tokens": len(text) // 4, "total_tokens": taken + len(text) // 4}
        base = {"id": "chatcmpl-1", "created": _CREATED, "model": body["model"]}
        if isinstance(step, Answer) and step.delay:
            await self.script.clock.sleep(step.delay)
        if not body.get("stream"):
            if not isinstance(step, Answer):
                raise HangUp
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            await send_json(send, 200, {**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        await self._stream(base, step, text, usage if _wants_usage(body) and not self.silent else None, send)

    async def _stream(self, base: dict[str, Any], step: Step, text: str, usage: Any, send: Send) -> None:
        def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return {**base, "object": "chat.completion.chunk", "choices": [choice], "usage": None}

        await start_events(send)
        await send_event(send, chunk({"role": "assistant", "content": "", "refusal": None}))
        for number, piece in enumerate(pieces(text, step.size if isinstance(step, Answer) else 7)):
            if number and isinstance(step, Answer) and step.pause:
                await self.script.clock.sleep(step.pause)
            await send_event(send, chunk({"content": piece}))
        calls = step.calls if isinstance(step, Answer) else ()
        for index, (name, arguments) in enumerate(calls):
            first = {"index": index, "id": f"call_{index}", "type": "function"}
            await send_event(send, chunk({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}))
            for piece in pieces(arguments, 7):
                await send_event(send, chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        if isinstance(step, Drop):
            raise HangUp
        if isinstance(step, Trouble):
            await send_event(send, {"error": {"message": step.message, "type": "server_error", "code": None}})
        else:
            await send_event(send, chunk({}, "tool_calls" if calls else "stop"))
            if usage is not None:
                await send_event(send, {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            await send_event(send, b"[DONE]")
        await end_events(send)

    async def _embeddings(self, request: Request, send: Send) -> None:
        given = request.body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
            await _error(send, 400, "'$.input' is invalid.", None, parameter="input")
            return
        size = int(request.body.get("dimensions") or self.dimensions)
        rows = [{"object": "embedding", "index": i, "embedding": direction(text, size)} for i, text in enumerate(texts)]
        taken = sum(len(t) for t in texts) // 4
        usage = {"prompt_tokens": taken, "total_tokens": taken}
        await send_json(send, 200, {"object": "list", "data": rows, "model": request.body.get("model"), "usage": usage})

    async def _moderations(self, request: Request, step: Step, send: Send) -> None:
        """The scores of each text: those in the step's text (a JSON object), else what the local rules say."""
        given = request.body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
            await _error(send, 400, "'$.input' is invalid.", None, parameter="input")
            return
        if not isinstance(step, Answer):
            raise HangUp
        told = msgspec.json.decode(step.text) if step is not self.script.default else None
        results = []
        for text in texts:
            scores = dict.fromkeys(CATEGORIES, 0.0) | (dict(judged(text).scores) if told is None else told)
            flags = {category: score >= 0.5 for category, score in scores.items()}
            applied = {category: ["text"] for category in CATEGORIES}
            results.append(
                {
                    "flagged": any(flags.values()),
                    "categories": flags,
                    "category_scores": scores,
                    "category_applied_input_types": applied,
                }
            )
        model = request.body.get("model") or "omni-moderation-latest"
        await send_json(send, 200, {"id": "modr-1", "model": model, "results": results})

    async def _transcription(self, request: Request, step: Step, send: Send) -> None:
        """What the recording says is the script's next text."""
        fields = form_data(request)
        if not fields.get("file") or not fields.get("model"):
            missing = "model" if fields.get("file") else "file"
            await _error(send, 400, f"you must provide a {missing} parameter", None, parameter=missing)
        elif isinstance(step, Answer):
            await send_json(send, 200, {"text": step.text})
        else:
            raise HangUp


def _problem(body: dict[str, Any]) -> str | None:
    """What is wrong with the calls of tools and their results."""
    known = {tool.get("function", {}).get("name") for tool in body.get("tools", ())}
    if any(tool.get("type") != "function" for tool in body.get("tools", ())) or None in known:
        return "Missing required parameter: 'tools[0].function'."
    wanted: set[str] = set()
    for message in body["messages"]:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in wanted:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            wanted.discard(message["tool_call_id"])
        elif wanted:
            return "An assistant message with 'tool_calls' must be followed by tool messages."
        wanted |= {call["id"] for call in message.get("tool_calls", ())}
    return "An assistant message with 'tool_calls' must be followed by tool messages." if wanted else None


def form_data(request: Request) -> dict[str, bytes]:
    """The fields of a multipart/form-data request by name; of a file its content."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    fields: dict[str, bytes] = {}
    for part in message_from_bytes(head + request.raw).walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content
    return fields


def direction(text: str, dimensions: int) -> list[float]:
    """A vector for a text, always the same, whose cosine with another grows with the words that they share."""
    total = np.zeros(dimensions, dtype=np.float64)
    for word in text.lower().split() or [text]:
        seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8])
        total += np.random.default_rng(seed).standard_normal(dimensions)
    return [float(x) for x in total / np.linalg.norm(total)]


def _wants_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


async def _error(
    send: Send, status: int, message: str, code: str | None, *, parameter: str | None = None, wait: float | None = None
) -> None:
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "server_error" if status >= 500 else "invalid_request_error"
    )
    headers = {} if wait is None else {"retry-after": f"{wait:g}"}
    body = {"error": {"message": message, "type": kind, "param": parameter, "code": code}}
    await send_json(send, status, body, headers)
