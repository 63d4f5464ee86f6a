"""Calls that change their language: who notices, and that answer, phrases, voice and ears follow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest

from hookflash.channels.relay import Begin, ChangeLanguage, RelayMachine
from hookflash.knowledge.language import detect
from hookflash.speech import events
from hookflash.speech.devices import Devices, OtherLanguage, Phrases, Say
from hookflash.speech.events import BeginTurn, Heard, Measured, SpeechEnded, SpeechStarted, Synthesize, Tick, Words
from hookflash.speech.rules import CallRules
from hookflash.speech.run_call import CallShell
from hookflash.speech.tongue import Tongue, to_listen_for
from hookflash.testing.call import ScriptedCall
from hookflash.testing.clock import VirtualClock, settle
from hookflash.testing.speech import STT_TRAITS, ScriptedStt, ScriptedTts
from hookflash.twilio.relay import Prompt, Setup

TAGS = ("en-US", "es-MX", "hi-IN")


@pytest.mark.parametrize(
    ("said", "language", "current"),
    [
        ("quiero devolver unos zapatos", "es", "es-MX"),
        ("quiero devolver unos zapatos", "es-419", "es-MX"),
        ("quiero devolver unos zapatos", None, "es-MX"),
        ("muchas gracias", "es", "en-US"),
        ("do you speak Spanish?", "en", "es-MX"),
        ("en español por favor", "en", "es-MX"),
        ("Spanish, please", "en", "es-MX"),
        ("kya aap Hindi mein baat kar sakte hain", "en", "hi-IN"),
        ("mera order abhi tak nahin aaya hai", None, "hi-IN"),
        ("do you sell Spanish wine", "en", "en-US"),
        ("how do I return a jacket", "en", "en-US"),
        ("je voudrais rendre ces chaussures", "fr", "en-US"),
        ("4 2 7", None, "en-US"),
        ("42", "es", "en-US"),
    ],
)
def test_the_language_of_a_call(said: str, language: str | None, current: str) -> None:
    tongue = Tongue(TAGS, detect)
    assert tongue.hear(said, language) is (current != "en-US")
    assert tongue.current == current


def test_a_word_of_another_language_counts_when_another_follows() -> None:
    tongue = Tongue(TAGS)
    assert [tongue.hear("hola", "es"), tongue.hear("hello there", "en"), tongue.hear("hola", "es")] == [False] * 3
    assert tongue.hear("muchas gracias", "es")
    assert tongue.hear("can we go on in English?", "en")
    assert tongue.current == "en-US"


def test_what_a_transcriber_is_told_to_listen_for() -> None:
    assert to_listen_for(TAGS, mixes=True) == "multi"
    assert to_listen_for(TAGS, mixes=False) == "en-US"
    assert to_listen_for(("en-IN", "hi-IN"), mixes=True) == "hi-Latn"
    assert to_listen_for(("en-IN",), mixes=True) == "en-IN"


ENGLISH = CallRules(reprompt="Are you still there?", reprompt_after=5.0)
SPANISH = CallRules(reprompt="¿Sigue ahí?", reprompt_after=5.0)


def test_the_answer_and_the_phrases_follow_the_caller() -> None:
    tongue = Tongue(("en-US", "es-MX"))
    call = ScriptedCall(
        rules=ENGLISH, tongue=tongue, rules_in={"en-US": ENGLISH, "es-MX": SPANISH}, answer=lambda said: "Sí."
    )
    call.at(0.6, SpeechStarted(0.5))
    call.at(2.1, SpeechEnded(2.0))
    call.at(2.2, Words("¿hasta qué hora abren hoy?", final=True, language="es"))
    call.run(14)
    changed = [effect for _, effect in call.log if isinstance(effect, (events.ChangeLanguage, BeginTurn))]
    assert changed[0] == events.ChangeLanguage("es-MX")
    assert isinstance(changed[1], BeginTurn)
    assert changed[1].language == "es-MX"
    assert [e.text for _, e in call.log if isinstance(e, Synthesize)][:2] == ["Sí.", "¿Sigue ahí?"]


@dataclass
class Nobody:
    """A line and a mind that only listen."""

    thought: list[tuple[str, str | None]] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    gone_on: list[str] = field(default_factory=list)
    kept: list[Heard] = field(default_factory=list)

    def play(self, audio: bytes) -> None: ...
    def mark(self, name: str) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...

    async def think(self, turn: int, said: str, say: Say, language: str | None) -> None:
        self.thought.append((said, language))
        say("Claro que sí." if language == "es-MX" else "Of course.", True)

    async def look_up(self, said: str, settled: bool) -> None:
        self.looked.append(said)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.gone_on.append(said)
            raise

    async def keep(self, heard: Heard, measured: Measured | None) -> None:
        self.kept.append(heard)

    async def transfer(self, target: str) -> None: ...


@dataclass
class LiveCall:
    """A call's shell in virtual time."""

    mixes: bool = True
    clock: VirtualClock = field(default_factory=VirtualClock)
    mind: Nobody = field(default_factory=Nobody)

    def __post_init__(self) -> None:
        self.stt = ScriptedStt(self.clock, traits=replace(STT_TRAITS, code_switching=self.mixes))
        self.tts = ScriptedTts(self.clock)
        self.shell = CallShell(
            Devices(
                line=self.mind,
                ears=self.stt,
                mouth=self.tts,
                mind=self.mind,
                clock=self.clock,
                rules=ENGLISH,
                phrases=Phrases(),
                language="en-US",
                voice="Joanna",
                others={"es-MX": OtherLanguage(SPANISH, "Mia")},
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CallShell]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.shell.run)
            await settle()
            yield self.shell
            self.shell.hang_up()

    async def says(self, words: str, language: str) -> None:
        now = self.clock.monotonic()
        self.shell.post(SpeechStarted(now))
        await self.clock.advance(1.0)
        self.shell.post(SpeechEnded(now + 1.0))
        self.shell.post(Words(words, final=True, language=language))
        await self.clock.advance(1.5)
        self.shell.post(Tick())
        await self.clock.advance(1.0)


async def test_voice_and_answer_change_and_ears_that_hear_all_stay() -> None:
    call = LiveCall()
    async with call.running():
        await call.says("when do you open today?", "en")
        await call.says("¿a qué hora cierran hoy?", "es")
    assert call.mind.thought == [("when do you open today?", "en-US"), ("¿a qué hora cierran hoy?", "es-MX")]
    assert [(s.text, s.voice, s.language) for s in call.tts.spoken] == [
        ("Of course.", "Joanna", "en-US"),
        ("Claro que sí.", "Mia", "es-MX"),
    ]
    assert [stream.language for stream in call.stt.streams] == ["multi"]


async def test_ears_that_hear_one_language_are_opened_in_the_new_one() -> None:
    call = LiveCall(mixes=False)
    async with call.running():
        await call.says("do you speak Spanish?", "en")
    assert [stream.language for stream in call.stt.streams] == ["en-US", "es-MX"]
    assert call.tts.spoken[0].voice == "Mia"


async def test_a_search_ahead_is_broken_off_when_the_caller_goes_on() -> None:
    call = LiveCall()
    async with call.running() as shell:
        shell.post(SpeechStarted(0.0))
        for words in (
            "how much does",
            "how much does a tent",
            "how much does a tent cost in",
            "how much does a tent cost in blue",
        ):
            shell.post(Words(words, final=False))
            await call.clock.advance(0.3)
        assert call.mind.looked == ["how much does", "how much does a tent", "how much does a tent cost in"]
        assert call.mind.gone_on == call.mind.looked[:-1]


def test_a_relay_call_changes_the_voice_of_twilio_before_it_answers() -> None:
    machine = RelayMachine(Tongue(("en-US", "es-MX")))
    machine.receive(Setup("VX1", "AC1", "CA1", "+15550111222", "+15550100200", "inbound", {"token": "t"}))
    assert machine.receive(Prompt("when do you open", "en", True)) == [Begin(1, "when do you open", "en-US")]
    machine.reply(1, "At ten.", last=True)
    assert machine.receive(Prompt("¿y los domingos también?", "es", True))[-2:] == [
        ChangeLanguage("es-MX"),
        Begin(2, "¿y los domingos también?", "es-MX"),
    ]
