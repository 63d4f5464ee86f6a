"""Tools behind a web address: one request for a call, signed, bounded in time and size, tried again only when that is safe."""

import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec

from hookflash.assistant.tool import MOST_ANSWER, Occasion, Tool, ToolAnswer, ToolFailed, ToolOutcome, signing_secret
from hookflash.assistant.tool_auth import ToolAuth
from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError
from hookflash.providers.tool_credentials import Credentials

MOST_BYTES = 1_000_000
MOST_URL = 8_000
TRIES = 3
DEFAULT_SECONDS = 10.0
_FIRST_PAUSE = 0.2
_TOLD = 300
# A GET changes nothing, so it may be repeated whenever that may help.
_AGAIN_GET = frozenset({408, 425, 429, 500, 502, 503, 504})
# Anything else may be repeated when it was not performed, or when its Idempotency-Key has to be looked at anyhow.
_AGAIN_POST = frozenset({425, 429, 502, 503, 504})
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_JSON = ("application/json", "application/problem+json")
_READABLE = (*_JSON, "text/plain", "text/csv", "text/markdown")


class _TryAgain(Exception):
    """Another try may help, and is safe; the message says what happened to this one."""


class HttpTools:
    """Calls tools of the kind `http`: `config` has `method` (GET, POST), `url` and `timeout_seconds`.

    Each tool's own secret follows from `signing`; `client` reaches only what it may.
    """

    def __init__(self, client: httpx2.AsyncClient, clock: Clock, signing: bytes) -> None:
        self._client = client
        self._clock = clock
        self._signing = signing
        self._credentials = Credentials(client, clock)

    async def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        session_id: str,
        identity: str,
        key: str,
        auth: ToolAuth | None,
    ) -> ToolOutcome:
        """Never raises for what a server does."""
        occasion = Occasion(session_id, identity, key)
        seconds = float(tool.config.get("timeout_seconds", DEFAULT_SECONDS))
        try:
            return await within(self._clock, seconds, lambda: self._persist(tool, arguments, occasion, auth))
        except TimeoutError:
            return ToolFailed(f"it did not answer within {seconds:g} seconds")
        except HookflashError as error:
            return ToolFailed(error.message.rstrip("."))

    async def _persist(
        self, tool: Tool, arguments: Mapping[str, Any], occasion: Occasion, auth: ToolAuth | None
    ) -> ToolOutcome:
        for tries in range(1, TRIES + 1):
            try:
                return await self._once(tool, arguments, occasion, auth)
            except _TryAgain as reason:
                if tries == TRIES:
                    return ToolFailed(f"{reason}, {TRIES} times")
                await self._clock.sleep(_FIRST_PAUSE * 2**tries * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable")

    async def _once(
        self, tool: Tool, arguments: Mapping[str, Any], occasion: Occasion, auth: ToolAuth | None
    ) -> ToolOutcome:
        """Raises _TryAgain."""
        method, url, content = _request(tool, arguments)
        if len(url) > MOST_URL:
            return ToolFailed(f"its address with this input has more than {MOST_URL:,} characters")
        headers = {"Accept": "application/json, text/plain"} | occasion_headers(occasion)
        if content is not None:
            headers["Content-Type"] = "application/json"
        secret, now = signing_secret(self._signing, tool.id).encode(), int(self._clock.now().timestamp())
        headers |= sign(secret, method, url, headers, content or b"", now)
        headers |= await self._credentials.headers(tool.id, auth)
        again = _AGAIN_GET if method == "GET" else _AGAIN_POST
        try:
            async with self._client.stream(method, url, headers=headers, content=content) as response:
                if response.status_code == httpx2.codes.UNAUTHORIZED and self._credentials.renew(tool.id, auth):
                    raise _TryAgain("its server refuses our tokens")
                if response.status_code in again:
                    raise _TryAgain(f"its server answered {response.status_code}")
                return await _outcome(response)
        except _NOT_SENT:
            raise _TryAgain("its server could not be reached") from None
        except httpx2.TransportError:
            if method == "GET":
                raise _TryAgain("its server broke off") from None
            return ToolFailed("its server broke off, so nobody knows whether it was done")
        except (httpx2.InvalidURL, httpx2.DecodingError):
            return ToolFailed("its server's answer cannot be read")


def occasion_headers(occasion: Occasion) -> dict[str, str]:
    """`X-Session-Id`, `X-Identity` and `Idempotency-Key`; what a header cannot carry is percent-encoded."""
    return {
        "X-Session-Id": quote(occasion.session_id, safe=":"),
        "X-Identity": quote(occasion.identity, safe=":+@"),
        "Idempotency-Key": occasion.key,
    }


def sign(secret: bytes, method: str, url: str, headers: Mapping[str, str], body: bytes, now: int) -> dict[str, str]:
    """`X-Hookflash-Timestamp` (Unix seconds) and `X-Hookflash-Signature`, a hexadecimal HMAC-SHA256.

    It is over timestamp, method, URL, X-Session-Id, X-Identity, Idempotency-Key and body, with line ends between.
    """
    said = (headers[name] for name in ("X-Session-Id", "X-Identity", "Idempotency-Key"))
    text = b"\n".join((*(part.encode() for part in (str(now), method, url, *said)), body))
    return {"X-Hookflash-Timestamp": str(now), "X-Hookflash-Signature": hmac.digest(secret, text, hashlib.sha256).hex()}


async def read_bounded(response: httpx2.Response, most: int = MOST_BYTES) -> bytes | None:
    """The whole body; None when it is larger."""
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > most:
            return None
    return bytes(data)


def media_type(response: httpx2.Response) -> str:
    """Such as `application/json`; empty when the server does not say."""
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def elsewhere(response: httpx2.Response) -> str:
    """Why an answer that sends us on is none."""
    try:
        place = response.url.join(response.headers.get("location", "")).host
    except httpx2.InvalidURL:
        place = ""
    return f"its server sends us on to {place[:100] or 'nowhere'}, and tools are not followed elsewhere"


def _request(tool: Tool, arguments: Mapping[str, Any]) -> tuple[str, str, bytes | None]:
    method, url = str(tool.config.get("method", "POST")), str(tool.config["url"])
    if method != "GET":
        return method, url, msgspec.json.encode(dict(arguments))
    query = urlencode([(name, _flat(value)) for name, value in arguments.items() if value is not None])
    return method, url + (("&" if urlsplit(url).query else "?") + query if query else ""), None


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _outcome(response: httpx2.Response) -> ToolOutcome:
    status, kind = response.status_code, media_type(response)
    if httpx2.codes.is_redirect(status):
        return ToolFailed(elsewhere(response))
    if status < 400 and kind and kind not in _READABLE:
        return ToolFailed(f"its answer is of the type {kind[:60]}, where JSON or plain text is expected")
    data = await read_bounded(response)
    if data is None:
        return ToolFailed(f"its answer has more than {MOST_BYTES / 1e6:g} MB")
    text = data.decode("utf-8", "replace").strip()
    if status >= 400:
        # What the server says of it may help the model: there is no such order.
        told = f": {text[:_TOLD]}" if kind in _READABLE and text else ""
        return ToolFailed(f"its server answered {status}{told}")
    if kind in _JSON and text:
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            return ToolFailed("its answer says that it is JSON, and is none")
    if len(text) > MOST_ANSWER:
        return ToolFailed(f"its answer has {len(text):,} characters, and at most {MOST_ANSWER:,} are taken")
    return ToolAnswer(text or "done")
