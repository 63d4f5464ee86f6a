"""Tools as things: made, limited, sealed, taken over, tried out; called in turns at most once, and what became of it kept."""

import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from hookflash.assistant import tool_store
from hookflash.assistant.builtin import Builtin, own
from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool, ToolAnswer, ToolFailed, ToolOutcome, ToolRefused, call_key
from hookflash.assistant.tool_auth import ToolAuth
from hookflash.assistant.toolbox_store import StoredToolbox
from hookflash.base.clock import SystemClock
from hookflash.base.ids import new_id
from hookflash.base.secret import Sealer, Secret
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from hookflash.db.pool import Database
from hookflash.testing.erp_server import ErpServer
from hookflash.testing.mcp_server import McpServer, Offered
from hookflash.testing.vendor import serve
from hookflash.workspace import store as workspace
from tests.doors.tenants import Caller, open_api

ORDER = {"name": "order_status", "description": "Where an order is.", "input": "{ order_id: string }"}
CARD = "4111 1111 1111 1111"


@dataclass(frozen=True, slots=True)
class Shop:
    """An account, and an order system and an MCP server that it may reach."""

    caller: Caller
    erp: ErpServer
    erp_url: str
    mcp: McpServer
    mcp_url: str

    @property
    def order(self) -> dict[str, Any]:
        auth = {
            "type": "oauth_password",
            "token_url": f"{self.erp_url}/oauth/token",
            "username": self.erp.username,
            "password": self.erp.password,
        }
        return ORDER | {"url": f"{self.erp_url}/orders", "auth": auth}

    async def refused(self, body: dict[str, Any], field: str, says: str, status: int = 422) -> None:
        """It is refused for this, and nothing was made."""
        before = await self.caller.call("GET", "/v1/tools")
        told = await self.caller.call("POST", "/v1/tools", body, status=status)
        assert says in told["detail"], told
        assert [error["field"] for error in told.get("errors", [])] == ([field] if field else [])
        assert await self.caller.call("GET", "/v1/tools") == before


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    erp = ErpServer(SystemClock())
    mcp = McpServer()
    async with serve(erp) as erp_url, serve(mcp) as mcp_url:
        hosts = f"{erp_url.removeprefix('http://')},{mcp_url.removeprefix('http://')}"
        async with open_api(database_url, tmp_path, HOOKFLASH_ALLOWED_HOSTS=hosts) as api:
            api.app.state.workbench = api.core.workbench
            yield Shop(await api.account("Acme"), erp, erp_url, mcp, mcp_url)


async def test_a_tool_is_made_shown_and_tried_on_somebodys_behalf(shop: Shop) -> None:
    made = await shop.caller.call("POST", "/v1/tools", shop.order, status=201)
    assert made["input"] == "{ order_id: string }"
    assert made["input_schema"]["required"] == ["order_id"]
    assert (made["kind"], made["method"], made["timeout_seconds"], made["authenticated"]) == ("http", "POST", 10, True)
    trial = {"arguments": {"order_id": "A-1001"}, "identity": "phone:+15550111222"}
    tried = await shop.caller.call("POST", f"/v1/tools/{made['id']}/test", trial)
    assert tried["outcome"] == "answered"
    assert "DHL" in tried["text"]
    tried = await shop.caller.call("POST", f"/v1/tools/{made['id']}/test", trial | {"identity": "phone:+15550199999"})
    assert (tried["outcome"], "no such order" in tried["text"]) == ("failed", True)
    tried = await shop.caller.call("POST", f"/v1/tools/{made['id']}/test", {"arguments": {"number": 3}})
    assert (tried["outcome"], tried["text"]) == ("refused", "order_id is missing; there is no number")
    assert await shop.caller.call("GET", f"/v1/tools/{made['id']}/calls") == {"items": [], "cursor": None}
    one = await shop.caller.call("GET", f"/v1/tools/{made['id']}/signing-secret")
    other = await shop.caller.call("POST", "/v1/tools", shop.order | {"name": "other"}, status=201)
    assert one != await shop.caller.call("GET", f"/v1/tools/{other['id']}/signing-secret")


async def test_what_proves_who_we_are_is_sealed_and_never_shown(shop: Shop, database_url: str) -> None:
    made = await shop.caller.call("POST", "/v1/tools", shop.order, status=201)
    changes = {"auth": {"type": "bearer", "token": "another-s3cret"}}
    changed = await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", changes)
    journal = await shop.caller.call("GET", "/v1/journal")
    async with await psycopg.AsyncConnection.connect(database_url) as owner:
        (row,) = await (await owner.execute("select to_jsonb(t)::text || t.secret::text from tools t")).fetchall()
    for shown in (made, changed, journal, row):
        assert "s3cret" not in str(shown)
    moved = await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", {"url": "https://evil.example/"}, status=422)
    assert "give it again" in moved["detail"]
    same = await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", {"url": f"{shop.erp_url}/elsewhere"})
    assert same["authenticated"]
    gone = await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", {"url": "https://other.example/", "auth": None})
    assert not gone["authenticated"]


async def test_limits_say_which_and_nothing_is_half_made(shop: Shop) -> None:
    order = shop.order
    await shop.caller.call("POST", "/v1/tools", order, status=201)
    await shop.refused(order, "", "There is a tool named order_status already.", status=409)
    await shop.refused(order | {"name": "n" * 31}, "name", "The name has 31 characters, and at most 30 are allowed.")
    await shop.refused(
        order | {"name": "x", "description": "d" * 301}, "description", "301 characters, and at most 300"
    )
    many = "{" + ";".join(f"p{n}: string" for n in range(26)) + "}"
    await shop.refused(order | {"name": "x", "input": many}, "input", "26 properties, and at most 25")
    caret = "line 1, column 6: there is no type strin: string, number, integer, boolean, null, an object or a literal"
    await shop.refused(order | {"name": "x", "input": "{ a: strin }"}, "input", f"{caret}\n{{ a: strin }}\n     ^")
    await shop.refused(order | {"name": "x", "input": {"type": "object", "allOf": []}}, "input", "`allOf`")


async def test_each_kind_needs_its_own(shop: Shop) -> None:
    await shop.refused(ORDER, "url", "A tool of the kind http needs url.")
    await shop.refused(shop.order | {"function": "f"}, "function", "A tool of the kind http has no function.")
    await shop.refused(ORDER | {"kind": "mcp", "url": shop.mcp_url}, "remote_name", "needs remote_name")
    await shop.refused(ORDER | {"kind": "python", "function": "f"}, "function", "There is no function f here")
    await shop.refused(ORDER | {"kind": "builtin", "builtin": "b"}, "builtin", "There is no builtin b here")
    await shop.refused({"name": "x", "url": shop.erp_url, "input": "{}"}, "description", "write one")
    await shop.refused({"name": "x", "url": shop.erp_url, "description": "d"}, "input", "Say what the tool takes")


async def test_a_sixth_tool_is_over_the_limit_of_an_assistant(shop: Shop) -> None:
    ids = []
    for n in range(6):
        made = await shop.caller.call("POST", "/v1/tools", shop.order | {"name": f"tool_{n}"}, status=201)
        ids.append(made["id"])
    told = await shop.caller.call("POST", "/v1/assistants", {"name": "A", "tools": ids}, status=422)
    assert told["detail"] == "An assistant may have 5 tools, and 6 are named."
    assistant = await shop.caller.call("POST", "/v1/assistants", {"name": "A", "tools": ids[:5]}, status=201)
    await shop.caller.call("PATCH", f"/v1/assistants/{assistant['id']}", {"tools": ids}, status=422)
    assert (await shop.caller.call("GET", f"/v1/assistants/{assistant['id']}"))["tools"] == ids[:5]


async def test_the_tools_of_an_mcp_server_are_taken_over_or_say_why_not(shop: Shop) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}

    def stock(arguments: dict[str, Any]) -> str:
        return f"{arguments['sku']}: 7"

    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(26)}}
    shop.mcp.tools = [
        Offered("stock", "How many there are. " * 30, schema, stock),
        Offered("wide", "w", wide, stock),
        Offered("odd name", "o", schema, stock),
        Offered("strange", "s", {"type": "object", "$defs": {}}, stock),
    ]
    asked = {"url": f"{shop.mcp_url}/mcp", "auth": {"type": "bearer", "token": "mcp-test"}}
    got = await shop.caller.call("POST", "/v1/tool-imports", asked, status=201)
    (made,) = got["created"]
    assert (made["name"], made["kind"], made["remote_name"], made["authenticated"]) == ("stock", "mcp", "stock", True)
    assert len(made["description"]) == 300
    why = {each["name"]: each["why"] for each in got["refused"]}
    assert set(why) == {"wide", "odd name", "strange"}
    assert "26 properties" in why["wide"]
    assert "`$defs` is not understood" in why["strange"]
    tried = await shop.caller.call("POST", f"/v1/tools/{made['id']}/test", {"arguments": {"sku": "tent"}})
    assert (tried["outcome"], tried["text"]) == ("answered", "tent: 7")
    renamed = await shop.caller.call(
        "POST", "/v1/tool-imports", asked | {"tools": {"stock": "stock", "odd name": "odd", "none": "n"}}, status=201
    )
    assert [each["name"] for each in renamed["created"]] == ["odd"]
    assert {each["name"]: each["why"] for each in renamed["refused"]} == {
        "stock": "There is a tool named stock already.",
        "none": "The server has no such tool.",
    }
    told = await shop.caller.call("POST", "/v1/tool-imports", {"url": asked["url"]}, status=422)
    assert told["detail"] == "The MCP server answered 401."
    inner = await shop.caller.call("POST", "/v1/tool-imports", {"url": "http://169.254.169.254/"}, status=422)
    assert "link-local" in inner["detail"]


async def test_a_tool_is_called_from_the_terminal(shop: Shop, database_url: str, tmp_path: Path) -> None:
    await shop.caller.call("POST", "/v1/tools", shop.order, status=201)
    settings = shop.caller.api.core.settings
    env = os.environ | {
        "HOOKFLASH_DATABASE_URL": database_url,
        "HOOKFLASH_DATA_DIR": str(tmp_path),
        "HOOKFLASH_SECRET_KEY": settings.sealing_key().get_secret_value(),
        "HOOKFLASH_ALLOWED_HOSTS": ",".join(settings.allowed_hosts),
        "NO_COLOR": "1",
    }

    async def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "hookflash", "tools", *arguments]
        done = await anyio.run_process(command, env=env, cwd=tmp_path, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    code, shown = await run("list", "--json")
    assert (code, [each["name"] for each in json.loads(shown)]) == (0, ["order_status"])
    code, shown = await run("test", "order_status", '{"order_id": "A-1001"}', "--identity", "phone:+15550111222")
    assert (code, "DHL" in shown) == (0, True)
    code, shown = await run("test", "order_status", '{"order_id": "A-1001"}')
    assert (code, "no such order" in shown) == (1, True)
    code, shown = await run("test", "order_status", "[]")
    assert (code, "JSON object" in shown) == (2, True)


# In turns


@dataclass
class Desk:
    """An account that has a toolbox whose tools answer by script."""

    db: Database
    account: str
    outcomes: list[ToolOutcome]
    called: list[tuple[str, ToolAuth | None]]
    box: StoredToolbox
    sealer: Sealer

    def turn(self, *tools: str, contact: str = "cont_1") -> Turn:
        session = Session("sess_1", "asst_1", 1, {"tools": list(tools)}, datetime(2025, 1, 1, tzinfo=UTC))
        person = Contact(contact, None, None)
        now = session.started_at
        return Turn("turn_1", self.account, "intg_1", person, session, (), (), LineTraits("sms"), now)

    async def make(self, name: str, **more: Any) -> Tool:
        tool = Tool(new_id("tool"), name, "d", read("{ note?: string }"), more.pop("kind", "http"), {}, **more)
        async with self.db.tenant(self.account) as conn:
            await tool_store.create(conn, self.account, tool, None, None)
        return tool

    async def kept(self, tool: Tool) -> list[tool_store.KeptCall]:
        async with self.db.tenant(self.account) as conn:
            return (await tool_store.calls(conn, tool.id, 50, None)).items


@pytest.fixture
async def desk(database: Database) -> Desk:
    account = await workspace.create_account(database, "Acme")
    async with database.tenant(account) as conn:
        await conn.execute("insert into contacts (id, account_id) values ('cont_1', %s)", (account,))
    outcomes: list[ToolOutcome] = []
    called: list[tuple[str, ToolAuth | None]] = []

    async def run(tool: Tool, arguments: object, *, session_id: str, identity: str, key: str, auth: Any) -> ToolOutcome:
        called.append((f"{session_id} {identity}", auth))
        return outcomes.pop(0)

    async def greet(turn: Turn, arguments: object, key: str) -> ToolOutcome:
        return ToolAnswer(f"hello {turn.contact.id}")

    sealer = Sealer(Secret(Sealer.new_key()))
    box = StoredToolbox(
        database, SystemClock(), sealer, {"http": run}, {"greet": Builtin("greet", "Greets.", read("{}"), greet)}
    )
    return Desk(database, account, outcomes, called, box, sealer)


async def test_a_turn_has_the_enabled_tools_of_its_assistant_in_their_order(desk: Desk) -> None:
    one, two, off = await desk.make("one"), await desk.make("two"), await desk.make("off", enabled=False)
    found = await desk.box.tools(desk.turn(two.id, off.id, one.id, "tool_gone", two.id))
    assert [tool.name for tool in found] == ["two", "one"]
    assert await desk.box.tools(desk.turn()) == ()


async def test_a_call_that_was_answered_is_never_made_again(desk: Desk) -> None:
    tool = await desk.make("one")
    turn, arguments = desk.turn(tool.id), {"note": f"my card is {CARD}"}
    key = call_key(turn, tool, arguments)
    desk.outcomes[:] = [ToolFailed("busy"), ToolAnswer("done\0 it"), ToolAnswer("twice")]
    assert await desk.box.call(turn, tool, arguments, key) == ToolFailed("busy")
    assert [call.outcome for call in await desk.kept(tool)] == ["failed"]
    assert await desk.box.call(turn, tool, arguments, key) == ToolAnswer("done it")
    assert await desk.box.call(turn, tool, arguments, key) == ToolAnswer("done it")
    assert len(desk.called) == 2
    (kept,) = await desk.kept(tool)
    assert (kept.turn_id, kept.contact_id, kept.outcome, kept.answer) == ("turn_1", "cont_1", "answered", "done it")
    assert kept.arguments == {"note": "my card is [card number]"}
    assert kept.key == key


async def test_what_is_kept_of_a_person_goes_with_the_person(desk: Desk, database_url: str) -> None:
    tool = await desk.make("one")
    desk.outcomes[:] = [ToolAnswer("a"), ToolAnswer("b")]
    await desk.box.call(desk.turn(tool.id), tool, {}, "k1")
    await desk.box.call(desk.turn(tool.id, contact="cont_trial"), tool, {}, "k2")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("delete from contacts where id = 'cont_1'")
    assert [(call.key, call.contact_id) for call in await desk.kept(tool)] == [("k2", None)]


async def test_arguments_that_are_wrong_never_leave(desk: Desk) -> None:
    tool = await desk.make("one")
    turn = desk.turn(tool.id)
    assert await desk.box.call(turn, tool, {"note": 3}, "k1") == ToolRefused("note must be a string")
    assert await desk.box.call(turn, tool, {"note": "a\0b"}, "k2") == ToolRefused(
        "the input holds characters that cannot be sent"
    )
    assert await desk.box.call(turn, tool, {"note": "\ud800"}, "k3") == ToolRefused(
        "the input holds characters that cannot be sent"
    )
    assert desk.called == []
    assert await desk.kept(tool) == []


async def test_tools_of_the_house_are_given_the_turn(desk: Desk) -> None:
    tool = Tool("tool_1", "greet", "d", read("{}"), "builtin", {"builtin": "greet"})
    assert await desk.box.call(desk.turn(), tool, {}, "k1") == ToolAnswer("hello cont_1")
    unknown = Tool("tool_2", "x", "d", read("{}"), "builtin", {"builtin": "gone"})
    assert await desk.box.call(desk.turn(), unknown, {}, "k2") == ToolRefused(
        "tools of the kind builtin cannot be used here"
    )


async def test_tools_of_the_house_are_made_by_whoever_wants_them(shop: Shop) -> None:
    def house(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "kind": "builtin", "builtin": name} | more

    made = await shop.caller.call("POST", "/v1/tools", house("send_link", hosts=["acme.example"]), status=201)
    assert (made["hosts"], made["traits"], made["input_schema"]["required"]) == (["acme.example"], [], ["url"])
    for name in ("hand_off", "schedule_message"):
        await shop.caller.call("POST", "/v1/tools", house(name), status=201)
    who = {"verified": True}
    seen = await shop.caller.call("POST", "/v1/tools", house("look_up_customer", traits=["plan"], who=who), status=201)
    assert seen["who"]["verified"]
    changed = await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", {"hosts": ["a.example", "b.example"]})
    assert changed["hosts"] == ["a.example", "b.example"]
    await shop.caller.call("PATCH", f"/v1/tools/{made['id']}", {"hosts": []}, status=422)
    other = house("send_link", hosts=["x.example"]) | {"name": "x"}
    await shop.refused(other | {"hosts": None}, "hosts", "A tool send_link needs hosts.")
    await shop.refused(other | {"traits": ["plan"]}, "traits", "A tool send_link has no traits.")
    await shop.refused(shop.order | {"name": "x", "hosts": ["h"]}, "hosts", "A tool of the kind http has no hosts.")
    await shop.refused(house("look_up_customer") | {"name": "x"}, "traits", "A tool look_up_customer needs traits.")


async def test_the_tools_of_the_documentation_can_be_made(shop: Shop) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    tools = [tool for tool in shown if "name" in tool]
    assert len(tools) >= 3
    for tool in tools:
        await shop.caller.call("POST", "/v1/tools", tool, status=201)


async def test_the_model_sees_only_the_traits_that_it_may(desk: Desk) -> None:
    look_up = own()["look_up_customer"]
    turn = desk.turn()
    turn = replace(turn, contact=replace(turn.contact, name="Ada", traits={"plan": "gold", "salary": 7, "name": "x"}))

    async def seen(*traits: str) -> ToolOutcome:
        tool = Tool("tool_1", "who", "d", read("{}"), "builtin", {"builtin": "look_up_customer", "traits": traits})
        return await look_up.of(tool)(turn, {}, "k")

    assert await seen("name", "plan", "birthday") == ToolAnswer('{"name":"Ada","plan":"gold"}')
    assert await seen() == ToolAnswer("Nothing is known of this customer that you may see.")
