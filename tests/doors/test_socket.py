"""WebSocket messages taken over from uvicorn: whole, in order, however they are cut; what breaks the rules closes the socket."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import anyio
import anyio.abc
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from hookflash.rest.socket import MAX_MESSAGE, Socket, receive, take_over
from hookflash.testing.wait import until
from tests.doors.textline import free_port

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, MORE, PING, CLOSE = 1, 2, 0, 9, 8


def frame(opcode: int, body: bytes, *, last: bool = True, masked: bool = True, bits: int = 0) -> bytes:
    size = len(body)
    first = opcode | bits | (0x80 if last else 0)
    flag = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    mask = b"\x11\xc2\x83\x74"
    return head + (mask + bytes(b ^ mask[i & 3] for i, b in enumerate(body)) if masked else body)


class Server:
    """What came to the application, and how it learned of the end."""

    def __init__(self) -> None:
        self.port = 0
        self.opened = False
        self.messages: list[bytes] = []
        self.ended = anyio.Event()
        self.wait = anyio.Event()

    async def talk(self, socket: WebSocket) -> None:
        await socket.accept()
        self.opened = True
        await self.wait.wait()
        take_over(socket, self.messages.append)
        while (message := await receive(socket)) is not None:
            self.messages.append(message)
        self.ended.set()


@asynccontextmanager
async def serving(ws: type[Socket] | str) -> AsyncIterator[Server]:
    here = Server()
    here.port = await free_port()
    app = Starlette(routes=[WebSocketRoute("/", here.talk)])
    config = uvicorn.Config(app, port=here.port, log_config=None, lifespan="off", ws=ws, ws_max_size=MAX_MESSAGE)
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve)
        await until(lambda: server.started)
        try:
            yield here
        finally:
            server.should_exit = True


async def open_on(stream: anyio.abc.ByteStream) -> None:
    await stream.send(HANDSHAKE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await stream.receive()
    assert answer.startswith(b"HTTP/1.1 101 ")


async def everything(stream: anyio.abc.ByteReceiveStream) -> bytes:
    """What the server still sends, up to its end."""
    got = b""
    try:
        while True:
            got += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return got


def talk(random: Random) -> tuple[list[bytes], bytes, int]:
    """Messages, the bytes that carry them, and how many pings are between."""
    messages, wire, pings = [], b"", 0
    for number in range(150):
        body = f"{number} ".encode() + random.randbytes(random.choice((0, 3, 120, 300, 70_000))).hex().encode()
        opcode = random.choice((TEXT, TEXT, TEXT, BINARY))
        cuts = sorted(random.sample(range(len(body)), random.choice((0, 0, 0, 1, 3)) % len(body)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        for place, piece in enumerate(pieces):
            wire += frame(opcode if place == 0 else MORE, piece, last=place == len(pieces) - 1)
            if random.random() < 0.1:
                wire += frame(PING, b"are you there")
                pings += 1
        messages.append(body)
    return messages, wire, pings


@pytest.mark.parametrize("ws", [Socket, "websockets-sansio"], ids=["taken over", "another server"])
async def test_messages_come_whole_and_in_order_however_they_are_cut(ws: type[Socket] | str) -> None:
    random = Random(7)
    messages, wire, pings = talk(random)
    async with serving(ws) as here, await anyio.connect_tcp("127.0.0.1", here.port) as stream:
        # The first ones come before anybody has taken the socket over.
        await open_on(stream)
        await stream.send(wire[:5_000])
        await until(lambda: here.opened)
        here.wait.set()
        at = 5_000
        while at < len(wire):
            size = random.choice((1, 2, 5, 700, 30_000))
            await stream.send(wire[at : at + size])
            at += size
        await until(lambda: len(here.messages) == len(messages))
        assert here.messages == messages
        await stream.send(frame(CLOSE, b"\x03\xe8"))
        answer = await everything(stream)
        assert answer.count(b"\x8a\x0dare you there") == pings
        assert answer.endswith(b"\x88\x02\x03\xe8")
        await here.ended.wait()


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(TEXT, b"not masked", masked=False), 1002),
        (frame(TEXT, b"reserved bits", bits=0x40), 1002),
        (frame(MORE, b"the middle of nothing"), 1002),
        (frame(TEXT, b"begun", last=False) + frame(BINARY, b"another"), 1002),
        (frame(PING, b"x" * 200), 1002),
        (frame(11, b"no such opcode"), 1002),
        (frame(TEXT, b"x" * (MAX_MESSAGE + 1)), 1009),
        (frame(TEXT, b"x" * (MAX_MESSAGE - 1), last=False) + frame(MORE, b"xx"), 1009),
        (struct.pack("!BBQ", 0x81, 0xFF, 2**62) + b"\0\0\0\0", 1009),
    ],
    ids=["unmasked", "bits", "stray", "two begun", "long ping", "opcode", "large", "large in parts", "huge"],
)
async def test_what_breaks_the_rules_closes_the_socket(broken: bytes, code: int) -> None:
    async with serving(Socket) as here, await anyio.connect_tcp("127.0.0.1", here.port) as stream:
        await open_on(stream)
        here.wait.set()
        await stream.send(frame(TEXT, b"first"))
        await until(lambda: bool(here.messages))
        await stream.send(broken + frame(TEXT, b"after"))
        answer = await everything(stream)
        assert b"\x88" in answer
        assert struct.pack("!H", code) in answer[answer.rindex(b"\x88") :]
        await here.ended.wait()
        assert here.messages == [b"first"]


async def test_a_connection_that_breaks_in_mid_message_is_gone() -> None:
    async with serving(Socket) as here:
        async with await anyio.connect_tcp("127.0.0.1", here.port) as stream:
            await open_on(stream)
            here.wait.set()
            await stream.send(frame(TEXT, b"first") + frame(TEXT, b"x" * 500)[:200])
            await until(lambda: bool(here.messages))
        await here.ended.wait()
        assert here.messages == [b"first"]
