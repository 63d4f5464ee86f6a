"""One suite for every voice: the scripted one, and the vendors' adapters against fakes of their servers and programs."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.providers.cartesia import CartesiaTts
from hookflash.providers.elevenlabs import ElevenLabsTts
from hookflash.providers.espeak import EspeakTts
from hookflash.providers.openai_tts import OpenAITts
from hookflash.providers.polly import PollyTts
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.tts import Tts, TtsVoice
from hookflash.testing.cartesia_server import CartesiaServer
from hookflash.testing.clock import VirtualClock
from hookflash.testing.elevenlabs_server import ElevenLabsServer
from hookflash.testing.openai_speech_server import OpenAISpeechServer
from hookflash.testing.polly_server import PollyServer
from hookflash.testing.speech import ScriptedTts, Speaking, sound_of
from hookflash.testing.vendor import serve
from hookflash.testing.vendor_socket import Connection, SpeechScript
from hookflash.testing.wait import until

VENDORS: dict[str, Any] = {
    "elevenlabs": (ElevenLabsTts, ElevenLabsServer, "ELEVENLABS_API_KEY"),
    "cartesia": (CartesiaTts, CartesiaServer, "CARTESIA_API_KEY"),
    "openai": (OpenAITts, OpenAISpeechServer, "OPENAI_API_KEY"),
    "polly": (PollyTts, PollyServer, "AWS_ACCESS_KEY_ID"),
}
# Those whose sound comes as it is, so that the fakes' can be told from it.
EXACT = ("scripted", "elevenlabs", "cartesia", "polly")
TEXT = "We are open from nine to five."
OTHER = "Can I help you with anything else?"


@dataclass
class Subject:
    """A voice, and how to tell it what comes next."""

    name: str
    tts: Tts
    clock: VirtualClock
    then: Callable[[Speaking], None]
    stopped: Callable[[], list[str]]
    script: SpeechScript | None = None

    @asynccontextmanager
    async def call(self, **asked: Any) -> AsyncIterator[TtsVoice]:
        asked = {"voice": None, "encoding": "mulaw", "sample_rate": 8000, "language": "en-US", **asked}
        async with self.tts.voice(**asked) as voice:
            yield voice


@dataclass
class Ears:
    """What was given."""

    pieces: list[bytes] = field(default_factory=list)

    async def __call__(self, piece: bytes) -> None:
        self.pieces.append(piece)

    @property
    def sound(self) -> bytes:
        return b"".join(self.pieces)


def options(address: str) -> dict[str, str | Secret | None]:
    return {
        "ELEVENLABS_API_KEY": Secret("el-test"),
        "ELEVENLABS_BASE_URL": address,
        "CARTESIA_API_KEY": Secret("sk_car_test"),
        "CARTESIA_BASE_URL": address,
        "OPENAI_API_KEY": Secret("sk-test"),
        "OPENAI_BASE_URL": f"{address}/v1",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": Secret("polly-test"),
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_POLLY": address,
    }


@asynccontextmanager
async def vendor(name: str, *, model: str = "", **changed: Any) -> AsyncIterator[Subject]:
    factory, fake, _ = VENDORS[name]
    clock = VirtualClock()
    server = fake(clock)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serve(server))
        tts = factory(ProviderConfig(model, options(address) | changed, clock=clock))
        if hasattr(tts, "aclose"):
            stack.push_async_callback(tts.aclose)
        yield Subject(name, tts, clock, server.script.texts.append, lambda: server.script.stopped, server.script)


@pytest.fixture(params=["scripted", *VENDORS])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "scripted":
        clock = VirtualClock()
        tts = ScriptedTts(clock)
        stopped = lambda: [one.text for one in tts.spoken if one.cancelled]  # noqa: E731
        yield Subject("scripted", tts, clock, tts.then, stopped)
        return
    async with vendor(request.param) as made:
        yield made


def is_sound_of(text: str, sound: bytes, name: str) -> bool:
    whole = sound_of(text)
    if name in EXACT:
        return sound == whole
    # Another rate, filtered: the same length, but for the filter's delay.
    return abs(len(sound) - len(whole)) < 40


async def test_a_text_becomes_sound_piece_by_piece(subject: Subject) -> None:
    ears = Ears()
    async with subject.call() as voice:
        await voice.speak(TEXT, ears)
    assert is_sound_of(TEXT, ears.sound, subject.name)
    assert len(ears.pieces) > 2


async def test_the_first_piece_comes_before_the_last_is_made(subject: Subject) -> None:
    subject.then(Speaking(delay=0.1, pause=1.0))
    ears = Ears()
    async with subject.call() as voice, anyio.create_task_group() as group:
        group.start_soon(voice.speak, TEXT, ears)
        await until(lambda: subject.clock.sleeping > 1 or subject.name == "scripted")
        await subject.clock.advance(0.2)
        await until(lambda: ears.pieces)
        assert len(ears.sound) < len(sound_of(TEXT)) / 2
        group.cancel_scope.cancel()


async def test_texts_may_be_spoken_at_the_same_time(subject: Subject) -> None:
    first, second = Ears(), Ears()
    async with subject.call() as voice, anyio.create_task_group() as group:
        group.start_soon(voice.speak, TEXT, first)
        group.start_soon(voice.speak, OTHER, second)
    assert is_sound_of(TEXT, first.sound, subject.name)
    assert is_sound_of(OTHER, second.sound, subject.name)


async def test_cancelling_stops_the_vendor_and_nothing_more_comes(subject: Subject) -> None:
    subject.then(Speaking(pause=0.5))
    ears, after = Ears(), Ears()
    async with subject.call() as voice:
        async with anyio.create_task_group() as group:
            group.start_soon(voice.speak, TEXT, ears)
            await until(lambda: ears.pieces)
            group.cancel_scope.cancel()
        await until(lambda: subject.stopped() == [TEXT])
        count = len(ears.pieces)
        await voice.speak(OTHER, after)
        await subject.clock.advance(3)
    assert len(ears.pieces) == count
    assert is_sound_of(OTHER, after.sound, subject.name)


@pytest.mark.parametrize("plan", [Speaking(die=0.7), Speaking(garble=0.7)], ids=["dies", "garbles"])
async def test_a_vendor_that_breaks_in_mid_word_is_unavailable(subject: Subject, plan: Speaking) -> None:
    subject.then(plan)
    ears, after = Ears(), Ears()
    async with subject.call() as voice:
        with pytest.raises(Unavailable):
            await voice.speak(TEXT, ears)
        assert 0 < len(ears.sound) < len(sound_of(TEXT)) / 2
        await voice.speak(OTHER, after)
    assert is_sound_of(OTHER, after.sound, subject.name)


@pytest.mark.parametrize("after", [0.0, 0.5])
async def test_a_vendor_that_hangs_is_given_up(subject: Subject, after: float) -> None:
    subject.then(Speaking(hang=after))
    failures: list[str] = []

    async def speak(voice: TtsVoice) -> None:
        with pytest.raises(Unavailable) as failed:
            await voice.speak(TEXT, Ears())
        failures.append(str(failed.value))

    async with subject.call() as voice, anyio.create_task_group() as group:
        group.start_soon(speak, voice)
        with anyio.fail_after(10):
            while not failures:
                await subject.clock.advance(1.0)


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (429, Unavailable), (401, Misconfigured)])
async def test_a_vendor_that_refuses(subject: Subject, status: int, error: type[Exception]) -> None:
    if subject.script is not None and subject.name in ("elevenlabs", "cartesia"):
        subject.script.doors.append(status)
    else:
        subject.then(Speaking(refuse=status))
    with pytest.raises(error):
        async with subject.call() as voice:
            await voice.speak(TEXT, Ears())


@pytest.mark.parametrize("name", VENDORS)
async def test_a_wrong_key_names_the_setting(name: str) -> None:
    setting = VENDORS[name][2]
    async with vendor(name, **{setting: "wrong-key"}) as subject:
        with pytest.raises(Misconfigured, match=setting) as refused:
            async with subject.call() as voice:
                await voice.speak(TEXT, Ears())
    assert "wrong-key" not in str(refused.value)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_vendor_that_is_not_there_is_unavailable(name: str) -> None:
    tts = VENDORS[name][0](ProviderConfig("", options("http://127.0.0.1:9"), clock=VirtualClock()))
    with pytest.raises(Unavailable, match="cannot be reached"):
        async with tts.voice(voice=None, encoding="mulaw", sample_rate=8000, language=None) as voice:
            await voice.speak(TEXT, Ears())


@pytest.mark.parametrize("name", VENDORS)
async def test_a_format_that_it_does_not_know_is_refused(name: str) -> None:
    async with vendor(name) as subject:
        with pytest.raises(Misconfigured, match="opus"):
            async with subject.call(encoding="opus", sample_rate=48000):
                pass


@pytest.mark.parametrize("name", ["elevenlabs", "cartesia", "polly"])
async def test_linear_sound_is_given_when_asked(name: str) -> None:
    ears = Ears()
    async with vendor(name) as subject, subject.call(encoding="s16le", sample_rate=16000) as voice:
        await voice.speak(TEXT, ears)
    assert ears.sound == sound_of(TEXT, "s16le", 16000)


@pytest.mark.parametrize("name", VENDORS)
async def test_nothing_that_was_said_and_no_key_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    # The signing library writes the request when debugging is on; its name is known and can be silenced.
    caplog.set_level("INFO", logger="botocore")
    async with vendor(name) as subject:
        subject.then(Speaking(die=0.5))
        with structlog.testing.capture_logs() as logs:
            async with subject.call() as voice:
                with pytest.raises(Unavailable) as failed:
                    await voice.speak("Your code is 4711, keep it to yourself.", Ears())
    written = caplog.text + str(logs) + str(failed.value)
    assert "4711" not in written
    for key in ("el-test", "sk_car_test", "sk-test", "polly-test"):
        assert key not in written


@pytest.mark.parametrize("name", ["elevenlabs", "cartesia", "openai"])
def test_without_a_key_it_says_which_is_missing(name: str) -> None:
    factory, _, setting = VENDORS[name]
    with pytest.raises(Misconfigured, match=f"{setting} is not set"):
        factory(ProviderConfig())


def test_polly_must_be_told_where() -> None:
    with pytest.raises(Misconfigured, match="AWS_REGION"):
        PollyTts(ProviderConfig())


async def asked_of(name: str, *, model: str = "", **asked: Any) -> Connection:
    async with vendor(name, model=model) as subject, subject.call(**asked) as voice:
        await voice.speak(TEXT, Ears())
    assert subject.script is not None
    return subject.script.connections[0]


async def test_what_elevenlabs_is_asked() -> None:
    connection = await asked_of("elevenlabs", language="hi-IN", voice="raju")
    assert connection.path == "/v1/text-to-speech/raju/stream-input"
    assert connection.query == {
        "model_id": ["eleven_flash_v2_5"],
        "output_format": ["ulaw_8000"],
        "inactivity_timeout": ["180"],
        "auto_mode": ["true"],
        "language_code": ["hi"],
    }
    assert connection.messages == [{"text": " "}, {"text": f"{TEXT} "}, {"text": ""}]


async def test_the_voice_may_be_part_of_the_name() -> None:
    connection = await asked_of("elevenlabs", model="eleven_multilingual_v2@raju", language="hi-IN")
    assert connection.path == "/v1/text-to-speech/raju/stream-input"
    assert connection.query["model_id"] == ["eleven_multilingual_v2"]
    # This model hears the language from the text.
    assert "language_code" not in connection.query


async def test_elevenlabs_says_that_a_voice_is_not_there() -> None:
    async with vendor("elevenlabs", model="@nobody") as subject, subject.call() as voice:
        with pytest.raises(Misconfigured, match="ElevenLabs refuses"):
            await voice.speak(TEXT, Ears())


async def test_elevenlabs_has_the_next_socket_ready() -> None:
    async with vendor("elevenlabs") as subject, subject.call() as voice:
        script = subject.script
        assert script is not None
        assert len(script.connections) == 1
        for number in range(3):
            await voice.speak(TEXT, Ears())
            await until(lambda wanted=number + 2: len(script.connections) == wanted)  # type: ignore[misc]
    # Four were opened for three texts; the spare one was closed with the call.
    await until(lambda: script.connections[-1].closed)
    assert len(script.connections) == 4


async def test_a_spare_socket_that_cannot_be_had_is_no_failure() -> None:
    async with vendor("elevenlabs") as subject:
        assert subject.script is not None
        subject.script.doors.extend([None, 503])
        ears = Ears()
        async with subject.call() as voice:
            await voice.speak(TEXT, Ears())
            await until(lambda: subject.script is not None and not subject.script.doors)
            await voice.speak(OTHER, ears)
    assert ears.sound == sound_of(OTHER)


async def test_cartesia_speaks_everything_on_one_socket() -> None:
    async with vendor("cartesia", model="sonic-3@raju") as subject, subject.call(language="hi-Latn") as voice:
        for _ in range(3):
            await voice.speak(TEXT, Ears())
    assert subject.script is not None
    [connection] = subject.script.connections
    assert len({message.pop("context_id") for message in connection.messages}) == 3
    assert connection.messages[0] == {
        "model_id": "sonic-3",
        "transcript": TEXT,
        "voice": {"mode": "id", "id": "raju"},
        "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
        "language": "hi",
        "continue": False,
    }


async def test_cartesia_says_that_a_voice_is_not_there() -> None:
    async with vendor("cartesia", model="@nobody") as subject, subject.call() as voice:
        with pytest.raises(Misconfigured, match="Cartesia refuses"):
            await voice.speak(TEXT, Ears())
        # The socket is as good as before.
        assert subject.script is not None
        assert len(subject.script.connections) == 1


async def test_what_openai_is_asked() -> None:
    connection = await asked_of("openai", voice="marin")
    assert connection.path == "/v1/audio/speech"
    assert connection.messages == [
        {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "marin", "response_format": "pcm"}
    ]


@pytest.mark.parametrize(
    ("language", "code", "voice"),
    [
        ("en-US", "en-US", "Joanna"),
        ("en-NG", "en-US", "Joanna"),
        ("hi", "hi-IN", "Kajal"),
        ("hi-Latn", "en-IN", "Kajal"),
        ("multi", None, "Joanna"),
    ],
)
async def test_polly_chooses_a_voice_for_the_language(language: str, code: str | None, voice: str) -> None:
    connection = await asked_of("polly", language=language)
    [asked] = connection.messages
    assert asked.pop("LanguageCode", None) == code
    assert asked == {
        "Engine": "neural",
        "OutputFormat": "mulaw",
        "SampleRate": "8000",
        "VoiceId": voice,
        "Text": TEXT,
        "TextType": "text",
    }


async def test_polly_understands_ssml() -> None:
    async with vendor("polly", model="generative@Ruth") as subject:
        assert subject.tts.traits.ssml
        async with subject.call() as voice:
            await voice.speak("<speak>Hello.</speak>", Ears())
    assert subject.script is not None
    [asked] = subject.script.connections[0].messages
    assert (asked["Engine"], asked["VoiceId"], asked["TextType"]) == ("generative", "Ruth", "ssml")


async def test_polly_has_no_voice_for_every_language() -> None:
    async with vendor("polly") as subject:
        with pytest.raises(Misconfigured, match="language sw"):
            async with subject.call(language="sw"):
                pass


# A program that speaks as espeak-ng does: the text in by the standard input, a WAV of 22,050 Hz out. A voice "mute" is not
# known to it, "dying" ends in mid-word, "hanging" says nothing, "endless" never ends.
FAKE_ESPEAK = """#!{python}
import os, signal, struct, sys
arguments = sys.argv[1:]
assert arguments[:2] == ["--stdout", "--stdin"], arguments
voice = arguments[arguments.index("-v") + 1]
open({log!r}, "a").write(voice + "\\n")
text = sys.stdin.read()
if voice == "mute":
    sys.exit(1)
if voice == "hanging":
    signal.pause()
out = sys.stdout.buffer
head = struct.pack("<HHIIHH", 1, 1, 22050, 44100, 2, 16)
out.write(b"RIFF" + struct.pack("<I", 0x7FFFF024) + b"WAVEfmt " + struct.pack("<I", 16) + head)
out.write(b"data" + struct.pack("<I", 0x7FFFF000))
for _ in text:
    out.write(struct.pack("<h", 9000) * 1470)
    out.flush()
    if voice == "dying":
        os.abort()
while voice == "endless":
    out.write(struct.pack("<h", 9000) * 1470)
    out.flush()
"""


@dataclass
class Program:
    path: Path
    log: Path
    clock: VirtualClock = field(default_factory=VirtualClock)

    def tts(self, name: str = "") -> EspeakTts:
        return EspeakTts(ProviderConfig(name, clock=self.clock), program=str(self.path))


@pytest.fixture
def espeak(tmp_path: Path) -> Program:
    path, log = tmp_path / "espeak-ng", tmp_path / "log"
    path.write_text(FAKE_ESPEAK.format(python=sys.executable, log=str(log)))
    path.chmod(0o755)
    return Program(path, log)


async def say(tts: Tts, ears: Ears, text: str = TEXT, **asked: Any) -> None:
    asked = {"voice": None, "encoding": "mulaw", "sample_rate": 8000, "language": None, **asked}
    async with tts.voice(**asked) as voice:
        await voice.speak(text, ears)


async def test_espeak_speaks(espeak: Program) -> None:
    ears, linear = Ears(), Ears()
    await say(espeak.tts(), ears)
    await say(espeak.tts(), linear, encoding="s16le", sample_rate=22050)
    assert abs(len(ears.sound) - len(TEXT) * 533) < 60
    assert len(linear.sound) == len(TEXT) * 2940


@pytest.mark.parametrize(
    ("name", "language", "voice"),
    [("", None, "en-us"), ("", "hi-IN", "hi-in"), ("", "hi-Latn", "en-gb"), ("de", "hi", "de"), ("", "multi", "en-us")],
)
async def test_espeak_speaks_the_language(espeak: Program, name: str, language: str | None, voice: str) -> None:
    await say(espeak.tts(name), Ears(), language=language)
    assert espeak.log.read_text().split() == [voice]


async def test_espeak_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    tts = EspeakTts(ProviderConfig(), program=str(tmp_path / "nothing"))
    with pytest.raises(Misconfigured, match="espeak-ng is not installed") as missing:
        await say(tts, Ears())
    assert missing.value.hint == "apt-get install espeak-ng (Debian, Ubuntu) or brew install espeak-ng (macOS)"


async def test_espeak_without_that_voice_says_so(espeak: Program) -> None:
    with pytest.raises(Misconfigured, match="'mute'"):
        await say(espeak.tts("mute"), Ears())


async def test_espeak_that_dies_in_mid_word_is_unavailable(espeak: Program) -> None:
    ears = Ears()
    with pytest.raises(Unavailable, match="code"):
        await say(espeak.tts("dying"), ears)
    assert ears.pieces


async def test_espeak_that_hangs_is_given_up(espeak: Program) -> None:
    failures: list[str] = []

    async def speak() -> None:
        with pytest.raises(Unavailable) as failed:
            await say(espeak.tts("hanging"), Ears())
        failures.append(str(failed.value))

    async with anyio.create_task_group() as group:
        group.start_soon(speak)
        await until(espeak.log.exists)
        with anyio.fail_after(10):
            while not failures:
                await espeak.clock.advance(1)
    assert failures == ["espeak-ng has fallen silent."]


async def test_cancelling_ends_the_program(espeak: Program) -> None:
    ears = Ears()
    async with anyio.create_task_group() as group:
        group.start_soon(say, espeak.tts("endless"), ears)
        await until(lambda: ears.pieces)
        group.cancel_scope.cancel()
    count = len(ears.pieces)
    await espeak.clock.advance(5)
    assert len(ears.pieces) == count
