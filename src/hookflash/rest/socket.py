"""Knows how WebSocket messages reach the program under uvicorn, and a shorter way for sockets that bring many small ones."""

from collections.abc import Callable
from typing import Any, cast

import websockets.frames
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

Take = Callable[[bytes], None]

# Larger messages close the socket (1009). Retell sends all that was said, with the time of each word, again and again.
MAX_MESSAGE = 1_048_576

_TAKE_OVER = "hookflash.take_over"
_TEXT = 0x81  # a whole message
_MASKED = 0x80
_unmask = cast(Callable[[bytes, bytes], bytes], vars(websockets.frames)["apply_mask"])


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's socket (give it as `ws`), whose messages can be taken over: see `take_over`.

    Frames are cut here. A text frame of a socket that was taken over is read in place; every other (fragments, pings,
    closing) goes to the library's parser, which so stands between two frames at all times.
    """

    _take: Take | None = None
    _upgraded = False
    _rest = b""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self._upgraded = True
            extensions = cast(dict[str, Any], self.scope["extensions"])
            extensions[_TAKE_OVER] = self._taken_over

    def _taken_over(self, take: Take) -> None:
        kept = []
        while not self.queue.empty():
            message = cast(dict[str, Any], self.queue.get_nowait())
            if message["type"] != "websocket.receive":
                kept.append(message)
            else:
                take(_body(message))
        for message in kept:
            self.queue.put_nowait(cast(Any, message))
        self._take = take
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # Nothing comes any more; whoever took the messages must not be kept by the scope of a socket that is gone.
        self._take = None
        if self._upgraded:
            cast(dict[str, Any], self.scope["extensions"]).pop(_TAKE_OVER, None)

    def send_receive_event_to_app(self) -> None:
        if self._take is None or self.close_sent:
            super().send_receive_event_to_app()
        else:
            message, self.frames = b"".join(self.frames), []
            self._take(message)

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            super().data_received(data)
            return
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 6:
            length = data[at + 1] & 0x7F
            begin = at + 6
            if length == 126:
                length = data[at + 2] << 8 | data[at + 3]
                begin = at + 8
            elif length == 127:
                begin = at + 14
                if begin > size:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            end = begin + length
            if length > MAX_MESSAGE or not data[at + 1] & _MASKED:
                # Against the rules: the parser says so to the other side and closes.
                super().data_received(data[at:])
                at = size
                break
            if end > size:
                break
            if self._take is not None and data[at] == _TEXT and not self.frames and not self.close_sent:
                self._take(_unmask(data[begin:end], data[begin - 4 : begin]))
            else:
                super().data_received(data[at:end])
                if self.transport.is_closing():
                    at = size
                    break
            at = end
        self._rest = data[at:]


def take_over(socket: WebSocket, take: Take) -> bool:
    """Give every message of an accepted socket (from the next one on) to `take`, as it comes and without a task between.

    `socket.receive()` then gives nothing but the disconnect. `take` must be quick and must not raise. False when the server
    is another one: then messages come by `socket.receive()`.
    """
    taken_over = socket.scope.get("extensions", {}).get(_TAKE_OVER)
    if taken_over is None:
        return False
    taken_over(take)
    return True


async def receive(socket: WebSocket) -> bytes | None:
    """The next message, None when the socket is gone; whether it came as text or as bytes makes no difference."""
    message = await socket.receive()
    return _body(message) if message["type"] == "websocket.receive" else None


def _body(message: Any) -> bytes:
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""
