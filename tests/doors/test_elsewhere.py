"""Indexes of accounts that lie elsewhere: described over the API, checked before anything is made, searched with our own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psycopg
import pytest

from hookflash.asgi import create_app
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.library import Library
from hookflash.base.clock import SystemClock
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.base.secret import Sealer
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from hookflash.knowledge.external import Entry
from hookflash.knowledge.passage import Found
from hookflash.providers.faiss_index import FaissRow, write_index
from hookflash.settings import Settings
from hookflash.testing.model import Says, ScriptedModel
from hookflash.testing.pinecone_server import PineconeServer, PineconeShelf
from hookflash.testing.vendor import serve
from hookflash.wiring import open_core
from tests.doors.tenants import Api, Caller

TEXTS = {
    "returns": "You can return a jacket within sixty days of buying it.",
    "rental": "A tent can be rented for twelve dollars a night.",
    "school": "Our climbing school teaches beginners on Saturdays.",
}


@dataclass
class Vendors:
    """An API whose accounts may reach this machine, Pinecone's fake, and the address of the database."""

    api: Api
    pinecone: PineconeServer
    address: str
    url: str

    def body(self, name: str = "theirs", **index: Any) -> dict[str, Any]:
        options = {"index": "support", "api_url": self.address}
        described = {"vendor": "pinecone", "dimensions": 384, "options": options, "secrets": {"api_key": "pc-test"}}
        return {"name": name, "kind": "database", "index": described | index}

    async def fill(self, caller: Caller, source_id: str) -> None:
        model, index = await self.api.core.elsewhere.index(caller.account_id, source_id)
        vectors = await self.api.core.providers.embedder(model).embed(list(TEXTS.values()))
        await index.put([Entry(i, t, v, i.title()) for (i, t), v in zip(TEXTS.items(), vectors, strict=True)])


@pytest.fixture
async def vendors(database_url: str, tmp_path: Path) -> AsyncIterator[Vendors]:
    server = PineconeServer()
    server.indexes = {"support": PineconeShelf(384), "wide": PineconeShelf(1_536)}
    settings = Settings.load(
        {
            "HOOKFLASH_DATABASE_URL": database_url,
            "HOOKFLASH_DATA_DIR": str(tmp_path),
            "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
            "HOOKFLASH_ALLOWED_HOSTS": "127.0.0.1",
        }
    )
    async with serve(server) as address, open_core(settings) as core:
        app = create_app(core)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Vendors(Api(core, app, http), server, address, database_url)


async def search(caller: Caller, question: str) -> list[dict[str, Any]]:
    found = await caller.call("POST", "/v1/search", {"question": question})
    passages: list[dict[str, Any]] = found.get("passages", [])
    return passages


async def test_an_index_is_searched_together_with_our_own_passages(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    assert made["config"] == {
        "vendor": "pinecone",
        "dimensions": 384,
        "options": {"index": "support", "api_url": vendors.address},
    }
    assert "pc-test" not in str(made)
    await vendors.fill(caller, made["id"])
    found = await search(caller, "How much is it to rent a tent?")
    assert found[0]["text"] == TEXTS["rental"]
    assert (found[0]["title"], found[0]["source_id"]) == ("Rental", made["id"])
    assert found[0]["chunk_id"] < 0
    own = await caller.call("POST", "/v1/sources", {"name": "ours"}, status=201)
    body = {"name": "hours", "text": "The shop opens at nine in the morning."}
    document = await caller.call("POST", f"/v1/sources/{own['id']}/documents", body, status=202)
    await vendors.api.core.indexer().index(caller.account_id, document["id"])
    assert (await search(caller, "When does the shop open?"))[0]["source_id"] == own["id"]
    assert (await search(caller, "How much is it to rent a tent?"))[0]["source_id"] == made["id"]
    knowledge = vendors.api.core.knowledge
    scope = await knowledge.scope(caller.account_id, ())
    again = await knowledge.search(scope, "How long may I take to return a jacket?")
    assert isinstance(again, Found)
    best = again.passages[0]
    assert (await knowledge.passages(scope, [best.chunk_id]))[best.chunk_id].text == TEXTS["returns"]
    assert f"{made['id']}@" in scope.version


async def test_an_index_that_is_away_costs_nothing_but_what_it_holds(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    own = await caller.call("POST", "/v1/sources", {"name": "ours"}, status=201)
    body = {"name": "hours", "text": "The shop opens at nine in the morning."}
    document = await caller.call("POST", f"/v1/sources/{own['id']}/documents", body, status=202)
    await vendors.api.core.indexer().index(caller.account_id, document["id"])
    vendors.pinecone.away = True
    found = await caller.call("POST", "/v1/search", {"question": "When does the shop open?"})
    assert found["passages"][0]["source_id"] == own["id"]
    assert made["id"] in found["degraded"]
    alone = await caller.call("POST", "/v1/search", {"question": "When?", "sources": [made["id"]]})
    assert alone["outcome"] == "nothing_found"
    assert alone["why"].startswith("failed")


async def test_an_index_that_does_not_fit_is_refused_and_nothing_is_made(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    options = {"index": "wide", "api_url": vendors.address}
    secrets = {"api_key": "pc-test"}
    for body, field, told in (
        (vendors.body(dimensions=1_536), "index.dimensions", "the index has 384 dimensions, but 1536 are expected"),
        (vendors.body(dimensions=None), "index.dimensions", "the index has 384 dimensions, but 1536 are expected"),
        (vendors.body(dimensions=None, options=options), "embedding_model", "the vectors of"),
        (vendors.body(secrets={"api_key": "wrong"}), "index.secrets.api_key", "refuses the API key"),
        (vendors.body(options={"index": "none", "api_url": vendors.address}), "index.options.index", "'none'"),
        (vendors.body(vendor="nobody"), "index.vendor", "pinecone"),
        (vendors.body(options=options | {"name_space": "eu"}), "index.options.name_space", "namespace"),
        (vendors.body(secrets=secrets | {"token": "x"}), "index.secrets.token", "api_key"),
        (vendors.body() | {"kind": "file"}, "index", "only the kind database has it"),
        ({"name": "x", "kind": "database"}, "index", "needs it"),
        ({"name": "x", "kind": "web"}, "web", "needs it"),
        ({"name": "x", "kind": "web", "web": {"url": "ftp://x"}}, "url", "begins with https://"),
        (
            vendors.body(options={"index": "x", "api_url": "http://169.254.169.254"}, secrets=secrets),
            "url",
            "link-local",
        ),
    ):
        response = await caller.send("POST", "/v1/sources", json=body)
        assert response.status_code == 422, response.text
        assert told in response.text, (told, response.text)
        assert field in response.text, (field, response.text)
    vendors.pinecone.away = True
    assert (await caller.send("POST", "/v1/sources", json=vendors.body())).status_code == 503
    assert (await caller.call("GET", "/v1/sources"))["items"] == []


async def test_secrets_are_sealed_and_a_name_that_exists_is_told(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    await caller.call("POST", "/v1/sources", vendors.body(), status=409)
    async with await psycopg.AsyncConnection.connect(vendors.url) as owner:
        cursor = await owner.execute("select secrets, to_jsonb(s)::text from sources s where id = %s", (made["id"],))
        row = await cursor.fetchone()
        journal = await (
            await owner.execute("select coalesce(string_agg(body::text, ' '), '') from journal")
        ).fetchone()
    assert row is not None
    assert journal is not None
    assert row[0] is not None
    assert b"pc-test" not in row[0]
    assert "pc-test" not in row[1] + journal[0]


async def test_an_index_moves_and_its_key_changes(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    await vendors.fill(caller, made["id"])
    path, index = f"/v1/sources/{made['id']}", vendors.body()["index"]
    assert await search(caller, "What does it cost to rent a tent?")
    vendors.pinecone.key = "pc-new"
    refused = await caller.send("PATCH", path, json={"index": index})
    assert (refused.status_code, "refuses the API key" in refused.text) == (422, True)
    assert (await caller.call("GET", path))["version"] == made["version"], "nothing has changed"
    moved = index | {"secrets": {"api_key": "pc-new"}, "options": index["options"] | {"text_key": "text"}}
    changed = await caller.call("PATCH", path, {"index": moved})
    assert changed["config"]["options"]["text_key"] == "text"
    assert changed["version"] > made["version"], "earlier answers are asked for anew"
    assert "twelve dollars" in (await search(caller, "What does it cost to rent a tent?"))[0]["text"]
    assert "pc-new" not in (await caller.send("GET", "/v1/journal")).text
    documents = await caller.call("POST", "/v1/sources", {"name": "documents"}, status=201)
    await caller.call("PATCH", f"/v1/sources/{documents['id']}", {"index": moved}, status=422)


async def test_an_index_takes_no_documents_and_keeps_its_model(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    path = f"/v1/sources/{made['id']}"
    await caller.call("POST", f"{path}/documents", {"name": "x", "text": "y"}, status=422)
    await caller.call("PATCH", path, {"embedding_model": "minilm"}, status=422)
    await caller.call("POST", f"{path}/crawl", status=422)
    changed = await caller.call("PATCH", path, {"final_response": True, "description": "Rentals."})
    assert (changed["final_response"], changed["description"]) == (True, "Rentals.")


async def test_a_file_of_another_account_and_the_sockets_of_this_machine_are_out_of_reach(
    vendors: Vendors, tmp_path: Path
) -> None:
    ours, theirs = await vendors.api.account("Ours"), await vendors.api.account("Theirs")
    place = tmp_path / "indexes" / theirs.account_id / "support.faiss"
    write_index(place, 384, [np.eye(1, 384, dtype=np.float32)[0]], [FaissRow("a", "Secret.")])
    file: dict[str, Any] = {"vendor": "faiss", "dimensions": 384, "options": {"file": "support.faiss"}, "secrets": {}}
    await theirs.call("POST", "/v1/sources", vendors.body(**file), status=201)
    refused = await ours.send("POST", "/v1/sources", json=vendors.body(**file))
    assert refused.status_code == 422
    assert "there is no index file" in refused.text
    socket: dict[str, Any] = {"vendor": "pgvector", "options": {"table": "accounts"}, "secrets": {"url": vendors.url}}
    refused = await ours.send("POST", "/v1/sources", json=vendors.body(**socket))
    assert refused.status_code == 422
    assert "sockets of this machine may not be reached" in refused.text


async def test_a_source_that_is_deleted_is_searched_no_more(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    made = await caller.call("POST", "/v1/sources", vendors.body(), status=201)
    await vendors.fill(caller, made["id"])
    assert await search(caller, "How much is it to rent a tent?")
    await caller.call("DELETE", f"/v1/sources/{made['id']}", status=204)
    assert await search(caller, "How much is it to rent a tent?") == []


async def test_a_site_over_the_api(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    web = {"url": "HTTPS://Shop.example:443/help#top", "depth": 3}
    made = await caller.call("POST", "/v1/sources", {"name": "site", "kind": "web", "web": web}, status=201)
    assert made["config"] == {"url": "https://shop.example/help", "depth": 3, "pages": 15, "every_hours": None}
    path = f"/v1/sources/{made['id']}"
    assert (await caller.call("GET", f"{path}/crawl"))["state"] == "QUEUED"
    assert (await caller.call("POST", f"{path}/crawl", status=202))["state"] == "QUEUED"
    assert (await caller.call("GET", f"{path}/pages"))["items"] == []
    changed = await caller.call("PATCH", path, {"web": {"url": "https://shop.example/", "pages": 3, "every_hours": 24}})
    assert changed["config"] == {"url": "https://shop.example/", "depth": 2, "pages": 3, "every_hours": 24}
    for wrong in (
        {"depth": 4},
        {"depth": 0},
        {"pages": 0},
        {"pages": 1_001},
        {"url": "shop.example"},
        {"every_hours": 0},
    ):
        await caller.call("PATCH", path, {"web": {"url": "https://shop.example/"} | wrong}, status=422)
    await caller.call("POST", f"{path}/documents", {"name": "x", "text": "y"}, status=422)
    other = await caller.call("POST", "/v1/sources", {"name": "files"}, status=201)
    await caller.call("PATCH", f"/v1/sources/{other['id']}", {"web": web}, status=422)
    await caller.call("GET", f"/v1/sources/{other['id']}/crawl", status=404)


async def test_an_assistant_looks_up_by_its_entries(vendors: Vendors) -> None:
    caller = await vendors.api.account("Acme")
    body = vendors.body() | {"description": "Rentals, returns, the school.", "final_response": True}
    made = await caller.call("POST", "/v1/sources", body, status=201)
    await vendors.fill(caller, made["id"])
    own = await caller.call("POST", "/v1/sources", {"name": "ours", "description": "Opening hours."}, status=201)
    text = {"name": "hours", "text": "The shop opens at nine in the morning."}
    document = await caller.call("POST", f"/v1/sources/{own['id']}/documents", text, status=202)
    core = vendors.api.core
    await core.indexer().index(caller.account_id, document["id"])
    library = Library(core.knowledge, core.providers.embedder, "minilm")
    turn = turn_of(caller.account_id)
    model = ScriptedModel(core.clock, Says("2: How much is it to rent a tent for a night?"))
    looked = await library.look_up(turn, "and the price?", model)
    assert looked.choice.questions == {made["id"]: "How much is it to rent a tent for a night?"}
    assert isinstance(looked.found, Found)
    assert looked.found.passages[0].text == TEXTS["rental"]
    assert looked.final == looked.found.passages[0]
    (request,) = model.requests
    assert "1. ours: Opening hours.\n2. theirs: Rentals" in request.system
    certain = await library.look_up(turn, TEXTS["school"], model)
    assert (certain.choice.called, len(model.requests)) == (False, 1)


def turn_of(account_id: str) -> Turn:
    now = SystemClock().now()
    said = Message(new_id("msg"), Direction.IN, Address.parse("+15550111222"), "?", now)
    session = Session("sess_1", "asst_1", 1, AssistantConfig().to_dict(), now)
    contact = Contact("cont_1", None, None)
    return Turn(new_id("turn"), account_id, "", contact, session, (said,), (), LineTraits("sms"), now)
