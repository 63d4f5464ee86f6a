"""Errors as the API tells them: application/problem+json (RFC 9457), and nothing that the caller should not see."""

import math
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from traceback import extract_tb
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hookflash.base.errors import HookflashError, Invalid, TooMany, Unauthenticated, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5

_log = structlog.get_logger(__name__)
_PARTS_OF_A_REQUEST = ("body", "query", "path", "header", "cookie")


class FieldError(BaseModel):
    """One part of the request that is not acceptable."""

    field: str = Field(description="Where, as a path such as `messages[0].to`.")
    message: str = Field(description="Why, as a sentence.")


class Problem(BaseModel):
    """Why a request was not performed (RFC 9457)."""

    type: str = Field(description="What kind of problem it is: `urn:hookflash:error:` and its name.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What went wrong this time, as a sentence.")
    hint: str | None = Field(None, description="How to mend it, where we know.")
    request_id: str | None = Field(None, description="Finds this request in the log.")
    errors: list[FieldError] = Field([], description="The parts of the request that are not acceptable.")


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route can answer with, for its `responses`: those of every route, and these."""
    body = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": body}
        for status in sorted({401, 403, 413, 422, 429, 500, 503, *statuses})
    }


def problem(error: HookflashError, request_id: str | None = None) -> Response:
    """The answer that tells an error."""
    fields = (
        [FieldError(field=error.field, message=error.message)] if isinstance(error, Invalid) and error.field else []
    )
    headers: dict[str, str] = {}
    if isinstance(error, TooMany | Unavailable):
        wait = error.retry_after if isinstance(error, TooMany) else RETRY_SECONDS
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="hookflash"'
    name = type(error).__name__
    # What an operator must mend is told to the operator: by the log, doctor and the terminal, not to whoever asks.
    told = error.status != HTTPStatus.INTERNAL_SERVER_ERROR
    if not told:
        _log.error("request failed", error=name, detail=error.message)
    detail = error.message if told else "The server cannot do this as it is set up; its log says why."
    return _response(error.status, name, detail, request_id, fields, error.hint if told else None, headers)


def install(app: FastAPI) -> None:
    """Make the application answer every error as a problem, and say so in its OpenAPI description."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, HookflashError)
        return problem(error, _request_id(request.scope))

    async def not_valid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        fields = [FieldError(field=_path(e["loc"]), message=_why(e)) for e in error.errors()]
        detail = "The request is not acceptable; `errors` says which parts, and why."
        return _response(422, "Invalid", detail, _request_id(request.scope), fields)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        name = "".join(word.capitalize() for word in phrase.split())
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _methods(app, request)
        return _response(error.status_code, name, f"{phrase}.", _request_id(request.scope), headers=headers)

    app.add_exception_handler(HookflashError, known)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, http)

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= own.pop("$defs") | {"Problem": own}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


class Unexpected:
    """The outermost boundary (ASGI): an error that nobody foresaw is logged, and told without any of its words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            # The words of an error may be a customer's: the places where it happened are not.
            where = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in extract_tb(error.__traceback__)]
            words = {"pii.message": str(error)}
            _log.error("unexpected error", method=scope["method"], error=type(error).__name__, where=where, **words)
            if started:
                raise
            detail = "Something went wrong on our side. The request_id finds it in the log."
            response = _response(500, "InternalServerError", detail, _request_id(scope))
            await response(scope, receive, send)


def _response(
    status: int,
    name: str,
    detail: str,
    request_id: str | None,
    errors: Iterable[FieldError] = (),
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    words = re.findall(r"[A-Z][a-z]*", name)
    body = Problem(
        type=f"urn:hookflash:error:{'-'.join(words).lower()}",
        title=" ".join(words).capitalize(),
        status=status,
        detail=detail,
        hint=hint,
        request_id=request_id,
        errors=list(errors),
    )
    content = body.model_dump_json(exclude_none=True)
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _methods(app: FastAPI, request: Request) -> str:
    """What an address can be asked for; the router itself names the methods of the first route that has it."""

    def takes(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in app.routes)

    return ", ".join(filter(takes, ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")))


def _request_id(scope: Scope) -> str | None:
    found = scope.get("state", {}).get("request_id")
    return found if isinstance(found, str) else None


def _why(error: Mapping[str, Any]) -> str:
    """What is wrong with one part. A body of another type than JSON, curl's default, comes here as unread bytes."""
    if error["loc"] == ("body",) and isinstance(error.get("input"), bytes):
        return "The body must be JSON, sent with the header Content-Type: application/json."
    return str(error["msg"])


def _path(location: Iterable[str | int]) -> str:
    """`("body", "messages", 0, "to")` as `messages[0].to`."""
    parts = list(location)
    if len(parts) > 1 and parts[0] in _PARTS_OF_A_REQUEST:
        parts = parts[1:]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
