"""Tools of MCP servers: what a server offers, calls of one, and everything that may go wrong on the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hookflash.assistant.tool import RemoteTool, Tool, ToolAnswer, ToolFailed, ToolOutcome
from hookflash.assistant.tool_auth import Bearer, ToolAuth
from hookflash.base.clock import SystemClock
from hookflash.base.errors import HookflashError, Invalid
from hookflash.providers.guarded import guarded_client
from hookflash.providers.mcp_tool import McpTools
from hookflash.testing.mcp_server import McpServer, Offered
from hookflash.testing.vendor import serve

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}
AUTH = Bearer(type="bearer", token="mcp-test")


def stock(arguments: dict[str, Any]) -> str:
    if arguments["sku"] == "gone":
        raise ValueError("there is no such article")
    return f"{arguments['sku']}: 7"


@dataclass
class Line:
    """A server, and tools that reach it."""

    server: McpServer
    url: str
    tools: McpTools

    async def call(self, name: str = "stock", sku: str = "tent", auth: ToolAuth | None = AUTH) -> ToolOutcome:
        tool = Tool("tool_1", "stock", "d", SCHEMA, "mcp", {"url": self.url, "remote_name": name})
        return await self.tools.call(
            tool, {"sku": sku}, session_id="sess_1", identity="phone:+15550111222", key="k1", auth=auth
        )

    def asked(self, method: str) -> int:
        return sum(request.body.get("method") == method for request in self.server.requests)


@asynccontextmanager
async def line(**about: Any) -> AsyncIterator[Line]:
    offered = [Offered(name, f"About {name}.", SCHEMA, stock) for name in ("stock", "price", "colour")]
    server = McpServer([*offered, Offered("huge", "", SCHEMA, lambda _: "x" * 2_000_000)], **about)
    async with serve(server) as base, guarded_client(allow=frozenset({base.removeprefix("http://")})) as client:
        yield Line(server, f"{base}/mcp", McpTools(client, SystemClock()))


@pytest.mark.parametrize("events", [False, True])
async def test_all_pages_of_what_is_offered_and_a_call(events: bool) -> None:
    async with line(events=events) as here:
        offered = await here.tools.offered(here.url, AUTH)
        assert [tool.name for tool in offered] == ["stock", "price", "colour", "huge"]
        assert offered[0] == RemoteTool("stock", "About stock.", SCHEMA)
        assert await here.call() == ToolAnswer("tent: 7")
        assert await here.call(sku="lamp") == ToolAnswer("lamp: 7")
        assert here.asked("initialize") == 2, "one for the list, one for all calls"
        asked = here.server.requests[-1].headers
        assert asked["mcp-protocol-version"] == "2025-06-18"
        assert asked["x-identity"] == "phone:+15550111222"


async def test_a_session_that_the_server_forgot_is_opened_again() -> None:
    async with line() as here:
        assert await here.call() == ToolAnswer("tent: 7")
        here.server.forget()
        assert await here.call() == ToolAnswer("tent: 7")
        assert here.asked("initialize") == 2


@pytest.mark.parametrize("events", [False, True])
async def test_what_goes_wrong_is_a_sentence(events: bool) -> None:
    async with line(events=events) as here:
        assert await here.call(sku="gone") == ToolFailed("its server says: there is no such article")
        assert await here.call("unknown") == ToolFailed("The MCP server refused: Unknown tool: unknown")
        assert await here.call("huge") == ToolFailed("The MCP server's answer has more than 1 MB")


async def test_the_wrong_token_is_refused_once() -> None:
    async with line() as here:
        assert await here.call(auth=None) == ToolFailed("The MCP server answered 401")
        assert len(here.server.requests) == 1


async def test_a_version_that_nobody_knows() -> None:
    async with line(protocol="1999-01-01") as here:
        with pytest.raises(HookflashError, match="version of the protocol"):
            await here.tools.offered(here.url, AUTH)


async def test_a_server_of_the_inner_network_is_not_reached() -> None:
    async with guarded_client() as client:
        with pytest.raises(Invalid, match="may not be reached"):
            await McpTools(client, SystemClock()).offered("http://127.0.0.1:9/mcp", None)
