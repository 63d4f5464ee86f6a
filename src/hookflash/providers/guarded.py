"""Requests to addresses that others name: they reach the public internet, or hosts that the operator allows, and nothing else."""

import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio
import httpx2

from hookflash.base.errors import Invalid, Unavailable
from hookflash.base.public_address import forbidden

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_LONGEST_RESOLUTION = 10.0


def guarded_client(
    *,
    allow: frozenset[str] = frozenset(),
    timeout: float | httpx2.Timeout = 10.0,
    max_redirects: int = 0,
    resolve: Resolve | None = None,
) -> httpx2.AsyncClient:
    """A client for addresses from outside: documents' links, tools' webhooks, web pages to be read.

    Every request, also one that a redirect makes, has its host resolved here; an address that is private, loopback,
    link-local (cloud metadata lives there), multicast or reserved is refused with Invalid, and the connection is made to
    the very address that was checked. `allow` holds hosts (`erp.internal`, `10.0.0.7`, or with a port:
    `127.0.0.1:9000`) that are reached wherever they are. Redirects are not followed unless `max_redirects` says so.
    """
    return httpx2.AsyncClient(
        transport=GuardedTransport(allow, resolve or _resolved),
        timeout=timeout,
        follow_redirects=max_redirects > 0,
        max_redirects=max_redirects,
        trust_env=False,
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Resolves, judges, and connects to what it judged."""

    def __init__(self, allow: frozenset[str], resolve: Resolve) -> None:
        self._allow = frozenset(host.casefold() for host in allow)
        self._resolve = resolve
        # A connection belongs to the name that it was opened for, which the pool does not know: none is used twice.
        self._inner = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=100, max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise Invalid("Only addresses that begin with https:// or http:// can be reached.", field="url")
        host, port = url.host.casefold(), url.port or (443 if url.scheme == "https" else 80)
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=await allowed_address(host, port, self._allow, self._resolve)),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions | ({"sni_hostname": host} if url.scheme == "https" else {}),
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def allowed_address(host: str, port: int, allow: frozenset[str], resolve: Resolve | None = None) -> str:
    """The address at which a host is reached, also by other protocols; `allow` is in small letters.

    Every one that the name has must be allowed, so that none is got by luck. Raises Invalid, Unavailable.
    """
    try:
        with anyio.fail_after(_LONGEST_RESOLUTION):
            addresses = await (resolve or _resolved)(host, port)
    except (OSError, UnicodeError, TimeoutError):
        raise Unavailable(f"The name {host} cannot be resolved.") from None
    if not addresses:
        raise Unavailable(f"The name {host} has no address.")
    if host not in allow and f"{host}:{port}" not in allow:
        for address in addresses:
            why = forbidden(address)
            if why is not None:
                raise Invalid(
                    f"{host} may not be reached: its address {why}.",
                    field="url",
                    hint="an operator can allow the host by HOOKFLASH_ALLOWED_HOSTS",
                )
    return addresses[0]


async def _resolved(host: str, port: int) -> list[str]:
    found = await anyio.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]
