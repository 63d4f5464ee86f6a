"""Experiments over real PostgreSQL: who gets which variant, what is counted of it, and what becomes of the winner."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hookflash.insight import experiment_store
from hookflash.insight.experiment import place_of
from tests.doors.tenants import Filled, converse, fill, open_api, ring

VARIANTS = [
    {"name": "control", "share": 50},
    {"name": "shorter", "share": 50, "changes": {"max_tokens": 80, "citations": True}},
]


@pytest.fixture
async def filled(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Filled]:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as api:
        yield await fill(await api.account("Ours"), "quokka", "+15550111222", "+15550100200")


async def begin(filled: Filled, **changes: object) -> dict[str, Any]:
    body = {"assistant_id": filled.ids["assistant_id"], "name": "Length", "variants": VARIANTS} | changes
    made: dict[str, Any] = await filled.caller.call("POST", "/v1/experiments", body, status=201)
    return made


async def rows(filled: Filled, query: str, *given: object) -> list[dict[str, Any]]:
    async with filled.caller.api.core.db.tenant(filled.caller.account_id) as conn:
        return await (await conn.execute(query.encode(), given)).fetchall()


async def test_people_are_split_where_a_session_begins_and_stay_with_their_variant(filled: Filled) -> None:
    begun = await begin(filled)
    assert [(v["name"], v["revision"], v["changes"]) for v in begun["variants"]] == [
        ("control", 1, {}),
        ("shorter", begun["variants"][1]["revision"], {"citations": True, "max_tokens": 80}),
    ]
    revision = {v["name"]: v["revision"] for v in begun["variants"]}
    line = filled.ids["integration_id"]
    for number in range(6):
        await converse(filled.caller, line, f"+1555011140{number}", "Hello?")
    for number in range(6, 10):
        await ring(filled.caller, line, f"+1555011140{number}")
    found = await rows(filled, "select * from sessions where experiment_id = %s", begun["id"])
    assert len(found) == 10
    assert {row["variant"] for row in found} == {"control", "shorter"}, "ten people are not all of one kind"
    for row in found:
        expected = "control" if place_of(begun["id"], row["contact_id"]) < 50 else "shorter"
        assert (row["variant"], row["revision"]) == (expected, revision[expected])
    # A later session of the same person is of the same variant, and one that began before is of none.
    await rows(filled, "update sessions set last_at = last_at - interval '3 days' returning id")
    await converse(filled.caller, line, "+15550111400", "Hello again?")
    again = await rows(
        filled,
        "select distinct s.variant from sessions s join contact_addresses a using (contact_id)"
        " where a.address = '+15550111400' and s.experiment_id = %s",
        begun["id"],
    )
    assert len(again) == 1
    (before,) = await rows(filled, "select experiment_id from sessions where id = %s", filled.ids["session_id"])
    assert before["experiment_id"] is None


async def test_what_came_of_the_variants_is_counted_once_for_each_person(filled: Filled) -> None:
    begun = await begin(filled)
    line, core = filled.ids["integration_id"], filled.caller.api.core
    for number in range(6):
        await converse(filled.caller, line, f"+1555011150{number}", "Hello?")
    found = await rows(filled, "select * from sessions where experiment_id = %s order by id", begun["id"])
    for row in found:
        score = {"session_id": row["id"], "score": 1.0 if row["variant"] == "shorter" else 0.5}
        await filled.caller.call("POST", "/v1/feedback", score, status=201)
    await rows(filled, "delete from tickets where session_id = %s returning id", found[0]["id"])
    fresh = await filled.caller.call("GET", f"/v1/experiments/{begun['id']}")
    assert [each["sessions"] for each in fresh["measures"]] == [0, 0], "what is not over is not counted"
    async with core.db.tenant(filled.caller.account_id) as conn:
        experiment = await experiment_store.get(conn, begun["id"])
        later = core.clock.now() + timedelta(hours=1)
        figures = await experiment_store.figures(conn, experiment, later)
    for name, tally in figures.tallies.items():
        of_it = [row for row in found if row["variant"] == name]
        resolved = int(found[0] in of_it)
        assert (tally.sessions, tally.resolved) == (len(of_it), resolved)
        assert tally.handed_off == len(of_it) - resolved
        assert (tally.ratings, tally.rating_sum) == (len(of_it), len(of_it) * (1.0 if name == "shorter" else 0.5))
        assert tally.answers == len(of_it)
        assert tally.cost_micros >= 42 * len(of_it)
    assert figures.standing.verdict == "go on"


async def test_the_winner_is_published_and_nothing_else_meanwhile(filled: Filled) -> None:
    caller = filled.caller
    begun = await begin(filled)
    path = f"/v1/assistants/{filled.ids['assistant_id']}"
    published = (await caller.call("GET", path))["revision"]
    await caller.call("PATCH", path, {"role": "You are the quokka."})
    await caller.call("POST", f"{path}/publish", status=409)
    other = {"assistant_id": filled.ids["assistant_id"], "name": "Other", "variants": VARIANTS}
    await caller.call("POST", "/v1/experiments", other, status=409)
    await caller.call("POST", f"/v1/experiments/{begun['id']}/conclude", {"winner": "longer"}, status=422)
    ended = await caller.call("POST", f"/v1/experiments/{begun['id']}/conclude", {"winner": "shorter"})
    assert (ended["state"], ended["winner"]) == ("concluded", "shorter")
    assert ended["published"] > published
    assert ended["standing"]["verdict"] == "go on", "who ends it early is told so"
    now = await caller.call("GET", path)
    assert (now["revision"], now["max_tokens"], now["citations"]) == (ended["published"], 80, True)
    assert now["unpublished"] == ["role"], "the working copy keeps what was not published"
    note = (await caller.call("GET", f"{path}/revisions/{ended['published']}"))["note"]
    assert note == "Winner of the experiment Length: shorter."
    await caller.call("POST", f"/v1/experiments/{begun['id']}/conclude", {}, status=409)
    assert await caller.call("GET", f"/v1/experiments/{begun['id']}") == ended
    await converse(caller, filled.ids["integration_id"], "+15550111600", "Hello?")
    (row,) = await rows(filled, "select revision, experiment_id, variant from sessions order by id desc limit 1")
    assert (row["revision"], row["experiment_id"], row["variant"]) == (ended["published"], None, None)


async def test_an_experiment_that_makes_no_sense_is_refused(filled: Filled) -> None:
    for wrong in (
        {"assistant_id": "asst_none"},
        {"metric": "luck"},
        {"variants": VARIANTS[:1]},
        {"variants": [VARIANTS[1], VARIANTS[0]]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"share": 40}]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"name": "control"}]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"changes": {}}]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"changes": {"name": "Other"}}]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"changes": {"voice": {"way": "relay"}}}]},
        {"variants": [VARIANTS[0], VARIANTS[1] | {"changes": {"sources": ["src_none"]}}]},
    ):
        body = {"assistant_id": filled.ids["assistant_id"], "name": "Length", "variants": VARIANTS} | wrong
        await filled.caller.call("POST", "/v1/experiments", body, status=422)


async def test_a_variant_keeps_what_it_does_not_change_within_an_object(filled: Filled) -> None:
    path = f"/v1/assistants/{filled.ids['assistant_id']}"
    await filled.caller.call("PATCH", path, {"safety": {"barred_topics": ["politics"]}}, params={"publish": "true"})
    changes = {"safety": {"grounding": {"outcome": "unknown"}}}
    begun = await begin(filled, variants=[VARIANTS[0], VARIANTS[1] | {"changes": changes}])
    tried = (await filled.caller.call("GET", f"{path}/revisions/{begun['variants'][1]['revision']}"))["config"][
        "safety"
    ]
    assert (tried["grounding"]["outcome"], tried["barred_topics"]) == ("unknown", ["politics"])
