"""Bounds on what a caller may send: the size of a body and the number of requests; and the name of a request."""

import re
from collections import OrderedDict
from collections.abc import Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hookflash.base.errors import TooLarge
from hookflash.base.ids import new_id
from hookflash.rest.problems import problem

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Gives each request a name (ASGI): the caller's X-Request-Id if it is sane, else a new one; answers carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, named)


class BodyLimit:
    """Refuses bodies over `limit` bytes (ASGI), by their declared length or as they come.

    `larger` gives paths (by their beginning) a limit of their own.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((n for start, n in self._larger.items() if scope["path"].startswith(start)), self._limit)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        seen = 0
        over = started = False

        async def counted() -> Message:
            nonlocal seen, over
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                over = True
                raise TooLarge(f"The body is larger than {limit:,} bytes.")
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            # Once the body was cut short, whatever the application makes of it is not the answer.
            if not over:
                started = True
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except TooLarge:
            if not over or started:
                raise
        if over and not started:
            await self._refuse(limit, scope, receive, send)

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        error = TooLarge(f"The body is larger than {limit:,} bytes.")
        await problem(error, scope.get("state", {}).get("request_id"))(scope, receive, send)


class Buckets:
    """Token buckets by key, at most `capacity` of them: the one that was idle longest makes room."""

    def __init__(self, per_minute: int, *, burst: int | None = None, capacity: int = 10_000) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst if burst is not None else max(1, per_minute // 6))
        self._capacity = capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Take one token at `now` (monotonic seconds): 0.0 when there was one, else the seconds until there is."""
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - since) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._rate
