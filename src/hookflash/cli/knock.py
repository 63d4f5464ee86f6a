"""The way to our own public address from outside: through DNS, TLS and every proxy, as Twilio comes."""

import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2

from hookflash.base.errors import Unavailable
from hookflash.channels.check import Answer

_SECONDS = 15.0


class Knock:
    """Requests to our public address; redirects are not followed, because Twilio's POST would not survive them."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Knock"]:
        async with httpx2.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client:
            yield cls(client)

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        return await self._ask("GET", url, headers)

    async def post(self, url: str, form: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        return await self._ask("POST", url, headers, dict(form))

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], form: dict[str, str] | None = None
    ) -> Answer:
        try:
            answer = await self._client.request(method, url, headers=dict(headers), data=form)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(_explained(error, url)) from None
        try:
            told = answer.json()
        except ValueError:
            told = None
        return Answer(answer.status_code, answer.headers, told if isinstance(told, dict) else None)


def _explained(error: Exception, url: str) -> str:
    host = urlsplit(url).hostname
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"The TLS certificate of {host} is not accepted: {getattr(cause, 'verify_message', '') or cause.reason}."
        if isinstance(cause, socket.gaierror):
            return f"The name {host} leads nowhere (DNS)."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.TimeoutException):
        return f"{host} does not answer within {_SECONDS:.0f} s."
    return f"Nobody answers at {urlsplit(url).netloc}."
