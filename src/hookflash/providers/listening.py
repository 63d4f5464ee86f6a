"""A transcriber over a web socket: audio out in pieces, transcripts in, for every vendor that talks in this manner."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import anyio
import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.base.clock import Clock, within
from hookflash.base.tasks import bare_error
from hookflash.providers.live import CONNECT, Vendor, Vigil, dial, hang_up
from hookflash.speech.stt import Heard, SttStream, Transcript

# Seconds of audio in one message: fewer messages, and what vendors recommend.
PIECE = 0.08
# Seconds of audio that may wait for a vendor that does not take it.
WAITING = 8.0
# Seconds without audio after which a vendor is told that we are still there.
_IDLE = 4.0

_log = structlog.get_logger(__name__)


class Dialogue(Protocol):
    """What one vendor says and understands; no I/O. `farewell` and `still_here` are messages, None where it has none."""

    farewell: str | None
    still_here: str | None

    def opening(self) -> str | None:
        """The first message, if the vendor expects one."""
        ...

    @property
    def ready(self) -> bool:
        """Whether audio may be sent."""
        ...

    @property
    def owing(self) -> bool:
        """Whether final words were asked for and have not come."""
        ...

    def audio(self, piece: bytes) -> str | bytes:
        """The message that carries this audio."""
        ...

    def finalize(self) -> str:
        """The message that asks for the final words."""
        ...

    def receive(self, raw: str | bytes) -> Sequence[Transcript]:
        """What a message tells. Raises Unavailable, Misconfigured, and msgspec.DecodeError for what cannot be read."""
        ...


class Outgoing:
    """Audio on its way to a vendor, in pieces of `piece` bytes; holds `most`, then drops the oldest and counts it."""

    def __init__(self, piece: int, most: int) -> None:
        self._piece = piece
        self._most = most
        self._gathered = bytearray()
        self._pieces: deque[bytes | None] = deque()
        self._held = 0
        self._arrived = anyio.Event()
        self.dropped = 0

    def feed(self, audio: bytes) -> None:
        self._gathered += audio
        if len(self._gathered) >= self._piece:
            self._flush()

    def finalize(self) -> None:
        """Send what there is, and ask for the final words behind it."""
        self._flush()
        if not self._pieces or self._pieces[-1] is not None:
            self._pieces.append(None)
        self._arrived.set()

    async def next(self) -> bytes | None:
        """The next piece; None where the final words are to be asked for."""
        while not self._pieces:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        piece = self._pieces.popleft()
        self._held -= len(piece or b"")
        return piece

    def _flush(self) -> None:
        if not self._gathered:
            return
        self._pieces.append(bytes(self._gathered))
        self._held += len(self._gathered)
        self._gathered.clear()
        while self._held > self._most:
            oldest = next(n for n, piece in enumerate(self._pieces) if piece is not None)
            lost = len(self._pieces[oldest] or b"")
            del self._pieces[oldest]
            self._held -= lost
            self.dropped += lost
        self._arrived.set()


class _Stream:
    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    @property
    def dropped(self) -> int:
        """Bytes of audio that the vendor was too slow to take."""
        return self._outgoing.dropped

    async def feed(self, audio: bytes) -> None:
        self._outgoing.feed(audio)

    async def finalize(self) -> None:
        self._outgoing.finalize()


@asynccontextmanager
async def listening(
    vendor: Vendor,
    url: str,
    headers: Mapping[str, str],
    dialogue: Dialogue,
    heard: Heard,
    *,
    clock: Clock,
    bytes_per_second: int,
) -> AsyncIterator[SttStream]:
    """A stream to a vendor, as `Stt.stream` describes it."""
    outgoing = Outgoing(int(PIECE * bytes_per_second), int(WAITING * bytes_per_second))
    vigil = Vigil(vendor, clock)
    socket = await dial(vendor, url, headers, clock)

    async def send() -> None:
        while True:
            piece = await outgoing.next()
            if piece is None:
                vigil.begin()
                await socket.send(dialogue.finalize())
            else:
                await socket.send(dialogue.audio(piece))

    async def receive() -> None:
        async for raw in socket:
            for transcript in dialogue.receive(raw):
                await heard(transcript)
            if dialogue.owing:
                vigil.begin()
            else:
                vigil.rest()
        raise vendor.lost()

    async def talk(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ConnectionClosed as error:
            raise vendor.lost() from error
        except msgspec.DecodeError as error:
            raise vendor.unreadable() from error

    try:
        await _open(vendor, socket, dialogue, clock)
        with bare_error():
            async with anyio.create_task_group() as group:
                group.start_soon(talk, send)
                group.start_soon(talk, receive)
                group.start_soon(vigil.keep)
                if dialogue.still_here is not None:
                    group.start_soon(talk, partial(_say_still_here, socket, dialogue.still_here, clock))
                yield _Stream(outgoing)
                group.cancel_scope.cancel()
    finally:
        if outgoing.dropped:
            _log.warning("audio dropped before the transcriber", vendor=vendor.name, bytes=outgoing.dropped)
        await hang_up(socket, dialogue.farewell)


async def _open(vendor: Vendor, socket: ClientConnection, dialogue: Dialogue, clock: Clock) -> None:
    async def exchange() -> None:
        opening = dialogue.opening()
        if opening is not None:
            await socket.send(opening)
        while not dialogue.ready:
            dialogue.receive(await socket.recv())

    try:
        await within(clock, CONNECT, exchange)
    except TimeoutError:
        raise vendor.silent() from None
    except ConnectionClosed as error:
        raise vendor.lost() from error
    except msgspec.DecodeError as error:
        raise vendor.unreadable() from error


async def _say_still_here(socket: ClientConnection, message: str, clock: Clock) -> None:
    while True:
        await clock.sleep(_IDLE)
        await socket.send(message)
