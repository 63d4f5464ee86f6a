"""The two sides of a call as they stand: what the caller is saying, and the turn in which we speak."""

from dataclasses import dataclass, field

from hookflash.speech import endpoint
from hookflash.speech.events import Measured, TurnJudged, Words
from hookflash.speech.phrases import Phrases

# Fewer words tell nothing yet, unless they are numbers.
LEAST_WORDS = 3


@dataclass(slots=True)
class Listening:
    """What the caller has said since our last turn. `voice` is when the voice that sounds now began, `ended` when it last
    ceased, `final_at` when the last final words came; `looked` is what was searched for already; `held`: the end was put off
    in this pause because a voice seemed to begin; `tells_early`: the transcriber gives words while they are spoken;
    `judged` is how sure a model is, from the sound before this pause, that they have finished.
    """

    finals: list[str] = field(default_factory=list)
    interim: str = ""
    looked: str = ""
    language: str | None = None
    vendor_over: bool = False
    voice: float | None = None
    ended: float | None = None
    final_at: float | None = None
    held: bool = False
    tells_early: bool = False
    judged: float | None = None

    @property
    def said(self) -> str:
        return " ".join(filter(None, (*self.finals, self.interim))).strip()

    def hear(self, words: Words, now: float) -> str | None:
        """Take in words of the transcriber; all so far when they are stable, new and tell something."""
        before = self.interim
        if words.final:
            if words.text.strip():
                self.finals.append(words.text.strip())
            self.interim = ""
            self.final_at = now
        else:
            self.interim = words.text.strip()
            self.tells_early = self.tells_early or bool(self.interim)
        self.language = words.language or self.language
        self.vendor_over = words.end_of_turn
        if words.end_of_turn and self.ended is None:
            self.ended = now
        # Of words that may still change those count that have come twice.
        stays = words.final or (bool(before) and self.interim.startswith(before))
        stable = " ".join(filter(None, (*self.finals, "" if words.final else before)))
        telling = len(stable.split()) >= LEAST_WORDS or any(map(str.isdecimal, stable))
        if not stays or stable == self.looked or not telling:
            return None
        self.looked = stable
        return stable

    def cease(self, at: float) -> None:
        """Their voice has ceased."""
        self.voice, self.ended, self.final_at, self.held, self.judged = None, at, None, False, None

    def judge(self, judged: TurnJudged) -> None:
        """What a model makes of the sound; of an older pause it tells nothing."""
        if judged.at == self.ended:
            self.judged = judged.finished

    def pause(self, patience: float) -> float:
        """Seconds of silence after which the turn is ours."""
        return endpoint.pause(self.said, patience=patience, vendor_says_over=self.vendor_over, judged=self.judged)

    def hold(self) -> bool:
        """Whether the end may be put off: once in a pause, so that a crackling line does not hold the answer up."""
        held, self.held = self.held, True
        return not held

    def forget(self) -> None:
        """The words have become a turn, or meant nothing."""
        self.finals, self.interim, self.looked, self.vendor_over = [], "", "", False


@dataclass(slots=True)
class SpokenTurn:
    """A turn that is being thought about or spoken. `own`: ours alone (greeting, reprompt), said to nobody's question.

    `ended` is when the voice ceased that it answers, `final_at` when the last final words of that came.
    """

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
    ended: float | None = None
    final_at: float | None = None

    @property
    def whole(self) -> str:
        return " ".join(t for n, t in enumerate(self.texts) if n not in self.asides)

    def measured(self) -> Measured:
        """What it took, from the end of the voice that it answers: one over our answer has an end of its own."""
        end = self.began if self.ended is None else self.ended
        times = (self.final_at, self.began, self.first_text, self.first_sound, self.first_played)
        return Measured(self.number, *(None if at is None else round(at - end, 4) for at in times))
