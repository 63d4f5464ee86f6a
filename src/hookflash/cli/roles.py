"""Running the roles in this process: the web role on its port, the worker role, and the way both end."""

import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec

import anyio
import anyio.abc
import structlog
import uvicorn
from fastapi import FastAPI

from hookflash.asgi import create_app
from hookflash.base.errors import HookflashError, Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.channels.voice_routes import Voices
from hookflash.rest.socket import MAX_MESSAGE, Socket
from hookflash.wiring import Core
from hookflash.worker import DRAIN_SECONDS, WorkerRole

log = structlog.get_logger()

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its own hands on the signals; `up` is set when it answers, or when it has ended."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def port_of(host: str, port: int, mend: str) -> Iterator[socket.socket]:
    """A socket on this port; raises Misconfigured when it is taken, with `mend` for a hint."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise Misconfigured(f"Port {port} of {host} cannot be used: {error.strerror}.", hint=mend) from None
        yield listener


def web_config(app: FastAPI) -> uvicorn.Config:
    """How the web role listens."""
    return uvicorn.Config(
        app,
        http="httptools" if find_spec("httptools") else "h11",
        ws=Socket,
        ws_max_size=MAX_MESSAGE,
        # Twilio offers no compression; anybody else's would cost memory.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        # Longer than load balancers keep an idle connection (60 s is usual), or they send a webhook on one that closes.
        timeout_keep_alive=75,
        # Whose forwarded headers count is decided where signatures are checked.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=20,
    )


@asynccontextmanager
async def web(core: Core, listener: socket.socket, *, drain: float | None = None) -> AsyncIterator[None]:
    """The web role while the block runs; at its end it finishes the requests in hand.

    Before that it takes no new calls, and lets those that are live go on for `drain` seconds (None: as is set).
    """
    await say_what_calls_lack(core)
    app = create_app(core)
    voices: Voices = app.state.voices
    patience = core.settings.call_drain_seconds if drain is None else drain
    server = _Server(web_config(app))
    ended = anyio.Event()

    async def serve() -> None:
        try:
            await server.serve(sockets=[listener])
        finally:
            server.up.set()
            ended.set()

    with bare_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await server.up.wait()
            if not server.started:
                raise Misconfigured("The web server did not start.", hint="see the log above")
            _collect_rarely()
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    cut_off = await voices.drain(core.clock, patience)
                    if cut_off:
                        log.warning("live calls are cut off", calls=cut_off, waited_seconds=patience)
                    server.should_exit = True
                    await ended.wait()


async def say_what_calls_lack(core: Core) -> None:
    """Log each integration whose calls nobody here could hear or answer, and what would mend it."""
    for integration_id, _ in await core.integrations.active(core.db):
        try:
            integration = await core.integrations.find(core.db, integration_id)
        except HookflashError as error:
            log.warning("integration cannot be read", integration=integration_id, reason=error.message)
            continue
        voice = integration.assistant.voice if integration else None
        try:
            if voice is not None and voice.way == "stream":
                core.studio.ears(voice.stt)
                core.studio.mouth(voice.tts)
            elif voice is not None and voice.way == "realtime":
                core.providers.sts(voice.realtime or core.settings.realtime)
        except Misconfigured as error:
            log.warning(
                "calls of an integration cannot be answered",
                integration=integration_id,
                reason=error.message,
                hint=error.hint,
            )


def _collect_rarely() -> None:
    """What the program is made of never becomes garbage; looking through it again and again would hold up live calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@asynccontextmanager
async def worker(core: Core, *, drain: float = DRAIN_SECONDS) -> AsyncIterator[None]:
    """The worker role while the block runs; at its end it finishes the lanes in hand, within `drain` seconds."""
    role = WorkerRole(core)
    ended = anyio.Event()

    async def work(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            await role.run(task_status=task_status)
        finally:
            ended.set()

    with bare_error():
        async with anyio.create_task_group() as tasks:
            await tasks.start(work)
            _collect_rarely()
            try:
                yield
            finally:
                role.stop()
                with anyio.CancelScope(shield=True), anyio.move_on_after(drain) as patience:
                    await ended.wait()
                if patience.cancelled_caught:
                    log.warning("lanes in hand are left to another worker", waited_seconds=drain)
                tasks.cancel_scope.cancel()


async def until_told_to_stop() -> None:
    """Return at SIGINT or SIGTERM. A second one ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            break
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _at_once)


def _at_once(number: int, frame: object) -> None:
    os._exit(128 + number)


@asynccontextmanager
async def ended_by_signal() -> AsyncIterator[None]:
    """A block that SIGINT and SIGTERM end in order, as KeyboardInterrupt after all its own endings."""
    told = False

    async def listen(scope: anyio.CancelScope) -> None:
        nonlocal told
        await until_told_to_stop()
        told = True
        scope.cancel()

    with bare_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, tasks.cancel_scope)
            yield
            tasks.cancel_scope.cancel()
    if told:
        raise KeyboardInterrupt
