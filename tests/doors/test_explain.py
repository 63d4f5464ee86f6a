"""Why an answer is as it is: by every id that it goes by, for texts and calls, and when what it rested on is gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.clock import SystemClock
from hookflash.base.errors import NotFound
from hookflash.insight.explain_store import explain
from hookflash.insight.explanation import Explanation
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import Answer, serve
from hookflash.testing.wait import until
from tests.doors.test_relay import answered, say, set_up, socket, utterance
from tests.doors.textline import OURS, TextLine, text_line

MODEL = AssistantConfig(
    name="Test", company="Alder & Pine", models=("openai:gpt-4o-mini", "extractive"), personality="Brief.", cache=False
)
JACKET = "How long do I have to return a jacket?"


@asynccontextmanager
async def talking(database_url: str, directory: Path) -> AsyncIterator[tuple[TextLine, OpenAIServer]]:
    model = OpenAIServer(SystemClock())
    async with serve(model) as url:
        environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{url}/v1"}
        async with text_line(
            database_url, directory, answer=None, environment=environment, assistant_config=MODEL, burst_ms=0
        ) as line:
            yield line, model


async def why(line: TextLine, wanted: str) -> Explanation:
    async with line.core.db.tenant(line.account_id) as conn:
        return await explain(conn, wanted)


def reply(answer: str, **more: object) -> Answer:
    about = {"answer": answer, "confidence": 0.9, "sources": [1], "clarifying": False} | more
    return Answer(msgspec.json.encode(about).decode())


async def test_the_whole_reason_of_an_answer(database_url: str, fresh_directory: Path) -> None:
    async with talking(database_url, fresh_directory) as (line, model):
        await line.teach_text("returns", "# Returns\n\nYou can return a jacket within 60 days of delivery.")
        model.script.then(reply("You can return a jacket within 60 days of delivery."))
        line.phone().text(OURS, JACKET)
        await line.phone().wait_reply()
        await line.at_rest()
        said, sent = await line.rows("select id, sid, turn_id from messages order by seq")
        found = await why(line, said["id"])
        assert (found.said, found.kind, found.revision) == (JACKET, "answered", 1)
        assert found.answered == "You can return a jacket within 60 days of delivery."
        assert {(gate.at, gate.verdict) for gate in found.gates} >= {("arrival", "Pass")}
        assert [gate.gate for gate in found.gates][:3] == ["known", "enabled", "allow-list"]
        (passage,) = found.passages
        assert (passage.state, passage.cited) == ("there", True)
        assert "60 days" in (passage.text or "")
        assert passage.score > 0.4
        assert found.model == "openai:gpt-4o-mini"
        assert found.models == ("openai:gpt-4o-mini", "extractive")
        assert found.threshold == 0.4
        assert found.confidence is not None
        assert found.confidence > found.threshold
        assert found.prompt.proof == "same", found.prompt.why
        asked = model.script.requests[-1].body["messages"][0]
        assert asked["content"] == found.prompt.system
        assert found.cost_micros >= found.text_micros > 0
        assert found.usage["input_tokens"] > 0
        assert {"search", "model", "thinking"} <= set(found.stages)
        # The answer's id, Twilio's ids and the turn's lead to the same.
        for other in (sent["id"], said["sid"], sent["sid"], sent["turn_id"]):
            again = await why(line, other)
            assert (again.turn_id, again.gates, again.prompt) == (found.turn_id, found.gates, found.prompt)
        with pytest.raises(NotFound):
            await why(line, "msg_none")
        # When the document says something else, the old words are gone, and the prompt cannot be shown to be the same.
        await line.rows("delete from documents where name = 'returns.md' returning 1")
        later = await why(line, said["id"])
        assert [(p.state, p.text, p.title) for p in later.passages] == [("gone", None, passage.title)]
        assert later.prompt.proof == "differs"
        assert later.prompt.why.startswith("1 of its passages changed or went since")


async def test_a_follow_up_a_greeting_and_a_text_that_a_gate_stopped(database_url: str, fresh_directory: Path) -> None:
    async with talking(database_url, fresh_directory) as (line, model):
        await line.teach_text("shoes", "# Returns\n\nYou can return shoes within 30 days.\n\nJackets within 60 days.")
        model.script.then(
            reply("60 days."), reply("How long do I have to return shoes?", sources=[]), reply("30 days.")
        )
        for words in (JACKET, "and for shoes?", "Hello!"):
            line.phone().text(OURS, words)
            await line.phone().wait_reply()
            await line.at_rest()
        line.phone().text(OURS, "STOP")
        await line.at_rest()
        rows = await line.rows("select id, body from messages where direction = 'in' order by seq")
        _, shoes, hello, stop = [await why(line, row["id"]) for row in rows]
        assert shoes.question == "How long do I have to return shoes?"
        assert shoes.prompt.proof == "same", "the prompt of the answer, not that of the rewriting"
        assert (hello.prompt.proof, hello.model, hello.passages) == ("none", "template", ())
        assert stop.turn_id is None
        assert stop.gates[-1].gate == "opt-out"
        assert stop.gates[-1].verdict != "Pass"


async def test_a_turn_of_a_call_is_explained_alike(database_url: str, fresh_directory: Path) -> None:
    async with talking(database_url, fresh_directory) as (line, model):
        await line.teach_text("returns", "# Returns\n\nYou can return a jacket within 60 days of delivery.")
        model.script.then(reply("Within sixty days."))
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt=JACKET, lang="en-US", last=True)
            assert (await utterance(ws)).strip() == "Within sixty days."
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        (row,) = await line.rows("select m.id, c.id as call_id from messages m, calls c where m.direction = 'in'")
        found = await why(line, row["id"])
        assert found.call is not None
        assert (found.call["call"], found.call["number"]) == (row["call_id"], 1)
        assert (found.said, found.answered.strip(), found.prompt.proof) == (JACKET, "Within sixty days.", "same")
        assert [passage.state for passage in found.passages] == ["there"]
