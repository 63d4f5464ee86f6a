"""The API of Twilio's AI Assistants, as strangers meet it: refusals as Twilio tells them, pages, and walls."""

import json
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from hookflash.compat.routes import ROUTERS
from hookflash.testing.pinecone_server import PineconeServer, PineconeShelf
from hookflash.testing.vendor import serve
from tests.doors.programs import ASSISTANTS, TEXT, TOOL, program
from tests.doors.tenants import open_api
from tests.doors.test_isolation import dump

# Refusals


async def test_what_is_wrong_is_told_as_twilio_tells_it(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path) as api, program(api, "Acme") as acme:
        desk = await acme.assistant()
        tool = await acme.ask("POST", "/Tools", TOOL, 201)
        await acme.ask("POST", "/Knowledge", TEXT, 201)
        before = await dump(database_url, acme.account_id)
        text, where = "Invalid parameter ", "knowledge_source_details"
        wrong: list[tuple[str, str, object, int, str]] = [
            ("POST", "/Assistants", {"owner": "x"}, 400, f"{text}name: Field required"),
            ("POST", "/Assistants", {"name": "x" * 81}, 400, f"{text}name: "),
            (
                "POST",
                "/Assistants",
                {"name": "x", "personality_prompt": "x" * 2_001},
                400,
                f"{text}personality_prompt: ",
            ),
            ("POST", "/Assistants", {"name": "Desk"}, 409, "There is an assistant of this name already."),
            (
                "POST",
                "/Assistants",
                {"name": "x", "segment_credential": {"write_key": "k"}},
                400,
                f"{text}segment_cred",
            ),
            ("POST", "/Assistants", ["x"], 400, "The body must be a JSON object."),
            ("PUT", desk, {"owner": "x" * 81}, 400, f"{text}owner: "),
            ("POST", "/Tools", TOOL, 409, "There is a tool named Order_status already."),
            ("POST", "/Tools", TOOL | {"name": "n" * 31}, 400, "at most 30 are allowed"),
            ("POST", "/Tools", TOOL | {"name": "x", "type": "FAX"}, 400, f"{text}type: one of WEBHOOK"),
            ("POST", "/Tools", TOOL | {"name": "x", "meta": {}}, 400, "needs url"),
            ("POST", "/Tools", TOOL | {"name": "x", "meta": {"url": "ftp://x"}}, 400, f"{text}meta.url: "),
            ("POST", "/Tools", TOOL | {"name": "x", "assistant_id": "aia_asst_x"}, 400, f"{text}assistant_id: "),
            (
                "POST",
                "/Tools",
                TOOL | {"name": "x", "meta": TOOL["meta"] | {"input_schema": "{ a: strin }"}},
                400,
                "there is no type strin",
            ),
            (
                "POST",
                "/Tools",
                TOOL | {"name": "x", "policy": {"policy_details": {"allow": ["everybody"]}}},
                400,
                f"{text}policy.policy_details",
            ),
            ("PUT", f"/Tools/{tool['id']}", {"type": "MCP"}, 400, f"{text}type: "),
            ("POST", "/Knowledge", TEXT, 409, "There is a source of this name already."),
            ("POST", "/Knowledge", TEXT | {"name": "x", "type": "Tape"}, 400, f"{text}type: one of Web, Text"),
            ("POST", "/Knowledge", {"name": "x", "type": "Text"}, 400, f"{text}{where}.content: Field required"),
            ("POST", "/Knowledge", {"name": "x", "type": "Web"}, 400, f"{text}{where}.source: "),
            ("POST", "/Knowledge", TEXT | {"name": "x", "embedding_model": "m"}, 400, f"{text}embedding_model: only"),
            ("POST", "/Knowledge", {"name": "x", "type": "Database"}, 400, f"{text}embedding_model: a Database"),
            ("POST", f"{desk}/Messages", {"identity": "phone:12", "body": "x"}, 400, f"{text}identity: "),
            ("POST", f"{desk}/Messages", {"identity": "user_id:x"}, 400, f"{text}body: Field required"),
            ("POST", f"{desk}/Messages", {"identity": "x", "body": " "}, 400, f"{text}body: "),
            ("POST", f"{desk}/Messages", {"identity": "x", "body": "x", "mode": "fax"}, 400, f"{text}mode: "),
            (
                "POST",
                f"{desk}/Messages",
                {"identity": "x", "body": "x", "webhook": "file:///x"},
                400,
                f"{text}webhook: ",
            ),
            ("POST", f"{desk}/Feedbacks", {"session_id": "nobody's"}, 400, f"{text}session_id: "),
            ("POST", f"{desk}/Feedbacks", {"session_id": "x", "score": 2}, 400, f"{text}score: "),
            ("GET", "/Assistants?PageSize=0", None, 400, f"{text}PageSize: "),
            ("GET", "/Assistants?PageSize=1001", None, 400, f"{text}PageSize: "),
            ("GET", "/Assistants?PageToken=nonsense", None, 400, f"{text}cursor: "),
            ("GET", "/Assistants/aia_asst_nothing", None, 404, "/v1/Assistants/aia_asst_nothing was not found"),
            ("GET", "/Tools/asst_1", None, 404, "/v1/Tools/asst_1 was not found"),
            ("GET", "/Faxes", None, 404, "The requested resource /v1/Faxes was not found"),
            ("POST", f"{desk}/Tools/aia_tool_nothing", None, 404, "was not found"),
        ]
        codes = {400: 20001, 404: 20404, 409: 20409}
        for method, path, body, status, says in wrong:
            told = await acme.refused(method, path, body)
            assert told[:2] == (status, codes[status]), (path, body, told)
            assert says in told[2], (path, body, told)
        assert await dump(database_url, acme.account_id) == before
        content = {"content": b'{"name": "a\\u0000b"}', "headers": {"Content-Type": "application/json"}}
        assert (await acme.refused("POST", "/Assistants", **content))[:2] == (400, 20001)
        form = await acme.ask(
            "POST", "/Assistants", status=201, data={"Name": "By a form", "PersonalityPrompt": "Short."}
        )
        assert form["personality_prompt"] == "Short."


async def test_only_who_has_the_key_and_its_scope_comes_in(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path) as api:
        reader = await api.account("Acme", "assistants:read")
        path = f"{ASSISTANTS}/Assistants"
        for user in (reader.account_id, f"key_{reader.key[3:29]}"):
            assert (await api.http.get(path, auth=(user, reader.key))).status_code == 200
        for auth in (("somebody", reader.key), (reader.account_id, "wrong"), ("", "")):
            answer = await api.http.get(path, auth=auth)
            assert (answer.status_code, answer.json()["code"]) == (401, 20003)
        assert (await api.http.get(path, headers={"Authorization": "Basic !"})).json()["code"] == 20003
        denied = await api.http.post(path, json={"name": "x"}, auth=(reader.account_id, reader.key))
        assert (denied.status_code, denied.json()["code"]) == (403, 20006)
        # Who may read what keys there are may not read what answers are signed with.
        keys = await api.key(reader.account_id, "keys:read")
        secret = await api.http.get(f"{ASSISTANTS}/SigningSecret", auth=(keys.account_id, keys.key))
        assert (secret.status_code, secret.json()["code"]) == (403, 20006)


async def test_pages_lead_on_and_back(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path) as api, program(api, "Acme") as acme:
        for name in "abcde":
            await acme.assistant(name)
        page = await acme.ask("GET", "/Assistants?PageSize=2")
        seen: list[list[str]] = []
        while True:
            meta = page["meta"]
            assert (meta["key"], meta["page_size"], meta["page"]) == ("assistants", 2, len(seen))
            assert (meta["previous_page_url"] is None) is (not seen)
            seen.append([each["name"] for each in page["assistants"]])
            if meta["next_page_url"] is None:
                break
            assert meta["next_page_url"].startswith("https://bot.example.com/compat/twilio/assistants/v1/Assistants?")
            page = await acme.ask("GET", meta["next_page_url"].partition("example.com")[2])
        assert seen == [["a", "b"], ["c", "d"], ["e"]]
        for names in (["c", "d"], ["a", "b"]):
            page = await acme.ask("GET", page["meta"]["previous_page_url"].partition("example.com")[2])
            assert [each["name"] for each in page["assistants"]] == names
        assert page["meta"]["previous_page_url"] is None


async def test_what_is_attached_to_one_assistant_is_no_others(database_url: str, tmp_path: Path) -> None:
    """Also where nothing is attached: none is not all."""
    async with open_api(database_url, tmp_path) as api, program(api, "Acme") as acme:
        desk, other = await acme.assistant(), await acme.assistant("Other")
        text = await acme.ask("POST", "/Knowledge", TEXT | {"assistant_id": desk.rpartition("/")[2]}, 201)
        assert [each["name"] for each in (await acme.ask("GET", f"{desk}/Knowledge"))["knowledge"]] == ["Hours"]
        assert (await acme.ask("GET", f"{other}/Knowledge"))["knowledge"] == []
        await acme.ask("DELETE", f"{desk}/Knowledge/{text['id']}", status=204)
        assert (await acme.ask("GET", f"{desk}/Knowledge"))["knowledge"] == []
        own = await api.core.knowledge.scope(acme.account_id, ("none",))
        assert own.empty
        upload = "/compat/twilio/knowledge-upload/v1/Knowledge/Upload"
        file = {"knowledge": ("prices.csv", b"what,price\nchair,12\n", "text/csv")}
        form = {"name": "Prices", "assistant_id": other.rpartition("/")[2]}
        made = await acme.ask("POST", upload, status=201, data=form, files=file)
        assert (made["type"], made["status"]) == ("File", "QUEUED")
        assert [each["name"] for each in (await acme.ask("GET", f"{other}/Knowledge"))["knowledge"]] == ["Prices"]


async def test_an_index_that_lies_elsewhere_is_asked_before_anything_is_made(database_url: str, tmp_path: Path) -> None:
    vendor = PineconeServer()
    vendor.indexes = {"support": PineconeShelf(384), "wide": PineconeShelf(1_536)}
    async with (
        serve(vendor) as url,
        open_api(database_url, tmp_path, HOOKFLASH_ALLOWED_HOSTS="127.0.0.1") as api,
        program(api, "Acme") as acme,
    ):
        place: dict[str, Any] = {
            "vendor": "pinecone",
            "dimensions": 384,
            "options": {"index": "support", "api_url": url},
        }
        form: dict[str, Any] = {"name": "Theirs", "type": "Database", "embedding_model": "minilm"}
        details = place | {"secrets": {"api_key": "pc-test"}}
        made = await acme.ask("POST", "/Knowledge", form | {"knowledge_source_details": details}, 201)
        assert (made["status"], made["knowledge_source_details"]) == ("COMPLETED", place)
        assert "pc-test" not in json.dumps(await acme.ask("GET", "/Knowledge"))
        wide = details | {"options": place["options"] | {"index": "wide"}}
        told = await acme.refused("POST", "/Knowledge", form | {"name": "x", "knowledge_source_details": wide})
        assert told[:2] == (400, 20001), told
        told = await acme.refused("POST", "/Knowledge", form | {"name": "x", "knowledge_source_details": {}})
        assert told == (400, 20001, "Invalid parameter knowledge_source_details.vendor: Field required")
        assert len((await acme.ask("GET", "/Knowledge"))["knowledge"]) == 1


# Walls


async def test_nothing_of_another_account_is_found(database_url: str, tmp_path: Path) -> None:
    """Under every address there is: the answer is that of an id that never was, and nothing changes."""
    async with open_api(database_url, tmp_path) as api, program(api, "Ours") as ours, program(api, "Theirs") as theirs:
        ids = []
        for someone in (theirs, ours):
            desk = (await someone.assistant()).rpartition("/")[2]
            tool = (await someone.ask("POST", "/Tools", TOOL | {"assistant_id": desk}, 201))["id"]
            text = (await someone.ask("POST", "/Knowledge", TEXT | {"assistant_id": desk}, 201))["id"]
            said = {"identity": "user_id:x", "session_id": f"of {someone.account_id}", "body": "hi"}
            await someone.ask("POST", f"/Assistants/{desk}/Messages", said | {"webhook": "https://a.example/"}, 202)
            ids.append((desk, tool, text, said["session_id"]))
        (desk, tool, text, session), (mine, my_tool, my_text, _) = ids
        before = await dump(database_url, theirs.account_id)
        message = {"identity": "user_id:x", "body": "hi"}
        routes = [route for router in ROUTERS[:-1] for route in router.routes if isinstance(route, APIRoute)]
        ways = [(method, route) for route in routes for method in route.methods or ()]
        asked: list[tuple[str, str, Any]] = [
            ("GET", f"/Assistants/{desk}", None),
            ("PUT", f"/Assistants/{desk}", {"name": "x"}),
            ("DELETE", f"/Assistants/{desk}", None),
            ("POST", f"/Assistants/{desk}/Messages", message),
            ("GET", f"/Assistants/{desk}/Feedbacks", None),
            ("POST", f"/Assistants/{desk}/Feedbacks", {"session_id": session}),
            ("GET", f"/Assistants/{desk}/Tools", None),
            ("GET", f"/Assistants/{desk}/Knowledge", None),
            *(
                (m, f"/Assistants/{a}/{k}/{t}", None)
                for m in ("POST", "DELETE")
                for a, k, t in (
                    (desk, "Tools", my_tool),
                    (mine, "Tools", tool),
                    (desk, "Knowledge", my_text),
                    (mine, "Knowledge", text),
                )
            ),
            *((m, f"/Tools/{tool}", b) for m, b in (("GET", None), ("PUT", {"enabled": False}), ("DELETE", None))),
            *((m, f"/Knowledge/{text}", b) for m, b in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None))),
            ("GET", f"/Knowledge/{text}/Status", None),
            ("GET", f"/Knowledge/{text}/Chunks", None),
            ("GET", f"/Policies?ToolId={tool}", None),
            ("GET", f"/Policies?KnowledgeId={text}", None),
            ("GET", f"/Tools?AssistantId={desk}", None),
            ("GET", f"/Knowledge?AssistantId={desk}", None),
            ("GET", f"/Sessions/{session}", None),
            ("GET", f"/Sessions/{session}/Messages", None),
        ]
        asked += [
            (method, f"/compat/twilio/knowledge/v1{path}", body)
            for method, path, body in asked
            if path.startswith("/Knowledge/")
        ]
        met: set[tuple[str, str]] = set()
        for method, path, body in asked:
            assert (await ours.refused(method, path, body))[:2] == (404, 20404), (method, path)
            whole = path if path.startswith("/compat") else f"{ASSISTANTS}{path}"
            address = whole.partition("?")[0]
            met.add(next((m, r.path) for m, r in ways if m == method and r.path_regex.match(address)))
        assert {(method, route.path) for method, route in ways if "{" in route.path} - met == set()
        for path, body in (
            ("/Tools", TOOL | {"name": "x", "assistant_id": desk}),
            ("/Knowledge", TEXT | {"name": "x", "assistant_id": desk}),
            (f"/Assistants/{mine}/Feedbacks", {"session_id": session}),
        ):
            assert (await ours.refused("POST", path, body))[:2] == (400, 20001), path
        for path in ("/Assistants", "/Tools", "/Knowledge", "/Policies", "/Sessions"):
            listed = json.dumps(await ours.ask("GET", path))
            assert not any(each in listed for each in (desk, tool, text, session)), path
        secrets = [(await each.ask("GET", "/SigningSecret"))["secret"] for each in (ours, theirs)]
        assert secrets[0] != secrets[1]
        assert await dump(database_url, theirs.account_id) == before
