"""No account can read, write, search or guess anything of another, through any route, or in the database itself."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.rows import dict_row

from hookflash.base.ids import new_id
from hookflash.db.pool import Connection
from tests.doors.tenants import Api, Caller, Filled, fill, open_api

Ids = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """How to ask a route. `body`, `queries` name the ids that may be given there; `content` is a raw body.

    `spare` replaces ids of the address when the route is asked properly, for what can only be done once.
    """

    body: Callable[[Ids], object] | None = None
    names_in_body: bool = False
    queries: Callable[[Ids], list[dict[str, str]]] = lambda ids: []
    content: bytes | None = None
    spare: Mapping[str, str] | None = None


# Parts of an address that are the same for everybody.
ALIKE = {"revision": "1", "other": "draft"}


def _joined(ids: Ids) -> dict[str, object]:
    return {"name": "another", "assistant_id": ids["assistant_id"], "sender": "+15550100999"}


# Every operation of the description must be here: a new route is asked about isolation before it is let in. They are
# in an order in which each can be done properly once.
ROUTES: dict[tuple[str, str], Shape] = {
    ("GET", "/v1/account"): Shape(),
    ("GET", "/v1/keys"): Shape(),
    ("POST", "/v1/keys"): Shape(lambda ids: {"name": "another", "scopes": ["messages:read"]}),
    ("GET", "/v1/keys/{key_id}"): Shape(),
    ("GET", "/v1/tools"): Shape(),
    ("POST", "/v1/tools"): Shape(
        lambda ids: {"name": "another", "description": "d", "input": "{}", "url": "https://a.example/"}
    ),
    ("GET", "/v1/tools/{tool_id}"): Shape(),
    ("PATCH", "/v1/tools/{tool_id}"): Shape(lambda ids: {"description": "changed"}),
    ("POST", "/v1/tools/{tool_id}/test"): Shape(lambda ids: {"arguments": {}}),
    ("GET", "/v1/tools/{tool_id}/signing-secret"): Shape(),
    ("GET", "/v1/tools/{tool_id}/calls"): Shape(),
    ("POST", "/v1/tool-imports"): Shape(lambda ids: {"url": "https://mcp.example.com/"}),
    ("GET", "/v1/assistants"): Shape(),
    ("POST", "/v1/assistants"): Shape(
        lambda ids: {"name": "another", "sources": [ids["source_id"]]}, names_in_body=True
    ),
    ("GET", "/v1/assistants/{assistant_id}"): Shape(),
    ("PATCH", "/v1/assistants/{assistant_id}"): Shape(
        lambda ids: {"sources": [ids["source_id"]], "citations": True}, names_in_body=True
    ),
    ("POST", "/v1/assistants/{assistant_id}/publish"): Shape(lambda ids: {"note": "Why not?"}),
    ("GET", "/v1/assistants/{assistant_id}/revisions"): Shape(),
    ("GET", "/v1/assistants/{assistant_id}/revisions/{revision}"): Shape(),
    ("GET", "/v1/assistants/{assistant_id}/revisions/{revision}/diff/{other}"): Shape(),
    ("POST", "/v1/assistants/{assistant_id}/revisions/{revision}/restore"): Shape(lambda ids: {"note": "Back."}),
    ("GET", "/v1/experiments"): Shape(queries=lambda ids: [{"assistant_id": ids["spare_assistant_id"]}]),
    ("POST", "/v1/experiments"): Shape(
        lambda ids: {
            "assistant_id": ids["assistant_id"],
            "name": "another",
            "variants": [{"name": "a", "share": 50}, {"name": "b", "share": 50, "changes": {"temperature": 1.0}}],
        },
        names_in_body=True,
    ),
    ("GET", "/v1/experiments/{experiment_id}"): Shape(),
    ("POST", "/v1/experiments/{experiment_id}/conclude"): Shape(lambda ids: {"winner": "other"}),
    ("POST", "/v1/messages/{message_id}/resolve"): Shape(lambda ids: {"action": "discard"}),
    ("GET", "/v1/scheduled-messages"): Shape(
        queries=lambda ids: [{"contact_id": ids["contact_id"], "state": "waiting"}]
    ),
    ("GET", "/v1/scheduled-messages/{scheduled_id}"): Shape(),
    ("POST", "/v1/scheduled-messages/{scheduled_id}/cancel"): Shape(),
    ("GET", "/v1/integrations"): Shape(queries=lambda ids: [{"meta[mark]": ids["word"]}]),
    ("POST", "/v1/integrations"): Shape(_joined, names_in_body=True),
    ("GET", "/v1/integrations/{integration_id}"): Shape(),
    ("PATCH", "/v1/integrations/{integration_id}"): Shape(
        lambda ids: {"name": "changed", "assistant_id": ids["assistant_id"]}, names_in_body=True
    ),
    ("GET", "/v1/sources"): Shape(),
    ("POST", "/v1/sources"): Shape(lambda ids: {"name": "another"}),
    ("GET", "/v1/sources/{source_id}"): Shape(),
    ("GET", "/v1/sources/{source_id}/progress"): Shape(),
    ("PATCH", "/v1/sources/{source_id}"): Shape(lambda ids: {"description": "changed"}),
    ("GET", "/v1/sources/{source_id}/documents"): Shape(),
    ("POST", "/v1/sources/{source_id}/documents"): Shape(lambda ids: {"name": ids["name"], "text": "changed"}),
    ("PUT", "/v1/sources/{source_id}/documents/{name}"): Shape(content=b"changed"),
    ("POST", "/v1/sources/{source_id}/crawl"): Shape(spare={"source_id": "web_source_id"}),
    ("GET", "/v1/sources/{source_id}/crawl"): Shape(spare={"source_id": "web_source_id"}),
    ("GET", "/v1/sources/{source_id}/pages"): Shape(),
    ("GET", "/v1/answers"): Shape(),
    ("POST", "/v1/answers"): Shape(
        lambda ids: {"questions": ["What?"], "answer": "That.", "assistant_id": ids["assistant_id"]}, names_in_body=True
    ),
    ("GET", "/v1/answers/{answer_id}"): Shape(),
    ("PATCH", "/v1/answers/{answer_id}"): Shape(
        lambda ids: {"answer": "This.", "assistant_id": ids["assistant_id"]}, names_in_body=True
    ),
    ("GET", "/v1/documents/{document_id}"): Shape(),
    ("GET", "/v1/documents/{document_id}/chunks"): Shape(),
    ("POST", "/v1/search"): Shape(
        lambda ids: {"question": f"{ids['word']} hours?", "sources": [ids["source_id"]]}, names_in_body=True
    ),
    ("GET", "/v1/contacts"): Shape(queries=lambda ids: [{"address": ids["address"]}]),
    ("GET", "/v1/contacts/{contact_id}"): Shape(),
    ("PATCH", "/v1/contacts/{contact_id}"): Shape(lambda ids: {"name": "changed", "traits": {"plan": "gold"}}),
    ("GET", "/v1/contacts/{contact_id}/profile"): Shape(),
    ("PUT", "/v1/contacts/{contact_id}/profile"): Shape(lambda ids: {"traits": {"plan": "gold"}}),
    ("PATCH", "/v1/contacts/{contact_id}/profile"): Shape(lambda ids: {"traits": {"plan": "silver"}}),
    ("GET", "/v1/contacts/{contact_id}/observations"): Shape(),
    ("POST", "/v1/contacts/{contact_id}/observations"): Shape(lambda ids: {"text": "Has a dog."}),
    ("PATCH", "/v1/contacts/{contact_id}/observations/{observation_id}"): Shape(lambda ids: {"text": "Has a cat."}),
    ("DELETE", "/v1/contacts/{contact_id}/observations/{observation_id}"): Shape(),
    ("DELETE", "/v1/contacts/{contact_id}/profile"): Shape(),
    ("GET", "/v1/contacts/{contact_id}/identities"): Shape(),
    ("POST", "/v1/contacts/{contact_id}/identities"): Shape(lambda ids: {"identity": "email:ada@example.com"}),
    ("POST", "/v1/contacts/{contact_id}/merge"): Shape(
        lambda ids: {"contact_id": ids["merged_contact_id"]}, names_in_body=True
    ),
    ("DELETE", "/v1/contacts/{contact_id}"): Shape(spare={"contact_id": "spare_contact_id"}),
    ("DELETE", "/v1/contacts/{contact_id}/opt-outs/{sender}"): Shape(),
    ("PUT", "/v1/contacts/{contact_id}/opt-outs/{sender}"): Shape(),
    ("GET", "/v1/calls"): Shape(queries=lambda ids: [{"contact_id": ids["contact_id"]}]),
    ("POST", "/v1/calls"): Shape(
        lambda ids: {"integration_id": ids["integration_id"], "to": "+15550100998"}, names_in_body=True
    ),
    ("GET", "/v1/calls/{call_id}"): Shape(),
    ("GET", "/v1/sessions"): Shape(queries=lambda ids: [{"contact_id": ids["contact_id"]}]),
    ("GET", "/v1/sessions/{session_id}"): Shape(),
    ("GET", "/v1/messages"): Shape(
        queries=lambda ids: [
            {"contact_id": ids["contact_id"]},
            {"session_id": ids["session_id"], "state": "parked"},
        ]
    ),
    ("GET", "/v1/messages/{message_id}"): Shape(),
    ("GET", "/v1/messages/{message_id}/explanation"): Shape(),
    ("POST", "/v1/messages/{message_id}/correction"): Shape(lambda ids: {"correct": "At ten."}),
    ("GET", "/v1/turns/{turn_id}"): Shape(),
    ("POST", "/v1/turns/{turn_id}/correction"): Shape(lambda ids: {"correct": "At eleven."}),
    ("GET", "/v1/corrections"): Shape(queries=lambda ids: [{"assistant_id": ids["assistant_id"]}]),
    ("GET", "/v1/feedback"): Shape(
        queries=lambda ids: [{"session_id": ids["session_id"]}, {"assistant_id": ids["assistant_id"]}]
    ),
    ("POST", "/v1/feedback"): Shape(
        lambda ids: {"session_id": ids["session_id"], "message_id": ids["message_id"], "score": 1}, names_in_body=True
    ),
    ("GET", "/v1/feedback/{feedback_id}"): Shape(),
    ("GET", "/v1/tickets"): Shape(queries=lambda ids: [{"contact_id": ids["contact_id"], "state": "open"}]),
    ("GET", "/v1/tickets/{ticket_id}"): Shape(),
    ("PATCH", "/v1/tickets/{ticket_id}"): Shape(lambda ids: {"state": "closed", "answer": "At nine."}),
    ("POST", "/v1/sessions/{session_id}/ask-rating"): Shape(),
    ("GET", "/v1/journal"): Shape(
        queries=lambda ids: [{"subject": ids["turn_id"]}, {"contact_id": ids["contact_id"], "kind": "turn"}]
    ),
    ("GET", "/v1/journal/verify"): Shape(),
    ("DELETE", "/v1/keys/{key_id}"): Shape(),
    ("DELETE", "/v1/tools/{tool_id}"): Shape(spare={"tool_id": "spare_tool_id"}),
    ("DELETE", "/v1/answers/{answer_id}"): Shape(),
    ("DELETE", "/v1/documents/{document_id}"): Shape(),
    ("DELETE", "/v1/sources/{source_id}"): Shape(),
    ("DELETE", "/v1/integrations/{integration_id}"): Shape(spare={"integration_id": "spare_integration_id"}),
    ("DELETE", "/v1/assistants/{assistant_id}"): Shape(spare={"assistant_id": "spare_assistant_id"}),
}


@dataclass(frozen=True, slots=True)
class House:
    """Two accounts; `nobody` has ids of the same form that belong to none. `url` is the database, as its owner."""

    api: Api
    ours: Filled
    theirs: Filled
    url: str

    @property
    def our_ids(self) -> Ids:
        return {**self.ours.ids, "word": self.ours.word}

    @property
    def their_ids(self) -> Ids:
        return {**self.theirs.ids, "word": self.theirs.word}

    @property
    def nobody(self) -> Ids:
        made = {name: new_id(value.partition("_")[0]) for name, value in self.theirs.ids.items()}
        return {**made, "word": "nobody", "sender": "+15550100777", "address": "+15550111777", "name": "nobody.md"}

    async def ask(self, caller: Caller, route: tuple[str, str], path: Ids, **kwargs: Any) -> httpx2.Response:
        method, address = route
        return await caller.send(method, re.sub(r"{(\w+)}", lambda m: ALIKE.get(m[1]) or path[m[1]], address), **kwargs)


@pytest.fixture
async def house(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as api:
        ours = await fill(await api.account("Ours"), "quokka", "+15550111222", "+15550100200")
        theirs = await fill(await api.account("Theirs"), "wombat", "+15550111333", "+15550100300")
        yield House(api, ours, theirs, database_url)


async def dump(url: str, account_id: str) -> dict[str, list[str]]:
    """Everything that the database holds of an account, by table, whatever row-level security says."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as owner:
        found = {}
        for table in await tables(owner):
            cursor = await owner.execute(
                f'select to_jsonb(t)::text as row from "{table}" t where account_id = %s order by 1'.encode(),
                (account_id,),
            )
            found[table] = [row["row"] for row in await cursor.fetchall()]
        cursor = await owner.execute(
            "select to_jsonb(j)::text as row from procrastinate_jobs j where args ->> 'account_id' = %s order by 1",
            (account_id,),
        )
        found["jobs"] = [row["row"] for row in await cursor.fetchall()]
    return found


async def tables(owner: Connection) -> list[str]:
    """All tables whose rows belong to accounts."""
    cursor = await owner.execute(
        "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'account_id'"
        " order by table_name"
    )
    return [row["table_name"] for row in await cursor.fetchall()]


def same(one: httpx2.Response, one_ids: Ids, other: httpx2.Response, other_ids: Ids) -> bool:
    """Whether two answers differ in nothing but the ids that were asked for."""

    def bare(response: httpx2.Response, ids: Ids) -> tuple[int, str]:
        body = response.json()
        body.pop("request_id", None)
        text = json.dumps(body)
        for name, value in ids.items():
            text = text.replace(value, name)
        return response.status_code, text

    return bare(one, one_ids) == bare(other, other_ids)


def show(house: House, response: httpx2.Response, asked_for: object) -> list[str]:
    """The marks of the other account that an answer shows, but for what the request said itself."""
    asked = json.dumps(asked_for, default=str)
    return [mark for mark in house.theirs.marks if mark in response.text and mark not in asked]


def described(api: Api) -> Iterator[tuple[str, str]]:
    for path, methods in api.app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


async def test_every_route_is_known_here(house: House) -> None:
    assert set(described(house.api)) == set(ROUTES)


async def test_ids_of_another_account_are_not_found(house: House) -> None:
    """In the address: 404, the very answer that an id gets which never was. And nothing changes."""
    caller, before = house.ours.caller, await dump(house.url, house.theirs.caller.account_id)
    asked = 0
    for route, shape in ROUTES.items():
        if "{" not in route[1]:
            continue
        kwargs: dict[str, Any] = {"content": shape.content} if shape.content else {}
        if shape.body:
            kwargs["json"] = shape.body(house.our_ids)
        nobody = house.nobody
        theirs = await house.ask(caller, route, house.their_ids, **kwargs)
        unknown = await house.ask(caller, route, nobody, **kwargs)
        assert theirs.status_code == 404, (route, theirs.text)
        assert same(theirs, house.their_ids, unknown, nobody), (route, theirs.text, unknown.text)
        assert show(house, theirs, ()) == [], route
        asked += 1
    assert asked > 25
    assert await dump(house.url, house.theirs.caller.account_id) == before


async def test_our_own_address_with_their_sender_is_not_found(house: House) -> None:
    path = f"/v1/contacts/{house.ours.ids['contact_id']}/opt-outs/{house.theirs.ids['sender']}"
    for method in ("PUT", "DELETE"):
        await house.ours.caller.call(method, path, status=404)


async def test_ids_of_another_account_are_unknown_in_a_body(house: House) -> None:
    caller, before = house.ours.caller, await dump(house.url, house.theirs.caller.account_id)
    ours_before = await dump(house.url, caller.account_id)
    asked = 0
    for route, shape in ROUTES.items():
        if not shape.names_in_body or shape.body is None:
            continue
        nobody = house.nobody
        body, body_of_nobody = shape.body(house.their_ids), shape.body(nobody)
        theirs = await house.ask(caller, route, house.our_ids, json=body)
        unknown = await house.ask(caller, route, house.our_ids, json=body_of_nobody)
        assert theirs.status_code == 422, (route, theirs.text)
        assert same(theirs, house.their_ids, unknown, nobody), (route, theirs.text, unknown.text)
        assert show(house, theirs, body) == [], route
        asked += 1
    assert asked >= 5
    assert await dump(house.url, house.theirs.caller.account_id) == before
    assert await dump(house.url, caller.account_id) == ours_before


async def test_lists_show_nothing_of_another_account(house: House) -> None:
    """Plainly, with their ids as filters, with their cursors, and as JSON Lines."""
    caller, asked = house.ours.caller, 0
    for route, shape in ROUTES.items():
        if route[0] != "GET" or "{" in route[1]:
            continue
        plain = await house.ask(caller, route, {})
        assert (plain.status_code, show(house, plain, ())) == (200, []), route
        lines = await house.ask(caller, route, {}, headers={"Accept": "application/jsonl"})
        assert (lines.status_code, show(house, lines, ())) == (200, []), route
        for query in shape.queries(house.their_ids):
            filtered = await house.ask(caller, route, {}, params=query)
            assert filtered.json() == {"items": [], "cursor": None}, (route, query)
            mine = await house.ask(house.theirs.caller, route, {}, params=query)
            assert mine.json()["items"], (route, "the filter finds what is there")
        theirs = (await house.ask(house.theirs.caller, route, {}, params={"limit": "1"})).json()
        if theirs.get("cursor"):
            crossed = await house.ask(caller, route, {}, params={"cursor": theirs["cursor"]})
            assert (crossed.status_code, show(house, crossed, ())) == (200, []), route
        asked += 1
    assert asked >= 11


async def test_no_search_finds_the_documents_of_another_account(house: House) -> None:
    question = {"question": f"When does the {house.theirs.word} office open?"}
    theirs = await house.theirs.caller.call("POST", "/v1/search", question)
    assert house.theirs.word in theirs["passages"][0]["text"], "its owner does find it"
    ours = await house.ours.caller.send("POST", "/v1/search", json=question)
    assert ours.status_code == 200
    assert show(house, ours, question) == []
    passages = ours.json().get("passages", [])
    assert all(p["source_id"] == house.ours.ids["source_id"] for p in passages)
    assert house.theirs.word not in json.dumps(passages)


async def test_what_we_do_to_our_own_leaves_the_other_account_alone(house: House) -> None:
    """Every route, asked properly: it works, so what was refused above was refused for the ids alone."""
    before = await dump(house.url, house.theirs.caller.account_id)
    for route, shape in ROUTES.items():
        kwargs: dict[str, Any] = {"content": shape.content} if shape.content else {}
        if shape.body:
            kwargs["json"] = shape.body(house.our_ids)
        path = {**house.our_ids, **{param: house.our_ids[name] for param, name in (shape.spare or {}).items()}}
        response = await house.ask(house.ours.caller, route, path, **kwargs)
        assert response.status_code in (200, 201, 202, 204), (route, response.status_code, response.text)
        for query in shape.queries(house.our_ids):
            assert (await house.ask(house.ours.caller, route, {}, params=query)).status_code == 200
    assert await dump(house.url, house.theirs.caller.account_id) == before


async def test_a_webhook_signed_for_one_integration_opens_no_other(house: House) -> None:
    """Also when it carries ids of the other: our token proves nothing about their numbers."""
    before = await dump(house.url, house.theirs.caller.account_id)
    form = {"MessageSid": "SM" + "0" * 32, "AccountSid": "AC" + "0" * 32, "From": "+15550111333", "Body": "hi"}
    form |= {"To": house.theirs.ids["sender"], "NumMedia": "0", "MessageStatus": "delivered", "NumSegments": "1"}
    answers = {}
    for which, owner in (("ours", house.ours), ("theirs", house.theirs)):
        for hook in ("messages", "fallback", f"status?message={house.theirs.ids['message_id']}"):
            path = f"/twilio/{owner.ids['integration_id']}/{hook}"
            signed = f"https://bot.example.com{path}" + "".join(name + form[name] for name in sorted(form))
            digest = hmac.new(b"quokka-token", signed.encode(), hashlib.sha1).digest()
            signature = base64.b64encode(digest).decode()
            response = await house.api.http.post(path, data=form, headers={"X-Twilio-Signature": signature})
            answers[which, hook.partition("?")[0]] = response.status_code
    assert answers == {
        ("ours", "messages"): 200,
        ("ours", "fallback"): 200,
        ("ours", "status"): 204,
        ("theirs", "messages"): 403,
        ("theirs", "fallback"): 403,
        ("theirs", "status"): 403,
    }
    assert await dump(house.url, house.theirs.caller.account_id) == before


# The database itself


async def test_every_table_of_accounts_is_under_row_level_security(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.url, row_factory=dict_row) as owner:
        cursor = await owner.execute(
            "select c.relname as name, c.relrowsecurity as secured,"
            " exists (select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*'"
            "         and p.polroles = array['hookflash_app'::regrole::oid]) as has_policy"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm')"
        )
        found = {row["name"]: row["secured"] and row["has_policy"] for row in await cursor.fetchall()}
        of_accounts = await tables(owner)
    assert len(of_accounts) > 20
    assert [name for name in of_accounts if not found[name]] == []
    others = {name for name in found if name not in of_accounts and not name.startswith("procrastinate_")}
    assert others == {"alembic_version"}, "a table without account_id holds nothing of anybody"


async def test_the_application_sees_one_account_or_none(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.url, row_factory=dict_row) as owner:
        names = await tables(owner)
    full = {name for name, rows in (await dump(house.url, house.theirs.caller.account_id)).items() if rows}
    assert full >= set(names) - {"answer_cache", "document_data", "journal_unsealed"}, "fill new tables too"
    db = house.api.core.db
    for name in names:
        query = f'select account_id from "{name}"'.encode()
        async with db.system() as conn:
            assert await (await conn.execute(query)).fetchall() == [], name
        async with db.tenant(house.ours.caller.account_id) as conn:
            seen = {row["account_id"] for row in await (await conn.execute(query)).fetchall()}
        assert seen <= {house.ours.caller.account_id}, name


async def test_the_application_writes_for_one_account_only(house: House) -> None:
    ours, theirs = house.ours.caller.account_id, house.theirs.caller.account_id
    before = await dump(house.url, theirs)
    async with await psycopg.AsyncConnection.connect(house.url, row_factory=dict_row) as owner:
        names = await tables(owner)

    async def attempt(statement: str, *parameters: str) -> int | None:
        """Rows that were changed; None when the statement was refused."""
        try:
            async with house.api.core.db.tenant(ours) as conn:
                return (await conn.execute(statement.encode(), parameters)).rowcount
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException):
            return None

    for name in names:
        assert await attempt(f'delete from "{name}" where account_id = %s', theirs) in (0, None), name
        assert await attempt(f'update "{name}" set account_id = account_id where account_id = %s', theirs) in (
            0,
            None,
        ), name
        assert await attempt(f'update "{name}" set account_id = %s', theirs) in (0, None), name
        assert await attempt(f'truncate "{name}"') is None, name
    assert await attempt("insert into contacts (id, account_id) values ('cont_x', %s)", theirs) is None
    assert await attempt("insert into answer_cache (account_id, key, answer) values (%s, 'k', '1')", theirs) is None
    assert await dump(house.url, theirs) == before


async def test_the_role_of_the_pool_has_no_way_up(house: House) -> None:
    """What SET ROLE does and does not protect against.

    It makes every statement of ours obey the policies, whatever condition it forgets. It is no wall against statements
    of a stranger's: those could name another account, as the policies believe the setting, and `reset role` goes back
    to the user of the URL. That nobody's words become a statement is the parameters' work. A login that is a member of
    hookflash_app and nothing else has nothing to go back to: it cannot touch the policies or the journal's past.
    """
    async with house.api.core.db.system() as conn:
        cursor = await conn.execute(
            "select current_user as name, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin from pg_roles"
            " where rolname = current_user"
        )
        assert await cursor.fetchone() == {
            "name": "hookflash_app",
            "rolsuper": False,
            "rolbypassrls": False,
            "rolcreaterole": False,
            "rolcreatedb": False,
            "rolcanlogin": False,
        }
        cursor = await conn.execute("select count(*) as n from pg_class where relowner = 'hookflash_app'::regrole")
        assert await cursor.fetchone() == {"n": 0}, "who owns a table may switch its security off"
    for statement in (
        "alter table contacts disable row level security",
        "drop policy one_account on contacts",
        "alter role hookflash_app bypassrls",
        "create function mine() returns void language sql security definer as 'select'",
        "copy contacts to program 'cat'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with house.api.core.db.tenant(house.ours.caller.account_id) as conn:
                await conn.execute(statement.encode())
    async with await psycopg.AsyncConnection.connect(house.url, autocommit=True, row_factory=dict_row) as conn:
        cursor = await conn.execute("select current_user as name")
        owner = (await cursor.fetchone() or {})["name"]
        await conn.execute("drop role if exists hookflash_door")
        await conn.execute("create role hookflash_door login noinherit in role hookflash_app")
        # What a login of that role is; the embedded server lets nobody else in.
        await conn.execute("set session authorization hookflash_door")
        await conn.execute("set role hookflash_app")
        assert await (await conn.execute("select * from contacts")).fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(f'set role "{owner}"'.encode())
        await conn.execute("reset role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("select * from contacts")
        await conn.execute("reset session authorization")
        await conn.execute("drop role hookflash_door")
