"""One suite for every transcriber: the scripted one, and the vendors' adapters against their servers' fakes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
import structlog

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.providers.deepgram import DeepgramStt, flux_query, nova_query
from hookflash.providers.listening import Outgoing
from hookflash.providers.onset import Onset
from hookflash.providers.openai_realtime_stt import OpenAIRealtimeStt, session
from hookflash.providers.openai_stt import WhisperStt
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.audio import SILENT_FRAME
from hookflash.speech.stt import Stt, SttStream, Transcript
from hookflash.testing.clock import VirtualClock
from hookflash.testing.deepgram_server import DeepgramServer
from hookflash.testing.openai_speech_server import OpenAISpeechServer
from hookflash.testing.speech import Listening, Said, ScriptedStt, sound_of
from hookflash.testing.vendor import serve
from hookflash.testing.vendor_socket import SpeechScript
from hookflash.testing.wait import until

FRAME = sound_of("a")[:160]
KEYS = {"deepgram": "dg-test", "flux": "dg-test", "openai": "sk-test", "whisper": "sk-test"}
SETTINGS = {"deepgram": "DEEPGRAM", "flux": "DEEPGRAM", "openai": "OPENAI", "whisper": "OPENAI"}
VENDORS = tuple(KEYS)


@dataclass
class Subject:
    """A transcriber, and how to tell it what comes next."""

    stt: Stt
    clock: VirtualClock
    then: Callable[[Listening], None]
    script: SpeechScript | None = None

    @asynccontextmanager
    async def call(self, **asked: Any) -> AsyncIterator[tuple[SttStream, list[Transcript]]]:
        heard: list[Transcript] = []

        async def note(transcript: Transcript) -> None:
            heard.append(transcript)

        asked = {"encoding": "mulaw", "sample_rate": 8000, "language": "en-US", **asked}
        async with self.stt.stream(note, **asked) as stream:
            yield stream, heard


def made(name: str, address: str, clock: VirtualClock, key: str | None = None) -> Stt:
    secret = Secret(key or KEYS[name])
    options: dict[str, str | Secret | None] = {
        "DEEPGRAM_API_KEY": secret,
        "DEEPGRAM_BASE_URL": address,
        "OPENAI_API_KEY": secret,
        "OPENAI_BASE_URL": f"{address}/v1",
    }
    config = ProviderConfig("flux" if name == "flux" else "", options, clock=clock)
    if name == "openai":
        return OpenAIRealtimeStt(config)
    return WhisperStt(config) if name == "whisper" else DeepgramStt(config)


@asynccontextmanager
async def vendor(name: str, key: str | None = None) -> AsyncIterator[Subject]:
    clock = VirtualClock()
    server = OpenAISpeechServer(clock) if name in ("openai", "whisper") else DeepgramServer(clock)
    async with serve(server) as address:
        stt = made(name, address, clock, key)
        yield Subject(stt, clock, server.script.streams.append, server.script)
        if isinstance(stt, WhisperStt):
            await stt.aclose()


@pytest.fixture(params=["scripted", *VENDORS])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "scripted":
        clock = VirtualClock()
        scripted = ScriptedStt(clock)
        yield Subject(scripted, clock, scripted.then)
        return
    async with vendor(request.param) as made_subject:
        yield made_subject


@pytest.fixture(params=["scripted", "deepgram", "flux", "openai"])
async def streaming(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Those that give words while they are spoken."""
    if request.param == "scripted":
        clock = VirtualClock()
        scripted = ScriptedStt(clock)
        yield Subject(scripted, clock, scripted.then)
        return
    async with vendor(request.param) as made_subject:
        yield made_subject


async def feed(stream: SttStream, seconds: float, frame: bytes = FRAME) -> None:
    for _ in range(round(seconds / 0.02)):
        await stream.feed(frame)


async def one_turn(subject: Subject, seconds: float = 0.6) -> list[Transcript]:
    """A call of one turn: what was heard of it."""
    async with subject.call() as (stream, heard):
        await feed(stream, seconds)
        await stream.finalize()
        await until(lambda: finals(heard))
    return heard


async def one_turn_for_hours(subject: Subject) -> None:
    async with subject.call() as (stream, _):
        await feed(stream, 0.6)
        await stream.finalize()
        with anyio.fail_after(10):
            while True:
                await subject.clock.advance(1.0)


def finals(heard: list[Transcript]) -> list[str]:
    return [one.text for one in heard if one.final]


async def test_the_final_words_come_after_finalize(subject: Subject) -> None:
    subject.then(Listening((Said("where is my order", 0.1, 0.9),)))
    heard = await one_turn(subject, 1.0)
    assert finals(heard) == ["where is my order"]
    assert heard[-1].final


async def test_words_come_while_they_are_spoken(streaming: Subject) -> None:
    assert streaming.stt.traits.interim
    streaming.then(Listening((Said("where is my order", 0.0, 0.8),)))
    async with streaming.call() as (stream, heard):
        await feed(stream, 0.4)
        await until(lambda: heard)
        await feed(stream, 0.6)
        await stream.finalize()
        await until(lambda: finals(heard))
    words = [one.text for one in heard if not one.final]
    assert words[0] in ("where", "where is")
    assert all("where is my order".startswith(text) for text in words)
    assert finals(heard) == ["where is my order"]


async def test_each_turn_has_its_own_words(subject: Subject) -> None:
    subject.then(Listening((Said("where is my order", 0.0, 0.8), Said("it is late", 1.2, 1.8))))
    # One that takes turn by turn has a request for each.
    subject.then(Listening((Said("it is late", 0.0, 0.5),)))
    async with subject.call() as (stream, heard):
        await feed(stream, 1.0)
        await stream.finalize()
        await until(lambda: len(finals(heard)) == 1)
        await feed(stream, 1.0)
        await stream.finalize()
        await until(lambda: len(finals(heard)) == 2)
    assert finals(heard) == ["where is my order", "it is late"]


async def test_finalize_after_silence_gives_no_words_but_an_answer(subject: Subject) -> None:
    async with subject.call() as (stream, heard):
        await feed(stream, 0.4, SILENT_FRAME)
        await stream.finalize()
        # Those who listen on tell by what they hear next.
        await feed(stream, 0.4, SILENT_FRAME)
        await until(lambda: heard)
    assert [(one.text, one.final) for one in heard] == [("", True)]


async def test_final_words_are_waited_for(streaming: Subject) -> None:
    streaming.then(Listening((Said("hello", 0.0, 0.2),), latency=1.5))
    async with streaming.call() as (stream, heard):
        await feed(stream, 0.4)
        await stream.finalize()
        await until(lambda: streaming.clock.sleeping and heard)
        assert not finals(heard)
        await streaming.clock.advance(1.6)
        await until(lambda: finals(heard))
    assert finals(heard) == ["hello"]


async def test_mixed_languages_are_passed_through(streaming: Subject) -> None:
    assert streaming.stt.traits.code_switching
    streaming.then(Listening((Said("mera order kab deliver hoga", 0.0, 0.5, language="hi"),)))
    async with streaming.call(language="multi") as (stream, heard):
        await feed(stream, 0.8)
        await stream.finalize()
        await until(lambda: finals(heard))
    assert finals(heard) == ["mera order kab deliver hoga"]
    assert heard[-1].language == "hi"


@pytest.mark.parametrize("name", ["deepgram", "flux"])
async def test_a_vendor_that_knows_the_end_of_a_turn_says_so(name: str) -> None:
    async with vendor(name) as subject:
        assert subject.stt.traits.endpoints
        subject.then(Listening((Said("that is all", 0.0, 0.5, ends_turn=True),)))
        async with subject.call() as (stream, heard):
            await feed(stream, 1.0)
            await until(lambda: any(one.end_of_turn for one in heard))
    assert finals(heard)[0] == "that is all"


async def test_a_vendor_that_refuses_is_unavailable(subject: Subject) -> None:
    subject.then(Listening(refuse=503))
    with pytest.raises(Unavailable) as refused:
        await one_turn(subject)
    assert "503" in str(refused.value)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_wrong_key_names_the_setting(name: str) -> None:
    async with vendor(name, key="sk-wrong") as subject:
        with pytest.raises(Misconfigured) as refused:
            await one_turn(subject)
    assert f"{SETTINGS[name]}_API_KEY" in str(refused.value)
    assert "sk-wrong" not in str(refused.value)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_vendor_that_is_not_there_is_unavailable(name: str) -> None:
    subject = Subject(made(name, "http://127.0.0.1:9", VirtualClock()), VirtualClock(), lambda _: None)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await one_turn(subject)


@pytest.mark.parametrize("plan", [Listening(die=0.2), Listening(garble=0.2)], ids=["dies", "garbles"])
async def test_a_vendor_that_breaks_in_mid_word_is_unavailable(subject: Subject, plan: Listening) -> None:
    subject.then(plan)
    with pytest.raises(Unavailable):
        await one_turn(subject)
    # It may be opened again.
    subject.then(Listening((Said("hello", 0.0, 0.2),)))
    assert finals(await one_turn(subject)) == ["hello"]


async def test_a_vendor_that_hangs_is_given_up(subject: Subject) -> None:
    subject.then(Listening((Said("hello", 0.0, 0.2),), hang=0.1))
    with pytest.raises(Unavailable, match="silent"):
        await one_turn_for_hours(subject)


async def test_leaving_ends_it(streaming: Subject) -> None:
    streaming.then(Listening((Said("where is my order", 0.0, 0.4),)))
    async with streaming.call() as (stream, heard):
        await feed(stream, 0.6)
        await until(lambda: heard)
    count = len(heard)
    if streaming.script is not None:
        connection = streaming.script.connections[0]
        await until(lambda: connection.closed or connection.messages[-1:] == [{"type": "CloseStream"}])
    await streaming.clock.advance(10)
    assert len(heard) == count


async def test_an_error_of_the_call_itself_comes_through(subject: Subject) -> None:
    with pytest.raises(KeyError, match="ours"):
        async with subject.call():
            raise KeyError("ours")


@pytest.mark.parametrize("name", VENDORS)
async def test_a_format_that_it_does_not_know_is_refused(name: str) -> None:
    async with vendor(name) as subject:
        with pytest.raises(Misconfigured, match="opus"):
            async with subject.call(encoding="opus", sample_rate=48000):
                pass


@pytest.mark.parametrize("name", VENDORS)
async def test_nothing_that_was_said_and_no_key_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with vendor(name) as subject:
        subject.then(Listening((Said("my card is 4111", 0.0, 0.3),)))
        with structlog.testing.capture_logs() as logs:
            await one_turn(subject)
    written = caplog.text + str(logs)
    assert "4111" not in written
    assert KEYS[name] not in written


async def test_what_deepgram_is_asked() -> None:
    async with vendor("deepgram") as subject, subject.call(language="en-IN", hints=("Zephyr", "lakh")) as (stream, _):
        await feed(stream, 0.4)
        assert subject.script is not None
        connection = subject.script.connections[0]
        await until(lambda: len(connection.audio) == 3200)
    assert connection.path == "/v1/listen"
    assert connection.query == {
        "model": ["nova-3"],
        "language": ["en-IN"],
        "interim_results": ["true"],
        "punctuate": ["true"],
        "endpointing": ["300"],
        "utterance_end_ms": ["1000"],
        "vad_events": ["true"],
        "encoding": ["mulaw"],
        "sample_rate": ["8000"],
        "keyterm": ["Zephyr", "lakh"],
    }


async def test_deepgram_is_told_that_we_are_still_there() -> None:
    async with vendor("deepgram") as subject, subject.call():
        assert subject.script is not None
        connection = subject.script.connections[0]
        await subject.clock.advance(4.1)
        await until(lambda: connection.messages == [{"type": "KeepAlive"}])


@pytest.mark.parametrize(
    ("language", "model", "told", "hints"),
    [
        ("en-US", "nova-3", "en-US", []),
        (None, "nova-3", "multi", []),
        ("multi", "nova-3", "multi", []),
        ("hi-Latn", "nova-3", "multi", ["hi", "en"]),
        ("hi-Latn", "nova-2", "multi", []),
    ],
)
def test_the_languages_that_nova_is_told(language: str | None, model: str, told: str, hints: list[str]) -> None:
    asked = nova_query(model, language)
    assert dict(asked)["language"] == told
    assert [value for name, value in asked if name == "language_hint"] == hints


@pytest.mark.parametrize(
    ("language", "model", "hints"),
    [
        ("en-US", "flux-general-en", []),
        (None, "flux-general-multi", []),
        ("multi", "flux-general-multi", []),
        ("hi-Latn", "flux-general-multi", ["hi", "en"]),
        ("es-MX", "flux-general-multi", ["es"]),
    ],
)
def test_the_model_and_languages_of_flux(language: str | None, model: str, hints: list[str]) -> None:
    asked = flux_query("flux", language)
    assert dict(asked)["model"] == model
    assert [value for name, value in asked if name == "language_hint"] == hints


def test_what_openai_is_told_beforehand_depends_on_the_model() -> None:
    def told(model: str, language: str | None) -> Any:
        return session(model, language, ("Zephyr", "lakh"))["session"]["audio"]["input"]["transcription"]

    assert told("gpt-live-transcribe", "hi-Latn") == {
        "model": "gpt-live-transcribe",
        "languages": ["hi", "en"],
        "keywords": ["Zephyr", "lakh"],
    }
    assert told("gpt-4o-transcribe", "en-US") == {
        "model": "gpt-4o-transcribe",
        "language": "en",
        "prompt": "Zephyr, lakh",
    }
    assert told("gpt-realtime-whisper", "multi") == {"model": "gpt-realtime-whisper"}


async def test_openai_refuses_a_model_before_the_call_begins() -> None:
    async with vendor("openai") as subject:
        assert subject.script is not None
        port = subject.stt._address  # type: ignore[attr-defined]
        options: dict[str, str | Secret | None] = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": port}
        subject.stt = OpenAIRealtimeStt(ProviderConfig("nonsense", options, clock=subject.clock))
        with pytest.raises(Misconfigured, match="model_not_found"):
            async with subject.call():
                pass


async def test_too_little_audio_to_commit_is_an_empty_turn() -> None:
    async with vendor("openai") as subject, subject.call() as (stream, heard):
        await feed(stream, 0.04)
        await stream.finalize()
        await until(lambda: heard)
    assert heard == [Transcript("", True)]


async def test_whisper_gets_the_turn_and_not_the_silence_before_it() -> None:
    async with vendor("whisper") as subject:
        subject.then(Listening((Said("hello", 0.0, 0.2),)))
        assert not subject.stt.traits.interim
        async with subject.call(language="hi-IN", hints=("Zephyr",)) as (stream, heard):
            await feed(stream, 5.0, SILENT_FRAME)
            await feed(stream, 1.0)
            await stream.finalize()
            await until(lambda: heard)
    assert subject.script is not None
    request = subject.script.connections[0]
    assert request.messages == [{"model": "whisper-1", "response_format": "json", "language": "hi", "prompt": "Zephyr"}]
    # 16 bits a sample: the second of the turn, and a little before it.
    assert 16000 < len(request.audio) <= 16000 * 1.4 + 44
    assert heard[0].text == "hello"
    assert heard[0].end == 6.0


@pytest.mark.parametrize("name", ["deepgram", "openai", "whisper"])
def test_without_a_key_it_says_which_is_missing(name: str) -> None:
    factory = {"deepgram": DeepgramStt, "openai": OpenAIRealtimeStt, "whisper": WhisperStt}[name]
    with pytest.raises(Misconfigured, match=f"{SETTINGS[name]}_API_KEY is not set"):
        factory(ProviderConfig())


async def test_audio_that_nobody_takes_is_dropped_from_the_oldest_on_and_counted() -> None:
    outgoing = Outgoing(piece=4, most=8)
    for number in range(4):
        outgoing.feed(bytes([number]) * 4)
    outgoing.finalize()
    outgoing.finalize()
    outgoing.feed(b"z")
    taken = [await outgoing.next() for _ in range(3)]
    assert taken == [b"\2\2\2\2", b"\3\3\3\3", None]
    assert outgoing.dropped == 8
    outgoing.finalize()
    assert [await outgoing.next(), await outgoing.next()] == [b"z", None]


def test_the_sound_of_a_turn_begins_a_little_before_it() -> None:
    onset = Onset()
    assert onset.feed(SILENT_FRAME * 100) == b""
    assert not onset.begun
    passed = onset.feed(FRAME)
    assert passed == SILENT_FRAME * 20 + FRAME
    assert onset.feed(SILENT_FRAME) == SILENT_FRAME
    onset.reset()
    assert onset.feed(SILENT_FRAME) == b""
