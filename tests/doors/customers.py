"""An account with an assistant on a number, its customers, and what remembers them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hookflash.assistant import memory_store
from hookflash.assistant.memory_jobs import Rememberer
from hookflash.assistant.model import ChatModel
from hookflash.assistant.profile_source import Profiles
from hookflash.base.breaker import Breakers
from hookflash.base.errors import Misconfigured
from hookflash.testing.profiles import MemoryProfiles
from tests.doors.tenants import Api, Caller, converse, open_api
from tests.doors.test_knowledge_store import Words

ADA, BO = "+15550111222", "+15550111333"
OURS = "+15550100200"


@dataclass
class House:
    """An account with an assistant on a number, and what remembers for it."""

    api: Api
    caller: Caller
    assistant_id: str
    integration_id: str
    words: Words
    profiles: MemoryProfiles
    models: dict[str, ChatModel]
    url: str

    @property
    def account(self) -> str:
        return self.caller.account_id

    @property
    def now(self) -> datetime:
        return self.api.core.clock.now()

    def around(self) -> Profiles:
        return Profiles(self.profiles, self.api.core.clock, Breakers(self.api.core.clock))

    @property
    def rememberer(self) -> Rememberer:
        core = self.api.core
        return Rememberer(
            core.db, core.clock, self.model, Breakers(core.clock), lambda _: self.words, "words", self.around()
        )

    def model(self, name: str) -> ChatModel:
        if name not in self.models:
            raise Misconfigured(f"There is no {name}.")
        return self.models[name]

    async def says(self, number: str, text: str) -> str:
        """A customer's text, answered; the contact's id. Nobody looks whether an earlier answer has left meanwhile."""
        await self.do("update lanes set due_at = null")
        await converse(self.caller, self.integration_id, number, text)
        (contact,) = (await self.caller.call("GET", "/v1/contacts", params={"address": number}))["items"]
        return str(contact["id"])

    async def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.api.core.db.tenant(self.account) as conn:
            return await (await conn.execute(query.encode(), parameters)).fetchall()

    async def do(self, statement: str, *parameters: object) -> None:
        async with self.api.core.db.tenant(self.account) as conn:
            await conn.execute(statement.encode(), parameters)

    async def end_sessions(self) -> None:
        """As if everything that was said was said an hour ago; then every session that is over is remembered."""
        for table, column in (("turns", "at"), ("sessions", "last_at"), ("sessions", "started_at")):
            await self.do(f"update {table} set {column} = {column} - interval '1 hour'")
        async with self.api.core.db.system() as conn:
            due = await memory_store.due_sessions(conn, self.now, 100)
        for account_id, session_id in due:
            await self.rememberer.remember(account_id, session_id)
        await self.rememberer.embed(self.account)

    async def configure(self, **changes: Any) -> None:
        """Change the assistant; sessions that begin from now on have it so."""
        await self.caller.call("PATCH", f"/v1/assistants/{self.assistant_id}", changes)
        await self.caller.call("POST", f"/v1/assistants/{self.assistant_id}/publish")

    async def profile(self, contact_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.caller.call("GET", f"/v1/contacts/{contact_id}/profile")
        return found


@asynccontextmanager
async def open_house(database_url: str, directory: Path) -> AsyncIterator[House]:
    async with open_api(database_url, directory) as api:
        caller = await api.account("Acme")
        assistant = await caller.call("POST", "/v1/assistants", {"name": "Desk", "models": ["extractive"]}, status=201)
        joined = {
            "name": "line",
            "assistant_id": assistant["id"],
            "sender": OURS,
            "credentials": {"auth_tokens": ["token"]},
            "settings": {"burst_ms": 0, "messages_per_minute": 100},
        }
        integration = await caller.call("POST", "/v1/integrations", joined, status=201)
        words = Words("words")
        yield House(api, caller, assistant["id"], integration["id"], words, MemoryProfiles(), {}, database_url)


def short(profile: dict[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """The traits that hold: value, type, source."""
    return {t["name"]: (t["value"], t["type"], t["source"]) for t in profile["traits"] if t["holds"]}
