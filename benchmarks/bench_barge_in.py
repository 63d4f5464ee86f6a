"""Measures who stops the assistant while it speaks: real interruptions must, coughs, noise, music and listeners' sounds must not.

    python benchmarks/bench_barge_in.py

A long answer is being spoken. Five seconds into the call something sounds on the caller's line, judged by real voice
activity (silero at 8 kHz) and the real machine in virtual time. The transcriber tells each word 0.25 s after it was spoken
(each fifth call: only when it is asked, as some vendors do) and gives nothing where there are no words; each fifth
listener's sound it does not understand. An answer is `stopped` when it is not said to its end, or something else is begun
to be answered; that is right for an interruption, and wrong for all else. `paused` counts those that were silent for a
moment and went on where they stopped.

The reference stops at every voice that silero hears for 128 ms while we speak. Speech is espeak-ng's and recordings',
throats and singing (in no words) are espeak-ng's, coughs, noise and music are made here. Needs espeak-ng.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from utterances import (
    VOICES,
    Utterance,
    chance,
    held_out,
    line_sound,
    make_scorer,
    questions,
    read_speech,
    report,
    spoken,
)

from hookflash.speech.audio import SAMPLE_RATE, Floats
from hookflash.speech.call import CallRules
from hookflash.speech.events import BeginTurn, ClearAudio
from hookflash.testing.call import ScriptedCall
from hookflash.testing.heard_call import HeardCall, SpokenWord, scores

Sound = NDArray[np.float64]

FALSE_ALLOWED, MISSED_ALLOWED = 0.05, 0.02
AT, TAIL = 5.0, 3.0
# Seconds of our own voice that come back until we have noticed, and fallen silent.
ECHO = 0.6
LEVELS = (700.0, 2_000.0, 6_000.0)
ANSWER = " ".join(
    f"Our store number {number} is open from ten to eight on weekdays, and on Sundays it opens at eleven."
    for number in ("one", "two", "three", "four", "five", "six")
)
LISTENING = (
    "uh huh", "mm hmm", "okay", "ok", "yeah", "yes", "right", "I see", "sure", "ah", "oh", "hmm", "got it", "good", "great",
    "yeah yeah", "okay okay", "oh I see", "yes right", "mm", "all right", "okay good", "ah okay", "sure sure", "yep", "alright",
    "fair enough", "that's right", "interesting", "wonderful", "absolutely", "good to know", "sounds good", "i know",
    "uh huh okay", "cool", "of course", "yeah sure", "oh okay", "perfect", "exactly", "I understand", "fine", "okay yeah right",
)  # fmt: skip
THROATS = (
    "ahem",
    "hem hem",
    "ha ha ha",
    "achoo",
    "hahaha",
    "brr",
    "pff",
    "aahh",
    "ooh",
    "huh huh huh",
    "ugh",
    "tsk tsk",
)
SUNG = "la la la la la la la la"
INTERRUPTING = (
    "stop", "wait", "no", "hold on", "wait a second", "no no no", "excuse me", "sorry what was that", "stop please",
    "no I meant the other one", "actually I have another question", "can I ask something", "how much is it",
    "I want to talk to a person", "that's not what I asked", "hang on", "what", "pardon", "okay but what about sundays",
    "yes but how much is it", "can you repeat that", "never mind", "thank you bye", "help", "slow down please",
    "one moment please", "are you a robot", "speak louder please", "let me stop you there", "hello",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """Something that sounds while we speak. `only_asked`: the transcriber tells nothing on the way."""

    kind: str
    name: str
    sound: Sound
    words: tuple[SpokenWord, ...] = ()
    only_asked: bool = False

    @property
    def held_out(self) -> bool:
        return held_out(f"{self.kind} {self.name}")


# Sounds that nobody speaks


def seconds(length: float) -> Sound:
    return np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE


def filtered(draw: np.random.Generator, length: float, low: float, high: float) -> Sound:
    """Noise between two frequencies, of power 1."""
    count = int(length * SAMPLE_RATE)
    spectrum = np.fft.rfft(draw.standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / (noise.std() + 1e-9), np.float64)


def cough(draw: np.random.Generator) -> Sound:
    """One to three bursts: air breaking out, then the throat, then breath."""
    bursts = []
    for _ in range(int(draw.integers(1, 4))):
        length = draw.uniform(0.18, 0.38)
        time = seconds(length)
        centre = draw.uniform(450, 1_100)
        air = filtered(draw, length, 200, 3_600) * np.exp(-time / 0.04)
        throat = filtered(draw, length, centre * 0.6, centre * 1.7) * np.exp(-time / draw.uniform(0.06, 0.13))
        pitch = draw.uniform(90, 220) * (1 - 0.3 * time / length)
        voice = sum(np.sin(2 * np.pi * np.cumsum(pitch * k) / SAMPLE_RATE) / k for k in range(1, 9))
        voiced = np.asarray(voice) * np.clip((time - 0.05) / 0.05, 0, 1) * np.exp(-time / 0.1) * draw.uniform(0, 0.7)
        bursts += [air * 1.2 + throat + voiced, np.zeros(int(draw.uniform(0.05, 0.25) * SAMPLE_RATE))]
    return np.concatenate(bursts)


def noise(draw: np.random.Generator) -> tuple[str, Sound]:
    """Of a street, a room, a desk."""
    kind = ("hiss", "rumble", "gusts", "knocks", "clicks", "siren", "hum")[int(draw.integers(7))]
    length = draw.uniform(0.6, 4.0)
    time = seconds(length)
    match kind:
        case "hiss":
            sound = filtered(draw, length, 100, 3_900)
        case "rumble":
            sound = filtered(draw, length, 40, 400) * (1 + 0.5 * np.sin(2 * np.pi * draw.uniform(0.3, 2) * time))
        case "gusts":
            sound = filtered(draw, length, 80, 1_200) * np.abs(np.sin(2 * np.pi * draw.uniform(0.4, 3) * time))
        case "knocks" | "clicks":
            high = 900 if kind == "knocks" else 3_800
            sound = np.zeros(len(time))
            for at in np.cumsum(draw.uniform(0.09, 0.5, 20)):
                one = filtered(draw, 0.06, 80, high) * np.exp(-seconds(0.06) / 0.012)
                first = int(at * SAMPLE_RATE)
                sound[first : first + len(one)] += one[: max(0, len(sound) - first)]
        case "siren":
            swing = 700 + 400 * np.sin(2 * np.pi * draw.uniform(0.3, 1.5) * time)
            sound = np.sin(2 * np.pi * np.cumsum(swing) / SAMPLE_RATE)
        case _:
            sound = sum((np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 12)), np.zeros(len(time)))
    return kind, np.asarray(sound, np.float64)


def music(draw: np.random.Generator) -> Sound:
    """A tune over chords, with or without drums, by one of a few instruments."""
    beat, beats = draw.uniform(0.22, 0.5), int(draw.integers(6, 14))
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12]) + draw.integers(45, 62)
    partials = 1 / np.arange(1, 9) ** draw.uniform(0.8, 2.2)
    decay = draw.uniform(0.15, 2.0)
    vibrato = draw.uniform(0, 0.006)
    out = np.zeros(int((beats + 2) * beat * SAMPLE_RATE))

    def note(pitch: float, at: float, length: float, strength: float) -> None:
        time = seconds(length)
        swing = 1 + vibrato * np.sin(2 * np.pi * 5.5 * time)
        phase = 2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12) * swing) / SAMPLE_RATE
        tone = sum((p * np.sin(phase * k) for k, p in enumerate(partials, 1)), np.zeros(len(time)))
        envelope = np.minimum(1, time / 0.015) * np.exp(-time / decay) * np.minimum(1, (length - time) / 0.03)
        first = int(at * SAMPLE_RATE)
        out[first : first + len(time)] += strength * tone * envelope

    drums = draw.random() < 0.5
    for number in range(beats):
        note(float(draw.choice(scale)) + 12, number * beat, beat * draw.uniform(0.8, 1.6), 1.0)
        if number % 4 == 0:
            root = float(draw.choice(scale[:5]))
            for step in (0, 4, 7):
                note(root + step, number * beat, beat * 1.9, 0.6)
        if drums:
            hit = filtered(draw, 0.1, 60 if number % 2 else 1_500, 3_800) * np.exp(-seconds(0.1) / 0.025)
            first = int(number * beat * SAMPLE_RATE)
            out[first : first + len(hit)] += hit * 0.8
    return out


def levelled(sound: Sound, loud: float) -> Sound:
    return np.asarray(sound * (loud * 3 / (np.abs(sound).max() + 1e-9)), np.float64)


# The set


def said(kind: str, utterance: Utterance, name: str, number: int, loud: float) -> Case:
    words = tuple(replace(w, start=w.start + AT, end=w.end + AT) for w in utterance.words)
    sound = levelled(utterance.sound.astype(float), loud)
    return Case(kind, name, sound, words, only_asked=number % 5 == 4)


def cases() -> Iterator[Case]:
    for number in range(30):
        draw, loud = chance("sound", number), LEVELS[number % 3]
        yield Case("cough", f"cough {number}", levelled(cough(draw), loud))
        kind, sound = noise(draw)
        yield Case("noise", f"{kind} {number}", levelled(sound, loud))
        tune = music(draw)
        if number % 3 == 0:
            # Somebody sings to it, in no words.
            song = spoken(SUNG, f"{VOICES[number % len(VOICES)]}", int(draw.integers(90, 150))).sound
            tune = np.pad(tune / np.abs(tune).max() * 0.4, (0, max(0, len(song) - len(tune))))
            tune[: len(song)] += song / np.abs(song).max()
        yield Case("music", f"music {number}", levelled(tune, loud))
    for number, text in enumerate(THROATS):
        throat = spoken(text, VOICES[number % len(VOICES)], 150).sound.astype(float)
        yield Case("cough", text, levelled(throat, LEVELS[1 + number % 2]))
    for number, text in enumerate(LISTENING):
        draw = chance("listening", text)
        utterance = spoken(text, VOICES[number % len(VOICES)], int(draw.integers(140, 185)))
        one = said("backchannel", utterance, text, number, LEVELS[1 + number % 2])
        yield replace(one, words=()) if number % 5 == 2 else one
    for number, start in enumerate(range(0, 60, 6)):
        # Our own voice comes back, weak, with words that we say.
        words = " ".join(ANSWER.split()[start : start + 6])
        echo = spoken(words, VOICES[number % len(VOICES)], 170)
        # It ends soon after we fall silent.
        heard = Utterance(echo.sound[: int(ECHO * SAMPLE_RATE)], tuple(w for w in echo.words if w.end <= ECHO))
        yield said("echo", heard, words, number, LEVELS[0] / 2)
    for number, text in enumerate((*INTERRUPTING, *questions()[:40])):
        draw = chance("interrupting", text)
        utterance = spoken(text, VOICES[number % len(VOICES)], int(draw.integers(145, 190)))
        yield said("interruption", utterance, text, number, LEVELS[1 + number % 2])
    for number, utterance in enumerate(read_speech()):
        yield said("interruption", utterance, utterance.text, number, LEVELS[1 + number % 2])


@dataclass(slots=True)
class Told:
    """What came of the cases of one kind. `took`: seconds from the sound's beginning until we were silent."""

    cases: int = 0
    stopped: list[str] = field(default_factory=list)
    spoken_over: list[str] = field(default_factory=list)
    paused: int = 0
    took: list[float] = field(default_factory=list)


def judge(one: Case, probabilities: Floats, told: Told) -> None:
    call = ScriptedCall(answer=lambda asked: ANSWER, rules=CallRules(reprompt_after=600.0), first_text=0.05)
    call.says(0.5, 2.0, "when open?" if one.only_asked else "tell me when you are open?")
    after = 60.0 if one.only_asked else 0.25
    HeardCall(call, probabilities, one.words, interim_after=after, written=lambda w: " ".join(w).lower()).run()
    call.run(call.now + 90.0)
    told.cases += 1
    cleared = call.times(ClearAudio)
    heard = call.heard[0] if call.heard else None
    stopped = heard is None or heard.interrupted or len(call.times(BeginTurn)) > 1
    (told.stopped if stopped else told.spoken_over).append(one.name)
    told.paused += bool(cleared) and not stopped
    if cleared:
        told.took.append(cleared[0] - AT)


def voice_sounded(probabilities: Floats, before: int) -> bool:
    """The reference: whether four chunks in a row were speech."""
    run = 0
    for probability in probabilities[before:]:
        run = run + 1 if probability >= 0.5 else 0
        if run == 4:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--show", action="store_true", help="name those of the tuned half that were judged wrongly")
    given = parser.parse_args()
    every = list(cases())
    sounds = [
        line_sound([(AT, one.sound)], AT + len(one.sound) / SAMPLE_RATE + TAIL, 40.0 * (n % 2), one.name)
        for n, one in enumerate(every)
    ]
    heard = scores(sounds, make_scorer())
    told: dict[str, dict[str, Told]] = {half: defaultdict(Told) for half in ("all", "tuned", "held_out")}
    reference: dict[str, int] = defaultdict(int)
    for one, probabilities in zip(every, heard, strict=True):
        reference[one.kind] += voice_sounded(probabilities, int(AT / 0.032) - 1)
        for half in ("all", "held_out" if one.held_out else "tuned"):
            judge(one, probabilities, told[half][one.kind])
    result: dict[str, Any] = {}
    for half, kinds in told.items():
        false = [t for kind, t in kinds.items() if kind != "interruption"]
        real = kinds["interruption"]
        false_share = sum(len(t.stopped) for t in false) / sum(t.cases for t in false)
        missed_share = len(real.spoken_over) / real.cases
        result[half] = {
            "false": sum(t.cases for t in false),
            "false_share": round(false_share, 3),
            "real": real.cases,
            "missed_share": round(missed_share, 3),
            "silent_after_p50_ms": round(float(np.median(real.took)) * 1000),
            "kinds": {k: {"cases": t.cases, "stopped": len(t.stopped), "paused": t.paused} for k, t in kinds.items()},
            "holds": false_share <= FALSE_ALLOWED and missed_share <= MISSED_ALLOWED,
        }
    total = sum(n for kind, n in reference.items() if kind != "interruption") / result["all"]["false"]
    result["stop_at_every_voice"] = {
        "false_share": round(total, 3),
        "missed_share": round(1 - reference["interruption"] / result["all"]["real"], 3),
        "stopped": dict(reference),
    }
    result["false_ratio_to_it"] = round(result["all"]["false_share"] / max(total, 1e-9), 3)
    if given.show:
        result["wrong"] = {k: t.spoken_over if k == "interruption" else t.stopped for k, t in told["tuned"].items()}
    report("barge_in", result)


if __name__ == "__main__":
    main()
