"""Speech to speech over real sockets: Twilio's emulator on one side, the vendor's fake on the other, the database between."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from hookflash.assistant import store as assistants
from hookflash.assistant import tool_store
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool
from hookflash.assistant.tool_auth import OAuthPassword
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.base.ids import new_id
from hookflash.channels.check import State
from hookflash.cli.doctor import findings
from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.person import Act, AfterBot, Callee, HangUp, OverBot, Press, Script, Sound, Then
from hookflash.testing.erp_server import ErpServer
from hookflash.testing.openai_realtime_server import OpenAIRealtimeServer, RealtimeScript
from hookflash.testing.realtime_call import Call, Step
from hookflash.testing.speech import sound_of
from hookflash.testing.stream_caller import StreamCaller
from hookflash.testing.vendor import serve
from hookflash.testing.wait import until
from tests.doors.test_relay import SID, answered, ring, socket
from tests.doors.test_stream_fuzz import CLEAN, anything, attack, stopped, wrong
from tests.doors.textline import OURS, TextLine, text_line

CLIPS = Path(__file__).parent.parent / "data"
# What is said is in the vendor's script: enough of a voice that somebody speaks.
FIRST, SECOND = ((CLIPS / f"question{n}.ulaw").read_bytes()[:8000] for n in (1, 2))
RETURNS = "# Returns\n\nJackets can be returned within 60 days. Shoes can be returned within 30 days, unworn.\n"
COLLEAGUE = "+12125550177"
LEAVES = HangUp(AfterBot(0.4))


@dataclass(frozen=True, slots=True)
class Stage:
    """A line whose calls go from speech to speech, and the script of the vendor."""

    line: TextLine
    script: RealtimeScript

    async def call(self, *acts: Act) -> CallHandle:
        """A call of this script, when it is over and all is known of it."""
        call = self.line.phone().call(OURS, Script(acts))
        await call.ended(40)
        await until(lambda: self.line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
        return call

    async def turns(self) -> list[dict[str, Any]]:
        return await self.line.rows("select * from turns order by (record ->> 'number')::int")


@asynccontextmanager
async def staged(
    database_url: str,
    directory: Path,
    *said: str,
    answer: Callable[[str], list[Step]] | None = None,
    key: str = "sk-test",
    hand_off: bool = True,
    changes: dict[str, Any] | None = None,
    tools: tuple[str, ...] = (),
    hosts: str = "",
    **voice: Any,
) -> AsyncIterator[Stage]:
    server = OpenAIRealtimeServer(SystemClock())
    server.script.said.extend(said)
    if answer is not None:
        server.script.answer = answer
    for name, value in (changes or {}).items():
        setattr(server.script, name, value)
    way = VoiceConfig.model_validate({"way": "realtime", "greeting": "Hello.", **voice})
    config = AssistantConfig(name="Shop", company="Alder & Pine", voice=way, hand_off=hand_off, tools=tools)
    async with serve(server) as address:
        settings = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{address}/v1", "HOOKFLASH_ALLOWED_HOSTS": hosts}
        async with text_line(database_url, directory, assistant_config=config, environment=settings, workers=0) as line:
            yield Stage(line, server.script)


def looks_it_up(said: str) -> list[Step]:
    """Asks for what the documents say, and says what it finds in them."""
    if "passage" in said:
        return ["Within 60 days." if "60 days" in said else "I could not find that."]
    return ["One moment.", Call("search_knowledge", '{"question": "How long do I have to return a jacket?"}')]


async def test_a_question_is_looked_up_answered_aloud_and_kept(database_url: str, fresh_directory: Path) -> None:
    async with staged(database_url, fresh_directory, "how long for a jacket", answer=looks_it_up) as stage:
        await stage.line.teach_text("returns", RETURNS)
        # Patient enough for what is looked up in between, also on a busy machine.
        call = await stage.call(Sound(FIRST, when=AfterBot(0.3)), HangUp(AfterBot(2.0)))
        assert call.call.status == "completed"

        (turn,) = await stage.turns()
        assert turn["said"] == "how long for a jacket"
        assert turn["answered"] == "One moment. Within 60 days."
        assert turn["kind"] == "answered"
        assert turn["model"] == "openai:gpt-realtime-2.1"
        assert turn["question"] == "How long do I have to return a jacket?"
        assert [source["title"] for source in turn["record"]["sources"]] == ["Returns"]
        assert not turn["record"]["interrupted"]
        assert turn["cost_micros"] > 1_000
        assert turn["record"]["usage"]["input_tokens"] >= 240
        measures = turn["record"]["measures"]
        assert all(measures[name] is not None for name in ("final_words", "begun", "first_sound", "first_played"))
        heard = b"".join(audio for _, audio in call.record.ear.heard.pieces)
        assert heard == sound_of("Hello.") + sound_of("One moment.") + sound_of("Within 60 days.")
        rows = await stage.line.rows("select direction, kind, body from messages order by seq")
        assert [(r["direction"], r["kind"], r["body"]) for r in rows] == [
            ("in", "speech", "how long for a jacket"),
            ("out", "speech", "One moment. Within 60 days."),
        ]
        journal = await stage.line.rows("select body from journal where kind = 'turn'")
        assert json.loads(journal[0]["body"])["answered"] == "One moment. Within 60 days."
        (row,) = await stage.line.rows("select * from calls")
        assert row["way"] == "realtime"
        assert row["parts"]["llm"] > 1_000
        assert row["parts"]["stt"] > 0
        assert row["measures"]["turns"] == 1
        assert "how long for a jacket" in row["summary"]

        # The vendor was told who answers, and what was found as what the function gave.
        (setup,) = [m["session"] for m in stage.script.messages if m["type"] == "session.update"]
        assert "Alder & Pine" in setup["instructions"]
        assert [tool["name"] for tool in setup["tools"]] == ["search_knowledge", "hand_off", "end_call"]
        outputs = [m["item"] for m in stage.script.messages if m.get("item", {}).get("type") == "function_call_output"]
        assert "within 60 days" in outputs[0]["output"]


async def test_the_companys_tools_are_functions_and_act_for_the_caller(
    database_url: str, fresh_directory: Path
) -> None:
    tool_id = new_id("tool")

    def asks(said: str) -> list[Step]:
        if "DHL" in said:
            return ["It is with DHL."]
        if "it was not done" in said.lower():
            return ["That order I cannot see."]
        order = "A-1001" if "mine" in said else "A-1002"
        return [Call("order_status", json.dumps({"order_id": order, "card": "4111 1111 1111 1111"}))]

    erp = ErpServer(SystemClock())
    async with (
        serve(erp) as erp_url,
        staged(
            database_url,
            fresh_directory,
            "where is mine",
            "and the other",
            answer=asks,
            tools=(tool_id,),
            hosts=erp_url.removeprefix("http://"),
        ) as stage,
    ):
        core, account = stage.line.core, stage.line.account_id
        auth = OAuthPassword(
            type="oauth_password", token_url=f"{erp_url}/oauth/token", username=erp.username, password=erp.password
        )
        schema = read("{ order_id: string; card?: string }")
        config = {"url": f"{erp_url}/orders", "method": "POST"}
        tool = Tool(tool_id, "order_status", "Where an order of the customer is.", schema, "http", config)
        async with core.db.tenant(account) as conn:
            secret = core.workbench.sealer.seal(auth.model_dump_json(), tool_id)
            await tool_store.create(conn, account, tool, None, secret)
        await stage.call(Sound(FIRST, when=AfterBot(0.3)), Sound(SECOND, when=AfterBot(0.3)), LEAVES)

        mine, other = await stage.turns()
        assert (mine["said"], mine["answered"], mine["kind"]) == ("where is mine", "It is with DHL.", "answered")
        (use,) = mine["record"]["tools"]
        assert (use["name"], use["outcome"]) == ("order_status", "answered")
        assert use["arguments"]["order_id"] == "A-1001"
        assert "4111 1111" not in json.dumps(use)
        assert other["answered"] == "That order I cannot see."
        assert [use["outcome"] for use in other["record"]["tools"]] == ["failed"]
        asked = [request for request in erp.requests if request.path == "/orders"]
        assert {request.headers["x-identity"] for request in asked} == {"phone:+15550111222"}
        assert len({request.headers["x-session-id"] for request in asked}) == 1
        (setup,) = [m["session"] for m in stage.script.messages if m["type"] == "session.update"]
        assert [function["name"] for function in setup["tools"]] == [
            "search_knowledge",
            "order_status",
            "hand_off",
            "end_call",
        ]
        assert "order_status" in setup["instructions"]


async def test_an_interruption_keeps_what_was_heard_and_tells_the_vendor(
    database_url: str, fresh_directory: Path
) -> None:
    long = "Jackets can be returned within sixty days and shoes within thirty days if they are unworn and clean."
    async with staged(
        database_url,
        fresh_directory,
        "and jackets",
        "stop",
        answer=lambda said: [long if "jackets" in said else "Yes."],
    ) as stage:
        call = await stage.call(
            Sound(FIRST, when=AfterBot(0.3)), Sound(SECOND, when=OverBot(1.0)), HangUp(AfterBot(0.5))
        )
        first, second = await stage.turns()
        assert first["record"]["interrupted"]
        assert first["record"]["whole"] == long
        assert long.startswith(first["answered"])
        assert (second["said"], second["answered"]) == ("stop", "Yes.")
        (cut,) = call.record.of("clear")
        (truncated,) = [m for m in stage.script.messages if m["type"] == "conversation.item.truncate"]
        # What the vendor was told is what was played, as the record is, to a tenth of a second or so.
        pieces = [(start, audio) for start, audio in call.record.ear.heard.pieces if start < cut.at]
        played = sum(len(audio) for _, audio in pieces) - len(sound_of("Hello."))
        assert abs(truncated["audio_end_ms"] - played / 8) < 300
        assert abs(len(first["answered"]) - played / 8000 * 15) < 15
        assert not [m for m in stage.script.told if m["type"] == "error"]
        (row,) = await stage.line.rows("select measures from calls")
        assert row["measures"]["interruptions"] == 1


async def test_keys_reach_the_vendor_as_text(database_url: str, fresh_directory: Path) -> None:
    async with staged(database_url, fresh_directory, answer=lambda said: ["Thank you."]) as stage:
        await stage.call(Press("42#"), LEAVES)
        (turn,) = await stage.turns()
        assert (turn["said"], turn["answered"]) == ("42", "Thank you.")
        texts = [m["item"]["content"][0]["text"] for m in stage.script.messages if m["type"].endswith("item.create")]
        assert "42" in texts[-1]


async def test_a_person_takes_over_when_the_vendor_says_so(database_url: str, fresh_directory: Path) -> None:
    hands = Call("hand_off", '{"reason": "wants a person"}')
    async with staged(
        database_url,
        fresh_directory,
        "a person please",
        answer=lambda said: ["One moment.", hands],
        transfer_to=COLLEAGUE,
    ) as stage:
        stage.line.phone(COLLEAGUE).answer_calls(Callee(script=Script((HangUp(AfterBot(0.5)),))))
        call = await stage.call(Sound(FIRST, when=AfterBot(0.3)))
        (row,) = await stage.line.rows("select why from calls")
        assert row["why"] == "transferred"
        assert "Let me connect you with a colleague." in call.record.said
        (colleague,) = [each for each in stage.line.emulator.calls if each.to == COLLEAGUE]
        assert "a person please" in colleague.record.said[0]
        assert [t["reason"] for t in await stage.line.rows("select reason from tickets")] == ["wants a person"]


async def test_without_anybody_to_connect_a_colleague_is_told(database_url: str, fresh_directory: Path) -> None:
    def answer(said: str) -> list[Step]:
        return ["A colleague will call you."] if "colleague" in said else [Call("hand_off", "{nonsense")]

    async with staged(database_url, fresh_directory, "a person please", answer=answer) as stage:
        await stage.call(Sound(FIRST, when=AfterBot(0.3)), LEAVES)
        (turn,) = await stage.turns()
        assert turn["answered"] == "A colleague will call you."
        assert [t["reason"] for t in await stage.line.rows("select reason from tickets")] == ["asked for a person"]


async def test_the_vendor_ends_the_call_and_notices_come_first(database_url: str, fresh_directory: Path) -> None:
    async with staged(
        database_url, fresh_directory, "bye", answer=lambda said: ["Goodbye.", Call("end_call")], record=True
    ) as stage:
        call = await stage.call(Sound(FIRST, when=AfterBot(0.3)))
        assert call.record.said == ["This call is recorded."]
        (row,) = await stage.line.rows("select why, recording from calls")
        assert row["why"] == "the caller has said goodbye"
        assert row["recording"] is not None
        (turn,) = await stage.turns()
        assert turn["answered"] == "Goodbye."


async def test_a_recording_is_silent_while_a_card_number_is_told(database_url: str, fresh_directory: Path) -> None:
    answers: list[list[Step]] = [["Thank you."], ["Please tell me your card number."]]
    async with staged(
        database_url,
        fresh_directory,
        "I want to pay",
        "4111 1111 1111 1111",
        answer=lambda said: answers.pop(),
        record=True,
    ) as stage:
        call = await stage.call(Sound(FIRST, when=AfterBot(0.3)), Sound(SECOND, when=AfterBot(0.3)), LEAVES)
        assert [entry.data["status"] for entry in call.record.of("recording")] == ["paused", "in-progress"]
        paused, resumed = (entry.at for entry in call.record.of("recording"))
        told = call.record.of("speaks")[1].at
        assert paused < told < resumed
        assert "4111" not in str(await stage.turns())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"key": "sk-wrong"}, "OpenAI does not accept the key in OPENAI_API_KEY."),
        ({"changes": {"refuse": 503}}, "OpenAI answered HTTP 503."),
        ({"realtime": "nobody:x"}, "There is no speech to speech named 'nobody:x'"),
    ],
    ids=["wrong key", "away", "no such vendor"],
)
async def test_a_call_that_no_vendor_takes_ends_with_an_apology_and_its_reason(
    database_url: str, fresh_directory: Path, given: dict[str, Any], sentence: str
) -> None:
    with capture_logs() as logs:
        async with staged(database_url, fresh_directory, **given) as stage:
            call = stage.line.phone().call(OURS, Script(()))
            await call.record.until(lambda record: bool(record.said))
            assert call.record.said == ["Sorry, I cannot answer right now. Please try again a little later."]
            call.hang_up()
            await call.ended()
            (row,) = await stage.line.rows("select why, state from calls")
            assert row["state"] == "ended"
            assert row["why"].startswith(f"failed: {sentence}")
            async with aclosing(findings(stage.line.core.settings, False)) as stream:
                (found,) = [f async for f in stream if f.link == "speech to speech of Shop"]
            assert found.state is State.FAIL
            assert found.found.startswith(sentence)
    assert any(str(entry.get("reason", "")).startswith(sentence) for entry in logs)
    assert "sk-wrong" not in str(logs)


async def test_the_doctor_proves_the_way_to_the_vendor(database_url: str, fresh_directory: Path) -> None:
    async with staged(database_url, fresh_directory) as stage:
        async with aclosing(findings(stage.line.core.settings, False)) as stream:
            (found,) = [f async for f in stream if f.link == "speech to speech of Shop"]
        assert (found.state, found.found) == (State.OK, "openai answers")


async def test_a_session_that_began_another_way_has_a_voice_of_the_vendor(
    database_url: str, fresh_directory: Path
) -> None:
    async with staged(database_url, fresh_directory, way="relay", voice="Joanna", concurrent_per_number=100) as stage:
        await answered(stage.line)
        async with stage.line.core.db.tenant(stage.line.account_id) as conn:
            voice = VoiceConfig(way="realtime", voice="cedar", greeting="Hello.", concurrent_per_number=100)
            config = AssistantConfig(voice=voice)
            integration = stage.line.integration
            await assistants.update(
                conn, stage.line.account_id, integration.assistant_id, config, stage.line.core.clock.now()
            )

        async def changed() -> bool:
            return "/realtime" in (await ring(stage.line)).text

        await until(changed)
        call = await stage.call(LEAVES)
        assert b"".join(audio for _, audio in call.record.ear.heard.pieces) == sound_of("Hello.")


async def test_a_vendor_that_dies_in_mid_word_costs_a_moment_and_nothing_that_was_said(
    database_url: str, fresh_directory: Path
) -> None:
    answers: list[list[Step]] = [["As I was saying."], ["A long answer that is never finished by the vendor."]]
    async with staged(
        database_url, fresh_directory, "my number is 7", "what was it", answer=lambda said: answers.pop()
    ) as stage:
        call = stage.line.phone().call(OURS, Script((Sound(FIRST, when=AfterBot(0.3)),)))
        await until(lambda: stage.script.said == type(stage.script.said)(["what was it"]))
        stage.script.dies = 0.4
        await until(lambda: len(stage.script.connections) == 2)
        stage.script.dies = None
        await call.act(Sound(SECOND, when=AfterBot(0.5)), LEAVES)
        await call.ended(40)
        await until(lambda: stage.line.rows("select 1 from turns where said = 'what was it'"))
        assert "We were cut off. One moment please." in call.record.said
        first, second = await stage.line.rows("select * from turns order by at")
        assert first["said"] == "my number is 7"
        assert first["record"]["interrupted"]
        assert "A long answer that is never finished by the vendor.".startswith(first["answered"])
        assert second["answered"] == "As I was saying."
        # The other talk begins with what was said in the first.
        told = [m["item"] for m in stage.script.connections[1].messages if m["type"] == "conversation.item.create"]
        assert told[0]["content"] == [{"type": "input_text", "text": "my number is 7"}]


async def test_the_dearest_call_is_ended_and_numbers_of_cards_are_masked(
    database_url: str, fresh_directory: Path
) -> None:
    async with staged(
        database_url,
        fresh_directory,
        "my card is 4111 1111 1111 1111",
        answer=lambda said: ["Yes."],
        max_call_usd=0.003,
    ) as stage:
        await stage.call(Sound(FIRST, when=AfterBot(0.3)), Sound(SECOND, when=Then(20)))
        (row,) = await stage.line.rows("select why from calls")
        assert row["why"] == "the call is at its dearest"
        (turn,) = await stage.turns()
        assert "4111" not in str(turn)
        assert turn["answered"] == "Yes."


async def test_a_stolen_token_opens_nothing(database_url: str, fresh_directory: Path) -> None:
    async with staged(database_url, fresh_directory) as stage:
        url, token = await answered(stage.line)
        assert url.endswith("/realtime")
        async with socket(stage.line, url) as ws:
            await StreamCaller(ws).start(token, "CA" + "9" * 32)
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        async with socket(stage.line, url) as ws:
            await StreamCaller(ws).start(token, SID)
            for _ in range(60):
                await ws.send("{nonsense")
            await until(lambda: stage.line.rows("select 1 from calls where state = 'ended'"))
        async with socket(stage.line, url) as ws:
            await StreamCaller(ws).start(token, SID)
            with pytest.raises(ConnectionClosed):
                await ws.recv()


async def test_nonsense_on_the_socket_ends_the_call_cleanly(database_url: str, fresh_directory: Path) -> None:
    async with staged(database_url, fresh_directory) as stage:
        for number, kind in enumerate((wrong, anything, stopped)):
            assert await attack(stage.line, number, kind, start=True) in CLEAN
        await until(lambda: stage.line.rows("select 1 from calls having count(*) = 3 and bool_and(state = 'ended')"))
