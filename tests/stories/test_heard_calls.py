"""Calls by ear: recorded voices with pauses in them, and sounds over our own voice, judged by real voice activity.

The recordings are those of the benchmarks (benchmarks/data/read_speech.jsonl names their sources and licences).
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hookflash.providers.silero import Silero, package_model
from hookflash.speech.audio import decoded, encoded
from hookflash.speech.call import CallRules
from hookflash.speech.events import BeginTurn, ClearAudio, Play
from hookflash.speech.gate import Gate
from hookflash.speech.vad import GatedScorer
from hookflash.testing.call import ScriptedCall
from hookflash.testing.heard_call import HeardCall, SpokenWord, scores

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
LONG = (
    "Our store is open from ten to eight on weekdays. On Sundays we open at eleven. There is more to say about that. "
    * 3
)
RULES = CallRules(reprompt_after=600.0)

Sound = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Recording:
    sound: Sound
    words: tuple[SpokenWord, ...]

    def from_second(self, at: float) -> tuple[SpokenWord, ...]:
        return tuple(SpokenWord(w.text, w.start + at, w.end + at) for w in self.words)


@cache
def recording(begins: str) -> Recording:
    for line in (DATA / "read_speech.jsonl").read_text().splitlines():
        row = json.loads(line)
        words = tuple(SpokenWord(text.strip(".,?").lower(), start, end) for text, start, end in row["words"])
        if " ".join(word.text for word in words).startswith(begins):
            with (DATA / "read_speech.ulaw").open("rb") as file:
                file.seek(row["at"])
                return Recording(decoded(file.read(row["bytes"])), words)
    raise LookupError(begins)


def quiet(seconds: float) -> Sound:
    return np.zeros(int(seconds * 8000), np.int16)


def heard_by(call: ScriptedCall, words: tuple[SpokenWord, ...], *sounds: Sound) -> ScriptedCall:
    scorer = GatedScorer(Silero(package_model()), gate=Gate())
    (probabilities,) = scores([encoded(np.concatenate(sounds))], scorer)
    return HeardCall(call, probabilities, words).run()


@pytest.mark.parametrize(
    ("begins", "before"),
    [
        ("how old is", "brooklyn"),
        ("ask what you can", "your"),
        ("let's go with", "the"),
        ("would you like to ship", "it"),
        ("hi i'd like to buy", "a"),
        ("certainly which color", "would"),
    ],
)
def test_a_pause_of_six_tenths_in_mid_sentence_is_waited_out(begins: str, before: str) -> None:
    one = recording(begins)
    place = next(n for n, word in enumerate(one.words) if word.text == before)
    cut = (one.words[place - 1].end + one.words[place].start) / 2
    first, second = one.sound[: int(cut * 8000)], one.sound[int(cut * 8000) :]
    words = (*one.from_second(1.0)[:place], *one.from_second(1.6)[place:])
    call = ScriptedCall(answer=lambda said: "Certainly.", rules=RULES, first_text=0.05, first_sound=0.0)
    heard_by(call, words, quiet(1.0), first, quiet(0.6), second, quiet(4.0))
    assert [heard.said for heard in call.heard] == [" ".join(word.text for word in one.words)]
    assert min(call.times(Play)) > 1.6 + len(one.sound) / 8000


def test_after_a_question_nobody_waits_long() -> None:
    one = recording("how old is")
    call = ScriptedCall(answer=lambda said: "Certainly.", rules=RULES, first_text=0.05, first_sound=0.0)
    heard_by(call, one.from_second(1.0), quiet(1.0), one.sound, quiet(3.0))
    answered, *_ = call.times(Play)
    assert answered < 1.0 + len(one.sound) / 8000 + 0.8


def answering() -> ScriptedCall:
    """A call in which a long answer begins after two seconds."""
    call = ScriptedCall(answer=lambda said: LONG, rules=RULES, first_text=0.05)
    call.says(0.5, 2.0, "tell me when you are open?")
    return call


def hiss(seconds: float) -> Sound:
    return (np.random.default_rng(1).standard_normal(int(seconds * 8000)) * 1500).astype(np.int16)


def chord(seconds: float) -> Sound:
    time = np.arange(int(seconds * 8000)) / 8000
    tones = np.sin(2 * np.pi * np.outer((262, 330, 392, 523), time))
    return np.asarray(tones.sum(axis=0) * 1500, np.int16)


@pytest.mark.parametrize("sound", [hiss(2.0), chord(3.0)], ids=["noise", "music"])
def test_what_nobody_says_does_not_stop_us(sound: Sound) -> None:
    call = heard_by(answering(), (), quiet(5.0), sound, quiet(3.0)).run(90)
    assert [(heard.heard, heard.interrupted) for heard in call.heard] == [(LONG.strip(), False)]


def test_a_voice_without_words_stops_us_for_a_moment_only() -> None:
    voice = recording("terrific").sound
    call = heard_by(answering(), (), quiet(5.0), voice, voice, quiet(3.0)).run(90)
    assert call.times(ClearAudio)
    assert [(heard.heard, heard.interrupted) for heard in call.heard] == [(LONG.strip(), False)]


def test_a_listener_is_not_an_interruption_and_an_objection_is() -> None:
    voice = recording("terrific")
    at = 5.0
    listens = (
        SpokenWord("okay", at, at + 0.4),
        SpokenWord("i", at + 0.4, at + 0.8),
        SpokenWord("understand", at + 0.8, at + 1.4),
    )
    call = heard_by(answering(), listens, quiet(at), voice.sound, quiet(3.0)).run(90)
    assert [(heard.heard, heard.interrupted) for heard in call.heard] == [(LONG.strip(), False)]
    call = heard_by(answering(), voice.from_second(at), quiet(at), voice.sound, quiet(3.0)).run(90)
    assert call.heard[0].interrupted
    assert 0 < len(call.heard[0].heard) < len(LONG)
    assert [e.said for _, e in call.log if isinstance(e, BeginTurn)][-1] == "terrific it's on the way"


def test_our_own_voice_comes_back_and_we_go_on() -> None:
    voice = recording("terrific")
    ours = (SpokenWord("Sundays", 5.0, 5.3), SpokenWord("we", 5.3, 5.45))
    call = heard_by(answering(), ours, quiet(5.0), voice.sound[: int(0.5 * 8000)] // 4, quiet(3.0)).run(90)
    assert [(heard.heard, heard.interrupted) for heard in call.heard] == [(LONG.strip(), False)]
