"""Feedback and corrections over real PostgreSQL: through the API, from people's ratings, and what becomes of them."""

from collections.abc import AsyncIterator

import pytest

from tests.doors.tenants import Filled, fill, open_api


@pytest.fixture
async def filled(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Filled]:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as api:
        yield await fill(await api.account("Ours"), "quokka", "+15550111222", "+15550100200")


async def test_feedback_is_kept_for_a_session_and_for_what_was_said_in_it(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    plain = {"session_id": ids["session_id"], "score": 0.75, "text": "quick"}
    made = await caller.call("POST", "/v1/feedback", plain, status=201)
    assert (made["assistant_id"], made["contact_id"]) == (ids["assistant_id"], ids["contact_id"])
    assert (made["score"], made["text"], made["source"], made["turn_id"]) == (0.75, "quick", "api", None)
    of_message = plain | {"message_id": ids["message_id"], "score": 0}
    second = await caller.call("POST", "/v1/feedback", of_message, status=201)
    assert second["turn_id"] == ids["turn_id"], "a message stands for its turn"
    assert await caller.call("GET", f"/v1/feedback/{made['id']}") == made
    found = (await caller.call("GET", "/v1/feedback", params={"session_id": ids["session_id"]}))["items"]
    assert [each for each in found if each["id"] in (made["id"], second["id"])] == [made, second]
    assert (await caller.call("GET", "/v1/feedback", params={"assistant_id": ids["spare_assistant_id"]}))["items"] == []
    for wrong in ({"score": 1.1}, {"session_id": "sess_none"}, {"message_id": "msg_none"}, {"turn_id": "turn_none"}):
        await caller.call("POST", "/v1/feedback", plain | wrong, status=422)


async def test_a_correction_keeps_what_was_wrong_and_proposes_what_is_right(filled: Filled) -> None:
    caller, ids = filled.caller, filled.ids
    right = {"correct": "At ten on Saturdays."}
    made = await caller.call("POST", f"/v1/turns/{ids['turn_id']}/correction", right, status=201)
    assert made["question"] == "What are the quokka hours?"
    assert made["wrong"] == "You said: What are the quokka hours?"
    assert made["correct"] == "At ten on Saturdays."
    proposed = await caller.call("GET", f"/v1/answers/{made['answer_id']}")
    assert (proposed["state"], proposed["origin"], proposed["origin_id"]) == ("proposed", "correction", made["id"])
    assert proposed["questions"][0]["question"] == "What are the quokka hours?"
    reworded = right | {"question": "When are you open?"}
    again = await caller.call("POST", f"/v1/messages/{ids['message_id']}/correction", reworded, status=201)
    assert (again["turn_id"], again["question"]) == (ids["turn_id"], "When are you open?")
    listed = (await caller.call("GET", "/v1/corrections", params={"assistant_id": ids["assistant_id"]}))["items"]
    assert listed[-2:] == [made, again]
    await caller.call("POST", "/v1/turns/turn_none/correction", right, status=404)
