"""People over real PostgreSQL: who they are, two contacts that become one, and one who is forgotten."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import psycopg
import pytest
from psycopg.types.json import Jsonb

from hookflash.base.errors import Conflict, NotFound
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.channels.media_jobs import MediaEraser
from hookflash.conversation import lane_store
from hookflash.conversation.identity import Identity
from hookflash.conversation.identity_store import attach_identity, ensure_contact, find_contact
from hookflash.conversation.intake import Arrival
from hookflash.conversation.journal import Sound
from hookflash.conversation.journal_store import seal_journal, verify_journal
from hookflash.conversation.merge_store import merge
from hookflash.db.pool import Connection
from tests.doors.customers import ADA, BO, OURS, House, open_house, short
from tests.doors.tenants import Filled, fill, open_api


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


# Who somebody is


async def owned(house: House, contact_id: str) -> dict[str, int]:
    """How many rows a contact has, by table."""
    found = {}
    for table in (
        "messages",
        "sessions",
        "turns",
        "calls",
        "tickets",
        "memories",
        "contact_traits",
        "contact_addresses",
    ):
        rows = await house.rows(f"select count(*)::int as n from {table} where contact_id = %s", contact_id)
        found[table] = rows[0]["n"]
    return found


async def test_two_contacts_become_one_with_everything_that_they_had(house: House) -> None:
    ada = await house.says(ADA, "my name is Ada. I bought a red kettle.")
    bo = await house.says(BO, "My name is Bo. I bought a blue pan.")
    await house.end_sessions()
    await house.caller.call("PATCH", f"/v1/contacts/{bo}/profile", {"traits": {"plan": "gold"}})
    await house.caller.call("PUT", f"/v1/contacts/{bo}/opt-outs/{OURS}")
    await house.caller.call("POST", f"/v1/contacts/{bo}/identities", {"identity": "user_id:7"}, status=201)
    before = [await owned(house, each) for each in (ada, bo)]
    merged = await house.caller.call("POST", f"/v1/contacts/{ada}/merge", {"contact_id": bo})
    after = await owned(house, ada)
    for table in ("messages", "sessions", "turns", "calls", "tickets", "memories", "contact_addresses"):
        assert after[table] == before[0][table] + before[1][table], table
    assert {a["address"] for a in merged["addresses"]} == {ADA, BO}
    assert {(o["address"], o["opted_out"]) for o in merged["opt_outs"]} == {(ADA, True), (BO, True)}
    assert short(await house.profile(ada)) == {
        "plan": ("gold", "string", "api"),
        "name": ("Bo", "string", "conversation"),
    }
    held = await house.caller.call("GET", f"/v1/contacts/{ada}/identities")
    assert [i["identity"] for i in held["items"]] == [f"phone:{ADA}", f"phone:{BO}", "user_id:7"]
    assert len(await house.rows("select 1 from tickets where state = 'open'")) == 1
    await house.caller.call("GET", f"/v1/contacts/{bo}", status=404)
    (entry,) = (await house.caller.call("GET", "/v1/journal", params={"kind": "contact.merged"}))["items"]
    assert entry["body"]["other"] == bo
    assert entry["body"]["proof"].startswith("api:")
    await house.caller.call("DELETE", f"/v1/contacts/{ada}/opt-outs/{OURS}")
    assert await house.says(BO, "It is me again") == ada
    await house.caller.call("POST", f"/v1/contacts/{ada}/merge", {"contact_id": ada}, status=422)


async def test_identities_are_attached_on_proof_and_never_on_a_guess(house: House) -> None:
    ada, bo = await house.says(ADA, "Hello"), await house.says(BO, "Hello")
    path = f"/v1/contacts/{ada}/identities"
    refused = await house.caller.call("POST", path, {"identity": f"phone:{BO}"}, status=409)
    assert "merge" in refused["hint"]
    await house.caller.call("POST", path, {"identity": "phone:+15550111444"}, status=201)
    assert await house.says("+15550111444", "From my other phone") == ada
    await house.caller.call("POST", path, {"identity": "nonsense"}, status=422)
    email, now = Identity.parse("email:Ada@example.com"), house.now
    async with house.api.core.db.tenant(house.account) as conn:
        first = await attach_identity(conn, house.account, ada, email, "verification:v1", now)
        again = await attach_identity(conn, house.account, ada, email, "verification:v1", now)
        assert (first.added, again.added) == (True, False)
        assert await find_contact(conn, email) == ada
        assert await ensure_contact(conn, house.account, email, "api", now) == ada
        other = await attach_identity(
            conn, house.account, ada, Identity.parse(f"phone:{BO}"), "verification:v2", now, merging=True
        )
        assert other.merged == bo
        made = await ensure_contact(conn, house.account, Identity.parse("user_id:new"), "api", now)
        assert made not in (ada, bo)


async def test_one_who_is_being_answered_is_not_merged_away(house: House) -> None:
    ada, bo = await house.says(ADA, "Hello"), await house.says(BO, "Hello")
    db, now = house.api.core.db, house.now
    await house.do("update lanes set due_at = clock_timestamp() where contact_id = %s", bo)
    async with db.system() as conn:
        (held,) = await lane_store.claim(conn, 9, 30.0, 5)
    before = await owned(house, bo)
    with pytest.raises(Conflict):
        async with db.tenant(house.account) as conn:
            await merge(conn, house.account, ada, bo, "test", now)
    assert await owned(house, bo) == before
    with pytest.raises(Conflict):
        await erase_by(house, bo)
    # The other way round it may be: a turn of the kept one can find out that they are the same.
    async with db.tenant(house.account) as conn:
        await merge(conn, house.account, bo, ada, "test", now)
        await lane_store.release(conn, [lane_store.Release(held, None)])
    with pytest.raises(NotFound):
        async with db.tenant(house.account) as conn:
            await merge(conn, house.account, bo, ada, "test", now)


async def erase_by(house: House, contact_id: str) -> None:
    response = await house.caller.send("DELETE", f"/v1/contacts/{contact_id}")
    if response.status_code == 409:
        raise Conflict(response.json()["detail"])
    assert response.status_code == 204, response.text


async def test_no_message_is_lost_that_arrives_while_contacts_are_merged(house: House) -> None:
    ada, bo = await house.says(ADA, "Hello"), await house.says(BO, "Hello")
    core = house.api.core
    async with core.db.tenant(house.account) as conn:
        integration = await core.integrations.get(conn, house.integration_id)
    acceptor = core.webhooks().acceptor

    async def arrives(number: str, count: int) -> None:
        for n in range(count):
            arrival = Arrival(
                account_id=house.account,
                integration_id=house.integration_id,
                sid=f"SM{new_id('x')}",
                address=Address.parse(number),
                sender=Address.parse(OURS),
                text=f"{number} {n}",
                media=(),
                at=core.clock.now(),
            )
            await acceptor.accept(integration, arrival)

    async def merges() -> None:
        async with core.db.tenant(house.account) as conn:
            await merge(conn, house.account, ada, bo, "test", core.clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(arrives, ADA, 6)
        tasks.start_soon(arrives, BO, 6)
        tasks.start_soon(merges)
    said = await house.rows("select distinct contact_id from messages where direction = 'in'")
    assert [row["contact_id"] for row in said] == [ada]
    counted = await house.rows("select count(*)::int as n from messages where body like %s", "+1555%")
    assert counted[0]["n"] == 12
    (lane,) = await house.rows("select contact_id, due_at from lanes")
    assert lane["contact_id"] == ada
    assert lane["due_at"] is not None


# Forgetting


async def test_a_person_is_forgotten_but_for_the_stop_and_the_journal(database_url: str, tmp_path: Path) -> None:
    async with open_api(database_url, tmp_path) as api:
        filled: Filled = await fill(await api.account("Acme"), "quokka", ADA, OURS)
        caller, contact = filled.caller, filled.ids["contact_id"]
        media = [{"content_type": "image/png", "url": "u", "key": f"{caller.account_id}/med_1"}]
        await api.core.blobs.put(f"{caller.account_id}/med_1", b"x", "image/png")
        async with api.core.db.tenant(caller.account_id) as conn:
            await conn.execute("update messages set media = %s where direction = 'in'", (Jsonb(media),))
        await caller.call("DELETE", f"/v1/contacts/{contact}", status=204)
        await caller.call("GET", f"/v1/contacts/{contact}", status=404)
        async with api.core.db.tenant(caller.account_id) as conn:
            left = await holding(conn, contact, ADA)
            assert left == {"journal", "opt_outs"}, left
            stop = await (await conn.execute("select opted_out from opt_outs")).fetchall()
            assert [row["opted_out"] for row in stop] == [True]
            await seal_journal(conn, caller.account_id, api.core.clock.now())
        async with api.core.db.tenant(caller.account_id) as conn:
            assert isinstance(await verify_journal(conn, caller.account_id), Sound)
        async with await psycopg.AsyncConnection.connect(database_url) as owner:
            cursor = await owner.execute(
                "select args -> 'keys' from procrastinate_jobs where task_name = 'channels.erase_media'"
            )
            assert await cursor.fetchone() == ([f"{caller.account_id}/med_1"],)
        await MediaEraser(api.core.blobs).erase(caller.account_id, [f"{caller.account_id}/med_1"])
        with pytest.raises(NotFound):
            await api.core.blobs.get(f"{caller.account_id}/med_1")
        await caller.call("DELETE", f"/v1/contacts/{contact}", status=404)


async def holding(conn: Connection, *marks: str) -> set[str]:
    """The tables that have these words anywhere."""
    cursor = await conn.execute(
        "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'account_id'"
    )
    found = set()
    for row in await cursor.fetchall():
        rows = await conn.execute(f'select to_jsonb(t)::text as row from "{row["table_name"]}" t'.encode())
        if any(mark in each["row"] for each in await rows.fetchall() for mark in marks):
            found.add(row["table_name"])
    return found
