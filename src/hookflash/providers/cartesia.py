"""Cartesia: text into speech over one web socket, on which every text is a context that can be cancelled."""

import binascii
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import msgspec
from anyio.abc import ObjectSendStream, TaskGroup
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from hookflash.base.clock import Clock
from hookflash.base.tasks import bare_error
from hookflash.providers.formats import require
from hookflash.providers.live import Vendor, attended, dial, hang_up, socket_address
from hookflash.providers.registry import ProviderConfig
from hookflash.providers.speaking import model_and_voice, plain_language
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

VENDOR = Vendor("Cartesia", "CARTESIA_API_KEY")
HOME = "https://api.cartesia.ai"
# The date of the vendor's contract that this file keeps to.
_VERSION = "2026-08-14"
_KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
_FORMATS = {("mulaw", 8000): "pcm_mulaw", ("s16le", 8000): "pcm_s16le", ("s16le", 16000): "pcm_s16le"}
_WAITING = 64


class CartesiaTts:
    """`cartesia`, `cartesia:<model>` or `cartesia:<model>@<voice id>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model, self._voice = model_and_voice(config, "sonic-3", _KATIE)
        self._key = VENDOR.key(config)
        self._address = socket_address(config.text("CARTESIA_BASE_URL") or HOME)
        self._clock = config.clock
        self.traits = TtsTraits(f"cartesia:{self._model}", tuple(_FORMATS), ssml=True)

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        asked: dict[str, Any] = {
            "model_id": self._model,
            "voice": {"mode": "id", "id": voice or self._voice},
            "output_format": {
                "container": "raw",
                "encoding": _FORMATS[encoding, sample_rate],
                "sample_rate": sample_rate,
            },
            "continue": False,
        }
        told = plain_language(language)
        if told is not None:
            asked["language"] = told
        headers = {"Authorization": f"Bearer {self._key}", "Cartesia-Version": _VERSION}
        with bare_error():
            async with anyio.create_task_group() as group:
                line = _Voice(f"{self._address}/tts/websocket", headers, asked, group, self._clock)
                await line.connected()
                try:
                    yield line
                finally:
                    await line.close()
                group.cancel_scope.cancel()


class _Message(msgspec.Struct):
    type: str
    context_id: str | None = None
    data: str = ""
    status_code: int | None = None
    error_code: str | None = None


_message = msgspec.json.Decoder(_Message)


class _Voice:
    """The socket and the texts that are being spoken on it, by context."""

    def __init__(
        self, url: str, headers: dict[str, str], asked: dict[str, Any], group: TaskGroup, clock: Clock
    ) -> None:
        self._url = url
        self._headers = headers
        self._asked = asked
        self._group = group
        self._clock = clock
        self._numbers = count(1)
        self._opening = anyio.Lock()
        self._socket: ClientConnection | None = None
        self._contexts: dict[str, ObjectSendStream[_Message | None]] = {}

    async def connected(self) -> ClientConnection:
        """The socket; a new one when the old one was closed, as it is after minutes of silence."""
        async with self._opening:
            if self._socket is None or self._socket.state is not State.OPEN:
                self._socket = await dial(VENDOR, self._url, self._headers, self._clock)
                self._group.start_soon(self._receive, self._socket)
            return self._socket

    async def close(self) -> None:
        if self._socket is not None:
            await hang_up(self._socket)

    async def speak(self, text: str, sound: Sound) -> None:
        socket = await self.connected()
        context = f"{id(socket):x}-{next(self._numbers)}"
        post, messages = anyio.create_memory_object_stream[_Message | None](_WAITING)
        self._contexts[context] = post
        over = False
        try:
            async with attended(VENDOR, self._clock) as vigil:
                request = self._asked | {"context_id": context, "transcript": text}
                await socket.send(msgspec.json.encode(request).decode())
                while not over:
                    message = await messages.receive()
                    vigil.rest()
                    if message is None:
                        over = True
                        raise VENDOR.lost()
                    over = await _say(message, sound)
                    vigil.begin()
        except ConnectionClosed as error:
            over = True
            raise VENDOR.lost() from error
        except (msgspec.DecodeError, binascii.Error) as error:
            raise VENDOR.unreadable() from error
        finally:
            del self._contexts[context]
            post.close()
            messages.close()
            if not over:
                self._group.start_soon(_cancel, socket, context)

    async def _receive(self, socket: ClientConnection) -> None:
        try:
            async for raw in socket:
                message = _message.decode(raw)
                # Late sound of a cancelled text has no context any more. An error without one is everybody's.
                for context, post in list(self._contexts.items()):
                    if message.context_id in (context, None):
                        await _put(post, message)
        except (ConnectionClosed, msgspec.DecodeError):
            # Whoever waits is told below that the connection is lost.
            pass
        finally:
            with anyio.CancelScope(shield=True):
                await socket.close()
            for post in list(self._contexts.values()):
                await _put(post, None)


async def _put(post: ObjectSendStream[_Message | None], message: _Message | None) -> None:
    try:
        await post.send(message)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # It was cancelled meanwhile.
        return


async def _say(message: _Message, sound: Sound) -> bool:
    """Whether the text is over."""
    if message.type == "error":
        status = message.status_code or 0
        if status in (400, 401, 403, 404, 422):
            raise VENDOR.refused(status)
        raise VENDOR.failed(message.error_code or str(status))
    if message.type == "chunk" and message.data:
        await sound(b64decode(message.data, validate=True))
    return message.type == "done"


async def _cancel(socket: ClientConnection, context: str) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await socket.send(msgspec.json.encode({"context_id": context, "cancel": True}).decode())
        except ConnectionClosed:
            return


def tts(config: ProviderConfig) -> CartesiaTts:
    """The entry point `cartesia`."""
    return CartesiaTts(config)
