"""Twilio's end of a Media Stream: a socket that is opened by a call's token, brings sound in order, and takes ours."""

from collections import deque
from collections.abc import Callable

import anyio
import structlog
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from hookflash.base.clock import Clock
from hookflash.base.errors import Forbidden
from hookflash.channels.integration import Integration
from hookflash.channels.voice_jobs import Switchboard, Talk
from hookflash.rest.socket import receive, take_over
from hookflash.speech.jitter import JitterBuffer
from hookflash.twilio import media_stream as wire

log = structlog.get_logger()

START_SECONDS = 10.0
MALFORMED_AT_MOST = 50
QUEUED_AT_MOST = 4_000
DRAIN_SECONDS = 2.0


class MediaSocket:
    """One stream. It is the call's line; what comes is given to the callbacks, of which none may wait."""

    def __init__(self, socket: WebSocket, integration: Integration, switchboard: Switchboard, clock: Clock) -> None:
        self._socket = socket
        self._integration = integration
        self._switchboard = switchboard
        self._clock = clock
        self._sid = ""
        self._out: deque[str] = deque()
        self._sendable = anyio.Event()
        self._sending = False
        self._heard: Callable[[bytes], None] = _nothing
        self._marked: Callable[[str], None] = _nothing
        self._pressed: Callable[[str], None] = _nothing
        self._gone: Callable[[], None] | None = None
        self.jitter = JitterBuffer()
        self.malformed = 0
        # Why a call that was on before comes again, if it does: nothing that begins with a call begins again.
        self.again = ""

    async def open(self) -> Talk | None:
        """Read up to `start`: the call, if it is one that we admitted, in a format that we understand."""
        with anyio.move_on_after(START_SECONDS):
            for _ in range(10):
                text = await receive(self._socket)
                if text is None:
                    return None
                match wire.decode(text):
                    case wire.Start() as start:
                        return await self._admitted(start)
                    case wire.Connected() | wire.Unknown():
                        continue
                    case _:
                        return None
        return None

    async def _admitted(self, start: wire.Start) -> Talk | None:
        refused = wire.refuse(start)
        if refused is not None:
            log.warning("stream refused", integration=self._integration.id, reason=refused)
            return None
        body = start.start
        self._sid = body.stream_sid
        self.again = body.custom_parameters.get("again", "")
        try:
            return await self._switchboard.open(
                self._integration, body.call_sid, body.custom_parameters.get("token", "")
            )
        except Forbidden:
            log.warning("stream token refused", integration=self._integration.id)
            return None

    # What comes

    async def read(
        self,
        *,
        heard: Callable[[bytes], None],
        marked: Callable[[str], None],
        pressed: Callable[[str], None],
        gone: Callable[[], None],
    ) -> None:
        """Until the socket is gone: frames of sound in order, marks that came back, keys, and once that it is over."""
        self._heard, self._marked, self._pressed, self._gone = heard, marked, pressed, gone
        take_over(self._socket, self._take)
        try:
            while (text := await receive(self._socket)) is not None:
                self._take(text)
        except RuntimeError:
            pass
        log.info("stream socket closed", integration=self._integration.id)
        self._stop()

    def _take(self, text: bytes) -> None:
        """One message. Many come here: nothing waits, and nothing is done twice."""
        if self._gone is None:
            return
        message = wire.decode(text)
        match message:
            case wire.Media(media=body, stream_sid=self._sid):
                for frame in self.jitter.push(body.timestamp, body.payload, self._clock.monotonic()):
                    self._heard(frame)
            case wire.Mark(mark=mark, stream_sid=self._sid):
                self._marked(mark.name)
            case wire.Dtmf(dtmf=dtmf, stream_sid=self._sid):
                self._pressed(dtmf.digit)
            case wire.Stop(stream_sid=self._sid):
                self._stop()
            case _:
                self.malformed += 1
                if self.malformed > MALFORMED_AT_MOST:
                    log.warning("stream closed for malformed messages", integration=self._integration.id)
                    self._stop()

    def _stop(self) -> None:
        """The other side has ended it; what it still sends is not for us."""
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def leave(self) -> None:
        """Nothing that comes is for anybody any more; whoever was told of it is known no more."""
        self._gone = None
        self._heard = self._marked = self._pressed = _nothing

    # What goes

    async def write(self) -> None:
        """Send what is queued, until the socket is gone."""
        try:
            while True:
                await self._sendable.wait()
                self._sendable = anyio.Event()
                while self._out:
                    # Taken first: while it leaves, `clear` may put another queue in this one's place.
                    message = self._out.popleft()
                    self._sending = True
                    await self._socket.send_text(message)
                    self._sending = False
        except (WebSocketDisconnect, RuntimeError):
            self._out.clear()
            self._sending = False
            self._stop()

    async def drain(self) -> None:
        """Wait, for a moment at most, until everything queued has left."""
        with anyio.move_on_after(DRAIN_SECONDS):
            while self._out or self._sending:
                await self._clock.sleep(0.01)

    async def hang_up(self, code: int = 1000) -> None:
        try:
            await self._socket.close(code)
        except (WebSocketDisconnect, RuntimeError):
            log.info("stream socket was gone", integration=self._integration.id)

    def _send(self, message: str) -> None:
        if len(self._out) < QUEUED_AT_MOST:
            self._out.append(message)
            self._sendable.set()

    def play(self, audio: bytes) -> None:
        self._send(wire.encode_media(self._sid, audio))

    def mark(self, name: str) -> None:
        self._send(wire.encode_mark(self._sid, name))

    def clear(self) -> None:
        # What has not left for Twilio yet is taken back too; its marks come back as Twilio's do.
        self._out = deque(m for m in self._out if '"event":"mark"' in m[:24])
        self._send(wire.encode_clear(self._sid))

    def close(self) -> None:
        """The socket is closed when everything queued has left, by whoever runs it."""


def _nothing(_: object) -> None:
    """Nobody listens yet."""
