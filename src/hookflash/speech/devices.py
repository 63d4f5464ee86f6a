"""What a call is made of: the line back to the caller, ears, a voice, whoever thinks, in one language or several."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hookflash.base.clock import Clock
from hookflash.speech.events import Heard, Measured
from hookflash.speech.rules import CallRules
from hookflash.speech.stt import Stt
from hookflash.speech.tongue import Detect
from hookflash.speech.tts import Tts

PHRASE_BYTES = 8_000_000


class Line(Protocol):
    """The way back to the caller. None of these waits."""

    def play(self, audio: bytes) -> None: ...
    def mark(self, name: str) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


Say = Callable[[str, bool], None]


class TurnModel(Protocol):
    """What hears from the sound whether a caller has finished."""

    async def finished(self, mulaw: bytes) -> float | None:
        """0..1 for sound (8 kHz) that ends where the voice has ceased; None when it has no time to tell."""
        ...


class Mind(Protocol):
    """Who thinks, and who keeps what was said."""

    async def think(self, turn: int, said: str, say: Say, language: str | None) -> None:
        """Give the answer to `say` piece by piece; raises HookflashError when it cannot."""
        ...

    async def look_up(self, said: str, settled: bool) -> None:
        """Words that will probably be asked for, `settled` when all is said for now; cancelled when the caller goes on."""
        ...

    async def keep(self, heard: Heard, measured: Measured | None) -> None: ...

    async def transfer(self, target: str) -> None: ...


class Phrases:
    """Sound of phrases that are said in many calls, by voice and words; bounded in bytes."""

    def __init__(self, most: int = PHRASE_BYTES) -> None:
        self._most = most
        self._held: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, voice: str, text: str) -> bytes | None:
        found = self._held.get((voice, text))
        if found is not None:
            self._held.move_to_end((voice, text))
        return found

    def put(self, voice: str, text: str, audio: bytes) -> None:
        self._held[voice, text] = audio
        while sum(map(len, self._held.values())) > self._most and len(self._held) > 1:
            self._held.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Devices:
    """What a call is made of; formats are mu-law at 8 kHz throughout.

    `others` are the languages that the caller may change to, by their tags; `detect` tells which words are in.
    `turn_model`: what helps to tell whether the caller has finished, where the words do not.
    """

    line: Line
    ears: Stt
    mouth: Tts
    mind: Mind
    clock: Clock
    rules: CallRules
    phrases: Phrases
    language: str | None = None
    hints: tuple[str, ...] = ()
    voice: str | None = None
    others: Mapping[str, "OtherLanguage"] = field(default_factory=dict)
    detect: Detect | None = None
    turn_model: TurnModel | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """All languages of the call, its first one first."""
        return (self.language or "en", *self.others)

    def voice_in(self, language: str | None) -> str | None:
        """Who speaks a language."""
        other = self.others.get(language or "")
        return other.voice if other is not None and other.voice else self.voice


@dataclass(frozen=True, slots=True)
class OtherLanguage:
    """How the call goes in another language: its phrases, and its voice where it has its own."""

    rules: CallRules
    voice: str | None = None
