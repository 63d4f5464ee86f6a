"""A speech vendor fails in the middle of a call, and the caller hears at most a short pause."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.base.breaker import FAILURES, PAUSE, Breakers
from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.speech.failover import PATIENCE, Replay, SteadyStt, SteadyTts, order, remainder
from hookflash.speech.stt import SttStream, Transcript
from hookflash.speech.tts import TtsVoice
from hookflash.testing.clock import VirtualClock, settle
from hookflash.testing.speech import (
    STT_TRAITS,
    TTS_TRAITS,
    Listening,
    Said,
    ScriptedStt,
    ScriptedTts,
    Speaking,
    sound_of,
)

FRAME = sound_of("a")[:160]
TEXT = "We are open from nine to five, and on Saturdays until noon."


@dataclass
class Ears:
    pieces: list[bytes] = field(default_factory=list)

    async def __call__(self, piece: bytes) -> None:
        self.pieces.append(piece)

    @property
    def sound(self) -> bytes:
        return b"".join(self.pieces)


@dataclass
class World:
    """A clock, breakers, and two vendors of each kind."""

    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.breakers = Breakers(self.clock)
        self.first = ScriptedStt(self.clock, traits=replace(STT_TRAITS, name="first"))
        self.second = ScriptedStt(self.clock, traits=replace(STT_TRAITS, name="second"))
        self.voice = ScriptedTts(self.clock, traits=replace(TTS_TRAITS, name="voice"))
        self.other = ScriptedTts(self.clock, traits=replace(TTS_TRAITS, name="other"))

    @asynccontextmanager
    async def listening(
        self, vendors: Sequence[ScriptedStt] | None = None
    ) -> AsyncIterator[tuple[SttStream, list[Transcript]]]:
        heard: list[Transcript] = []

        async def note(transcript: Transcript) -> None:
            heard.append(transcript)

        steady = SteadyStt(vendors or (self.first, self.second), self.breakers)
        async with steady.stream(note, encoding="mulaw", sample_rate=8000, language="multi", hints=("x",)) as stream:
            yield stream, heard

    @asynccontextmanager
    async def speaking(self, vendors: Sequence[ScriptedTts] | None = None) -> AsyncIterator[TtsVoice]:
        steady = SteadyTts(vendors or (self.voice, self.other), self.breakers)
        async with steady.voice(voice="raju", encoding="mulaw", sample_rate=8000, language="hi") as voice:
            yield voice


@pytest.fixture
def world() -> World:
    return World()


async def feed(stream: SttStream, seconds: float) -> None:
    for _ in range(round(seconds / 0.02)):
        await stream.feed(FRAME)
    await settle()


def finals(heard: list[Transcript]) -> list[str]:
    return [one.text for one in heard if one.final and one.text]


async def test_a_transcriber_dies_in_mid_word_and_the_next_hears_the_whole_sentence(world: World) -> None:
    sentence = Said("where is my order", 0.5, 2.0)
    world.first.then(Listening((sentence,), die=1.4))
    world.second.then(Listening((sentence,)))
    async with world.listening() as (stream, heard):
        await feed(stream, 2.2)
        await stream.finalize()
        await settle()
    assert finals(heard) == ["where is my order"]
    [again] = world.second.streams
    assert (again.language, again.hints) == ("multi", ("x",))
    assert bytes(again.audio) == FRAME * 110


async def test_what_was_settled_is_not_heard_again(world: World) -> None:
    world.first.then(Listening((Said("hello", 0.0, 1.0), Said("where is", 2.0, 4.0)), die=3.0))
    world.second.then(Listening((Said("where is my order", 0.5, 1.9),)))
    async with world.listening() as (stream, heard):
        await feed(stream, 1.5)
        await stream.finalize()
        await settle()
        await feed(stream, 2.0)
        await stream.finalize()
        await settle()
    assert finals(heard) == ["hello", "where is my order"]
    assert len(world.second.streams[0].audio) == 2 * 8000
    # Moments are those of the call, not of the second vendor's stream.
    assert heard[-1].start == pytest.approx(2.0)
    assert heard[-1].end == pytest.approx(3.5)


async def test_final_words_that_were_asked_for_are_asked_for_again(world: World) -> None:
    world.first.then(Listening((Said("yes", 0.0, 0.4),), hang=0.5))
    world.second.then(Listening((Said("yes please", 0.0, 0.8),)))
    async with world.listening() as (stream, heard):
        await feed(stream, 1.0)
        await stream.finalize()
        await world.clock.advance(5)
    assert finals(heard) == ["yes please"]


async def test_a_transcriber_that_cannot_be_reached_is_passed_over_at_once(world: World) -> None:
    world.first.then(Listening(refuse=503))
    async with world.listening() as (stream, _):
        await feed(stream, 0.2)
    assert len(world.second.streams) == 1
    # The next call asks the first one again.
    async with world.listening() as (stream, _):
        await feed(stream, 0.2)
    assert len(world.first.streams) == 1


async def test_after_failures_in_a_row_calls_begin_with_the_second(world: World) -> None:
    world.first.then(*[Listening(refuse=503)] * FAILURES)
    for _ in range(FAILURES + 1):
        async with world.listening():
            pass
    assert len(world.second.streams) == FAILURES + 1
    await world.clock.advance(PAUSE)
    async with world.listening() as (stream, _):
        await feed(stream, 0.2)
    assert len(world.first.streams) == 1


async def test_a_wrong_key_is_not_tried_again_soon(world: World) -> None:
    world.first.then(Listening(refuse=401))
    for _ in range(2):
        async with world.listening():
            pass
    assert world.first.streams == []
    assert world.breakers.of("first").state(world.clock.monotonic()) == "open"


async def test_the_only_transcriber_is_opened_again(world: World) -> None:
    world.first.then(Listening(die=0.5), Listening((Said("hello", 0.0, 0.8),)))
    async with world.listening([world.first]) as (stream, heard):
        await feed(stream, 1.0)
        await stream.finalize()
        await settle()
    assert finals(heard) == ["hello"]
    assert len(world.first.streams) == 2


async def listen_for_a_while(world: World) -> None:
    async with world.listening() as (stream, _):
        await feed(stream, 1.0)
        await anyio.sleep_forever()


async def test_when_nobody_can_listen_it_is_said(world: World) -> None:
    world.first.then(*[Listening(die=0.2)] * 9)
    world.second.then(*[Listening(refuse=503)] * 9)
    with pytest.raises(Unavailable):
        await listen_for_a_while(world)
    # And known for a while, so that the next call does not wait to find out.
    with pytest.raises(Unavailable, match="lately"):
        await listen_for_a_while(world)


async def test_a_wrong_key_of_the_only_vendor_is_named(world: World) -> None:
    world.first.then(Listening(refuse=401))
    with pytest.raises(Misconfigured, match="SCRIPTED_API_KEY"):
        async with world.listening([world.first]):
            pass


async def test_a_voice_dies_in_mid_word_and_another_says_the_rest(world: World) -> None:
    world.voice.then(Speaking(piece=0.2, die=2.0))
    ears = Ears()
    async with world.speaking() as voice:
        await voice.speak(TEXT, ears)
    [broken], [rest] = world.voice.spoken, world.other.spoken
    assert rest.text == "five, and on Saturdays until noon."
    assert rest.text == remainder(TEXT, 2.0)
    assert ears.sound == bytes(broken.given) + sound_of(rest.text)
    # A voice's name means nothing to another vendor; the language does.
    assert (broken.voice, rest.voice) == ("raju", None)
    assert (broken.language, rest.language) == ("hi", "hi")


async def test_the_rest_of_the_call_is_spoken_by_the_same_voice(world: World) -> None:
    world.voice.then(Speaking(die=0.0))
    async with world.speaking() as voice:
        await voice.speak(TEXT, Ears())
        await voice.speak("Anything else?", Ears())
    assert [one.text for one in world.voice.spoken] == [TEXT]
    assert [one.text for one in world.other.spoken] == [TEXT, "Anything else?"]


async def test_a_voice_that_is_late_is_replaced_after_a_short_pause(world: World) -> None:
    world.voice.then(Speaking(delay=60.0))
    ears = Ears()
    async with world.speaking() as voice, anyio.create_task_group() as group:
        group.start_soon(voice.speak, TEXT, ears)
        await world.clock.advance(PATIENCE - 0.1)
        assert not ears.pieces
        await world.clock.advance(0.2)
        assert ears.sound == sound_of(TEXT)
    assert world.voice.spoken[0].cancelled


async def test_one_that_has_begun_is_not_hurried(world: World) -> None:
    world.voice.then(Speaking(pause=1.5))
    ears = Ears()
    async with world.speaking() as voice, anyio.create_task_group() as group:
        group.start_soon(voice.speak, TEXT, ears)
        await world.clock.advance(60)
    assert ears.sound == sound_of(TEXT)
    assert world.other.spoken == []


async def test_a_voice_that_cannot_be_reached_is_passed_over(world: World) -> None:
    world.voice.refuse = 503
    ears = Ears()
    async with world.speaking() as voice:
        await voice.speak(TEXT, ears)
    assert ears.sound == sound_of(TEXT)
    assert len(world.other.spoken) == 1


async def test_the_only_voice_says_the_rest_itself(world: World) -> None:
    world.voice.then(Speaking(die=2.0))
    async with world.speaking([world.voice]) as voice:
        await voice.speak(TEXT, Ears())
    assert [one.text for one in world.voice.spoken] == [TEXT, remainder(TEXT, 2.0)]


async def test_when_nobody_can_speak_it_is_said(world: World) -> None:
    world.voice.then(*[Speaking(die=0.0)] * 9)
    world.other.then(*[Speaking(die=0.0)] * 9)
    async with world.speaking() as voice:
        with pytest.raises(Unavailable):
            await voice.speak(TEXT, Ears())


async def test_cancelling_reaches_the_vendor(world: World) -> None:
    world.voice.then(Speaking(pause=1.0))
    ears = Ears()
    async with world.speaking() as voice:
        async with anyio.create_task_group() as group:
            group.start_soon(voice.speak, TEXT, ears)
            await settle()
            group.cancel_scope.cancel()
        count = len(ears.pieces)
        await world.clock.advance(30)
    assert world.voice.spoken[0].cancelled
    assert len(ears.pieces) == count == 1
    # It is no failure of the vendor's.
    assert world.breakers.of("voice").failures == 0


async def test_two_sentences_at_once_both_go_on_with_the_next_voice(world: World) -> None:
    world.voice.then(Speaking(die=0.0), Speaking(die=0.0))
    first, second = Ears(), Ears()
    async with world.speaking() as voice, anyio.create_task_group() as group:
        group.start_soon(voice.speak, TEXT, first)
        group.start_soon(voice.speak, "Anything else?", second)
    assert first.sound == sound_of(TEXT)
    assert second.sound == sound_of("Anything else?")


def test_the_one_that_failed_is_asked_last() -> None:
    assert order(3, None) == [0, 1, 2]
    assert order(3, 0) == [1, 2, 0]
    assert order(1, 0) == [0]


def test_markup_is_said_again_as_a_whole() -> None:
    assert remainder("<speak>Hello there.</speak>", 1.0) == "<speak>Hello there.</speak>"


@given(st.text("ab ,.", max_size=200), st.floats(0, 60))
def test_the_remainder_ends_the_text_and_begins_with_a_word(text: str, seconds: float) -> None:
    left = remainder(text, seconds)
    assert text.endswith(left)
    said = text[: len(text) - len(left)]
    assert not left or not said or said.endswith(" ")
    assert len(said) <= seconds * 12 + 1 or not left


@given(st.lists(st.integers(1, 4000), max_size=60), st.floats(0, 20))
def test_a_replay_holds_what_is_not_settled_and_no_more_than_it_may(sizes: list[int], until: float) -> None:
    replay = Replay(8000)
    for size in sizes:
        replay.fed(bytes(size))
    assert len(replay.audio) <= 6 * 8000
    start, end = replay.start, replay.start + len(replay.audio) / 8000
    replay.settled(until)
    assert replay.start + len(replay.audio) / 8000 == pytest.approx(end)
    # Nothing that is not settled is lost, and of what is settled less than a piece is kept.
    if until == 0:
        assert replay.audio == b""
    elif until < end:
        assert start <= replay.start <= max(start, until + 1e-3)
        assert replay.start > until - max(sizes, default=0) / 8000 - 1e-3 or replay.start == start
