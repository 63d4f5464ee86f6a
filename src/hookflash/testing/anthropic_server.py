"""Anthropic on this machine: the Messages endpoint (streamed or whole) as the vendor's contract says, by script."""

from typing import Any

from hookflash.base.clock import Clock
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


class AnthropicServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts.

    `unknown` names the parameters that its model refuses.
    """

    def __init__(self, clock: Clock, *, key: str = "sk-test", unknown: tuple[str, ...] = ()) -> None:
        self.script = Script(clock)
        self.key = key
        self.unknown = unknown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        step = self.script.next(request)
        if self.key not in (
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "")[len("Bearer ") :],
        ):
            await _error(send, 401, "authentication_error", "invalid x-api-key")
        elif isinstance(step, Hang):
            await self.script.clock.sleep(step.seconds)
            raise HangUp
        elif isinstance(step, Refuse):
            await _error(send, step.status, _kind(step.status), step.message, wait=step.wait)
        elif request.path != "/v1/messages":
            await _error(send, 404, "not_found_error", "Not found")
        else:
            await self._messages(request, step, send)

    async def _messages(self, request: Request, step: Step, send: Send) -> None:
        body = request.body
        refused = next((name for name in self.unknown if name in body), None)
        if refused is not None:
            # The step was meant for the request that succeeds.
            self.script.steps.appendleft(step)
            await _error(send, 400, "invalid_request_error", f"{refused}: Extra inputs are not permitted")
            return
        problem = _problem(request)
        if problem is not None:
            await _error(send, 400, "invalid_request_error", problem)
            return
        text = step.text if isinstance(step, Answer | Drop | Trouble) else ""
        taken = (len(str(body.get("system", ""))) + sum(len(str(m["content"])) for m in body["messages"])) // 4
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": taken, "output_tokens": 1},
        }
        if isinstance(step, Answer) and step.delay:
            await self.script.clock.sleep(step.delay)
        if body.get("stream"):
            await self._stream(message, step, text, send)
        elif isinstance(step, Answer):
            usage = {"input_tokens": taken, "output_tokens": len(text) // 4}
            whole = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}
            await send_json(send, 200, {**message, **whole})
        else:
            raise HangUp

    async def _stream(self, message: dict[str, Any], step: Step, text: str, send: Send) -> None:
        async def event(kind: str, **data: Any) -> None:
            await send_event(send, {"type": kind, **data}, kind)

        await start_events(send)
        await event("message_start", message=message)
        await event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        await event("ping")
        for number, piece in enumerate(pieces(text, step.size if isinstance(step, Answer) else 7)):
            if number and isinstance(step, Answer) and step.pause:
                await self.script.clock.sleep(step.pause)
            await event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        if isinstance(step, Drop):
            raise HangUp
        if isinstance(step, Trouble):
            await event("error", error={"type": "overloaded_error", "message": step.message})
        else:
            await event("content_block_stop", index=0)
            calls = step.calls if isinstance(step, Answer) else ()
            for index, (name, arguments) in enumerate(calls, start=1):
                used = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
                await event("content_block_start", index=index, content_block=used)
                for piece in pieces(arguments, 7):
                    delta = {"type": "input_json_delta", "partial_json": piece}
                    await event("content_block_delta", index=index, delta=delta)
                await event("content_block_stop", index=index)
            ended = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
            await event("message_delta", delta=ended, usage={"output_tokens": len(text) // 4})
            await event("message_stop")
        await end_events(send)


def _problem(request: Request) -> str | None:
    body, messages = request.body, request.body.get("messages")
    if "anthropic-version" not in request.headers:
        return "anthropic-version: header is required"
    if not body.get("model"):
        return "model: Field required"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    if messages[0].get("role") != "user" or any(m.get("role") not in ("user", "assistant") for m in messages):
        return "messages: first message must use the user role"
    if any(not m.get("content") for m in messages):
        return "messages: text content blocks must be non-empty"
    if any(not {"name", "input_schema"} <= set(tool) for tool in body.get("tools", ())):
        return "tools.0.input_schema: Field required"
    wanted: set[str] = set()
    for message in messages:
        blocks = [block for block in message["content"] if isinstance(block, dict)]
        results = {block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"}
        if results != wanted:
            return "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
        wanted = {block["id"] for block in blocks if block.get("type") == "tool_use"}
    return None


def _kind(status: int) -> str:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")


async def _error(send: Send, status: int, kind: str, message: str, *, wait: float | None = None) -> None:
    headers = {} if wait is None else {"retry-after": f"{wait:g}"}
    await send_json(send, status, {"type": "error", "error": {"type": kind, "message": message}}, headers)
