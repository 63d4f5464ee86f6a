"""What every route has in common, shown by requests to a small application of its own."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel, Field

from hookflash.base import errors
from hookflash.base.errors import HookflashError, Invalid, Unauthenticated
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.rest.application import new_application
from hookflash.rest.auth import SCOPES, Doorkeeper, NewKey, Principal, check_scopes, make_key, parse_key, require
from hookflash.rest.limits import Buckets
from hookflash.rest.resource import MAX_LIMIT, ListAsked, Listing, listed, respond, router
from hookflash.testing.clock import VirtualClock

COUNT = 450
READER, WRITER, ADMIN, STRANGER = (make_key() for _ in range(4))


class Thing(BaseModel):
    number: int


class Order(BaseModel):
    to: list[Annotated[str, Field(min_length=2)]]


things = router("/v1/things", "things")


@things.get("", **listed(Thing))
async def list_things(
    asked: ListAsked, who: Annotated[Principal, require("messages:read")]
) -> Listing[Thing] | Response:
    async def fetch(limit: int, cursor: str | None) -> Page[int]:
        start = int(decode_cursor(cursor, int)[0]) if cursor else 0
        numbers = list(range(start, min(start + limit, COUNT)))
        end = start + len(numbers)
        return Page(numbers, encode_cursor(end) if end < COUNT else None)

    return await respond(asked, fetch, lambda number: Thing(number=number))


@things.post("")
async def create_thing(order: Order, who: Annotated[Principal, require("messages:write")]) -> dict[str, str]:
    return {"account": who.account_id, "key": who.key_id}


@things.get("/fails/{name}")
async def fail(name: str) -> None:
    if name == "unexpected":
        raise RuntimeError("the customer said hush")
    error: type[HookflashError] = getattr(errors, name)
    raise error("The sentence.", hint="The hint.") if error is not errors.TwilioFailed else error("The sentence.")


def keys() -> dict[bytes, Principal]:
    def row(key: NewKey, *scopes: str) -> tuple[bytes, Principal]:
        return key.hash, Principal("acc_1", key.id, frozenset(scopes))

    return dict([row(READER, "messages:read"), row(WRITER, "messages:write"), row(ADMIN, "admin")])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def app(clock: VirtualClock) -> FastAPI:
    known = keys()

    async def find_key(hash_: bytes) -> Principal | None:
        return known.get(hash_)

    app = new_application(
        title="Things",
        version="1",
        doorkeeper=Doorkeeper(find_key, Buckets(60, burst=5), clock),
        larger_bodies={"/v1/things/large": 2_000_000},
    )
    app.include_router(things)
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def bearer(key: NewKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.text.get_secret_value()}"}


def told(response: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem that the answer tells."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body


# Problems


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("Invalid", 422, "invalid"),
        ("Forbidden", 403, "forbidden"),
        ("NotFound", 404, "not-found"),
        ("Conflict", 409, "conflict"),
        ("TooLarge", 413, "too-large"),
        ("TooMany", 429, "too-many"),
        ("Unavailable", 503, "unavailable"),
        ("ModelFailed", 502, "model-failed"),
    ],
)
async def test_errors_are_told_as_problems(name: str, status: int, kind: str, http: httpx2.AsyncClient) -> None:
    response = await http.get(f"/v1/things/fails/{name}")
    body = told(response, status)
    assert body["type"] == f"urn:hookflash:error:{kind}"
    assert body["title"] == kind.replace("-", " ").capitalize()
    assert (body["detail"], body["hint"]) == ("The sentence.", "The hint.")
    assert ("retry-after" in response.headers) == (status in (429, 503))


@pytest.mark.parametrize("name", ["unexpected", "Misconfigured", "Fenced"])
async def test_what_is_ours_to_mend_is_not_told_to_the_caller(name: str, http: httpx2.AsyncClient) -> None:
    response = await http.get(f"/v1/things/fails/{name}")
    told(response, 500)
    for word in ("sentence", "hint", "hush", "RuntimeError", "Traceback"):
        assert word not in response.text


async def test_the_log_finds_the_place_and_keeps_a_customers_words_apart(http: httpx2.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logged:
        await http.get("/v1/things/fails/unexpected")
    (entry,) = logged
    assert entry.pop("pii.message") == "the customer said hush"
    assert entry["event"] == "unexpected error"
    assert any(Path(__file__).name in place for place in entry["where"])
    assert "hush" not in str(entry)


async def test_each_unacceptable_part_is_named(http: httpx2.AsyncClient) -> None:
    response = await http.post("/v1/things", json={"to": ["ok", "x", 7]}, headers=bearer(WRITER))
    body = told(response, 422)
    assert [error["field"] for error in body["errors"]] == ["to[1]", "to[2]"]
    assert all(error["message"] for error in body["errors"])


async def test_broken_json_and_missing_bodies_are_unacceptable_too(http: httpx2.AsyncClient) -> None:
    headers = {**bearer(WRITER), "Content-Type": "application/json"}
    told(await http.post("/v1/things", content="{", headers=headers), 422)
    told(await http.post("/v1/things", headers=bearer(WRITER)), 422)
    form = {**bearer(WRITER), "Content-Type": "application/x-www-form-urlencoded"}
    body = told(await http.post("/v1/things", content='{"to": []}', headers=form), 422)
    assert "Content-Type: application/json" in body["errors"][0]["message"]


async def test_who_has_no_key_is_not_listened_to(app: FastAPI, http: httpx2.AsyncClient) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(3):
            read += 1
            yield b"["

    headers = {"Content-Type": "application/json"}
    for given in (headers, {**headers, **bearer(STRANGER)}):
        told(await http.post("/v1/things", content=body(), headers=given), 401)
    assert read == 0
    many = json.dumps({"to": [0] * 200_001})
    refused = told(await http.post("/v1/things", content=many, headers={**headers, **bearer(WRITER)}), 422)
    assert "200,000 values" in refused["detail"]


async def test_unknown_addresses_and_methods_are_problems(http: httpx2.AsyncClient) -> None:
    assert told(await http.get("/nowhere"), 404)["type"] == "urn:hookflash:error:not-found"
    response = await http.delete("/v1/things")
    assert told(response, 405)["type"] == "urn:hookflash:error:method-not-allowed"
    assert "GET" in response.headers["allow"]


# Keys


async def test_a_key_opens_by_bearer_or_as_a_password(http: httpx2.AsyncClient) -> None:
    text = READER.text.get_secret_value()
    basic = base64.b64encode(f"anything:{text}".encode()).decode()
    assert (await http.get("/v1/things", headers=bearer(READER))).status_code == 200
    assert (await http.get("/v1/things", headers={"Authorization": f"Basic {basic}"})).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer nonsense",
        "Bearer hf__",
        "Bearer " + STRANGER.text.get_secret_value(),
        "Bearer " + READER.text.get_secret_value()[:-1],
        "Bearer " + READER.text.get_secret_value() + "x",
        "Bearer " + ADMIN.text.get_secret_value()[:29] + READER.text.get_secret_value()[29:],
        "Basic ???",
        "Basic " + base64.b64encode(b"user:").decode(),
        "Digest x",
    ],
    ids=[
        "no header",
        "no key",
        "not a key",
        "empty halves",
        "an unknown key",
        "a key cut short",
        "a key too long",
        "halves of two keys",
        "not base64",
        "an empty password",
        "another scheme",
    ],
)
async def test_everything_else_is_shut_out(header: str | None, http: httpx2.AsyncClient) -> None:
    response = await http.get("/v1/things", headers={"Authorization": header} if header else {})
    told(response, 401)
    assert response.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("key", "read", "write"),
    [(READER, 200, 403), (WRITER, 200, 200), (ADMIN, 200, 200)],
    ids=["reader", "writer", "admin"],
)
async def test_a_key_may_do_what_its_scopes_say(key: NewKey, read: int, write: int, http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/things", headers=bearer(key))).status_code == read
    response = await http.post("/v1/things", json={"to": []}, headers=bearer(key))
    assert response.status_code == write
    if write == 200:
        assert response.json() == {"account": "acc_1", "key": key.id}
    else:
        assert told(response, 403)["detail"] == "This API key lacks the scope messages:write."


def test_a_new_key_is_shown_once_and_kept_as_a_hash() -> None:
    key = make_key()
    text = key.text.get_secret_value()
    assert text not in f"{key}"
    assert parse_key(text) == (key.id, key.hash)
    assert make_key().hash != key.hash
    assert len(text.split("_", 2)[2]) == 43, "256 random bits"


@pytest.mark.parametrize("text", ["", "hf_", "hf_x_y", "x" * 80, "hf_" + "0" * 26 + "_", "hf_" + "0" * 26 + "_é"])
def test_what_has_not_the_form_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        parse_key(text)


def test_scopes_are_checked() -> None:
    assert check_scopes(["admin", "messages:read"]) == {"admin", "messages:read"}
    for scopes in ([], ["messages:delete"]):
        with pytest.raises(Invalid):
            check_scopes(scopes)
    with pytest.raises(ValueError, match="there is no scope"):
        require("messages:raed")
    assert "admin" in SCOPES


# Lists


async def test_pages_follow_each_other(http: httpx2.AsyncClient, clock: VirtualClock) -> None:
    seen: list[int] = []
    cursor = None
    while True:
        await clock.advance(1)
        query: dict[str, str | int] = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = (await http.get("/v1/things", params=query, headers=bearer(READER))).json()
        seen += [thing["number"] for thing in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == list(range(COUNT))


@pytest.mark.parametrize("query", ["limit=0", f"limit={MAX_LIMIT + 1}", "limit=x", "cursor=x"])
@pytest.mark.parametrize("accept", ["application/json", "application/jsonl"])
async def test_a_wrong_page_is_refused_in_either_form(query: str, accept: str, http: httpx2.AsyncClient) -> None:
    response = await http.get(f"/v1/things?{query}", headers={**bearer(READER), "Accept": accept})
    assert told(response, 422)["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("accept", ["application/jsonl", "text/html, Application/X-NDJSON; q=0.9"])
async def test_json_lines_go_on_to_the_end(accept: str, http: httpx2.AsyncClient) -> None:
    response = await http.get("/v1/things", headers={**bearer(READER), "Accept": accept})
    assert response.headers["content-type"] in ("application/jsonl", "application/x-ndjson")
    assert response.headers["content-type"] in accept.lower()
    assert [json.loads(line) for line in response.text.splitlines()] == [{"number": n} for n in range(COUNT)]


async def test_json_lines_stop_at_a_limit(http: httpx2.AsyncClient) -> None:
    headers = {**bearer(READER), "Accept": "application/jsonl"}
    response = await http.get("/v1/things", params={"limit": 3, "cursor": encode_cursor(10)}, headers=headers)
    assert [json.loads(line)["number"] for line in response.text.splitlines()] == [10, 11, 12]


# Limits


async def test_too_many_requests_of_one_key_must_wait(http: httpx2.AsyncClient, clock: VirtualClock) -> None:
    async def ask(key: NewKey) -> httpx2.Response:
        return await http.get("/v1/things", headers=bearer(key))

    assert [(await ask(READER)).status_code for _ in range(5)] == [200] * 5
    response = await ask(READER)
    told(response, 429)
    assert response.headers["retry-after"] == "1"
    assert (await ask(WRITER)).status_code == 200, "each key has a bucket of its own"
    await clock.advance(1)
    assert [(await ask(READER)).status_code for _ in range(2)] == [200, 429]


def test_there_are_never_more_buckets_than_allowed() -> None:
    buckets = Buckets(60, burst=1, capacity=100)
    for n in range(1_000):
        buckets.take(f"key {n}", now=float(n) / 1_000)
    assert len(buckets) == 100
    assert buckets.take("key 999", now=1.0) > 0, "the newest are kept"


async def _dripping(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1_000):
        yield b"x" * 1_000


async def test_a_large_body_is_refused_by_its_length_or_as_it_comes(http: httpx2.AsyncClient) -> None:
    headers = {**bearer(WRITER), "Content-Type": "application/json"}
    told(await http.post("/v1/things", content=b"x" * 1_000_001, headers=headers), 413)
    told(await http.post("/v1/things", content=_dripping(1_100_000), headers=headers), 413)
    told(await http.post("/v1/things", content=_dripping(900_000), headers=headers), 422)
    told(await http.post("/v1/things/large", content=b"x" * 1_000_001, headers=headers), 404)
    told(await http.post("/v1/things/large", content=b"x" * 2_000_001, headers=headers), 413)


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("", False)])
async def test_a_request_has_a_name(given: str, kept: bool, http: httpx2.AsyncClient) -> None:
    name = (await http.get("/nowhere", headers={"X-Request-Id": given})).headers["x-request-id"]
    assert (name == given) is kept
    assert kept or name.startswith("req_")


# The description


async def test_the_description_declares_operations_problems_and_keys(http: httpx2.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    operations = {op["operationId"]: op for path in described["paths"].values() for op in path.values()}
    assert set(operations) == {"list_things", "create_thing", "fail"}
    for operation in operations.values():
        for status in ("401", "403", "413", "422", "429", "500", "503"):
            content = operation["responses"][status]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert operations["create_thing"]["security"] == [{"key": []}, {"basic": []}]
    assert set(operations["list_things"]["responses"]["200"]["content"]) == {
        "application/json",
        "application/jsonl",
        "application/x-ndjson",
    }
    assert {"Problem", "FieldError"} <= set(described["components"]["schemas"])
    assert "HTTPValidationError" not in json.dumps(described)
