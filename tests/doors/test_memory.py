"""Memory over real PostgreSQL: profiles that are shown and corrected, sessions that are remembered, and what answers are told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.types.json import Jsonb

from hookflash.assistant import memory_store
from hookflash.assistant.answer import answerer
from hookflash.assistant.followup import resolve
from hookflash.assistant.means import Means
from hookflash.assistant.recall_store import StoredMemory
from hookflash.base.breaker import Breakers
from hookflash.base.ids import new_id
from hookflash.base.phone import Address
from hookflash.conversation.identity import Identity
from hookflash.conversation.message import Direction, Message
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Contact, Ending, LineTraits, Session, Turn
from hookflash.db.jobs import work
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import NothingFound
from hookflash.testing.answer_cache import MemoryAnswerCache
from hookflash.testing.model import Fails, Says, ScriptedModel, Uses
from hookflash.testing.wait import until
from tests.doors.customers import ADA, BO, House, open_house, short
from tests.doors.tenants import ring


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        yield house


async def test_a_profile_is_shown_corrected_and_forgotten(house: House) -> None:
    ada = await house.says(ADA, "Hello, what do kettles cost?")
    path = f"/v1/contacts/{ada}/profile"
    async with house.api.core.db.tenant(house.account) as conn:
        learned = {"plan": "gold", "pets": ["dog"], "city": "Ulm"}
        await memory_store.learn_traits(conn, house.account, ada, "conversation", learned, house.now)
    said = await house.caller.call("PATCH", path, {"traits": {"plan": "silver", "since": "2024-03-01", "vip": True}})
    assert short(said) == {
        "plan": ("silver", "string", "api"),
        "since": ("2024-03-01", "date", "api"),
        "vip": (True, "boolean", "api"),
        "pets": (["dog"], "list", "conversation"),
        "city": ("Ulm", "string", "conversation"),
    }
    assert [t["source"] for t in said["traits"] if t["name"] == "plan"] == ["api", "conversation"]
    times = {t["name"]: t["at"] for t in said["traits"] if t["source"] == "api"}
    await house.caller.call("PATCH", f"/v1/contacts/{ada}", {"traits": {"vip": False}})
    changed = {t["name"]: t["at"] for t in (await house.profile(ada))["traits"] if t["source"] == "api"}
    assert [name for name in times if changed[name] != times[name]] == ["vip"], "each since its own last change"
    await house.caller.call("PATCH", f"/v1/contacts/{ada}", {"traits": {"vip": True}})
    gone = await house.caller.call("PATCH", path, {"traits": {"plan": None}})
    assert "plan" not in short(gone)
    assert (await house.caller.call("GET", f"/v1/contacts/{ada}"))["traits"] == {"since": "2024-03-01", "vip": True}
    assert short(await house.caller.call("PUT", path, {"traits": {"size": 42}})) == {"size": (42, "number", "api")}
    await house.caller.call("PATCH", path, {"traits": {"deep": {"a": 1}}}, status=422)
    notes = f"/v1/contacts/{ada}/observations"
    made = await house.caller.call("POST", notes, {"text": "Pays by 4111 1111 1111 1111."}, status=201)
    assert made["text"] == "Pays by [card number]."
    await house.caller.call("PATCH", f"{notes}/{made['id']}", {"text": "Pays by card."})
    assert [o["text"] for o in (await house.caller.call("GET", notes))["items"]] == ["Pays by card."]
    await house.caller.call("DELETE", f"{notes}/{made['id']}", status=204)
    await house.caller.call("PATCH", f"{notes}/{made['id']}", {"text": "x"}, status=404)
    assert (await house.rows("select remembered from contacts"))[0]["remembered"] is False
    await house.caller.call("DELETE", path, status=204)
    assert (await house.profile(ada))["traits"] == []


async def test_a_session_is_remembered_by_rules_once_it_is_over_also_by_several_at_once(house: House) -> None:
    ada = await house.says(ADA, "my name is Ada. I bought a red kettle.")
    async with house.api.core.db.system() as conn:
        assert await memory_store.due_sessions(conn, house.now, 10) == []
    (session,) = await house.rows("select id from sessions")
    await house.do("update sessions set last_at = last_at - interval '1 hour'")
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(house.rememberer.remember, house.account, session["id"])
    await house.rememberer.embed(house.account)
    profile = await house.profile(ada)
    assert short(profile) == {"name": ("Ada", "string", "conversation")}
    assert [o["text"] for o in profile["observations"]] == ["Said: “I bought a red kettle.”"]
    (summary,) = profile["summaries"]
    assert summary["text"] == "Asked: “my name is Ada. I bought a red kettle.” (answered)"
    (turn,) = await house.rows("select id, session_id from turns")
    assert (profile["observations"][0]["turn_id"], summary["session_id"]) == (turn["id"], turn["session_id"])
    assert {r["model"] for r in await house.rows("select model from memories")} == {"words"}
    # Done again, also by somebody who looked before, it changes nothing.
    await house.rememberer.remember(house.account, session["id"])
    async with house.api.core.db.system() as conn:
        assert await memory_store.due_sessions(conn, house.now, 10) == []
    assert await house.profile(ada) == profile
    assert profile["name"] == "Ada"
    entries = (await house.caller.call("GET", "/v1/journal", params={"kind": "remembered"}))["items"]
    assert [e["body"]["model"] for e in entries] == ["rules"]
    await house.caller.call("DELETE", f"/v1/contacts/{ada}/profile", status=204)
    forgotten = await house.profile(ada)
    assert [forgotten[part] for part in ("name", "traits", "observations", "summaries")] == [None, [], [], []]


async def test_a_model_remembers_and_rules_do_when_it_cannot(house: House) -> None:
    learned = {
        "summary": "Ada asked about a kettle.",
        "traits": [{"name": "name", "value": "Ada"}, {"name": "plan", "value": "gold"}],
        "observations": ["Bought a red kettle."],
    }
    model = ScriptedModel(house.api.core.clock, Uses((("remember", learned),)), Fails("away"), name="m")
    house.models["m"] = model
    await house.configure(models=["m", "extractive"])
    ada = await house.says(ADA, "I am Ada, I bought a red kettle. Card 4111 1111 1111 1111")
    await house.end_sessions()
    profile = await house.profile(ada)
    assert short(profile) == {"name": ("Ada", "string", "conversation")}
    assert [m["text"] for m in (*profile["observations"], *profile["summaries"])] == [
        "Bought a red kettle.",
        "Ada asked about a kettle.",
    ]
    assert "4111" not in model.requests[0].messages[0].text
    assert (await house.rows("select sum(micros)::int as spent from spend where address = %s", ADA))[0]["spent"] >= 30
    bo = await house.says(BO, "my name is Bo")
    await house.end_sessions()
    assert short(await house.profile(bo)) == {"name": ("Bo", "string", "conversation")}
    forgotten = await house.caller.call("PATCH", f"/v1/contacts/{bo}/profile", {"traits": {"name": None}})
    assert (forgotten["name"], forgotten["traits"]) == (None, []), "the contact is not called so any more either"


async def test_nothing_is_remembered_where_it_must_not_be(house: House) -> None:
    await house.configure(memory={"enabled": False})
    ada = await house.says(ADA, "my name is Ada")
    await house.end_sessions()
    await house.configure(memory={"enabled": True})
    await house.caller.call(
        "PATCH", f"/v1/integrations/{house.integration_id}", {"settings": {"contact_collection": False}}
    )
    bo = await house.says(BO, "my name is Bo")
    await house.end_sessions()
    for contact in (ada, bo):
        profile = await house.profile(contact)
        assert (profile["traits"], profile["summaries"]) == ([], [])
    async with house.api.core.db.system() as conn:
        assert await memory_store.due_sessions(conn, house.now, 10) == []


async def test_a_call_that_is_over_is_remembered_at_once_by_its_own_summary(house: House) -> None:
    call_id = await ring(house.caller, house.integration_id, ADA)
    now = house.now
    async with house.api.core.db.tenant(house.account) as conn:
        row = await (
            await conn.execute("select contact_id, session_id from calls where id = %s", (call_id,))
        ).fetchone()
        assert row is not None
        await conn.execute(
            "insert into turns (id, account_id, contact_id, session_id, said, answered, kind, record, at)"
            " values ('turn_c', %s, %s, %s, 'When are you open? My name is Ada.', 'At nine.', 'answered', %s, %s)",
            (house.account, row["contact_id"], row["session_id"], Jsonb({"call": call_id}), now),
        )
        await conn.execute("update calls set state = 'live' where id = %s", (call_id,))
        await conn.execute("update sessions set last_at = %s where id = %s", (now, row["session_id"]))
    async with house.api.core.db.system() as conn:
        assert await memory_store.due_sessions(conn, house.now, 10) == []
    await house.do(
        "update calls set state = 'ended', ended_at = %s, summary = 'One question by telephone.' where id = %s",
        now + timedelta(seconds=1),
        call_id,
    )
    async with house.api.core.db.system() as conn:
        assert await memory_store.due_sessions(conn, house.now, 10) == [(house.account, row["session_id"])]
    await house.rememberer.remember(house.account, row["session_id"])
    profile = await house.profile(row["contact_id"])
    assert [s["text"] for s in profile["summaries"]] == ["One question by telephone."]
    assert short(profile) == {"name": ("Ada", "string", "conversation")}


async def test_jobs_find_what_is_to_be_remembered(house: House) -> None:
    await house.says(ADA, "my name is Ada")
    await house.do("update sessions set last_at = last_at - interval '1 hour'")
    await house.rememberer.look()
    await house.rememberer.look()

    async def embedded() -> bool:
        return bool(await house.rows("select 1 from memories where model = 'words'"))

    async with await psycopg.AsyncConnection.connect(house.url) as owner:
        cursor = await owner.execute("select count(*) from procrastinate_jobs where task_name = 'assistant.remember'")
        assert await cursor.fetchone() == (1,)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, house.url, house.rememberer.tasks(), house.api.core.clock)
        await until(embedded)
        tasks.cancel_scope.cancel()
    assert [m["text"] for m in await house.rows("select text from memories")] == ["Asked: “my name is Ada” (answered)"]


# Answers


def asking(house: House, contact: Contact, words: str, config: dict[str, Any]) -> Turn:
    session = Session(new_id("sess"), house.assistant_id, 1, config, house.now)
    said = Message("msg_1", Direction.IN, Address.parse(ADA), words, house.now, ())
    line = LineTraits("sms", 1600, segment_budget=3)
    return Turn("turn_x", house.account, house.integration_id, contact, session, (said,), (), line, house.now)


async def test_a_returning_customer_is_known_by_name_and_by_what_they_bought_and_another_is_not(house: House) -> None:
    ada = await house.says(ADA, "my name is Ada. I bought a red kettle.")
    bo = await house.says(BO, "When are you open?")
    await house.end_sessions()
    core = house.api.core
    memory = StoredMemory(core.db, core.clock, lambda _: house.words, "words")
    model = ScriptedModel(core.clock, Says("A red kettle, Ada.", 0.9, ()), name="m")

    async def nothing(turn: Turn, question: str) -> NothingFound:
        return NothingFound("no match")

    async def version(turn: Turn) -> str:
        return "v"

    answer = answerer(
        Means(
            search=nothing,
            models=lambda _: model,
            breakers=Breakers(core.clock),
            cache=MemoryAnswerCache(),
            knowledge_version=version,
            detect=detect,
            follow_up=resolve,
            clock=core.clock,
            memory=memory.recall,
        )
    )

    async def ask(contact_id: str) -> Ending:
        async with core.db.tenant(house.account) as conn:
            row = await (await conn.execute("select * from contacts where id = %s", (contact_id,))).fetchone()
        assert row is not None
        contact = Contact(row["id"], row["name"], row["language"], row["traits"], row["remembered"])

        async def say(segment: Segment) -> None:
            pass

        return await answer(asking(house, contact, "Which kettle have I bought?", {"models": ["m"]}), say)

    assert (await ask(ada)).text == "A red kettle, Ada."
    told = model.requests[0].system
    # Who the customer is the model is told under another name.
    assert "- name: " in told
    assert "I bought a red kettle" in told
    assert (await ask(bo)).kind == "unknown"
    assert len(model.requests) == 1
    opening = await memory.opening(
        asking(house, Contact(ada, None, None, {"plan": "gold"}, remembered=True), "", {"models": ["m"]})
    )
    assert opening[:2] == ("name: Ada", "plan: gold (company record)")


async def test_who_has_no_memory_is_not_looked_up_and_an_embedder_that_is_away_leaves_the_words(house: House) -> None:
    ada = await house.says(ADA, "I bought a red kettle.")
    await house.end_sessions()
    core = house.api.core
    memory = StoredMemory(core.db, core.clock, lambda _: house.words, "words")
    house.words.embedded.clear()
    nobody = await memory.recall(asking(house, Contact("cont_none", "Cy", None), "Which kettle?", {}), "Which kettle?")
    assert (nobody.lines, house.words.embedded) == ((), [])
    house.words.fails = 1
    known = await memory.recall(
        asking(house, Contact(ada, None, None, remembered=True), "Which kettle?", {}), "Which kettle?"
    )
    assert "I bought a red kettle." in known.lines[0]
    assert known.degraded == ("memory: compared by words alone",)
    off = asking(house, Contact(ada, None, None, remembered=True), "Which kettle?", {"memory": {"enabled": False}})
    assert (await memory.recall(off, "Which kettle?")).lines == ()


async def test_segment_is_read_for_answers_and_told_what_was_learned(house: House) -> None:
    await house.configure(memory={"customer_ai": True})
    ada = await house.says(ADA, "my name is Ada. I bought a red kettle.")
    phone = Identity.parse(f"phone:{ADA}")
    house.profiles.knows(phone, favourite_kettle="red", plan="gold", nested={"a": 1})
    core = house.api.core
    memory = StoredMemory(core.db, core.clock, lambda _: house.words, "words", house.around())
    config = {"memory": {"customer_ai": True}}
    asked = asking(house, Contact(ada, None, None), "Which favourite kettle?", config)
    assert (await memory.recall(asked, asked.words)).lines == ("favourite kettle: red (company record)",)
    await house.end_sessions()
    (session,) = await house.rows("select id from sessions")
    for _ in range(2):
        await house.rememberer.tell_profile(house.account, session["id"], "then")
    assert house.profiles.events == [
        ("identify", {"name": "Ada"}),
        ("Conversation Ended", {"session_id": session["id"], "turns": 1}),
    ]
    held = {(t["name"], t["source"]) for t in (await house.profile(ada))["traits"]}
    assert {("favourite_kettle", "segment"), ("plan", "segment"), ("name", "conversation")} <= held
