"""A vendor's HTTP server on this machine: what the fakes of OpenAI and Anthropic share, as a small ASGI application.

A script tells what the next requests meet; without one, each request is answered with `default`.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec
import uvicorn
from anyio.lowlevel import checkpoint

from hookflash.base.clock import Clock

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Stream this text in pieces of `size` characters; `delay` seconds before the first and `pause` between them.

    `calls` are the tools that the model then wants used: (name, arguments as JSON).
    """

    text: str
    size: int = 7
    delay: float = 0.0
    pause: float = 0.0
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error; `wait` becomes a Retry-After header."""

    status: int
    message: str = "The server had an error while processing your request."
    code: str | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept the request and say nothing for `seconds`; then hang up."""

    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Drop:
    """Stream the beginning of an answer, then break the connection (at once when the text is empty)."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Stream the beginning of an answer, then an error in the stream itself."""

    text: str = ""
    message: str = "Overloaded"


Step = Answer | Refuse | Hang | Drop | Trouble


class HangUp(Exception):
    """Ends a connection without ending its answer."""


@dataclass(slots=True)
class Request:
    """What was asked: path, headers (names in small letters), decoded body, and the body as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes = b""
    method: str = "POST"


@dataclass(slots=True)
class Script:
    """What the next requests meet, in order; what came is kept in `requests`."""

    clock: Clock
    default: Step = Answer('{"answer": "Fine.", "confidence": 0.9, "sources": [1], "clarifying": false}')
    steps: deque[Step] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    arrived: anyio.Event = field(default_factory=anyio.Event)

    def then(self, *steps: Step) -> None:
        """Add steps."""
        self.steps.extend(steps)

    def next(self, request: Request) -> Step:
        """Take the next step for a request that came."""
        self.requests.append(request)
        self.arrived.set()
        self.arrived = anyio.Event()
        return self.steps.popleft() if self.steps else self.default

    async def until(self, requests: int) -> None:
        """Wait until that many requests have come."""
        while len(self.requests) < requests:
            await self.arrived.wait()


async def read(scope: Scope, receive: Receive) -> Request:
    """The whole request; a body that is no JSON object reads as an empty one."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    try:
        decoded = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        decoded = {}
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    return Request(scope["path"], headers, decoded if isinstance(decoded, dict) else {}, body, scope["method"])


async def send_json(send: Send, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    """One JSON answer."""
    await _start(send, status, {"content-type": "application/json", **(headers or {})})
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})


async def start_events(send: Send) -> None:
    """Begin a stream of server-sent events."""
    await _start(send, 200, {"content-type": "text/event-stream; charset=utf-8"})


async def send_event(send: Send, data: Any, event: str | None = None) -> None:
    """One server-sent event; `data` is encoded unless it is already bytes."""
    raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
    head = f"event: {event}\n".encode() if event else b""
    await send({"type": "http.response.body", "body": head + b"data: " + raw + b"\n\n", "more_body": True})


async def end_events(send: Send) -> None:
    """End the stream."""
    await send({"type": "http.response.body", "body": b""})


def pieces(text: str, size: int) -> list[str]:
    """The text in pieces."""
    return [text[i : i + size] for i in range(0, len(text), max(1, size))]


async def lifespan(scope: Scope, receive: Receive, send: Send) -> bool:
    """Play along with the server's life; True when this was such a scope."""
    if scope["type"] != "lifespan":
        return False
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
    return True


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port of this machine; yields its address, `http://127.0.0.1:port`."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = _Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        await server.ready.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.enough.set()


class _Server(uvicorn.Server):
    """Tells when it listens, and leaves signals to the program."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()
        self.enough = anyio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.enough.wait()

    async def shutdown(self, sockets: Any = None) -> None:
        """At once: whoever still waits for a fake has given up on it."""
        for server in self.servers:
            server.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        while self.server_state.tasks:
            await checkpoint()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def serve(self, sockets: Any = None) -> None:
        await self._serve(sockets)


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
    )
