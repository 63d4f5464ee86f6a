"""A client of Twilio's AI Assistants API, wherever it is spoken: Twilio's own server, ours, or one of this very process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2

from hookflash.base.errors import Conflict, Forbidden, HookflashError, Invalid, NotFound, Unauthenticated, Unavailable
from hookflash.base.secret import Secret

MOST_PAGES = 1_000
_SECONDS = 60.0

_ERRORS: dict[int, Callable[[str], HookflashError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
}


class AssistantsApi:
    """`base` is what `/v1/Assistants` is appended to."""

    def __init__(self, base: str, client: httpx2.AsyncClient) -> None:
        self.base = base.rstrip("/")
        self._client = client

    @classmethod
    @asynccontextmanager
    async def at(cls, base: str, user: str, password: Secret) -> AsyncIterator["AssistantsApi"]:
        auth = httpx2.BasicAuth(user, password.get_secret_value())
        async with httpx2.AsyncClient(auth=auth, timeout=_SECONDS) as client:
            yield cls(base, client)

    @classmethod
    @asynccontextmanager
    async def within(cls, app: Any, path: str, user: str, password: Secret) -> AsyncIterator["AssistantsApi"]:
        """That of an ASGI application of this process; nothing goes over a network."""
        auth = httpx2.BasicAuth(user, password.get_secret_value())
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), auth=auth, timeout=_SECONDS) as client:
            yield cls(f"http://here{path}", client)

    async def all(self, path: str, key: str, **filters: str) -> list[dict[str, Any]]:
        """A list, whole."""
        found: list[dict[str, Any]] = []
        query = urlencode({**filters, "PageSize": "50"})
        for _ in range(MOST_PAGES):
            page = await self._ask("GET", f"{path}?{query}")
            found += page.get(key, [])
            following = (page.get("meta") or {}).get("next_page_url")
            if not following:
                return found
            # Of that address only the query counts: our credentials go nowhere else.
            query = urlsplit(following).query
        raise Unavailable(f"The list {path} does not end.")

    async def one(self, path: str) -> dict[str, Any]:
        return await self._ask("GET", path)

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", path, body)

    async def update(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("PUT", path, body)

    async def attach(self, path: str) -> None:
        await self._ask("POST", path)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises Invalid, Conflict ... as the server says, Unavailable when it does not answer."""
        try:
            response = await self._client.request(method, self.base + path, json=body)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise Invalid(f"{self.base} is no address that can be reached.") from None
        except httpx2.TransportError:
            raise Unavailable(f"{self.base} cannot be reached.") from None
        try:
            said = response.json() if response.content else {}
        except ValueError:
            said = None
        if response.is_success and isinstance(said, dict):
            return said
        told = str(said["message"]) if isinstance(said, dict) and said.get("message") else ""
        if response.status_code >= 500 or response.is_success or response.is_redirect:
            raise Unavailable(f"{self.base} answered {response.status_code} {told}".strip() + ".")
        raise _ERRORS.get(response.status_code, Invalid)(told or f"{self.base} answered {response.status_code}.")
