"""Accounts that are filled through the API with every kind of thing there is, over real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from hookflash.asgi import create_app
from hookflash.assistant import memory_store, tool_store, verification_store
from hookflash.assistant.tool import RemoteTool, ToolAnswer
from hookflash.assistant.verification import Verification
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.base.secret import Sealer
from hookflash.channels.integration import Integration
from hookflash.channels.outbound import Outbound
from hookflash.compat.kept_store import keep
from hookflash.conversation import outbox_store, schedule_store
from hookflash.conversation.attempt_store import add_attempt
from hookflash.conversation.call import CallArrival
from hookflash.conversation.identity import Identity
from hookflash.conversation.identity_store import attach_identity, ensure_contact
from hookflash.conversation.intake import Arrival
from hookflash.conversation.journal_store import seal_journal
from hookflash.conversation.lane import Outgoing
from hookflash.conversation.schedule_store import Scheduled
from hookflash.conversation.segment import Segment
from hookflash.conversation.transfer_store import begin_transfer
from hookflash.conversation.turn import Ending, Say, Source, Turn, Usage
from hookflash.knowledge.copy_store import mark
from hookflash.knowledge.crawl import Lost
from hookflash.knowledge.store import get_source
from hookflash.knowledge.web_store import page_lost
from hookflash.settings import Settings
from hookflash.wiring import Core, desk, lane_runner, open_core
from hookflash.workspace import store as workspace

WORKER = 7


async def hand_over(turn: Turn, say: Say) -> Ending:
    """An answer that says the account's words again, and asks for a person."""
    text = f"You said: {turn.words}"
    await say(Segment(text, last=True))
    source = Source(1, new_id("doc"), "A title", 0.8, 0.7, 3.2, cited=True)
    usage = Usage(input_tokens=120, output_tokens=12, model_micros=42)
    return Ending(
        "answered",
        text,
        turn.words,
        0.9,
        (source,),
        "scripted",
        "rev",
        "en",
        usage,
        {"search": 1.5},
        (),
        "asked for one",
    )


@dataclass(frozen=True, slots=True)
class Api:
    """The application over an open core, and callers of it."""

    core: Core
    app: FastAPI
    http: httpx2.AsyncClient

    async def account(self, name: str, *scopes: str) -> "Caller":
        """A new account, and a caller with a key of these scopes (none: everything)."""
        account_id = await workspace.create_account(self.core.db, name)
        return await self.key(account_id, *scopes)

    async def key(self, account_id: str, *scopes: str) -> "Caller":
        async with self.core.db.tenant(account_id) as conn:
            now = self.core.clock.now()
            made = await workspace.create_key(conn, account_id, "test", frozenset(scopes or ("admin",)), now)
        return Caller(self, account_id, made.text.get_secret_value())


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key."""

    api: Api
    account_id: str
    key: str

    async def send(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key}"} | kwargs.pop("headers", {})
        return await self.api.http.request(method, path, headers=headers, **kwargs)

    async def call(self, method: str, path: str, json: object = None, *, status: int = 200, **kwargs: Any) -> Any:
        """What the answer says; it must have this status."""
        if json is not None:
            kwargs["json"] = json
        response = await self.send(method, path, **kwargs)
        assert response.status_code == status, (method, path, response.status_code, response.text)
        return response.json() if response.content else None


@asynccontextmanager
async def open_api(database_url: str, directory: Path, **env: str) -> AsyncIterator[Api]:
    settings = Settings.load(
        {
            "HOOKFLASH_DATABASE_URL": database_url,
            "HOOKFLASH_DATA_DIR": str(directory),
            "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
            "HOOKFLASH_PUBLIC_URL": "https://bot.example.com",
            "HOOKFLASH_REQUESTS_PER_MINUTE": "10000000",
            "HOOKFLASH_MAX_UPLOAD_BYTES": "100000",
            **env,
        }
    )
    async with open_core(settings, answer=hand_over) as core:
        app = create_app(core)
        app.state.workbench = replace(core.workbench, offered=offers_one)
        app.state.outbound = Rings(**{f.name: getattr(core.outbound(), f.name) for f in fields(Outbound)})
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Api(core, app, http)


async def offers_one(url: str, auth: object) -> tuple[RemoteTool, ...]:
    """What every MCP server has."""
    return (RemoteTool("look", "Looks.", {"type": "object", "properties": {}}),)


class Rings(Outbound):
    """Every call that may be made is taken by Twilio, at any hour."""

    async def call(self, integration: Integration, to: Address, purpose: str, retries: int = 0) -> str:
        arrival = CallArrival(
            integration.account_id, integration.id, "", "out", "relay", str(to), integration.sender, purpose=purpose
        )
        dialled = await self.desk.queue(arrival, await self.desk.standing(arrival, integration))
        await self.desk.rang(integration.account_id, dialled.attempt_id, f"CA{new_id('x')}")
        return dialled.call_id


@dataclass(frozen=True, slots=True)
class Filled:
    """An account with one of everything. `ids` by what they are (`contact_id` ...); `word` is in every text of it."""

    caller: Caller
    word: str
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def marks(self) -> set[str]:
        """What must not show anywhere else."""
        return {self.word, *(value for name, value in self.ids.items() if name != "name")}


async def fill(caller: Caller, word: str, number: str, sender: str) -> Filled:
    """Everything that an account can have; its only message out is parked."""
    filled = Filled(caller, word)
    ids, core = filled.ids, caller.api.core
    source = await caller.call("POST", "/v1/sources", {"name": f"{word} source"}, status=201)
    text = {"name": word, "title": f"{word} hours", "text": f"The {word} office opens at nine."}
    document = await caller.call("POST", f"/v1/sources/{source['id']}/documents", text, status=202)
    site = {"name": f"{word} site", "kind": "web", "web": {"url": f"https://{word}.example/"}}
    web = await caller.call("POST", "/v1/sources", site, status=201)
    await lose_page(core, caller.account_id, web["id"], f"https://{word}.example/help")
    indexed = await core.indexer().index(caller.account_id, document["id"])
    assert indexed is not None
    assert indexed.status == "COMPLETED", indexed.error
    await mark(core.db, caller.account_id, source["id"], "elsewhere")
    tool = await caller.call(
        "POST",
        "/v1/tools",
        {
            "name": f"look_up_{word}"[:30],
            "description": f"{word} orders",
            "input": "{ order_id: string }",
            "url": f"https://{word}.example/orders",
            "auth": {"type": "bearer", "token": f"{word}-token"},
        },
        status=201,
    )
    spare_tool = await caller.call(
        "POST",
        "/v1/tools",
        {"name": "spare", "description": word, "input": "{}", "url": f"https://{word}.example/"},
        status=201,
    )
    config = {"name": f"{word} assistant", "sources": [source["id"]], "tools": [tool["id"]]}
    assistant = await caller.call("POST", "/v1/assistants", config, status=201)
    spare = await caller.call("POST", "/v1/assistants", {"name": f"{word} spare"}, status=201)
    exact = {"questions": [f"Where is {word}?"], "answer": f"Here is {word}.", "assistant_id": assistant["id"]}
    curated = await caller.call("POST", "/v1/answers", exact, status=201)
    joined = {
        "name": f"{word} line",
        "assistant_id": assistant["id"],
        "sender": sender,
        "credentials": {"auth_tokens": [f"{word}-token"]},
        "settings": {"burst_ms": 0},
        "meta": {"mark": word},
    }
    integration = await caller.call("POST", "/v1/integrations", joined, status=201)
    unused = await caller.call(
        "POST", "/v1/integrations", joined | {"sender": f"whatsapp:{sender}", "name": f"{word} unused"}, status=201
    )
    key = await caller.call("POST", "/v1/keys", {"name": f"{word} key", "scopes": ["messages:read"]}, status=201)
    ids |= {
        "source_id": source["id"],
        "web_source_id": web["id"],
        "answer_id": curated["id"],
        "tool_id": tool["id"],
        "spare_tool_id": spare_tool["id"],
        "document_id": document["id"],
        "assistant_id": assistant["id"],
        "spare_assistant_id": spare["id"],
        "integration_id": integration["id"],
        "spare_integration_id": unused["id"],
        "key_id": key["id"],
        "sender": sender,
        "address": number,
        "name": f"{word}.md",
        "account_id": caller.account_id,
    }
    await converse(caller, integration["id"], number, f"What are the {word} hours?")
    (contact,) = (await caller.call("GET", "/v1/contacts"))["items"]
    (session,) = (await caller.call("GET", "/v1/sessions"))["items"]
    said, sent = (await caller.call("GET", "/v1/messages"))["items"]
    (ticket,) = (await caller.call("GET", "/v1/tickets"))["items"]
    ids |= {
        "contact_id": contact["id"],
        "session_id": session["id"],
        "said_id": said["id"],
        "message_id": sent["id"],
        "turn_id": sent["turn_id"],
        "ticket_id": ticket["id"],
    }
    await caller.call("PATCH", f"/v1/contacts/{contact['id']}", {"name": word, "traits": {"mark": word}})
    await caller.call("PUT", f"/v1/contacts/{contact['id']}/opt-outs/{sender}")
    await remember(filled, contact["id"], session["id"])
    await learn(filled)
    await use_tool(core, caller.account_id, tool["id"], sent["turn_id"])
    await wait_for(core, caller.account_id, ids)
    ids["call_id"] = await ring(caller, integration["id"], number)
    async with core.db.tenant(caller.account_id) as conn:
        now = core.clock.now()
        await add_attempt(conn, caller.account_id, ids["call_id"], 1, "over", now, now)
        await begin_transfer(conn, caller.account_id, ids["call_id"], contact["id"], f"sip:{word}@example.com", now)
    await name_for_others(core, filled)
    async with core.db.tenant(caller.account_id) as conn:
        await seal_journal(conn, caller.account_id, core.clock.now())
    return filled


async def name_for_others(core: Core, filled: Filled) -> None:
    """What the account's things are to programs that speak Twilio's AI Assistants API."""
    account_id, ids, word = filled.caller.account_id, filled.ids, filled.word
    async with core.db.tenant(account_id) as conn:
        await keep(conn, account_id, ids["assistant_id"], {"mark": word})
        await conn.execute(
            "insert into compat_sessions (account_id, name, session_id, contact_id, identity) values (%s, %s, %s, %s, %s)",
            (account_id, f"{word} session", ids["session_id"], ids["contact_id"], f"phone:{ids['address']}"),
        )
        await conn.execute(
            "insert into compat_webhooks (message_id, account_id, contact_id, url) values (%s, %s, %s, %s)",
            (ids["said_id"], account_id, ids["contact_id"], f"https://{word}.example/answers"),
        )


async def learn(filled: Filled) -> None:
    """Somebody said how it was, an answer was corrected, and an experiment runs."""
    caller, ids, word = filled.caller, filled.ids, filled.word
    thought = {
        "session_id": ids["session_id"],
        "message_id": ids["message_id"],
        "score": 0.5,
        "text": f"{word} was fine",
    }
    ids["feedback_id"] = (await caller.call("POST", "/v1/feedback", thought, status=201))["id"]
    right = {"correct": f"The {word} opens at ten."}
    corrected = await caller.call("POST", f"/v1/turns/{ids['turn_id']}/correction", right, status=201)
    ids["correction_id"] = corrected["id"]
    variants = [
        {"name": "control", "share": 50},
        {"name": "other", "share": 50, "changes": {"role": f"You are {word}."}},
    ]
    begun = {"assistant_id": ids["spare_assistant_id"], "name": f"{word} test", "variants": variants}
    ids["experiment_id"] = (await caller.call("POST", "/v1/experiments", begun, status=201))["id"]


async def remember(filled: Filled, contact_id: str, session_id: str) -> None:
    """Something is remembered of the contact; there are two more, of whom one will be merged and the other erased."""
    account_id, core, word = filled.caller.account_id, filled.caller.api.core, filled.word
    now = core.clock.now()
    async with core.db.tenant(account_id) as conn:
        await attach_identity(conn, account_id, contact_id, Identity.parse(f"user_id:{word}"), "test", now)
        made = await memory_store.add_observation(
            conn, account_id, contact_id, f"Bought a {word}.", now, session_id=session_id
        )
        filled.ids["observation_id"] = made.id
        await memory_store.learn_traits(conn, account_id, contact_id, "conversation", {"pet": word}, now)
        for name in ("merged", "spare"):
            who = Identity.parse(f"email:{name}@{word}.example")
            filled.ids[f"{name}_contact_id"] = await ensure_contact(conn, account_id, who, "test", now)


async def use_tool(core: Core, account_id: str, tool_id: str, turn_id: str) -> None:
    """A tool was used in a turn."""
    async with core.db.tenant(account_id) as conn:
        tool = (await tool_store.get(conn, tool_id)).tool
        await tool_store.record(
            conn,
            account_id,
            new_id("key"),
            turn_id,
            tool,
            ToolAnswer("shipped"),
            12.0,
            core.clock.now(),
            arguments={"order_id": f"{account_id} A1"},
        )


async def wait_for(core: Core, account_id: str, ids: dict[str, str]) -> None:
    """A code that is awaited, and a message that is to leave later."""
    now = core.clock.now()
    code = Verification(
        new_id("veri"), ids["contact_id"], ids["session_id"], ids["address"], "sms", f"{account_id} asks", now, now, now
    )
    later = Scheduled(
        new_id("msg"),
        ids["contact_id"],
        ids["integration_id"],
        ids["address"],
        ids["sender"],
        ids["sender"],
        f"{account_id} reminds",
        now + timedelta(days=30),
    )
    ids["scheduled_id"] = later.id
    async with core.db.tenant(account_id) as conn:
        await verification_store.add(conn, account_id, code)
        await schedule_store.add(conn, account_id, new_id("key"), later, now)


async def lose_page(core: Core, account_id: str, source_id: str, url: str) -> None:
    """A page of a site that could not be had."""
    async with core.db.tenant(account_id) as conn:
        source = await get_source(conn, source_id)
        await page_lost(conn, source, Lost(url, "404: the server has no such page", gone=True), core.clock.now())


async def ring(caller: Caller, integration_id: str, number: str) -> str:
    """A customer calls and is admitted."""
    core = caller.api.core
    async with core.db.tenant(caller.account_id) as conn:
        integration: Integration = await core.integrations.get(conn, integration_id)
    arrival = CallArrival(
        account_id=caller.account_id,
        integration_id=integration_id,
        call_sid=f"CA{new_id('x')}",
        direction="in",
        way="relay",
        address=number,
        sender=integration.sender,
    )
    call_id, _, why = await core.switchboard().admit(integration, arrival)
    assert why is None
    return call_id


async def converse(caller: Caller, integration_id: str, number: str, text: str, *, sid: str | None = None) -> None:
    """A customer's text is taken in and thought about; the answer is parked."""
    core = caller.api.core
    async with core.db.tenant(caller.account_id) as conn:
        integration: Integration = await core.integrations.get(conn, integration_id)
    arrival = Arrival(
        account_id=caller.account_id,
        integration_id=integration_id,
        sid=sid or f"SM{new_id('x')}",
        address=Address.parse(number),
        sender=Address.parse(integration.sender),
        text=text,
        media=(),
        at=core.clock.now(),
    )
    accepted = await core.webhooks().acceptor.accept(integration, arrival)
    assert accepted.state == "unanswered", accepted
    at = desk(core, lambda: WORKER)
    runner = lane_runner(core, at)

    async def acknowledge(out: Outgoing) -> None:
        raise AssertionError("nothing here takes long")

    for held in await at.claim(10):
        work = await at.load(held)
        assert work.unanswered is not None
        thought = await runner.think(held, work.unanswered, acknowledge)
        rows = await at.commit(held, thought, final=True, post_now=False)
        assert isinstance(rows, tuple)
        async with core.db.tenant(caller.account_id) as conn:
            for row in rows:
                await outbox_store.park(
                    conn, row, "nobody can tell", core.clock.now() + timedelta(seconds=1), unsent=False
                )
        await at.release(held, None)
