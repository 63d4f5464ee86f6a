"""`hookflash serve`: the program in production."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from enum import StrEnum
from typing import Annotated

import structlog
import typer
from prometheus_client import start_http_server

from hookflash.base.errors import Misconfigured
from hookflash.cli.opening import read_settings, run
from hookflash.cli.roles import port_of, until_told_to_stop, web, worker
from hookflash.settings import Settings
from hookflash.wiring import open_core

log = structlog.get_logger()
app = typer.Typer(add_completion=False)


class Role(StrEnum):
    """What a process does."""

    WEB = "web"
    WORKER = "worker"
    ALL = "all"


@app.command(epilog="Example: hookflash serve --role all")
def serve(
    role: Annotated[Role, typer.Option(help="web: webhooks and API. worker: answers. all: both in one process.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of HOOKFLASH_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of HOOKFLASH_PORT.")
    ] = None,
) -> None:
    """Run the web role, the worker role, or both, until SIGTERM or Ctrl-C.

    Any number of processes may run the same role. At SIGTERM no new call is taken, and live ones go on for as long as
    HOOKFLASH_CALL_DRAIN_SECONDS allows; then the web role takes no new requests, the worker finishes the conversations it has
    in hand, and all of it ends within 25 seconds.
    """
    settings = read_settings(chatty=True)
    given = {"host": host, "port": port}
    run(serve_until_stopped, settings.model_copy(update={k: v for k, v in given.items() if v is not None}), role)


async def serve_until_stopped(settings: Settings, role: Role) -> None:
    """Run a role; returns when it was told to stop and has finished."""
    if role is not Role.WEB and settings.public_url is None:
        raise Misconfigured(
            "HOOKFLASH_PUBLIC_URL is not set, so Twilio could not tell us how our messages fare.",
            hint="set it to the https address at which Twilio reaches this server",
        )
    async with _roles(settings, role):
        log.info("ready", role=role.value, host=settings.host, port=settings.port if role is not Role.WORKER else None)
        await until_told_to_stop()
    log.info("stopped")


@asynccontextmanager
async def _roles(settings: Settings, role: Role) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        listener = None
        if role is not Role.WORKER:
            # Before the database: a port that is taken should not cost a start of PostgreSQL.
            mend = "choose another with --port or HOOKFLASH_PORT"
            listener = stack.enter_context(port_of(settings.host, settings.port, mend))
        core = await stack.enter_async_context(open_core(settings))
        if role is not Role.WEB:
            await stack.enter_async_context(worker(core))
        if role is Role.WORKER:
            stack.enter_context(metrics(settings))
        if listener is not None:
            await stack.enter_async_context(web(core, listener))
        yield


@contextmanager
def metrics(settings: Settings) -> Iterator[None]:
    """/metrics of a worker that has no web role beside it. Several workers on one machine need a port each to be seen."""
    try:
        server, thread = start_http_server(settings.port, settings.host)
    except OSError as error:
        log.warning("metrics are not served", port=settings.port, reason=error.strerror)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        thread.join(5)
