"""An MCP server on this machine, over streamable HTTP: sessions, pages of tools, answers as JSON or as server-sent events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hookflash.testing.vendor import (
    Receive,
    Request,
    Scope,
    Send,
    end_events,
    lifespan,
    read,
    send_event,
    send_json,
    start_events,
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool: how it is described, and what it does. It raises ValueError for what it cannot do."""

    name: str
    description: str
    schema: dict[str, Any]
    run: Callable[[dict[str, Any]], str]


@dataclass(slots=True)
class McpServer:
    """An ASGI application. With `events` it answers as server-sent events, with a notification before each answer."""

    tools: list[Offered] = field(default_factory=list)
    token: str = "mcp-test"  # noqa: S105 - the fake's own
    events: bool = False
    page: int = 2
    protocol: str | None = None
    requests: list[Request] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        self.requests.append(request)
        asked = request.body
        method, number = asked.get("method"), asked.get("id")
        session = request.headers.get("mcp-session-id")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            await send_json(send, 401, {"error": "unauthorized"})
        elif scope["method"] != "POST" or asked.get("jsonrpc") != "2.0":
            await send_json(send, 400, {"error": "bad request"})
        elif method == "initialize":
            session = f"session-{len(self.requests)}"
            self.sessions.add(session)
            version = self.protocol or asked["params"]["protocolVersion"]
            info = {"name": "fake", "version": "1"}
            result: dict[str, Any] = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            await self._send(send, {"jsonrpc": "2.0", "id": number, "result": result}, {"mcp-session-id": session})
        elif session not in self.sessions:
            await send_json(send, 404, {"error": "no such session"})
        elif number is None:
            await send_json(send, 202, None)
        else:
            await self._send(send, {"jsonrpc": "2.0", "id": number} | self._answer(method, asked.get("params", {})), {})

    def forget(self) -> None:
        """As after a restart: every session is unknown."""
        self.sessions.clear()

    def _answer(self, method: object, params: dict[str, Any]) -> dict[str, Any]:
        if method == "tools/list":
            start = int(params.get("cursor", "0"))
            shown = self.tools[start : start + self.page]
            listed = [{"name": t.name, "description": t.description, "inputSchema": t.schema} for t in shown]
            more = {"nextCursor": str(start + self.page)} if start + self.page < len(self.tools) else {}
            return {"result": {"tools": listed, **more}}
        if method != "tools/call":
            return {"error": {"code": -32601, "message": "Method not found"}}
        tool = next((tool for tool in self.tools if tool.name == params.get("name")), None)
        if tool is None:
            return {"error": {"code": -32602, "message": f"Unknown tool: {params.get('name')}"}}
        try:
            text, failed = tool.run(params.get("arguments", {})), False
        except ValueError as error:
            text, failed = str(error), True
        return {"result": {"content": [{"type": "text", "text": text}], "isError": failed}}

    async def _send(self, send: Send, answer: dict[str, Any], headers: dict[str, str]) -> None:
        if not self.events or headers:
            await send_json(send, 200, answer, headers)
            return
        await start_events(send)
        await send_event(send, {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "working"}})
        await send_event(send, answer, "message")
        await end_events(send)
