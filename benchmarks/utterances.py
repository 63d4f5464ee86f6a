"""What callers say in the benchmarks: read speech and telephone calls of others, and questions spoken by espeak-ng."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hookflash.providers.silero import Silero, package_model
from hookflash.speech.audio import SAMPLE_RATE, Samples, decoded, encoded
from hookflash.speech.gate import Gate
from hookflash.speech.resample import Resampler
from hookflash.speech.vad import GatedScorer
from hookflash.speech.wav import read_wav
from hookflash.testing.heard_call import SpokenWord

DATA = Path(__file__).parent / "data"
VOICES = ("en-us", "en-gb", "en-us+f3", "en-gb-scotland", "en-gb-x-rp+f2", "en-us+m7", "en-gb+f4", "en-029")
# A voice's loudest sample, of 32768.
_LOUD = 9_000


@dataclass(frozen=True, slots=True)
class Utterance:
    """Sound with the times of its words; the sound begins and ends with them."""

    sound: Samples
    words: tuple[SpokenWord, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def seconds(self) -> float:
        return len(self.sound) / SAMPLE_RATE


def read_speech() -> Iterator[Utterance]:
    """Recordings of others; where each comes from is in data/read_speech.jsonl."""
    sound = (DATA / "read_speech.ulaw").read_bytes()
    for line in (DATA / "read_speech.jsonl").read_text().splitlines():
        row = json.loads(line)
        piece = decoded(sound[row["at"] : row["at"] + row["bytes"]])
        yield Utterance(piece, tuple(SpokenWord(text, start, end) for text, start, end in row["words"]))


def questions() -> list[str]:
    """What customers ask the sample shop, written for other purposes; those of one or two words left out."""
    lines = (DATA / "shop_questions.jsonl").read_text().splitlines()
    return [text for line in lines if len((text := json.loads(line)["query"]).split()) >= 3]


@cache
def spoken(text: str, voice: str, words_a_minute: int) -> Utterance:
    """By espeak-ng; it does not tell when each word sounds, so each gets the share that its letters have."""
    command = ["espeak-ng", "--stdout", "--stdin", "-v", voice, "-s", str(words_a_minute)]
    wav = read_wav(subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout)
    sound = trimmed(Resampler(wav.rate, SAMPLE_RATE).push(wav.mono()))
    parts = text.split()
    share = len(sound) / SAMPLE_RATE / sum(len(part) + 1 for part in parts)
    ends = np.cumsum([(len(part) + 1) * share for part in parts]).tolist()
    begins = [0.0, *ends[:-1]]
    return Utterance(sound, tuple(map(SpokenWord, parts, begins, ends)))


def trimmed(sound: Samples) -> Samples:
    """From the first to the last 20 ms that can be heard, as loud as all others."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(float)
    audible = np.nonzero(np.sqrt((frames**2).mean(1)) > np.abs(sound).max() * 0.02)[0]
    kept = sound[audible[0] * 160 : (audible[-1] + 1) * 160].astype(float)
    loud: Samples = (kept * (_LOUD / np.abs(kept).max())).astype(np.int16)
    return loud


def chance(*of: object) -> np.random.Generator:
    """Always the same for the same things."""
    return np.random.default_rng(int.from_bytes(sha256(repr(of).encode()).digest()[:8]))


def voice_of(text: str) -> tuple[str, int]:
    """Who asks this, and how fast."""
    draw = chance("voice", text)
    if text.startswith("¿"):
        return "es-419", 165
    return VOICES[int(draw.integers(len(VOICES)))], int(draw.integers(145, 190))


def held_out(text: str) -> bool:
    """Whether it belongs to the half that nothing was tuned on."""
    return sha256(text.encode()).digest()[0] % 2 == 1


def line_sound(pieces: Sequence[tuple[float, NDArray[np.float64]]], seconds: float, noise: float, seed: str) -> bytes:
    """A telephone line (mu-law) on which these pieces sound, each at its second; `noise` is its level of 32768."""
    total = np.zeros(int(seconds * SAMPLE_RATE))
    for at, piece in pieces:
        first = int(at * SAMPLE_RATE)
        piece = piece[: len(total) - first]
        total[first : first + len(piece)] += piece
    if noise:
        total += chance("line", seed).standard_normal(len(total)) * noise
    return encoded(np.clip(total, -32768, 32767).astype(np.int16))


def make_scorer() -> GatedScorer:
    """Voice activity as calls have it."""
    return GatedScorer(Silero(package_model()), gate=Gate())


def report(name: str, figures: Mapping[str, object]) -> None:
    """Print the result as JSON."""
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()}
    print(json.dumps({"benchmark": name, **figures, "machine": machine}, indent=2))
