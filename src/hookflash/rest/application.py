"""The web application with its manners on: problems, request ids, limits and keys; rooms add their routers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI

from hookflash.rest.auth import Doorkeeper
from hookflash.rest.limits import BodyLimit, RequestIds
from hookflash.rest.problems import Unexpected, install

MAX_BODY_BYTES = 1_000_000

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def new_application(
    *,
    title: str,
    version: str,
    doorkeeper: Doorkeeper | None = None,
    larger_bodies: Mapping[str, int] | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """A FastAPI application without routes, described at /openapi.json.

    `doorkeeper` may also be put into `app.state.doorkeeper` at start-up. `larger_bodies` lets paths (by their
    beginning) take more than MAX_BODY_BYTES.
    """
    app = FastAPI(title=title, version=version, docs_url=None, redoc_url=None, lifespan=lifespan)
    if doorkeeper is not None:
        app.state.doorkeeper = doorkeeper
    install(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES, larger=larger_bodies)
    app.add_middleware(Unexpected)
    app.add_middleware(RequestIds)
    return app
