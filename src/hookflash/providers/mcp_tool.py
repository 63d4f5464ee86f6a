"""Tools of MCP servers over streamable HTTP: what a server offers, and calls of one (initialize, tools/list, tools/call)."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from hookflash import __version__
from hookflash.assistant.tool import MOST_ANSWER, Occasion, RemoteTool, Tool, ToolAnswer, ToolFailed, ToolOutcome
from hookflash.assistant.tool_auth import ToolAuth
from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError, Unavailable
from hookflash.providers.http_tool import DEFAULT_SECONDS, MOST_BYTES, elsewhere, media_type, occasion_headers
from hookflash.providers.tool_credentials import Credentials

PROTOCOL = "2025-06-18"
_KNOWN_PROTOCOLS = frozenset({"2024-11-05", "2025-03-26", PROTOCOL, "2025-11-25"})
_MOST_PAGES = 20
_MOST_TOOLS = 200
_MOST_SESSIONS = 10_000
_TOLD = 300
_LIST_SECONDS = 20.0


class _McpFailed(HookflashError):
    """A server does not do what the protocol says, or says no; `answered` is the HTTP status when that is the reason."""

    status = 502

    def __init__(self, message: str, *, answered: int = 0) -> None:
        super().__init__(message)
        self.answered = answered


@dataclass(slots=True)
class _Session:
    """What a server is told in every request after the first."""

    headers: dict[str, str] = field(default_factory=dict)
    number: int = 0


class McpTools:
    """Calls tools of the kind `mcp`: `config` has `url`, `remote_name` and and `timeout_seconds`."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._credentials = Credentials(client, clock)
        self._sessions: dict[tuple[str, str], _Session] = {}

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
        """Never raises for what it does."""
        occasion = Occasion(session_id, identity, key)
        seconds = float(tool.config.get("timeout_seconds", DEFAULT_SECONDS))
        try:
            return await within(self._clock, seconds, lambda: self._call(tool, arguments, occasion, auth))
        except TimeoutError:
            return ToolFailed(f"it did not answer within {seconds:g} seconds")
        except HookflashError as error:
            return ToolFailed(error.message.rstrip("."))

    async def offered(self, url: str, auth: ToolAuth | None) -> tuple[RemoteTool, ...]:
        """What a server has. Raises _McpFailed, Invalid for an address that may not be reached, Unavailable."""
        try:
            return await within(self._clock, _LIST_SECONDS, lambda: self._offered(url, auth))
        except TimeoutError:
            raise Unavailable(f"The MCP server did not answer within {_LIST_SECONDS:g} seconds.") from None

    async def _offered(self, url: str, auth: ToolAuth | None) -> tuple[RemoteTool, ...]:
        headers = await self._credentials.headers(url, auth)
        session = await self._open(url, headers)
        found: list[RemoteTool] = []
        cursor: object = None
        for _ in range(_MOST_PAGES):
            page = await self._ask(url, session, headers, "tools/list", {"cursor": cursor} if cursor else {})
            tools = page.get("tools")
            if not isinstance(tools, list):
                raise _McpFailed("The MCP server's list of tools is none.")
            found += [remote for remote in map(_remote, tools) if remote is not None]
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor or len(found) >= _MOST_TOOLS:
                break
        return tuple(found[:_MOST_TOOLS])

    async def _call(
        self, tool: Tool, arguments: Mapping[str, Any], occasion: Occasion, auth: ToolAuth | None
    ) -> ToolOutcome:
        url = str(tool.config["url"])
        asked = {"name": str(tool.config["remote_name"]), "arguments": dict(arguments)}
        renewed = False
        while True:
            proof = await self._credentials.headers(tool.id, auth)
            try:
                session = self._sessions.get((tool.id, url))
                if session is None:
                    session = await self._open(url, proof)
                    if len(self._sessions) >= _MOST_SESSIONS:
                        self._sessions.clear()
                    self._sessions[tool.id, url] = session
                given = await self._ask(url, session, proof | occasion_headers(occasion), "tools/call", asked)
            except _McpFailed as failed:
                # Neither a forgotten session nor a refused token has let the call through.
                forgotten = failed.answered == httpx2.codes.NOT_FOUND
                if forgotten:
                    forgotten = self._sessions.pop((tool.id, url), None) is not None
                refused = failed.answered == httpx2.codes.UNAUTHORIZED and self._credentials.renew(tool.id, auth)
                if renewed or not (forgotten or refused):
                    raise
                renewed = True
                continue
            return _outcome(given)

    async def _open(self, url: str, headers: Mapping[str, str]) -> _Session:
        session = _Session()
        ours = {"name": "hookflash", "version": __version__}
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": ours}
        answer = await self._ask(url, session, headers, "initialize", hello)
        version = answer.get("protocolVersion")
        if not isinstance(version, str) or version not in _KNOWN_PROTOCOLS:
            raise _McpFailed("The MCP server speaks a version of the protocol that is not known here.")
        session.headers["MCP-Protocol-Version"] = version
        await self._post(url, session, headers, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        return session

    async def _ask(
        self, url: str, session: _Session, headers: Mapping[str, str], method: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The result of a request. Raises _McpFailed."""
        session.number += 1
        number = session.number
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        answer = await self._post(url, session, headers, message)
        if answer is None:
            raise _McpFailed("The MCP server gave no answer.")
        error = answer.get("error")
        if isinstance(error, dict):
            raise _McpFailed(f"The MCP server refused: {str(error.get('message', ''))[:_TOLD]}")
        result = answer.get("result")
        if not isinstance(result, dict):
            raise _McpFailed("The MCP server gave no answer.")
        return result

    async def _post(
        self, url: str, session: _Session, headers: Mapping[str, str], message: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        sent = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            **session.headers,
            **headers,
        }
        try:
            async with self._client.stream("POST", url, headers=sent, content=msgspec.json.encode(message)) as response:
                status = response.status_code
                if httpx2.codes.is_redirect(status):
                    raise _McpFailed(elsewhere(response))
                if status >= 400:
                    raise _McpFailed(f"The MCP server answered {status}.", answered=status)
                if given := response.headers.get("mcp-session-id"):
                    session.headers["Mcp-Session-Id"] = given
                if "id" not in message:
                    return None
                if media_type(response) == "text/event-stream":
                    return await _from_events(response, message["id"])
                return _decoded(await _all(response))
        except httpx2.HTTPError:
            raise _McpFailed("The MCP server cannot be reached, or broke off.") from None


async def _all(response: httpx2.Response) -> bytes:
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > MOST_BYTES:
            raise _McpFailed(f"The MCP server's answer has more than {MOST_BYTES / 1e6:g} MB.")
    return bytes(data)


async def _from_events(response: httpx2.Response, number: object) -> dict[str, Any] | None:
    """The answer to our request among server-sent events; what else the server says meanwhile is passed over."""
    data: list[bytes] = []
    async for line in _lines(response):
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and data:
            answer = _decoded(b"\n".join(data))
            data = []
            if answer.get("id") == number and "method" not in answer:
                return answer
    return None


async def _lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    rest, size = b"", 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > MOST_BYTES:
            raise _McpFailed(f"The MCP server's answer has more than {MOST_BYTES / 1e6:g} MB.")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise _McpFailed("The MCP server's answer is no JSON-RPC.")
    return found


def _remote(tool: object) -> RemoteTool | None:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str) or not tool["name"]:
        return None
    description = tool.get("description") or tool.get("title") or ""
    return RemoteTool(tool["name"], str(description), tool.get("inputSchema", {"type": "object", "properties": {}}))


def _outcome(given: Mapping[str, Any]) -> ToolOutcome:
    parts = given.get("content")
    texts = []
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict):
            text = part.get("text")
            texts.append(text if isinstance(text, str) else f"[{str(part.get('type', 'something'))[:20]}]")
    if not texts and given.get("structuredContent") is not None:
        texts.append(msgspec.json.encode(given["structuredContent"]).decode())
    text = "\n".join(texts).strip()
    if given.get("isError") is True:
        return ToolFailed(f"its server says: {text[:_TOLD]}" if text else "its server says that it failed")
    if len(text) > MOST_ANSWER:
        return ToolFailed(f"its answer has {len(text):,} characters, and at most {MOST_ANSWER:,} are taken")
    return ToolAnswer(text or "done")
