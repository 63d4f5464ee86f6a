"""A call as it sounds, in virtual time: real voice activity over real audio, and words that come as they are spoken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hookflash.speech.audio import SILENCE, Floats
from hookflash.speech.events import Finalize, SpeechEnded, SpeechPerhaps, SpeechStarted, TurnJudged, Words
from hookflash.speech.hysteresis import CHUNK_SECONDS, Hysteresis, SpeechStart
from hookflash.speech.vad import CHUNK, GatedScorer
from hookflash.testing.call import ScriptedCall

# How long a chunk of sound waits to be scored, and a pause to be judged.
SCORED_AFTER = 0.012
JUDGED_AFTER = 0.06


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the caller's sound; seconds from its beginning."""

    text: str
    start: float
    end: float


def scores(sounds: Sequence[bytes], scorer: GatedScorer) -> list[Floats]:
    """The probability of speech in every chunk of each sound (mu-law), all of them heard at once."""
    longest = max(map(len, sounds))
    chunks = -(-longest // CHUNK)
    padded = [sound.ljust(chunks * CHUNK, bytes([SILENCE])) for sound in sounds]
    rows = np.arange(len(sounds))
    heard = [
        scorer.score(rows, rows if n == 0 else rows[:0], [sound[n * CHUNK : (n + 1) * CHUNK] for sound in padded])
        for n in range(chunks)
    ]
    table = np.stack(heard, axis=1)
    return [table[row, : -(-len(sound) // CHUNK)] for row, sound in enumerate(sounds)]


def _plain(words: Sequence[str]) -> str:
    return " ".join(words)


@dataclass(slots=True)
class HeardCall:
    """A scripted call that hears a caller: `probabilities` are those of the caller's sound, `words` the words in it.

    The transcriber tells each word `interim_after` seconds after it was spoken, and final ones `final_after` seconds after
    it was asked; `written` makes a text of the words of a part. `language` is what it takes them for. `finished` judges a
    pause from the sound: 0..1 for the second at which the chunk ends that tells of it.
    """

    call: ScriptedCall
    probabilities: Floats
    words: Sequence[SpokenWord]
    interim_after: float = 0.25
    final_after: float = 0.15
    written: Callable[[Sequence[str]], str] = _plain
    language: str | None = None
    finished: Callable[[float], float] | None = None
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    _settled: int = 0
    _shown: int = 0
    _read: int = 0

    def run(self) -> ScriptedCall:
        """To the end of the sound."""
        hysteresis = Hysteresis()
        for number, probability in enumerate(self.probabilities.tolist(), 1):
            now = number * CHUNK_SECONDS + SCORED_AFTER
            self._pass_time(now)
            found = hysteresis.push(probability, self.call.machine.speaking)
            if isinstance(found, SpeechStart):
                self.starts.append(found.at + SCORED_AFTER)
                self.call.at(now, SpeechStarted(found.at + SCORED_AFTER))
            elif found is None:
                if hysteresis.perhaps:
                    self.call.at(now, SpeechPerhaps())
            else:
                self.ends.append(found.at + SCORED_AFTER)
                self.call.at(now, SpeechEnded(found.at + SCORED_AFTER))
                if self.finished is not None:
                    at = number * CHUNK_SECONDS
                    self.call.at(now + JUDGED_AFTER, TurnJudged(found.at + SCORED_AFTER, self.finished(at)))
        self._pass_time(len(self.probabilities) * CHUNK_SECONDS + 1.0)
        return self.call

    def _pass_time(self, now: float) -> None:
        self.call.run(now)
        told = sum(word.end + self.interim_after <= now for word in self.words)
        if told > max(self._shown, self._settled):
            self._shown = told
            self._tell(now, self._settled, told, final=False)
        asked = [at for at, effect in self.call.log[self._read :] if isinstance(effect, Finalize)]
        self._read = len(self.call.log)
        for at in asked:
            spoken = max(self._settled, sum(word.end <= at for word in self.words))
            self._tell(max(at + self.final_after, now), self._settled, spoken, final=True)
            self._settled = spoken

    def _tell(self, at: float, first: int, last: int, *, final: bool) -> None:
        text = self.written([word.text for word in self.words[first:last]])
        self.call.at(at, Words(text, final=final, language=self.language))
