"""Who may see which knowledge: by channel, by trait, only when verified; what is barred is not found and not kept for others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookflash.assistant import verification_store
from hookflash.assistant.library import Library
from hookflash.base.ids import new_id
from hookflash.conversation.turn import Contact, LineTraits, Session, Turn
from hookflash.knowledge.passage import Found
from tests.doors.tenants import Api, Caller, open_api

PRICES = "Dealers pay 40 euros for the Ridgeline jacket, which is half of what everybody else pays."


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(database_url, tmp_path) as opened:
        yield opened


async def taught(caller: Caller, who: dict[str, object]) -> str:
    """A source for some; its id."""
    core = caller.api.core
    source = await caller.call("POST", "/v1/sources", {"name": "Dealers", "who": who}, status=201)
    body = {"name": "prices.md", "text": PRICES}
    document = await caller.call("POST", f"/v1/sources/{source['id']}/documents", body, status=202)
    await core.indexer().index(caller.account_id, document["id"])
    return str(source["id"])


def asks(account_id: str, line: str = "sms", **traits: object) -> Turn:
    now = datetime(2026, 1, 14, tzinfo=UTC)
    session = Session("sess_1", "asst_1", 1, {}, now)
    contact = Contact("cont_1", None, None, traits)
    return Turn(new_id("turn"), account_id, "intg_1", contact, session, (), (), LineTraits(line), now)


async def test_a_session_shows_whether_its_customer_is_verified(api: Api) -> None:
    caller = await api.account("Acme")
    db, now = api.core.db, datetime(2026, 1, 14, tzinfo=UTC)
    assistant = await caller.call("POST", "/v1/assistants", {"name": "A"}, status=201)
    async with db.tenant(caller.account_id) as conn:
        await conn.execute("insert into contacts (id, account_id) values ('cont_1', %s)", (caller.account_id,))
        await conn.execute(
            "insert into sessions (id, account_id, contact_id, assistant_id, revision, started_at, last_at)"
            " values ('sess_1', %s, 'cont_1', %s, 1, %s, %s)",
            (caller.account_id, assistant["id"], now, now),
        )
    before = await caller.call("GET", "/v1/sessions/sess_1")
    assert (before["verified"], before["verified_at"]) == (False, None)
    async with db.tenant(caller.account_id) as conn:
        await verification_store.proven(conn, "sess_1", "sms:+15550111222", now)
    (after,) = (await caller.call("GET", "/v1/sessions"))["items"]
    assert (after["verified"], after["verified_at"]) == (True, "2026-01-14T00:00:00Z")


async def test_knowledge_is_for_whom_its_policy_names(api: Api) -> None:
    caller = await api.account("Acme")
    proven: set[str] = set()

    async def verified(turn: Turn) -> bool:
        return turn.id in proven

    library = Library(api.core.knowledge, api.core.providers.embedder, "minilm", verified)

    async def sees(turn: Turn) -> bool:
        found = await library.search(turn, "What do dealers pay for the Ridgeline jacket?")
        return isinstance(found, Found) and "40 euros" in found.passages[0].text

    account = caller.account_id
    source = await taught(caller, {"traits": {"plan": "dealer"}, "channels": ["sms", "voice"]})
    dealer, stranger = asks(account, plan="dealer"), asks(account)
    assert (await sees(dealer), await library.hidden(dealer)) == (True, 0)
    assert (await sees(stranger), await library.hidden(stranger)) == (False, 1)
    assert not await sees(asks(account, "whatsapp", plan="dealer"))
    assert await library.version(dealer) != await library.version(stranger), (
        "answers kept for one are not given to the other"
    )

    changed = await caller.call("PATCH", f"/v1/sources/{source}", {"who": {"verified": True}})
    assert changed["who"] == {"channels": [], "traits": {}, "verified": True}
    known = asks(account)
    proven.add(known.id)
    assert await sees(known)
    assert not await sees(replace(known, id=new_id("turn"))), "another turn, not verified"

    opened = await caller.call("PATCH", f"/v1/sources/{source}", {"who": {}})
    assert opened["who"]["verified"] is False
    assert (await caller.call("GET", f"/v1/sources/{source}"))["who"]["traits"] == {}
    assert await sees(asks(account, "web"))
    await caller.call("PATCH", f"/v1/sources/{source}", {"who": {"channels": ["fax"]}}, status=422)
