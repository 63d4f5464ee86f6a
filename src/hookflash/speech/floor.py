"""The two sides of a call as they stand: what the caller is saying, and the turn in which we speak."""

from dataclasses import dataclass, field

from hookflash.speech.events import Words
from hookflash.speech.phrases import Phrases


@dataclass(slots=True)
class Listening:
    """What the caller has said since our last turn. `voice` is when the voice that sounds now began, `ended` when it last
    ceased, `final_at` when the last final words came; `looked` is what was searched for already.
    """

    finals: list[str] = field(default_factory=list)
    interim: str = ""
    looked: str = ""
    language: str | None = None
    vendor_over: bool = False
    voice: float | None = None
    ended: float | None = None
    final_at: float | None = None

    @property
    def said(self) -> str:
        return " ".join(filter(None, (*self.finals, self.interim))).strip()

    def hear(self, words: Words, now: float) -> str | None:
        """Take in words of the transcriber; the words so far when they are stable and new enough to be searched for."""
        stable: str | None = None
        if words.final:
            if words.text.strip():
                self.finals.append(words.text.strip())
            self.interim = ""
            self.final_at = now
        else:
            if self.interim and words.text.startswith(self.interim) and self.said != self.looked:
                self.looked = self.said
                stable = self.looked if len(self.looked.split()) >= 3 else None
            self.interim = words.text.strip()
        self.language = words.language or self.language
        self.vendor_over = words.end_of_turn
        if words.end_of_turn and self.ended is None:
            self.ended = now
        return stable

    def forget(self) -> None:
        """The words have become a turn, or meant nothing."""
        self.finals, self.interim, self.looked, self.vendor_over = [], "", "", False


@dataclass(slots=True)
class SpokenTurn:
    """A turn that is being thought about or spoken. `own`: ours alone (greeting, reprompt), said to nobody's question."""

    number: int
    said: str
    confirmed: bool
    own: bool = False
    phrases: Phrases = field(default_factory=Phrases)
    texts: list[str] = field(default_factory=list)
    asides: set[int] = field(default_factory=set)
    asked: int = 0
    head: int = 0
    waiting: dict[int, bytearray] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    over: bool = False
    spoken: bool = False
    began: float = 0.0
    first_text: float | None = None
    first_sound: float | None = None
    first_played: float | None = None

    @property
    def whole(self) -> str:
        return " ".join(t for n, t in enumerate(self.texts) if n not in self.asides)
