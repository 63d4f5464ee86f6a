"""An ASGI application on a port of this process, whose connections can be broken."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from hookflash.base.errors import Misconfigured
from hookflash.emulator.severed import SEVER

# Seconds: longer than clients keep an idle connection, or they send on one that is being closed at that moment.
KEPT_ALIVE = 75


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket on this port, on a free one for 0; raises Misconfigured when it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise Misconfigured(f"The emulator cannot listen on {host}:{port}: {error.strerror}.") from None
        yield listener


class _Protocol(H11Protocol):
    """HTTP with a way for the application to break the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[SEVER] = self.transport.abort
            await inner(scope, receive, send)

        self.app = app


@asynccontextmanager
async def serve_http(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Answer on the listener while the block runs; at its end every connection breaks."""
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=KEPT_ALIVE
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(config, state, {}), sock=listener)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        with anyio.CancelScope(shield=True):
            while state.tasks:
                await asyncio.wait(state.tasks)
