"""Programs that were written for Twilio's AI Assistants, as the tests of the compatible API play them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from hookflash.workspace import store as workspace
from tests.doors.tenants import Api
from tests.doors.textline import TextLine

ASSISTANTS = "/compat/twilio/assistants/v1"
TEXT: dict[str, Any] = {
    "name": "Hours",
    "type": "Text",
    "knowledge_source_details": {"content": "We open at nine."},
}
TOOL: dict[str, Any] = {
    "name": "Order status",
    "description": "Where an order is.",
    "type": "WEBHOOK",
    "enabled": True,
    "meta": {"url": "https://erp.example.com/orders", "input_schema": "{ order_id: string }"},
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program of somebody who has an account."""

    http: httpx2.AsyncClient
    account_id: str
    key: str

    async def ask(self, method: str, path: str, json: object = None, status: int = 200, **kwargs: Any) -> Any:
        address = path if path.startswith("/compat") else f"{ASSISTANTS}{path}"
        answer = await self.http.request(method, address, **(kwargs | ({"json": json} if json is not None else {})))
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, json: object = None, **kwargs: Any) -> tuple[int, int, str]:
        """Status, code and sentence, which must come as Twilio's do."""
        address = path if path.startswith("/compat") else f"{ASSISTANTS}{path}"
        answer = await self.http.request(method, address, json=json, **kwargs)
        told = answer.json()
        assert set(told) == {"code", "message", "more_info", "status"}, told
        assert told["status"] == answer.status_code
        assert told["more_info"] == f"https://www.twilio.com/docs/errors/{told['code']}"
        return answer.status_code, told["code"], told["message"]

    async def assistant(self, name: str = "Desk") -> str:
        made = await self.ask("POST", "/Assistants", {"name": name}, 201)
        return f"/Assistants/{made['id']}"


@asynccontextmanager
async def program(api: Api, name: str) -> AsyncIterator[Program]:
    caller = await api.account(name)
    transport = httpx2.ASGITransport(app=api.app)
    auth = httpx2.BasicAuth(caller.account_id, caller.key)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", auth=auth) as http:
        yield Program(http, caller.account_id, caller.key)


@asynccontextmanager
async def on_line(line: TextLine, account_id: str = "") -> AsyncIterator[Program]:
    """A program of the line's own account, or another one."""
    account_id = account_id or line.account_id
    async with line.core.db.tenant(account_id) as conn:
        key = await workspace.create_key(conn, account_id, "test", frozenset({"admin"}), line.core.clock.now())
    auth = httpx2.BasicAuth(key.id, key.text.get_secret_value())
    base = line.core.settings.public_url or ""
    async with httpx2.AsyncClient(base_url=base, auth=auth, timeout=30) as http:
        yield Program(http, account_id, key.text.get_secret_value())
