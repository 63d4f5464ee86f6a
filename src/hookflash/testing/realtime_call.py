"""A call of speech to speech in virtual time: a scripted caller, vendor and Twilio around one RealtimeMachine, without any I/O."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from hookflash.speech.call import CallRules
from hookflash.speech.events import (
    ClearAudio,
    EndCall,
    HangUp,
    Heard,
    HungUp,
    Marked,
    Measured,
    Play,
    Pressed,
    SetMark,
    Tick,
    Transfer,
    TransferTo,
    WakeAt,
)
from hookflash.speech.played import BYTES_PER_SECOND
from hookflash.speech.realtime import RealtimeMachine
from hookflash.speech.realtime_events import RealtimeEffect, RealtimeEvent, Spent, Use, Used, VendorLost
from hookflash.speech.sts import (
    Answer,
    CallerBegan,
    CallerCeased,
    CallerItem,
    CallerWords,
    Cease,
    Cut,
    FunctionAsked,
    Give,
    NotNow,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyWords,
    SayThis,
    Tell,
)

CHARACTERS_PER_SECOND = 15.0
# The vendor speaks faster than it sounds, in pieces of so many seconds.
PIECE, AHEAD = 0.2, 4.0


@dataclass(frozen=True, slots=True)
class Call:
    """In a reply: the vendor wants this function."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function gives, after how long, and what follows."""

    output: str = "ok"
    after: float = 0.2
    then: EndCall | TransferTo | None = None


Step = str | Call


@dataclass(slots=True)
class ScriptedRealtime:
    """Says what it is told, when it is told, and writes down everything that comes of it.

    `answer` gives the steps of the vendor's reply to what was said last, or to what a function gave. The next `failures`
    replies break; a `mute` vendor begins none; one that does not `obey` goes on when it is interrupted.
    """

    answer: Callable[[str], list[Step]] = lambda said: [f"You said {said}."]
    rules: CallRules = field(default_factory=CallRules)
    functions: dict[str, Outcome] = field(default_factory=dict)
    first_sound: float = 0.3
    words_after: float = 0.6
    lose_marks: bool = False
    obey: bool = True
    mute: bool = False
    failures: int = 0
    now: float = 0.0
    log: list[tuple[float, RealtimeEffect]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    ended: str | None = None
    machine: RealtimeMachine = field(init=False)
    _queue: list[tuple[float, int, RealtimeEvent]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _replies: set[str] = field(default_factory=set)
    _last: str = ""
    _playing: list[tuple[float, str]] = field(default_factory=list)
    _until: float = 0.0
    _wake: float | None = None

    def __post_init__(self) -> None:
        self.machine = RealtimeMachine(self.rules)
        self._do(self.machine.start(0.0))

    # What the caller does

    def at(self, when: float, event: RealtimeEvent) -> None:
        """Let an event happen at this time."""
        heapq.heappush(self._queue, (when, next(self._order), event))

    def says(self, start: float, end: float, words: str) -> None:
        """Speech from `start` to `end`, as the vendor tells of it."""
        item = f"item_{next(self._numbers)}"
        self.at(start + 0.1, CallerBegan())
        self.at(end + 0.2, CallerCeased(0.2))
        self.at(end + 0.2, CallerItem(item))
        self.at(end + 0.2 + self.words_after, CallerWords(item, words, micros=3))
        self._words[item] = words

    _words: dict[str, str] = field(default_factory=dict)

    def presses(self, when: float, digits: str) -> None:
        for n, digit in enumerate(digits):
            self.at(when + n * 0.3, Pressed(digit))

    def hangs_up(self, when: float) -> None:
        self.at(when, HungUp())

    def dies(self, when: float, why: str = "") -> None:
        """The vendor's socket breaks."""
        self.at(when, VendorLost(why))

    def run(self, until: float) -> "ScriptedRealtime":
        """Let time pass."""
        while True:
            due = [self._queue[0][0]] if self._queue else []
            due += [self._wake] if self._wake is not None else []
            due += [self._playing[0][0]] if self._playing else []
            if not due or min(due) > until:
                break
            self.now = max(self.now, min(due))
            if self._playing and self._playing[0][0] <= self.now:
                self._tell(Marked(self._playing.pop(0)[1]))
            elif self._queue and self._queue[0][0] <= self.now:
                self._happens(heapq.heappop(self._queue)[2])
            else:
                self._wake = None
                self._tell(Tick())
        self.now = until
        return self

    # What the vendor does

    def _happens(self, event: RealtimeEvent) -> None:
        match event:
            case CallerBegan():
                self._tell(event)
                if self.rules.interruptible:
                    self._cancel()
                return
            case CallerItem(item=item):
                self._last = self._words[item]
                self._tell(event)
                if self.rules.interruptible:
                    self._reply(self.answer(self._last))
                return
            case (
                ReplyAudio(reply=reply) | ReplyWords(reply=reply) | FunctionAsked(reply=reply) | ReplyBegan(reply=reply)
            ):
                if reply not in self._replies:
                    return
            case ReplyEnded(reply=reply):
                if reply not in self._replies:
                    return
                self._replies.discard(reply)
            case VendorLost():
                self._replies.clear()
                self.mute = True
            case _:
                pass
        self._tell(event)

    def _reply(self, steps: list[Step], *, own: bool = False) -> None:
        if self.mute:
            return
        reply = f"resp_{next(self._numbers)}"
        self._replies.add(reply)
        self._happens(ReplyBegan(reply, own))
        at = self.now + self.first_sound
        if self.failures:
            self.failures -= 1
            self.at(at, ReplyEnded(reply, failed="server_error"))
            return
        for step in steps:
            if isinstance(step, Call):
                self.at(at, FunctionAsked(reply, f"call_{next(self._numbers)}", step.name, step.arguments))
                continue
            item = f"item_{next(self._numbers)}"
            for word in step.split(" "):
                self.at(at, ReplyWords(reply, item, f"{word} "))
            left = int(len(step) / CHARACTERS_PER_SECOND * BYTES_PER_SECOND)
            while left > 0:
                size = min(left, int(PIECE * BYTES_PER_SECOND))
                self.at(at, ReplyAudio(reply, item, bytes(size)))
                at += size / BYTES_PER_SECOND / AHEAD
                left -= size
        self.at(at, ReplyEnded(reply, micros=100, input_tokens=50, output_tokens=20))

    def _cancel(self) -> None:
        """The reply under way ends; a vendor that does not obey still sends what it had."""
        for reply in sorted(self._replies):
            if not self.obey:
                continue
            self._replies.discard(reply)
            self._tell(ReplyEnded(reply, micros=40, input_tokens=50, output_tokens=5))

    # What the world does with the effects

    def _tell(self, event: RealtimeEvent) -> None:
        self._do(self.machine.receive(event, self.now))

    def _do(self, effects: list[RealtimeEffect]) -> None:
        for effect in effects:
            self.log.append((round(self.now, 3), effect))
            match effect:
                case SayThis() | Answer() if self._replies:
                    self.at(self.now + 0.02, NotNow())
                case SayThis(text=text):
                    self._reply([text], own=True)
                case Answer():
                    self._reply(self.answer(self._last))
                case Give(output=output):
                    self._last = output
                case Tell(text=text):
                    self._last = text
                case Cease():
                    self._cancel()
                case Use(call=call, name=name):
                    outcome = self.functions[name]
                    self.at(self.now + outcome.after, Used(call, outcome.output, outcome.then))
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
                case Spent():
                    self.spent.append(effect)
                case HangUp(why=why):
                    self.ended = why or "joined anew"
                case Transfer(target=target):
                    self.ended = f"to {target}"
                case Cut():
                    pass
                case _:
                    self.ended = self.ended or "over"

    # What can be asked afterwards

    def times(self, kind: type[RealtimeEffect]) -> list[float]:
        """When effects of this kind happened."""
        return [at for at, effect in self.log if isinstance(effect, kind)]

    def cuts(self) -> list[Cut]:
        """What the vendor was told of what was not heard."""
        return [effect for _, effect in self.log if isinstance(effect, Cut)]

    def own(self) -> list[str]:
        """What we had it say."""
        return [effect.text for _, effect in self.log if isinstance(effect, SayThis)]
