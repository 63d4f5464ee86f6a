"""The REST API, room by room, over a real database."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import psycopg
import pytest

from hookflash.rest.auth import RESOURCES
from tests.doors.tenants import Api, Caller, Filled, converse, fill, open_api

OURS = "+15550100200"
THEIRS = "+15550111222"


@pytest.fixture
async def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as opened:
        yield opened


@pytest.fixture
async def caller(api: Api) -> Caller:
    return await api.account("Acme")


@pytest.fixture
async def filled(caller: Caller) -> Filled:
    return await fill(caller, "quokka", THEIRS, OURS)


async def entries(caller: Caller, kind: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await caller.call("GET", "/v1/journal", params={"kind": kind}))["items"]
    return items


# The description


async def test_every_operation_is_described(api: Api) -> None:
    schema = api.app.openapi()
    operations = [o for methods in schema["paths"].values() for o in methods.values()]
    assert len(operations) > 40
    names = [o["operationId"] for o in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["description"], operation["operationId"]
        assert operation["security"] == [{"key": []}, {"basic": []}], operation["operationId"]
        assert {"401", "403", "422"} <= set(operation["responses"]), operation["operationId"]
    for name, model in schema["components"]["schemas"].items():
        for field, described in model.get("properties", {}).items():
            if field.endswith("_micros"):
                assert described["type"] == "integer", (name, field)
    taken = {
        content["schema"]["$ref"].rpartition("/")[2]
        for o in operations
        for content in o.get("requestBody", {}).get("content", {}).values()
        if "$ref" in content["schema"]
    }
    for name in taken - {"AssistantConfig", "Resolution"}:
        assert any("examples" in p for p in schema["components"]["schemas"][name]["properties"].values()), name


# Keys


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(api: Api, caller: Caller) -> None:
    made = await caller.call("POST", "/v1/keys", {"name": "desk", "scopes": ["keys:read"]}, status=201)
    other = Caller(api, caller.account_id, made["key"])
    assert (await other.call("GET", "/v1/account"))["id"] == caller.account_id
    listing = await other.send("GET", "/v1/keys")
    assert made["id"] in listing.text
    assert made["key"] not in listing.text
    assert made["key"].rpartition("_")[2] not in listing.text
    await caller.call("DELETE", f"/v1/keys/{made['id']}", status=204)
    await caller.call("DELETE", f"/v1/keys/{made['id']}", status=204)
    await other.call("GET", "/v1/account", status=401)
    assert (await caller.call("GET", f"/v1/keys/{made['id']}"))["revoked_at"] is not None
    (entry,) = await entries(caller, "key.created")
    assert entry["body"]["scopes"] == ["keys:read"]
    assert made["key"] not in json.dumps(entry)


async def test_a_key_cannot_give_what_it_does_not_have(api: Api, caller: Caller) -> None:
    clerk = await api.key(caller.account_id, "keys:write", "messages:read")
    await clerk.call("POST", "/v1/keys", {"name": "x", "scopes": ["messages:read"]}, status=201)
    for scopes in (["admin"], ["messages:write"], ["messages:read", "knowledge:read"]):
        await clerk.call("POST", "/v1/keys", {"name": "x", "scopes": scopes}, status=403)
    await caller.call("POST", "/v1/keys", {"name": "x", "scopes": ["everything"]}, status=422)


async def test_a_key_opens_only_what_its_scopes_say(api: Api, caller: Caller) -> None:
    """Each route of each resource, asked with a key that may only read it, and with one that may do all but that."""
    for resource in RESOURCES:
        await opens_only(resource, api, caller)


async def opens_only(resource: str, api: Api, caller: Caller) -> None:
    paths = {
        "knowledge": ("/v1/sources", "/v1/documents", "/v1/search"),
        "messages": ("/v1/messages", "/v1/turns", "/v1/corrections"),
        "sessions": ("/v1/sessions", "/v1/feedback"),
        "assistants": ("/v1/assistants", "/v1/experiments"),
    }
    mine = paths.get(resource, (f"/v1/{resource}",))
    others = [f"{other}:write" for other in RESOURCES if other != resource]
    reader = await api.key(caller.account_id, f"{resource}:read")
    stranger = await api.key(caller.account_id, *others)
    asked = 0
    for path, methods in api.app.openapi()["paths"].items():
        if not path.startswith(mine):
            continue
        for method, operation in methods.items():
            asked += 1
            address = path.replace("{", "").replace("}", "")
            assert (await stranger.send(method, address, json={})).status_code == 403, (method, path)
            response = await reader.send(method, address, json={})
            # Whoever knows a tool's signing secret can play us to its server.
            secret = operation["operationId"] == "get_signing_secret"
            writes = secret or (method != "get" and operation["operationId"] != "search_knowledge")
            assert (response.status_code == 403) == writes, (method, path, response.status_code)
    assert asked


async def test_without_a_key_nothing_opens(api: Api, caller: Caller) -> None:
    nobody = Caller(api, caller.account_id, "hf_" + "0" * 26 + "_guess")
    for path, methods in api.app.openapi()["paths"].items():
        for method in methods:
            address = path.replace("{", "").replace("}", "")
            response = await nobody.send(method, address, json={})
            assert response.status_code == 401, (method, path)
            assert response.headers["content-type"] == "application/problem+json"


# Assistants


async def test_a_change_of_an_assistant_waits_in_the_working_copy_until_it_is_published(caller: Caller) -> None:
    made = await caller.call("POST", "/v1/assistants", {"name": "Help", "company": "Acme"}, status=201)
    path = f"/v1/assistants/{made['id']}"
    assert made["models"] == ["extractive"], "those of the server"
    assert (made["revision"], made["unpublished"]) == (1, [])
    await caller.call("POST", f"{path}/publish", status=409)
    changed = await caller.call("PATCH", path, {"citations": True})
    assert (changed["revision"], changed["company"], changed["citations"]) == (1, "Acme", True)
    assert changed["unpublished"] == ["citations"]
    assert await caller.call("GET", path) == changed
    diff = await caller.call("GET", f"{path}/revisions/1/diff/draft")
    assert diff["differences"] == [{"field": "citations", "before": False, "after": True}]
    published = await caller.call("POST", f"{path}/publish", {"note": "They ask where it says so."})
    assert (published["revision"], published["unpublished"]) == (2, [])
    items = (await caller.call("GET", f"{path}/revisions"))["items"]
    assert [(r["revision"], r["kind"], r["config"]["citations"]) for r in items] == [
        (1, "published", False),
        (2, "published", True),
    ]
    assert items[1]["note"] == "They ask where it says so."
    assert items[1]["made_by"].startswith("key_")
    assert await caller.call("GET", f"{path}/revisions/2") == items[1]
    (entry,) = await entries(caller, "assistant.updated")
    assert entry["body"]["changes"] == {"citations": True}
    assert entry["body"]["by"].startswith("key_")
    (entry,) = await entries(caller, "assistant.published")
    assert entry["body"]["revision"] == 2
    # Back, while other work goes on in the working copy: it stays there.
    await caller.call("PATCH", path, {"role": "You are Acme."})
    back = await caller.call("POST", f"{path}/revisions/1/restore")
    assert (back["revision"], back["citations"], back["unpublished"]) == (3, True, ["role", "citations"])
    assert (await caller.call("GET", f"{path}/revisions/3"))["config"] == items[0]["config"]
    assert (await caller.call("GET", f"{path}/revisions/2/diff/3"))["differences"] == [
        {"field": "citations", "before": True, "after": False}
    ]
    at_once = await caller.call("PATCH", path, {"citations": False}, params={"publish": "true"})
    assert (at_once["revision"], at_once["unpublished"], at_once["role"]) == (4, [], "You are Acme.")
    # What is not given within an object stays as well.
    await caller.call("PATCH", path, {"safety": {"barred_topics": ["politics"], "pii": {"tools_see": False}}})
    within = await caller.call("PATCH", path, {"safety": {"pii": {"keep_out": ["ssn"]}}})
    assert within["safety"]["barred_topics"] == ["politics"]
    assert (within["safety"]["pii"]["tools_see"], within["safety"]["pii"]["keep_out"]) == (False, ["ssn"])
    for missing in ("revisions/9", "revisions/1/diff/9", "revisions/9/diff/draft"):
        await caller.call("GET", f"{path}/{missing}", status=404)
    await caller.call("GET", f"{path}/revisions/1/diff/published", status=422)
    await caller.call("POST", f"{path}/revisions/9/restore", status=404)
    await caller.call("POST", "/v1/assistants", {"name": "Help"}, status=409)
    other = await caller.call("POST", "/v1/assistants", {"name": "Other"}, status=201)
    await caller.call("PATCH", f"/v1/assistants/{other['id']}", {"name": "Help"}, status=409)
    await caller.call("PATCH", path, {"temperature": 9}, status=422)
    await caller.call("PATCH", path, {"sources": ["src_none"]}, status=422)
    await caller.call("DELETE", path, status=204)
    await caller.call("GET", path, status=404)


async def test_changes_made_at_once_are_all_kept(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids

    async def change(path: str, body: object) -> None:
        await caller.call("PATCH", path, body)

    assistant, integration = f"/v1/assistants/{ids['assistant_id']}", f"/v1/integrations/{ids['integration_id']}"
    contact = f"/v1/contacts/{ids['contact_id']}"
    async with anyio.create_task_group() as tasks:
        for n, name in enumerate(("company", "role", "required", "personality")):
            tasks.start_soon(change, assistant, {name: "changed"})
            tasks.start_soon(change, contact, {"traits": {name: n}})
        for name in ("burst_ms", "acknowledge_after_ms", "inline_budget_ms"):
            tasks.start_soon(change, integration, {"settings": {name: 77}})
    kept = await caller.call("GET", assistant)
    assert [kept[name] for name in ("company", "role", "required", "personality")] == ["changed"] * 4
    assert kept["unpublished"] == ["company", "role", "personality", "required"]
    shown = (await caller.call("GET", integration))["settings"]
    assert [shown[name] for name in ("burst_ms", "acknowledge_after_ms", "inline_budget_ms")] == [77] * 3
    traits = (await caller.call("GET", contact))["traits"]
    assert traits == {"mark": filled.word, "company": 0, "role": 1, "required": 2, "personality": 3}


async def test_an_assistant_in_use_is_not_deleted(filled: Filled) -> None:
    await filled.caller.call("DELETE", f"/v1/assistants/{filled.ids['assistant_id']}", status=409)


# Integrations


async def test_an_integration_never_shows_its_credentials(caller: Caller) -> None:
    assistant = await caller.call("POST", "/v1/assistants", {"name": "Help"}, status=201)
    body = {
        "name": "line",
        "assistant_id": assistant["id"],
        "sender": OURS,
        "credentials": {"account_sid": "AC" + "1" * 32, "auth_tokens": ["hush-hush"], "shared_keys": {"k": "whisper"}},
        "meta": {"region": "north"},
    }
    made = await caller.call("POST", "/v1/integrations", body, status=201)
    assert made["has_credentials"]
    base = f"https://bot.example.com/twilio/{made['id']}"
    assert [made[f"{name}_url"] for name in ("webhook", "status_callback", "fallback")] == [
        f"{base}/messages#rc=5&rp=all",
        f"{base}/status",
        f"{base}/fallback",
    ]
    path = f"/v1/integrations/{made['id']}"
    changed = await caller.call("PATCH", path, {"settings": {"burst_ms": 300}, "disabled": True, "name": "new"})
    assert (changed["settings"]["burst_ms"], changed["settings"]["allow_from"]) == (300, ["*"])
    assert (changed["disabled"], changed["name"], changed["meta"]) == (True, "new", {"region": "north"})
    await caller.call("PATCH", path, {"credentials": {"auth_tokens": ["second-hush"]}})
    removed = await caller.call("PATCH", path, {"credentials": None, "disabled": False})
    assert (removed["has_credentials"], removed["disabled"]) == (False, False)
    told = await caller.send("GET", "/v1/journal")
    told_again = await caller.send("GET", "/v1/integrations")
    for word in ("hush", "whisper", "1" * 32):
        assert word not in told.text + told_again.text + json.dumps([made, changed, removed])
    changes = [e["body"]["changes"] for e in await entries(caller, "integration.updated")]
    assert [c.get("credentials") for c in changes] == [None, "replaced", "removed"]
    await caller.call("POST", "/v1/integrations", body, status=409)
    await caller.call("POST", "/v1/integrations", body | {"sender": "nobody's number!"}, status=422)
    await caller.call("POST", "/v1/integrations", body | {"assistant_id": "asst_none"}, status=422)
    await caller.call("DELETE", path, status=204)
    await caller.call("GET", path, status=404)


async def test_integrations_are_found_by_their_meta(caller: Caller) -> None:
    assistant = await caller.call("POST", "/v1/assistants", {"name": "Help"}, status=201)
    for number, meta in enumerate(({"region": "north", "tier": 1}, {"region": "north", "tier": 2}, {})):
        body = {"name": str(number), "assistant_id": assistant["id"], "sender": f"+1555010030{number}", "meta": meta}
        await caller.call("POST", "/v1/integrations", body, status=201)

    async def found(**params: str) -> list[str]:
        items = (await caller.call("GET", "/v1/integrations", params=params))["items"]
        return [item["name"] for item in items]

    assert await found() == ["0", "1", "2"]
    assert await found(**{"meta[region]": "north"}) == ["0", "1"]
    assert await found(**{"meta[region]": "north", "meta[tier]": "2"}) == ["1"]
    assert await found(**{"meta[region]": "south"}) == []
    await caller.call("GET", "/v1/integrations", params={"meta[x]": "y" * 201}, status=422)


async def test_a_changed_integration_lets_a_stopped_sender_try_again(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    async with caller.api.core.db.tenant(caller.account_id) as conn:
        await conn.execute("update integrations set stopped_code = 30002, stopped_why = 'suspended'")
        await conn.execute("update lanes set due_at = null")
    shown = await caller.call("GET", f"/v1/integrations/{ids['integration_id']}")
    assert (shown["stopped_code"], shown["stopped_why"]) == (30002, "suspended")
    changed = await caller.call("PATCH", f"/v1/integrations/{ids['integration_id']}", {"name": "mended"})
    assert changed["stopped_code"] is None
    assert (await caller.call("GET", f"/v1/messages/{ids['message_id']}"))["state"] == "waiting"
    async with caller.api.core.db.tenant(caller.account_id) as conn:
        (lane,) = await (await conn.execute("select due_at from lanes")).fetchall()
    assert lane["due_at"] is not None, "somebody has to come and send it"


# Knowledge


async def test_a_document_is_taken_in_found_and_deleted(caller: Caller) -> None:
    source = await caller.call("POST", "/v1/sources", {"name": "Help center", "kind": "file"}, status=201)
    path = f"/v1/sources/{source['id']}/documents"
    data = b"# Returns\n\nUnworn shoes come back within sixty days.\n"
    name = "policies/returns and more.md"
    headers = {"Content-Type": "text/markdown"}
    put = await caller.call("PUT", f"{path}/{name}", content=data, headers=headers, status=202)
    assert (put["name"], put["status"], put["size"]) == (name, "QUEUED", len(data))
    progress = await caller.call("GET", f"/v1/sources/{source['id']}/progress")
    assert (progress["queued"], progress["completed"]) == (1, 0)
    nothing = await caller.call("POST", "/v1/search", {"question": "May I bring back shoes?"})
    assert nothing == {"outcome": "nothing_found", "why": "empty knowledge", "degraded": None}
    await caller.api.core.indexer().index(caller.account_id, put["id"])
    await caller.call("PUT", f"{path}/{name}", content=data, headers=headers, status=200)
    document = await caller.call("GET", f"/v1/documents/{put['id']}")
    assert (document["status"], document["title"], document["chunk_count"]) == ("COMPLETED", "Returns", 1)
    (chunk,) = (await caller.call("GET", f"/v1/documents/{put['id']}/chunks"))["items"]
    assert "sixty days" in chunk["text"]
    question = {"question": "May I bring back shoes?", "sources": [source["id"]], "limit": 1}
    found = await caller.call("POST", "/v1/search", question)
    assert found["outcome"] == "found"
    assert (found["passages"][0]["document_id"], found["passages"][0]["title"]) == (put["id"], "Returns")
    assert 0 < found["passages"][0]["score"] <= 1
    await caller.call("POST", "/v1/search", question | {"sources": ["src_none"]}, status=422)
    await caller.call("DELETE", f"/v1/documents/{put['id']}", status=204)
    assert (await caller.call("POST", "/v1/search", question))["outcome"] == "nothing_found"
    await caller.call("DELETE", f"/v1/sources/{source['id']}", status=204)
    await caller.call("GET", f"/v1/sources/{source['id']}", status=404)
    kinds = [e["kind"] for e in (await caller.call("GET", "/v1/journal"))["items"]]
    assert kinds == ["source.created", "document.put", "document.deleted", "source.deleted"]


async def test_a_document_that_cannot_be_read_says_why(caller: Caller) -> None:
    source = await caller.call("POST", "/v1/sources", {"name": "Files"}, status=201)
    path = f"/v1/sources/{source['id']}/documents"
    put = await caller.call("PUT", f"{path}/broken.pdf", content=b"not a PDF", status=202)
    await caller.api.core.indexer().index(caller.account_id, put["id"])
    document = await caller.call("GET", f"/v1/documents/{put['id']}")
    assert document["status"] == "FAILED"
    assert "PDF" in document["error"]
    (listed,) = (await caller.call("GET", path))["items"]
    assert listed == document
    await caller.call("PUT", f"{path}/large.txt", content=b"x" * 100_001, status=413)


async def test_another_embedding_model_is_prepared_behind_the_present_one(filled: Filled) -> None:
    caller, path = filled.caller, f"/v1/sources/{filled.ids['source_id']}"
    await caller.call("PATCH", path, {"embedding_model": "nobody:knows"}, status=422)
    await caller.call("POST", "/v1/sources", {"name": "x", "embedding_model": "openai:not-set-up"}, status=422)
    async with caller.api.core.db.tenant(caller.account_id) as conn:
        await conn.execute("update sources set embedding_model = 'before'")
        await conn.execute("update embeddings set model = 'before'")
    changed = await caller.call("PATCH", path, {"embedding_model": "minilm"})
    assert (changed["embedding_model"], changed["next_model"]) == ("before", "minilm")
    progress = await caller.call("GET", f"{path}/progress")
    assert (progress["switched"], progress["chunks"], progress["next_model"]) == (0, 1, "minilm")
    await caller.api.core.indexer().embed_anew(caller.account_id, filled.ids["source_id"], "minilm")
    switched = await caller.call("GET", path)
    assert (switched["embedding_model"], switched["next_model"]) == ("minilm", None)


# Contacts, sessions, messages, turns


async def test_a_contact_is_found_by_address_and_corrected(filled: Filled) -> None:
    caller, path = filled.caller, f"/v1/contacts/{filled.ids['contact_id']}"
    contact = await caller.call("GET", path)
    assert contact["addresses"] == [{"address": THEIRS, "unreachable_code": None}]
    for address in (THEIRS, f" {THEIRS[1:]}"):
        assert (await caller.call("GET", "/v1/contacts", params={"address": address}))["items"] == [contact]
    assert (await caller.call("GET", "/v1/contacts", params={"address": "+15550000000"}))["items"] == []
    await caller.call("GET", "/v1/contacts", params={"address": "who?"}, status=422)
    changed = await caller.call("PATCH", path, {"language": "es", "traits": {"plan": "gold", "mark": None}})
    assert (changed["name"], changed["language"], changed["traits"]) == (filled.word, "es", {"plan": "gold"})
    assert (await caller.call("PATCH", path, {"name": None}))["name"] is None
    deep: Any = "end"
    for _ in range(6):
        deep = {"in": deep}
    for traits in ({"deep": deep}, {"long": "x" * 9_000}, {str(n): n for n in range(101)}):
        await caller.call("PATCH", path, {"traits": traits}, status=422)
    for n in range(3):
        await caller.call("PATCH", path, {"traits": {f"part {n}": "x" * 3_000}}, status=200 if n < 2 else 422)


async def test_an_opt_out_by_staff_holds_back_what_waits(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    path = f"/v1/contacts/{ids['contact_id']}/opt-outs"
    contact = await caller.call("DELETE", f"{path}/{OURS}")
    assert [(o["sender"], o["opted_out"], o["via"]) for o in contact["opt_outs"]] == [(OURS, False, "api")]
    await caller.call("POST", f"/v1/messages/{ids['message_id']}/resolve", {"action": "send_again"})
    contact = await caller.call("PUT", f"{path}/{OURS}")
    assert [o["opted_out"] for o in contact["opt_outs"]] == [True]
    message = await caller.call("GET", f"/v1/messages/{ids['message_id']}")
    assert (message["state"], message["why"]) == ("withheld", "opted out")
    await caller.call("PUT", f"{path}/+15559999999", status=404)
    unmoved = await caller.call("PUT", f"{path}/whatsapp:{OURS}")
    assert len(unmoved["opt_outs"]) == 1, "they have no WhatsApp address"
    assert len(await entries(caller, "contact.opted_out")) == 3


async def test_messages_are_found_by_contact_session_state_and_direction(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids

    async def found(**params: str) -> list[str]:
        return [m["id"] for m in (await caller.call("GET", "/v1/messages", params=params))["items"]]

    both = [ids["said_id"], ids["message_id"]]
    assert await found() == both
    assert await found(contact_id=ids["contact_id"]) == both
    assert await found(session_id=ids["session_id"], direction="in") == both[:1]
    assert await found(state="parked") == both[1:]
    assert await found(contact_id="cont_none") == []
    assert (await caller.call("GET", "/v1/sessions", params={"contact_id": "cont_none"}))["items"] == []
    message = await caller.call("GET", f"/v1/messages/{ids['message_id']}")
    assert (message["text"], message["segments"], message["why"]) == (
        "You said: What are the quokka hours?",
        1,
        "nobody can tell",
    )
    assert message["cost_micros"] > 0
    session = await caller.call("GET", f"/v1/sessions/{ids['session_id']}")
    assert (session["contact_id"], session["revision"]) == (ids["contact_id"], 1)


async def test_a_parked_message_is_sent_again_or_given_up(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    path = f"/v1/messages/{ids['message_id']}/resolve"
    again = await caller.call("POST", path, {"action": "send_again"})
    assert (again["state"], again["attempts"], again["why"]) == ("waiting", 0, None)
    await caller.call("POST", path, {"action": "discard"}, status=409)
    async with caller.api.core.db.tenant(caller.account_id) as conn:
        (lane,) = await (await conn.execute("select due_at <= clock_timestamp() as due from lanes")).fetchall()
        assert lane["due"]
        await conn.execute("update messages set state = 'parked' where direction = 'out'")
    assert (await caller.call("POST", path, {"action": "discard"}))["state"] == "discarded"
    await caller.call("POST", f"/v1/messages/{ids['said_id']}/resolve", {"action": "discard"}, status=409)
    assert [e["body"]["action"] for e in await entries(caller, "message.resolved")] == ["send_again", "discard"]


async def test_a_message_put_by_is_listed_and_taken_back_once(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    path = f"/v1/scheduled-messages/{ids['scheduled_id']}"
    (waiting,) = (await caller.call("GET", f"/v1/scheduled-messages?contact_id={ids['contact_id']}&state=waiting"))[
        "items"
    ]
    assert (waiting["id"], waiting["state"], waiting["text"]) == (
        ids["scheduled_id"],
        "waiting",
        f"{caller.account_id} reminds",
    )
    assert (await caller.call("GET", path)) == waiting
    assert (await caller.call("POST", f"{path}/cancel"))["state"] == "canceled"
    await caller.call("POST", f"{path}/cancel", status=409)
    assert (await caller.call("GET", "/v1/scheduled-messages?state=waiting"))["items"] == []
    await caller.api.core.errands.send_scheduled(caller.account_id, ids["scheduled_id"])
    assert (await caller.call("GET", path))["state"] == "canceled", "its hour brings nothing"
    assert len(await entries(caller, "message.canceled")) == 1


async def test_a_turn_tells_everything(filled: Filled) -> None:
    ids = filled.ids
    turn = await filled.caller.call("GET", f"/v1/turns/{ids['turn_id']}")
    assert turn["message_ids"] == [ids["said_id"], ids["message_id"]]
    assert turn["question"] == turn["said"] == "What are the quokka hours?"
    assert (turn["kind"], turn["model"], turn["confidence"]) == ("answered", "scripted", pytest.approx(0.9))
    assert turn["sources"][0]["cited"]
    assert turn["usage"]["model_micros"] == 42
    assert turn["cost_micros"] > 42, "the text costs too"
    assert turn["stages"]["search"] == 1.5
    assert "thinking" in turn["stages"]


# Tickets


async def test_a_claimed_ticket_silences_the_assistant_until_it_is_closed(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    await caller.call("DELETE", f"/v1/contacts/{ids['contact_id']}/opt-outs/{OURS}")
    path = f"/v1/tickets/{ids['ticket_id']}"
    ticket = await caller.call("GET", path)
    assert (ticket["state"], ticket["reason"], ticket["turn_id"]) == ("open", "asked for one", ids["turn_id"])
    for _ in range(2):
        assert (await caller.call("PATCH", path, {"state": "claimed"}))["state"] == "claimed"
    assert (await caller.call("GET", "/v1/tickets", params={"state": "open"}))["items"] == []
    with pytest.raises(AssertionError, match="a person has taken over"):
        await converse(caller, ids["integration_id"], THEIRS, "Hello?")
    await caller.call("PATCH", path, {"state": "open"}, status=409)
    await caller.call("PATCH", path, {"state": "closed"})
    await caller.call("PATCH", path, {"state": "claimed"}, status=409)
    await converse(caller, ids["integration_id"], THEIRS, "Hello again?")
    assert len(await entries(caller, "ticket.claimed")) == 1, "asking twice is one claim"
    (closed,) = (await caller.call("GET", "/v1/tickets", params={"state": "closed"}))["items"]
    assert closed["id"] == ids["ticket_id"]


# The journal


async def test_the_journal_tells_and_verifies(filled: Filled, database_url: str) -> None:
    caller, ids = filled.caller, filled.ids
    (turn,) = (await caller.call("GET", "/v1/journal", params={"subject": ids["turn_id"], "kind": "turn"}))["items"]
    assert (turn["kind"], turn["contact_id"], turn["body"]["model"]) == ("turn", ids["contact_id"], "scripted")
    of_contact = (await caller.call("GET", "/v1/journal", params={"contact_id": ids["contact_id"]}))["items"]
    told = {
        "received",
        "call",
        "transfer",
        "turn",
        "parked",
        "contact.updated",
        "contact.opted_out",
        "contact.identified",
    }
    assert told <= {e["kind"] for e in of_contact}
    sound = await caller.call("GET", "/v1/journal/verify")
    assert (sound["sound"], sound["broken"], sound["unsealed"]) == (True, None, 0)
    assert sound["entries"] > 10
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        await owner.execute("alter table journal disable trigger journal_append_only")
        await owner.execute("update journal set body = '{}' where id = %s", (turn["id"],))
    broken = await caller.call("GET", "/v1/journal/verify")
    assert (broken["sound"], broken["broken"]["what"]) == (False, "altered")
    assert str(turn["id"]) in broken["broken"]["record"]
