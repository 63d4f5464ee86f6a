"""What every route takes in and gives out: pages, cursors, JSON Lines, and what cannot be kept."""

import json
from collections.abc import AsyncIterator

import pytest

from hookflash.base.ids import new_id
from tests.doors.tenants import Api, Caller, open_api


@pytest.fixture
async def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as opened:
        yield opened


@pytest.fixture
async def caller(api: Api) -> Caller:
    return await api.account("Acme")


# Lists


async def test_lists_come_in_pages_and_as_lines(caller: Caller) -> None:
    for n in range(5):
        await caller.call("POST", "/v1/sources", {"name": f"source {n}"}, status=201)
    names: list[str] = []
    cursor, pages = None, 0
    while cursor is not None or pages == 0:
        page = await caller.call("GET", "/v1/sources", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        names += [item["name"] for item in page["items"]]
        cursor, pages = page["cursor"], pages + 1
    assert (names, pages) == ([f"source {n}" for n in range(5)], 3)
    response = await caller.send("GET", "/v1/sources", headers={"Accept": "application/jsonl"})
    assert response.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line)["name"] for line in response.text.splitlines()] == names
    assert json.loads(response.text.splitlines()[0])["created_at"].endswith("Z")


async def test_every_list_refuses_a_cursor_that_it_did_not_make(api: Api, caller: Caller) -> None:
    source = await caller.call("POST", "/v1/sources", {"name": "s"}, status=201)
    tried = 0
    for path, methods in api.app.openapi()["paths"].items():
        if any(p["name"] == "cursor" for p in methods.get("get", {}).get("parameters", ())):
            address = path.replace("{source_id}", source["id"])
            for cursor in (
                "x",
                "WyJcdTAwMDAiXQ",
                "W10",
                "WzFlOTld",
                "WzEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzXQ",
                "[]",
                "\N{GRINNING FACE}",
            ):
                response = await caller.send("GET", address, params={"cursor": cursor})
                assert response.status_code == (404 if "{" in address else 422), (path, cursor)
                tried += 1
    assert tried > 70


# What cannot be kept


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'{"name": "x", "templates": {"en": {"\\u0000": "x"}}}',
        b'{"name": "x", "temperature": NaN}',
        b'{"name": "x", "temperature": 1e999}',
        b'{"name": "x", "max_tokens": ' + b"9" * 5_000 + b"}",
        b'{"name": "x", "sources": ' + b"[" * 100_000 + b"}",
        b'{"name": "x", "sources": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"\xff",
        b"{",
        b"",
        b"null",
    ],
)
async def test_what_cannot_be_kept_is_refused(body: bytes, caller: Caller) -> None:
    response = await caller.send(
        "POST", "/v1/assistants", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/contacts/a%00b", "/v1/messages?state=%00", "/v1/sources/x/documents/%00.md"])
async def test_a_nul_in_an_address_is_refused(path: str, caller: Caller) -> None:
    method = "PUT" if path.endswith(".md") else "GET"
    await caller.call(method, path, status=422)


async def test_an_unknown_id_of_any_length_is_not_found(caller: Caller) -> None:
    for contact_id in (new_id("cont"), "x", "%27%20or%201=1", "ü"):
        await caller.call("GET", f"/v1/contacts/{contact_id}", status=404)
    await caller.call("GET", f"/v1/contacts/{'x' * 65}", status=422)
