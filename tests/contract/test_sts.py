"""Speech to speech: the adapter against the vendor's fake, and both against the events that the vendor's own SDK knows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

from hookflash.base.clock import SystemClock
from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.providers.openai_realtime import WAITING, Talk, session, sts
from hookflash.providers.registry import ProviderConfig, Providers
from hookflash.speech.audio import SILENT_FRAME
from hookflash.speech.sts import (
    Answer,
    CallerBegan,
    CallerCeased,
    CallerItem,
    CallerWords,
    Cease,
    Cut,
    Function,
    FunctionAsked,
    Give,
    NotNow,
    Opening,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyWords,
    SayThis,
    StsEvent,
    StsTalk,
    Tell,
)
from hookflash.testing.openai_realtime_server import OpenAIRealtimeServer, RealtimeScript
from hookflash.testing.realtime_call import Call, Step
from hookflash.testing.speech import sound_of
from hookflash.testing.vendor import serve
from hookflash.testing.wait import until

E = TypeVar("E")
SPEECH = sound_of("hello there")
SEARCH = Function("search_knowledge", "Find it.", {"type": "object", "properties": {"question": {"type": "string"}}})
OPENING = Opening("Be brief.", (SEARCH,), voice="cedar", language="en-US", hints=("tent",))


@dataclass
class Subject:
    """A talk with the vendor: what it told."""

    script: RealtimeScript
    talk: StsTalk
    events: list[StsEvent] = field(default_factory=list)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[E], number: int = 1) -> E:
        await until(lambda: len(self.all(kind)) >= number)
        return self.all(kind)[number - 1]

    def speak(self, seconds: float = 0.6) -> None:
        for _ in range(round(seconds / 0.02)):
            self.talk.feed(SPEECH[:160])
        for _ in range(30):
            self.talk.feed(SILENT_FRAME)


@asynccontextmanager
async def vendor(
    *said: str, answer: Callable[[str], list[Step]] | None = None, key: str = "sk-test", **changes: Any
) -> AsyncIterator[tuple[RealtimeScript, str]]:
    server = OpenAIRealtimeServer(SystemClock())
    server.script.said.extend(said)
    server.script.ahead = 100.0
    server.script.latency = 0.0
    if answer is not None:
        server.script.answer = answer
    for name, value in changes.items():
        setattr(server.script, name, value)
    async with serve(server) as address:
        yield server.script, address


def config(address: str, key: str | None = "sk-test", model: str = "") -> ProviderConfig:
    options = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": Secret(key) if key else None}
    return ProviderConfig(model, options)


@asynccontextmanager
async def talking(*said: str, opening: Opening = OPENING, **changes: Any) -> AsyncIterator[Subject]:
    events: list[StsEvent] = []
    async with vendor(*said, **changes) as (script, address), sts(config(address)).talk(opening, events.append) as talk:
        yield Subject(script, talk, events)


async def test_a_question_is_heard_and_answered() -> None:
    async with talking("when do you open", answer=lambda said: [f"To {said}: at ten."]) as subject:
        subject.speak()
        ended = await subject.first(ReplyEnded)
        words = await subject.first(CallerWords)
        assert words.text == "when do you open"
        assert words.micros == 150
        order = [type(event) for event in subject.events if not isinstance(event, CallerWords)]
        assert order[:4] == [CallerBegan, CallerCeased, CallerItem, ReplyBegan]
        assert (await subject.first(CallerItem)).item == words.item
        assert "".join(event.text for event in subject.all(ReplyWords)).strip() == "To when do you open: at ten."
        assert b"".join(event.audio for event in subject.all(ReplyAudio)) == sound_of("To when do you open: at ten.")
        assert not (await subject.first(ReplyBegan)).own
        assert ended.failed is None
        assert ended.input_tokens == 120
        # 60 uncached and 40 cached tokens of text, 20 of sound; and what was spoken, by the list price of the model.
        sound = ended.output_tokens - 20
        assert ended.micros == pytest.approx(60 * 4 + 40 * 0.4 + 20 * 32 + 20 * 24 + sound * 64, abs=1)
        assert 0.4 <= (await subject.first(CallerCeased)).ago <= 0.7
        assert bytes(subject.script.connections[0].audio).startswith(SPEECH[:160] * 5)


async def test_a_function_is_asked_for_and_what_it_gives_is_answered() -> None:
    def answer(said: str) -> list[Step]:
        return [said] if said == "Thirty days." else [Call("search_knowledge", '{"question": "returns"}')]

    async with talking("how long", answer=answer) as subject:
        subject.speak()
        asked = await subject.first(FunctionAsked)
        assert (asked.name, asked.arguments) == ("search_knowledge", '{"question": "returns"}')
        await subject.first(ReplyEnded)
        subject.talk.order(Give(asked.call, "Thirty days."))
        subject.talk.order(Answer())
        await subject.first(ReplyEnded, 2)
        assert "".join(event.text for event in subject.all(ReplyWords)).strip() == "Thirty days."


async def test_what_we_have_said_is_known_for_ours_and_waits_its_turn() -> None:
    async with talking(busy=1) as subject:
        subject.talk.order(SayThis("Hello."))
        await subject.first(NotNow)
        subject.talk.order(SayThis("Hello."))
        assert (await subject.first(ReplyBegan)).own
        await subject.first(ReplyEnded)
        assert "".join(event.text for event in subject.all(ReplyWords)).strip() == "Hello."


async def test_a_voice_ends_the_reply_and_the_vendor_forgets_what_was_not_heard() -> None:
    async with talking("a", "b", answer=lambda said: ["A long answer " * 5], ahead=2.0) as subject:
        subject.speak()
        audio = await subject.first(ReplyAudio, 3)
        subject.talk.order(Tell("(keys: 42)"))
        subject.speak()
        await subject.first(CallerBegan, 2)
        await subject.first(ReplyEnded)
        subject.talk.order(Cut(audio.item, 200))
        await until(lambda: "conversation.item.truncated" in kinds(subject.script))
        subject.talk.order(Cut(audio.item, 0))
        await until(lambda: "conversation.item.deleted" in kinds(subject.script))
        await subject.first(ReplyAudio, 4)
        subject.talk.order(Cease())
        await subject.first(ReplyEnded, 2)
        # Too late, or of nothing: refused, and the talk goes on.
        for order in (Cease(), Cut("item_99", 100), Give("call_99", "x")):
            subject.talk.order(order)
        await until(lambda: kinds(subject.script).count("error") == 3)
        subject.talk.order(SayThis("Still here."))
        await subject.first(ReplyEnded, 3)


def kinds(script: RealtimeScript) -> list[str]:
    return [message["type"] for message in script.told]


async def test_a_reply_that_fails_says_so() -> None:
    async with talking("a", failures=1) as subject:
        subject.speak()
        assert (await subject.first(ReplyEnded)).failed == "server_error"


async def opened(address: str, key: str | None = "sk-test") -> None:
    async with sts(config(address, key)).talk(OPENING, lambda event: None):
        pass


@pytest.mark.parametrize(
    ("key", "changes", "error", "sentence"),
    [
        ("sk-wrong", {}, Misconfigured, "OpenAI does not accept the key in OPENAI_API_KEY."),
        (None, {}, Misconfigured, "OPENAI_API_KEY is not set"),
        ("sk-test", {"error": "invalid_api_key"}, Misconfigured, "OpenAI does not accept the key in OPENAI_API_KEY."),
        ("sk-test", {"error": "model_not_found"}, Misconfigured, "OpenAI refuses the session (model_not_found)."),
        ("sk-test", {"refuse": 404}, Misconfigured, "OpenAI refuses the request (HTTP 404)."),
        ("sk-test", {"refuse": 503}, Unavailable, "OpenAI answered HTTP 503."),
    ],
    ids=["wrong key", "no key", "wrong key, told later", "no such model", "no such address", "away"],
)
async def test_who_cannot_talk_says_why(
    key: str | None, changes: dict[str, Any], error: type[HookflashError], sentence: str
) -> None:
    async with vendor(**changes) as (_, address):
        with pytest.raises(error) as caught:
            await opened(address, key)
        assert sentence in caught.value.message
        assert not key or key not in str(caught.value)


async def test_nobody_at_the_address_is_unavailable() -> None:
    async with vendor() as (_, address):
        pass
    with pytest.raises(Unavailable):
        await opened(address)


@pytest.mark.parametrize("changes", [{"dies": 0.2}, {"garble": True}], ids=["dies", "garbles"])
async def test_a_vendor_that_breaks_in_the_middle_is_unavailable(changes: dict[str, Any]) -> None:
    async def talk(script: RealtimeScript, address: str) -> None:
        async with sts(config(address)).talk(OPENING, lambda event: None) as talk:
            for name, value in changes.items():
                setattr(script, name, value)
            Subject(script, talk).speak()
            await until(lambda: False)

    async with vendor("a") as (script, address):
        with pytest.raises(Unavailable):
            await talk(script, address)


async def test_everything_said_both_ways_is_as_the_vendor_documents_it() -> None:
    opening = Opening("Be brief.", (SEARCH,), history=(("Hi", "Hello"), ("", "Anything else?")), hints=("tent",))
    steps: list[Step] = ["One moment.", Call("search_knowledge", "{}")]
    async with talking("a", opening=opening, answer=lambda said: steps) as subject:
        subject.speak()
        asked = await subject.first(FunctionAsked)
        await subject.first(ReplyEnded)
        item = subject.all(ReplyAudio)[0].item
        for order in (
            Give(asked.call, "x"),
            Cut(item, 10),
            Cut(item, 0),
            Tell("(keys: 1)"),
            SayThis("Hello."),
            Cease(),
        ):
            subject.talk.order(order)
        await subject.first(ReplyEnded, 2)
        script = subject.script
    came = [message for connection in script.connections for message in connection.messages]
    ours: TypeAdapter[BaseModel] = TypeAdapter[Any](RealtimeClientEvent)
    theirs: TypeAdapter[BaseModel] = TypeAdapter[Any](RealtimeServerEvent)
    for adapter, messages in ((ours, came), (theirs, script.told)):
        assert messages
        for message in messages:
            assert strangers(adapter.validate_python(message)) == [], message
    created = [m["item"] for m in came if m["type"] == "conversation.item.create"]
    assert [(i["role"], i["content"][0]["text"]) for i in created[:3]] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("assistant", "Anything else?"),
    ]


def strangers(model: BaseModel) -> list[str]:
    """Fields that the SDK does not know."""
    found = list(model.model_extra or ())
    for name in type(model).model_fields:
        value = getattr(model, name, None)
        for part in value if isinstance(value, list) else [value]:
            found += strangers(part) if isinstance(part, BaseModel) else []
    return found


@pytest.mark.parametrize(
    ("patience", "eagerness"), [(0.5, "high"), (1.0, "auto"), (2.0, "low")], ids=["short", "usual", "long"]
)
def test_patience_and_interruptions_are_the_vendors_matter(patience: float, eagerness: str) -> None:
    told = session(Opening("x", patience=patience, interruptible=patience != 2.0, language="multi"))["session"]
    turns = told["audio"]["input"]["turn_detection"]
    assert turns["eagerness"] == eagerness
    assert turns["interrupt_response"] is turns["create_response"] is (patience != 2.0)
    assert "languages" not in told["audio"]["input"]["transcription"]


@pytest.mark.parametrize(("language", "codes"), [("en-US", ["en"]), ("hi-Latn", ["hi", "en"]), ("multi", None)])
def test_the_transcriber_is_told_languages_and_names_to_expect(language: str, codes: list[str] | None) -> None:
    told = session(Opening("x", language=language, hints=("Alder",)))["session"]["audio"]["input"]["transcription"]
    assert told.get("languages") == codes
    assert told["keywords"] == ["Alder"]


async def test_of_sound_that_waits_too_long_the_oldest_is_dropped_and_orders_go_first() -> None:
    talk = Talk()
    talk.feed(b"a" * 1000)
    talk.feed(b"b" * WAITING)
    talk.order(Answer())
    assert talk.dropped == 1000
    assert await talk.next() == ('{"type":"response.create"}', 0)
    message, size = await talk.next()
    assert size == WAITING
    assert message.startswith('{"type":"input_audio_buffer.append"')


def test_the_vendor_is_found_by_its_name() -> None:
    providers = Providers({"OPENAI_API_KEY": Secret("sk-test")}, clock=SystemClock())
    assert providers.sts("openai").name == "openai:gpt-realtime-2.1"
    assert providers.sts("openai:gpt-realtime-2.1-mini").name == "openai:gpt-realtime-2.1-mini"
    with pytest.raises(Misconfigured, match="no speech to speech named 'nobody'"):
        providers.sts("nobody")
