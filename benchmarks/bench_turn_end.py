"""Measures whether a pause in mid-sentence is taken for the end of a turn, and how long a caller waits after real ends.

    python benchmarks/bench_turn_end.py [--pause 0.6] [--splits 3] [--smart-turn]

Every utterance gets a pause at a word boundary drawn by lot, never between sentences. What is heard is real sound with real
voice activity (silero at 8 kHz); the call is the real machine in virtual time. The transcriber tells each word 0.25 s
after it was spoken and final ones 0.15 s after it was asked, in one of three manners: `plain` without any marks, `marked` as
the sentence is written, `adverse` with a full stop behind whatever it is asked for, also in mid-sentence. The model's first word
takes 50 ms, its sound none. A turn is cut when the assistant begins to speak, or a turn is settled, before the utterance
ends; `response` is the time from the last sample of speech to the first sound of the answer.

The reference ends a turn after a fixed silence by the same voice activity: `same_wait` at the wait that gives it our p50,
`same_cuts` with the shortest wait that cuts no more than one turn in twenty. The word lists were made by looking at
the other half than `held_out`. With `--smart-turn` that model judges each pause from the sound, 60 ms after it was noticed.
Needs espeak-ng.
"""

import argparse
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from utterances import (
    Utterance,
    chance,
    held_out,
    line_sound,
    make_scorer,
    questions,
    read_speech,
    report,
    spoken,
    voice_of,
)

from hookflash.providers.smart_turn import SmartTurn, package_model
from hookflash.speech.audio import SAMPLE_RATE, Floats
from hookflash.speech.call import CallRules
from hookflash.speech.events import Play
from hookflash.testing.call import ScriptedCall
from hookflash.testing.heard_call import HeardCall, SpokenWord, scores

LEAD, TAIL = 1.0, 4.0
CUTS_ALLOWED, RESPONSE_MS = 0.05, 700.0
# One word, which the model gives at once: it is no part of what is measured how fast it writes a sentence.
ANSWER = "Certainly."
Manner = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Case:
    """One utterance with one pause in it. `ends`: the second at which the last word ends."""

    name: str
    source: str
    text: str
    held_out: bool
    sound: bytes
    words: tuple[SpokenWord, ...]
    ends: float


@dataclass(slots=True)
class Told:
    """What came of cases. `waits` are the silences that a fixed wait would have had to outlast in mid-turn, one a case."""

    cut: list[str] = field(default_factory=list)
    responses: list[float] = field(default_factory=list)
    unanswered: int = 0
    cases: int = 0
    waits: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)


def shifted(words: Sequence[SpokenWord], by: float) -> list[SpokenWord]:
    return [replace(word, start=word.start + by, end=word.end + by) for word in words]


def boundaries(words: Sequence[str]) -> list[int]:
    """Where a pause would be in mid-sentence: before these words."""
    return [n for n in range(1, len(words)) if not words[n - 1].endswith((".", "?", "!"))]


def faded(sound: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Without a click at its ends."""
    slope = np.minimum(1.0, np.arange(len(sound)) / 40)
    return sound.astype(float) * slope * slope[::-1]


def case(source: str, text: str, first: Utterance, second: Utterance, pause: float) -> Case:
    begins = LEAD + first.seconds + pause
    ends = begins + second.seconds
    noise = 60.0 if chance("noise", text).random() < 0.5 else 0.0
    sound = line_sound([(LEAD, faded(first.sound)), (begins, faded(second.sound))], ends + TAIL, noise, text)
    words = (*shifted(first.words, LEAD), *shifted(second.words, begins))
    return Case(f"{first.text} | {second.text}", source, text, held_out(text), sound, tuple(words), ends)


def spliced(utterance: Utterance, at: int) -> tuple[Utterance, Utterance]:
    """A recording in two, between two words."""
    words = utterance.words
    second = (words[at - 1].end + words[at].start) / 2
    place = int(second * SAMPLE_RATE)
    return (
        Utterance(utterance.sound[:place], words[:at]),
        Utterance(utterance.sound[place:], tuple(shifted(words[at:], -second))),
    )


def draws(text: str, places: list[int], splits: int) -> list[int]:
    return sorted(chance("split", text).permutation(places)[:splits].tolist())


def cases(pause: float, splits: int) -> list[Case]:
    found = []
    for utterance in read_speech():
        found += [
            case("read", utterance.text, *spliced(utterance, at), pause)
            for at in draws(utterance.text, boundaries(utterance.text.split()), splits)
        ]
    for text in questions():
        voice, pace = voice_of(text)
        words = text.split()
        for at in draws(text, boundaries(words), splits):
            first, second = (spoken(" ".join(part), voice, pace) for part in (words[:at], words[at:]))
            found.append(case("espeak-ng", text, first, second, pause))
    return found


# The transcriber's manners


def plain(words: Sequence[str]) -> str:
    return " ".join(word.strip(string.punctuation + "¿¡") for word in words).lower()


def adverse(words: Sequence[str]) -> str:
    text = plain(words)
    return f"{text}." if text else ""


def marked(last: str) -> Manner:
    """As it is written; a sentence that was written without a mark gets one."""

    def written(words: Sequence[str]) -> str:
        text = " ".join(words)
        if words and words[-1] == last and not last.endswith((".", "?", "!")):
            asks = re.match(r"(what|when|where|who|why|how|which|can|do|does|is|are|will|would)\b", text, re.IGNORECASE)
            text += "?" if asks else "."
        return text

    return written


Model = Callable[[bytes], float]


def judged(
    one: Case, probabilities: Floats, manner: str, told: Told, rules: CallRules, model: Model | None = None
) -> None:
    written: Manner = {"plain": plain, "adverse": adverse}.get(manner) or marked(one.words[-1].text)
    call = ScriptedCall(answer=lambda said: ANSWER, rules=rules, first_text=0.05, first_sound=0.0)
    heard = HeardCall(call, probabilities, one.words, written=written)
    if model is not None:
        heard.finished = lambda at: model(one.sound[: int(at * SAMPLE_RATE)])
    heard.run()
    told.cases += 1
    answered = call.times(Play)
    if (answered and answered[0] < one.ends) or len(call.heard) > 1:
        told.cut.append(one.name)
    elif answered:
        told.responses.append(answered[0] - one.ends)
    else:
        told.unanswered += 1
    # A fixed wait is tried out on the same ends and starts of voice.
    silences = [
        min((start for start in heard.starts if start > end), default=one.ends) - end
        for end in heard.ends
        if end < one.ends - 0.3
    ]
    told.waits.append(max(silences, default=0.0) + 0.076)
    told.tails.append(heard.ends[-1] - one.ends if heard.ends else 0.0)


def fixed(told: Told) -> dict[str, Any]:
    """A fixed silence in our place."""
    tail, waits = float(np.median(told.tails)), np.array(told.waits)
    same = float(np.median(told.responses)) - tail
    needed = float(np.quantile(waits, 1 - CUTS_ALLOWED, method="higher"))
    return {
        "same_wait": {"wait_ms": round(same * 1000), "cut_share": round(float((waits > same).mean()), 3)},
        "same_cuts": {"wait_ms": round(needed * 1000), "response_p50_ms": round((needed + tail) * 1000)},
    }


def figures(told: Told) -> dict[str, Any]:
    p50, p90 = np.percentile(np.array(told.responses) * 1000, [50, 90])
    reference = fixed(told)
    share = len(told.cut) / told.cases
    return {
        "turns": told.cases,
        "cut": len(told.cut),
        "cut_share": round(share, 3),
        "unanswered": told.unanswered,
        "response_p50_ms": round(float(p50)),
        "response_p90_ms": round(float(p90)),
        "fixed_silence": reference,
        "cut_ratio_to_fixed_at_same_wait": round(share / max(reference["same_wait"]["cut_share"], 1e-9), 3),
        "holds": share <= CUTS_ALLOWED and float(p50) <= RESPONSE_MS and told.unanswered == 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pause", type=float, default=0.6)
    parser.add_argument("--splits", type=int, default=3, help="pauses that are tried of each utterance, one at a time")
    parser.add_argument("--show", action="store_true", help="name the turns of the tuned half that were cut")
    parser.add_argument("--smart-turn", action="store_true", help="have smart-turn judge each pause from the sound")
    given = parser.parse_args()
    model = lru_cache(None)(SmartTurn(package_model()).score) if given.smart_turn else None
    every = cases(given.pause, given.splits)
    heard = scores([one.sound for one in every], make_scorer())
    rules = CallRules(reprompt_after=60.0)
    result: dict[str, Any] = {
        "pause_seconds": given.pause,
        "smart_turn": given.smart_turn,
        "utterances": len({one.text for one in every}),
    }
    for manner in ("plain", "marked", "adverse"):
        groups: dict[str, Told] = {}
        for one, probabilities in zip(every, heard, strict=True):
            for group in ("all", "held_out" if one.held_out else "tuned", one.source):
                judged(one, probabilities, manner, groups.setdefault(group, Told()), rules, model)
        result[manner] = {group: figures(told) for group, told in sorted(groups.items())}
        if given.show:
            result[manner]["cut"] = groups["tuned"].cut
    report("turn_end", result)


if __name__ == "__main__":
    main()
