"""A vendor's web socket on this machine: what the fakes of speech vendors share, on top of ASGI."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import msgspec

from hookflash.base.clock import Clock
from hookflash.testing.speech import Listening, Speaking
from hookflash.testing.vendor import HangUp, Receive, Scope, Send


@dataclass(slots=True)
class Connection:
    """A connection or request that came: where to, with what, and all that was said on it."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    messages: list[Any] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    closed: bool = False


@dataclass(slots=True)
class SpeechScript:
    """What the next streams and texts meet, in order; what came is kept in `connections`.

    `doors` are HTTP statuses (None: come in) for the next connections of a voice.
    """

    clock: Clock
    streams: deque[Listening] = field(default_factory=deque)
    texts: deque[Speaking] = field(default_factory=deque)
    doors: deque[int | None] = field(default_factory=deque)
    listening: Listening = field(default_factory=Listening)
    speaking: Speaking = field(default_factory=Speaking)
    connections: list[Connection] = field(default_factory=list)
    # Texts that were stopped before their end.
    stopped: list[str] = field(default_factory=list)

    def next_stream(self) -> Listening:
        return self.streams.popleft() if self.streams else self.listening

    def next_text(self) -> Speaking:
        return self.texts.popleft() if self.texts else self.speaking

    def next_door(self) -> int | None:
        return self.doors.popleft() if self.doors else None


class Line:
    """The vendor's end of a socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.connection = came(scope)
        self._receive = receive
        self._send = send

    async def refuse(self, status: int) -> None:
        """Answer the handshake with a status."""
        await self._receive()
        head = {"type": "websocket.http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
        await self._send(head)
        await self._send({"type": "websocket.http.response.body", "body": b""})

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def messages(self) -> AsyncIterator[Any]:
        """Audio as bytes, everything else decoded, until the other end closes."""
        while True:
            event = await self._receive()
            if event["type"] != "websocket.receive":
                self.connection.closed = True
                return
            if event.get("bytes") is not None:
                self.connection.audio += event["bytes"]
                yield event["bytes"]
            else:
                message = msgspec.json.decode(event["text"])
                self.connection.messages.append(message)
                yield message

    async def tell(self, message: Any) -> None:
        """A message; text goes as it is."""
        text = message if isinstance(message, str) else msgspec.json.encode(message).decode()
        await self._send({"type": "websocket.send", "text": text})

    async def garble(self) -> None:
        """Send what cannot be read."""
        await self.tell('{"type": "Results", "channel": 7, "audio": "%%%", "data": "%%%"')

    async def close(self, code: int = 1000) -> None:
        await self._send({"type": "websocket.close", "code": code})

    async def hang(self) -> None:
        """Say nothing any more, until the other end has had enough."""
        async for _ in self.messages():
            await anyio.lowlevel.checkpoint()


def came(scope: Scope) -> Connection:
    """Who came, and where to."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    return Connection(unquote(scope["path"]), parse_qs(scope["query_string"].decode()), headers)


def die() -> None:
    """Break the connection in the middle of everything."""
    raise HangUp
