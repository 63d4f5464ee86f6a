"""A call in virtual time: a scripted caller, model, voice and Twilio around one CallMachine, without any I/O."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from hookflash.speech.call import CallMachine, CallRules
from hookflash.speech.events import (
    BeginTurn,
    CallEffect,
    CallEvent,
    CancelSpeech,
    CancelTurn,
    ChangeLanguage,
    ClearAudio,
    Finalize,
    HangUp,
    Heard,
    HungUp,
    LookUp,
    Marked,
    Measured,
    Play,
    Pressed,
    ReplyText,
    SetMark,
    Sound,
    SpeechEnded,
    SpeechStarted,
    Synthesize,
    Tick,
    Transfer,
    TurnOver,
    WakeAt,
    Words,
)
from hookflash.speech.playback import BYTES_PER_SECOND
from hookflash.speech.tongue import Tongue

CHARACTERS_PER_SECOND = 15.0


@dataclass(slots=True)
class ScriptedCall:
    """Says what it is told, when it is told, and writes down everything that comes of it.

    `answer` gives the text for what was said; `first_text` and `first_sound` are the vendors' delays in seconds.
    """

    answer: Callable[[str], str] = lambda said: f"You said {said}."
    rules: CallRules = field(default_factory=CallRules)
    tongue: Tongue | None = None
    rules_in: Mapping[str, CallRules] = field(default_factory=dict)
    first_text: float = 0.3
    first_sound: float = 0.1
    lose_marks: bool = False
    obey_cancel: bool = True
    now: float = 0.0
    log: list[tuple[float, CallEffect]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    _queue: list[tuple[float, int, CallEvent]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _cancelled: set[int] = field(default_factory=set)
    _playing: list[tuple[float, str]] = field(default_factory=list)
    _until: float = 0.0
    _wake: float | None = None
    ended: str | None = None
    machine: CallMachine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = CallMachine(self.rules, self.tongue, self.rules_in)
        self._do(self.machine.start(0.0))

    # What the caller does

    def at(self, when: float, event: CallEvent) -> None:
        """Let an event happen at this time."""
        heapq.heappush(self._queue, (when, next(self._order), event))

    def says(self, start: float, end: float, words: str, *, final_after: float = 0.15, sure: bool = True) -> None:
        """Speech from `start` to `end`, whose words come as an interim on the way and finally after its end."""
        self.at(start + 0.1, SpeechStarted(start, sure))
        half = words.split()
        if len(half) > 3:
            self.at(start + (end - start) * 0.6, Words(" ".join(half[: len(half) // 2]), final=False))
        self.at(end + 0.1, SpeechEnded(end))
        if words:
            self.at(end + final_after, Words(words, final=True))

    def presses(self, when: float, digits: str) -> None:
        for n, digit in enumerate(digits):
            self.at(when + n * 0.3, Pressed(digit))

    def hangs_up(self, when: float) -> None:
        self.at(when, HungUp())

    def run(self, until: float) -> "ScriptedCall":
        """Let time pass."""
        while True:
            due = [self._queue[0][0]] if self._queue else []
            due += [self._wake] if self._wake is not None else []
            due += [self._playing[0][0]] if self._playing else []
            if not due or min(due) > until:
                break
            self.now = max(self.now, min(due))
            if self._playing and self._playing[0][0] <= self.now:
                _, name = self._playing.pop(0)
                self._do(self.machine.receive(Marked(name), self.now))
            elif self._queue and self._queue[0][0] <= self.now:
                self._do(self.machine.receive(heapq.heappop(self._queue)[2], self.now))
            else:
                self._wake = None
                self._do(self.machine.receive(Tick(), self.now))
        self.now = until
        return self

    # What the world does with the effects

    def _do(self, effects: list[CallEffect]) -> None:
        for effect in effects:
            self.log.append((round(self.now, 3), effect))
            match effect:
                case BeginTurn(turn=turn, said=said):
                    self._think(turn, said)
                case CancelTurn(turn=turn) | CancelSpeech(turn=turn):
                    if self.obey_cancel:
                        self._cancelled.add(turn)
                        self._queue = [e for e in self._queue if getattr(e[2], "turn", None) != turn]
                        heapq.heapify(self._queue)
                case Synthesize():
                    self._speak(effect)
                case Play(audio=audio):
                    self._until = max(self._until, self.now) + len(audio) / BYTES_PER_SECOND
                case SetMark(name=name):
                    if not self.lose_marks:
                        self._playing.append((max(self._until, self.now), name))
                case ClearAudio():
                    # Twilio gives back every outstanding mark at once, as if it had been played.
                    self._playing = [(self.now, name) for _, name in self._playing]
                    self._until = self.now
                case WakeAt(at=at):
                    self._wake = at
                case Heard():
                    self.heard.append(effect)
                case Measured():
                    self.measured.append(effect)
                case HangUp(why=why):
                    self.ended = why
                case Transfer(target=target):
                    self.ended = f"to {target}"
                case Finalize() | LookUp() | ChangeLanguage():
                    pass

    def _think(self, turn: int, said: str) -> None:
        text = self.answer(said)
        words = text.split(" ")
        for n, word in enumerate(words):
            piece = word if n == len(words) - 1 else f"{word} "
            self.at(self.now + self.first_text + 0.02 * n, ReplyText(turn, piece))
        self.at(self.now + self.first_text + 0.02 * len(words), TurnOver(turn))

    def _speak(self, asked: Synthesize) -> None:
        length = int(len(asked.text) / CHARACTERS_PER_SECOND * BYTES_PER_SECOND)
        at = self.now + self.first_sound
        self.at(at, Sound(asked.turn, asked.utterance, bytes(length // 2)))
        self.at(at + 0.05, Sound(asked.turn, asked.utterance, bytes(length - length // 2), last=True))

    # What can be asked afterwards

    def times(self, kind: type[CallEffect]) -> list[float]:
        """When effects of this kind happened."""
        return [at for at, effect in self.log if isinstance(effect, kind)]

    def turns(self) -> list[str]:
        """What turns were begun with."""
        return [effect.said for _, effect in self.log if isinstance(effect, BeginTurn)]
