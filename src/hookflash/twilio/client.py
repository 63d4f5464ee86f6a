"""The connection to Twilio's REST API: pooled, bounded in time, with every kind of failure told apart.

The official SDK knows resources and parameters (`account`), and asks this connection to carry its requests:

- never sent (no connection): TwilioFailed, retryable
- refused (4xx): TwilioFailed with Twilio's code; retryable only for 429, which Twilio never processed
- a write that left, and then a timeout, a broken connection, a 5xx or an unreadable answer: TwilioUnclear
- the same for a read, which performs nothing: TwilioFailed, retryable

Addresses: with the default base each product has its own host (`https://api.twilio.com`, `https://messaging.twilio.com` ...).
Any other base stands for all of them: `https://<product>.twilio.com<path>` becomes `<base><path>`.
"""

import ipaddress
import logging
import re
import socket
from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import SplitResult, urlencode, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from twilio.http.response import Response
from yarl import URL

from hookflash.base.errors import Invalid, Misconfigured, TooLarge, TwilioFailed, TwilioUnclear
from hookflash.base.public_address import forbidden
from hookflash.twilio.account import DEFAULT_BASE, Account, Connection, Credentials
from hookflash.twilio.resources import Downloaded

_NUMBER = re.compile(r"\+?\d{7,15}")
_ANSWER_LIMIT = 8_000_000
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class TwilioClient:
    """The pool of connections to Twilio, shared by all accounts; an async context manager."""

    def __init__(
        self,
        base_url: str = DEFAULT_BASE,
        *,
        connect_timeout: float = 5,
        read_timeout: float = 15,
        connections: int = 100,
    ) -> None:
        """Times are in seconds. Raises Misconfigured when the base is not an http(s) URL."""
        self._connection = _Connection(base_url, connect_timeout, read_timeout, connections)
        # The SDK builds several objects for each account.
        self._account = lru_cache(64)(lambda credentials: Account(credentials, self._connection))

    async def __aenter__(self) -> Self:
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def account(self, credentials: Credentials) -> Account:
        """The operations in the name of one account (or sub-account); costs little, so ask whenever needed."""
        return self._account(credentials)


class _Connection(Connection):
    """The SDK's way to the network."""

    def __init__(self, base_url: str, connect_timeout: float, read_timeout: float, connections: int) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        base = urlsplit(base_url)
        if base.scheme not in ("http", "https") or not base.hostname:
            raise Misconfigured("The Twilio API URL is not an http or https URL.", hint="unset it to use Twilio itself")
        self._base = base_url.rstrip("/")
        self._stands_in = self._base != DEFAULT_BASE
        # A stand-in on this machine may lead to itself by another of the machine's names, as the emulator does.
        names = _THIS_MACHINE if base.hostname in _THIS_MACHINE else frozenset({base.hostname})
        self._inside = frozenset((name, _port(base)) for name in names) if self._stands_in else frozenset()
        self._timeout = aiohttp.ClientTimeout(
            total=connect_timeout + 2 * read_timeout, connect=connect_timeout, sock_read=read_timeout
        )
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._public: aiohttp.ClientSession | None = None

    def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._public = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, resolver=_PublicOnly(self._inside), use_dns_cache=False
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        for session in (self._session, self._public):
            if session is not None:
                await session.close()
        self._session = self._public = None

    async def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Perform one request of the SDK's; an answer that is no success is raised here, as this module tells."""
        write = method.upper() not in ("GET", "HEAD")
        target = self._map(url)
        if params:
            target += ("&" if "?" in target else "?") + urlencode(params, doseq=True)
        sent = dict(headers or {})
        if auth is not None:
            sent["Authorization"] = _authorization(auth)
        body = urlencode(data, doseq=True).encode() if data else None
        try:
            async with self._opened(self._session).request(
                method, URL(target, encoded=True), data=body, headers=sent, timeout=self._timeout, allow_redirects=False
            ) as answer:
                content = await _read(answer, _ANSWER_LIMIT)
        except (aiohttp.ClientError, TimeoutError, TooLarge) as error:
            _raise_for_connection(error, write=write)
        if 200 <= answer.status < 300:
            _check_json(content, answer.status, write=write)
        else:
            _raise_for_answer(answer.status, content, write=write)
        return Response(answer.status, content.decode("utf-8", "replace"), answer.headers)

    async def download(
        self, url: str, auth: tuple[str, str], max_bytes: int, allowed: Callable[[str], bool]
    ) -> Downloaded:
        target = self._map(url)
        headers = {"Accept-Encoding": "identity"}
        session, sent = self._session, headers | {"Authorization": _authorization(auth)}
        for hop in range(2):
            try:
                async with self._opened(session).get(
                    URL(target, encoded=True), headers=sent, timeout=self._timeout, allow_redirects=False
                ) as answer:
                    if answer.status in (301, 302, 303, 307, 308) and hop == 0:
                        target = self._outside(
                            str(answer.url.join(URL(answer.headers.get("Location", ""), encoded=True)))
                        )
                        session, sent = self._public, headers
                        continue
                    if answer.status != 200:
                        _raise_for_answer(answer.status, b"", write=False)
                    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    if not allowed(content_type):
                        raise Invalid("attachments of this type are not accepted", field="content_type")
                    return Downloaded(content_type, await _read(answer, max_bytes))
            except _PrivateAddress:
                raise Invalid("the attachment leads to an address that is not public", field="url") from None
            except aiohttp.ClientConnectorDNSError as error:
                if isinstance(error.os_error, _PrivateAddress):
                    raise Invalid("the attachment leads to an address that is not public", field="url") from None
                _raise_for_connection(error, write=False)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                _raise_for_connection(error, write=False)
        raise TwilioFailed("The attachment is behind more than one redirect.")

    def _opened(self, session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
        if session is None:
            raise RuntimeError("TwilioClient is used outside of its `async with`")
        return session

    def _map(self, url: str) -> str:
        """Where a request with our credentials goes: Twilio's own hosts, or the base that stands in for them."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise Invalid("not a URL", field="url") from None
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        twilio = parts.scheme == "https" and host.endswith(".twilio.com") and port in (None, 443) and not parts.username
        if twilio:
            return self._base + path if self._stands_in else f"https://{host}{path}"
        if self._stands_in and url.startswith(self._base + "/"):
            return url
        raise Invalid("this address is not Twilio's, so it does not get our credentials", field="url")

    def _outside(self, url: str) -> str:
        """Where a redirect may lead: https to a public address; a base that stands in may also lead to itself."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if (host, _port(parts)) in self._inside:
            return url
        if parts.scheme != "https" or not host:
            raise Invalid("the attachment leads to an address that is not https", field="url")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return url
        if forbidden(host):
            raise _PrivateAddress
        return url


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class _PrivateAddress(OSError):
    """A name or address that leads into a private network."""


class _PublicOnly(AbstractResolver):
    """Resolves names to public addresses only, at the moment of connecting, so that a name cannot change in between."""

    def __init__(self, inside: frozenset[tuple[str, int]]) -> None:
        self._resolver = aiohttp.ThreadedResolver()
        self._inside = inside

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if (host, port) not in self._inside and any(forbidden(one["host"]) for one in found):
            raise _PrivateAddress
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if (answer.content_length or 0) > max_bytes:
        raise TooLarge(f"larger than {max_bytes} bytes")
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > max_bytes:
            raise TooLarge(f"larger than {max_bytes} bytes")
    return bytes(content)


def _raise_for_connection(error: Exception, *, write: bool) -> NoReturn:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        raise TwilioFailed("Twilio cannot be reached; nothing was sent.", retryable=True) from error
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        raise Invalid("not a URL", field="url") from error
    if write:
        raise TwilioUnclear("The connection to Twilio broke after the request had left.") from error
    raise TwilioFailed("The connection to Twilio broke.", retryable=True) from error


def _raise_for_answer(status: int, content: bytes, *, write: bool) -> NoReturn:
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        said = None
    said = said if isinstance(said, dict) else {}
    code = said.get("code")
    code = code if isinstance(code, int) else {401: 20003, 404: 20404, 429: 20429}.get(status, 0)
    reason = said.get("message") or said.get("title") or ""
    # Twilio repeats numbers in its sentences, and ours end up in logs.
    sentence = f"Twilio answered {status}" + (f" (error {code})" if code else "")
    sentence += f": {_NUMBER.sub('…', str(reason))}" if reason else "."
    if status >= 500 and write:
        raise TwilioUnclear(sentence, code=code, http_status=status)
    raise TwilioFailed(sentence, code=code, http_status=status, retryable=status == 429 or status >= 500)


def _check_json(content: bytes, status: int, *, write: bool) -> None:
    try:
        if isinstance(msgspec.json.decode(content), dict):
            return
    except msgspec.DecodeError:
        pass
    if write:
        raise TwilioUnclear("Twilio's answer cannot be read.", http_status=status)
    raise TwilioFailed("Twilio's answer cannot be read.", http_status=status, retryable=True)


def _authorization(auth: tuple[str, str]) -> str:
    return "Basic " + b64encode(":".join(auth).encode()).decode()
