"""One call as a machine: events in, effects out. It does no I/O and owns no clock; `now` is an argument."""

from collections.abc import Mapping

from hookflash.speech import endpoint
from hookflash.speech.bargein import SETTLE_SECONDS, WORDLESS_SECONDS, is_backchannel, is_echo, is_interruption
from hookflash.speech.events import (
    BeginTurn,
    CallEffect,
    CallEvent,
    CancelSpeech,
    CancelTurn,
    ChangeLanguage,
    ClearAudio,
    EndCall,
    Finalize,
    HangUp,
    Heard,
    HungUp,
    LookUp,
    Marked,
    Play,
    Pressed,
    ReplyText,
    SetMark,
    Sound,
    SpeechEnded,
    SpeechPerhaps,
    SpeechStarted,
    Synthesize,
    Tick,
    Transfer,
    TransferTo,
    TurnJudged,
    TurnOver,
    WakeAt,
    Words,
)
from hookflash.speech.floor import Listening, SpokenTurn
from hookflash.speech.playback import BYTES_PER_SECOND, Playback
from hookflash.speech.rules import CallRules as CallRules
from hookflash.speech.tongue import Tongue

PREFETCH = 2
DIGITS_PAUSE, DIGITS_MOST = 2.0, 64
NEVER = float("inf")
# A fifth of a second.
FIRST = BYTES_PER_SECOND // 5


class CallMachine:
    """Turns, playback, interruptions and silences of one call.

    With a `tongue` the call may change its language; `rules_in` are its rules in each, by the tongue's tags.
    """

    def __init__(
        self, rules: CallRules, tongue: Tongue | None = None, rules_in: Mapping[str, CallRules] | None = None
    ) -> None:
        self._rules = rules
        self._tongue = tongue
        self._rules_in = rules_in or {}
        self._out: list[CallEffect] = []
        self._turns = 0
        self._turn: SpokenTurn | None = None
        self._playback = Playback()
        self._ear = Listening()
        self._paused: list[tuple[int, bytes]] | None = None
        self._heard_at_pause = ""
        self._digits = ""
        self._reprompted = 0
        self._then: EndCall | TransferTo | None = None
        self._closed = False
        self._asked_wake = NEVER
        self._endpoint_at = NEVER
        self._settle_at = NEVER
        self._filler_at = NEVER
        self._reprompt_at = NEVER
        self._digits_at = NEVER
        self._max_at = NEVER

    @property
    def speaking(self) -> bool:
        """Whether the caller hears us, as far as we know."""
        return self._turn is not None and self._turn.spoken and self._paused is None

    def start(self, now: float) -> list[CallEffect]:
        """The call is connected."""
        self._max_at = now + self._rules.max_seconds
        self._reprompt_at = now + self._rules.reprompt_after
        if self._rules.greeting:
            self._say_own(self._rules.greeting, now)
        return self._effects(now)

    def receive(self, event: CallEvent, now: float) -> list[CallEffect]:
        """What follows from an event. After the end of the call nothing does."""
        if self._closed:
            return []
        match event:
            case SpeechStarted(at=at, sure=sure):
                self._voice_begins(at, sure, now)
            case SpeechPerhaps():
                if self._endpoint_at < NEVER and self._ear.hold():
                    self._endpoint_at = max(self._endpoint_at, now + endpoint.HOLD)
            case SpeechEnded(at=at):
                self._voice_ends(at, now)
            case TurnJudged():
                self._ear.judge(event)
                self._weigh(now)
            case Words():
                self._words(event, now)
            case ReplyText(turn=turn, text=text, last=last):
                if self._turn is not None and turn == self._turn.number:
                    self._reply(self._turn, text, last, now)
            case TurnOver(turn=turn, failed=failed):
                if self._turn is not None and turn == self._turn.number:
                    self._over(self._turn, failed, now)
            case Sound():
                if self._turn is not None and event.turn == self._turn.number:
                    self._sound(self._turn, event, now)
            case Marked(name=name):
                self._marked(name, now)
            case Pressed(digit=digit):
                self._pressed(digit, now)
            case Tick():
                pass
            case HungUp():
                self._hung_up(now)
            case TransferTo() | EndCall():
                self._then = event
                self._finish_if_said(now)
        self._deadlines(now)
        return self._effects(now)

    # The caller's side

    def _voice_begins(self, at: float, sure: bool, now: float) -> None:
        if self._ear.voice is None:
            self._ear.voice = at
        self._endpoint_at = NEVER
        self._reprompt_at = NEVER
        turn = self._turn
        if turn is None:
            return
        if not turn.confirmed:
            self._drop(turn)
        elif turn.spoken and sure and self._rules.interruptible and self._paused is None and not self._all_played(now):
            self._pause(now)

    def _voice_ends(self, at: float, now: float) -> None:
        self._ear.cease(at)
        self._out.append(Finalize())
        if self._paused is not None:
            self._settle_at = now + SETTLE_SECONDS
        self._weigh(now)

    def _words(self, words: Words, now: float) -> None:
        turn = self._turn
        if turn is not None and turn.spoken and is_echo(words.text, turn.whole, more=not words.final):
            return
        stable = self._ear.hear(words, now)
        if turn is not None and turn.confirmed:
            self._words_while_busy(turn, now)
        self._weigh(now)
        if stable is not None and (self._turn is None or self._turn.said != stable):
            # What is being thought about already needs no looking up ahead.
            self._out.append(LookUp(stable, words.final))

    def _words_while_busy(self, turn: SpokenTurn, now: float) -> None:
        said = self._ear.said
        if not is_interruption(said, more=bool(self._ear.interim)):
            if self._paused is not None and self._ear.voice is None and is_backchannel(said):
                self._ear.forget()
                self._go_on(now)
            return
        if turn.spoken:
            if self._rules.interruptible and not self._all_played(now):
                if self._paused is None:
                    self._pause(now)
                self._interrupt(turn)
        elif not turn.own:
            # Nothing was played yet: they go on with what they were saying.
            self._ear.finals.insert(0, turn.said)
            self._drop(turn)

    def _weigh(self, now: float) -> None:
        """When is the caller's turn over?"""
        said = self._ear.said
        if self._ear.voice is not None or self._ear.ended is None or not said or self._paused is not None:
            self._endpoint_at = NEVER
            return
        turn = self._turn
        if turn is not None and turn.confirmed:
            # Ours is not over: what they said waits until it is, unless it was an interruption.
            self._endpoint_at = NEVER
            return
        self._endpoint_at = self._ear.ended + self._ear.pause(self._rules.patience)
        if turn is not None and turn.said != said:
            self._drop(turn)
            turn = None
        if turn is None and self._rules.early and not self._ear.interim and endpoint.is_complete(said):
            self._begin(said, now, confirmed=False)

    def _confirm(self, now: float) -> None:
        """The pause was long enough: it is our turn."""
        said = self._ear.said
        self._endpoint_at = NEVER
        if not said:
            return
        self._ear.forget()
        if self._turn is not None and self._turn.said == said:
            self._turn.confirmed = True
            self._turn.ended, self._turn.final_at = self._ear.ended, self._ear.final_at
        else:
            self._begin(said, now, confirmed=True)
        self._reprompted = 0
        if self._rules.filler:
            self._filler_at = now + self._rules.filler_after
        if self._turn is not None:
            self._flush(self._turn, now)

    def _begin(self, said: str, now: float, *, confirmed: bool) -> None:
        self._turns += 1
        self._playback.forget()
        self._turn = SpokenTurn(
            self._turns, said, confirmed, began=now, ended=self._ear.ended, final_at=self._ear.final_at
        )
        self._out.append(BeginTurn(self._turns, said, early=not confirmed, language=self._language_of(said)))

    def _language_of(self, said: str) -> str | None:
        """The language in which this is answered; the call goes over to it."""
        if self._tongue is None:
            return self._ear.language
        if self._tongue.hear(said, self._ear.language):
            self._rules = self._rules_in.get(self._tongue.current, self._rules)
            self._out.append(ChangeLanguage(self._tongue.current))
        return self._tongue.current

    def _drop(self, turn: SpokenTurn) -> None:
        """A turn of which nothing was heard is as if it had never been, with what should have followed it."""
        self._out += [CancelTurn(turn.number), CancelSpeech(turn.number)]
        self._turn = self._then = None
        self._filler_at = NEVER

    def _pressed(self, digit: str, now: float) -> None:
        turn = self._turn
        if turn is not None and turn.spoken and self._rules.interruptible and not self._all_played(now):
            self._pause(now)
            self._interrupt(turn)
        elif turn is not None and not turn.spoken and not turn.own:
            self._drop(turn)
        self._reprompt_at = NEVER
        if digit == "#":
            self._digits_at = now
        else:
            self._digits = (self._digits + digit)[:DIGITS_MOST]
            self._digits_at = now + DIGITS_PAUSE

    # Our side

    def _say_own(self, text: str, now: float) -> None:
        self._turns += 1
        self._playback.forget()
        self._turn = SpokenTurn(self._turns, "", confirmed=True, own=True, began=now)
        self._reply(self._turn, text, True, now)
        self._turn.over = True

    def _reply(self, turn: SpokenTurn, text: str, last: bool, now: float) -> None:
        if turn.first_text is None and text.strip():
            turn.first_text = now
            self._filler_at = NEVER
        for phrase in turn.phrases.push(text, last=last):
            self._phrase(turn, phrase)
        self._ask(turn)

    def _phrase(self, turn: SpokenTurn, text: str, *, aside: bool = False) -> None:
        number = len(turn.texts)
        turn.texts.append(text)
        if aside:
            turn.asides.add(number)
        turn.waiting[number] = bytearray()
        self._playback.begin(number, "" if aside else text)

    def _ask(self, turn: SpokenTurn) -> None:
        """Have the next phrases made into sound, a few ahead of the one that plays."""
        while turn.asked < len(turn.texts) and turn.asked < turn.head + PREFETCH:
            self._out.append(Synthesize(turn.number, turn.asked, turn.texts[turn.asked]))
            turn.asked += 1

    def _over(self, turn: SpokenTurn, failed: bool, now: float) -> None:
        for phrase in turn.phrases.push("", last=True):
            self._phrase(turn, phrase)
        if failed and not turn.texts and self._rules.failed:
            self._phrase(turn, self._rules.failed, aside=True)
        turn.over = True
        self._filler_at = NEVER
        self._ask(turn)
        self._finish_if_said(now)

    def _sound(self, turn: SpokenTurn, sound: Sound, now: float) -> None:
        if sound.utterance not in turn.waiting:
            return
        turn.waiting[sound.utterance] += sound.audio
        if sound.last or sound.failed:
            turn.done.add(sound.utterance)
        self._flush(turn, now)

    def _flush(self, turn: SpokenTurn, now: float) -> None:
        """Send what may be sent, in order: audio leaves as soon as it exists."""
        if not turn.confirmed or self._paused is not None:
            return
        while turn.head in turn.waiting:
            audio = bytes(turn.waiting[turn.head])
            turn.waiting[turn.head].clear()
            if audio:
                self._playback.sent(turn.head, audio, now)
                if not turn.spoken:
                    turn.spoken = True
                    turn.first_sound = now
                    # Its mark stands near the beginning: who interrupts soon has heard that much.
                    first, audio = audio[:FIRST], audio[FIRST:]
                    self._out += [Play(first), SetMark(f"{self._playback.generation}.first.{len(first)}")]
                if audio:
                    self._out.append(Play(audio))
            if turn.head not in turn.done:
                break
            self._out.append(SetMark(self._playback.complete(turn.head)))
            del turn.waiting[turn.head]
            turn.head += 1
            self._ask(turn)
        self._finish_if_said(now)

    def _marked(self, name: str, now: float) -> None:
        turn = self._turn
        parts = name.split(".")
        if len(parts) == 3 and parts[1] == "first" and parts[2].isdecimal():
            if turn is not None and parts[0] == str(self._playback.generation) and turn.first_played is None:
                turn.first_played = now - int(parts[2]) / BYTES_PER_SECOND
            return
        self._playback.marked(name, now)
        self._finish_if_said(now)

    def _all_played(self, now: float) -> bool:
        turn = self._turn
        return turn is None or (
            turn.over and turn.head == len(turn.texts) and self._playback.all_played(now) and self._paused is None
        )

    def _finish_if_said(self, now: float) -> None:
        turn = self._turn
        if turn is not None and turn.confirmed and self._all_played(now):
            self._settle(turn, now, interrupted=False)
            turn = self._turn
            if is_backchannel(self._ear.said):
                self._ear.forget()
            self._weigh(now)
        if turn is None and self._then is not None:
            then, self._then = self._then, None
            self._closed = True
            self._out.append(Transfer(then.target) if isinstance(then, TransferTo) else HangUp(then.why))

    def _settle(self, turn: SpokenTurn, now: float, *, interrupted: bool) -> None:
        """The turn is history: what of it was heard is its record."""
        heard = self._heard_at_pause if interrupted else self._playback.heard(now)
        if not interrupted and turn.over and self._all_played(now):
            heard = turn.whole
        if not turn.own:
            self._out.append(Heard(turn.number, turn.said, heard, turn.whole, interrupted))
            self._out.append(turn.measured())
        self._turn = None
        self._playback.forget()
        self._filler_at = NEVER
        self._reprompt_at = now + self._rules.reprompt_after

    # Interruptions

    def _pause(self, now: float) -> None:
        """A voice over ours: be silent at once; whether it is an interruption shows soon."""
        self._heard_at_pause = self._playback.heard(now)
        self._paused = self._playback.take_back(now)
        self._out.append(ClearAudio())
        self._settle_at = NEVER

    def _interrupt(self, turn: SpokenTurn) -> None:
        """They want the floor: what was not heard was not said."""
        self._out += [CancelTurn(turn.number), CancelSpeech(turn.number)]
        self._paused = None
        self._settle_at = NEVER
        self._settle(turn, turn.began, interrupted=True)
        self._reprompt_at = NEVER

    def _go_on(self, now: float) -> None:
        """A false alarm: go on where we stopped."""
        turn, paused = self._turn, self._paused or []
        self._paused = None
        self._settle_at = NEVER
        if turn is None:
            return
        for number, audio in paused:
            self._out.append(Play(audio))
            self._playback.resume(number, audio, now)
            if number < turn.head:
                self._out.append(SetMark(self._playback.complete(number)))
        self._flush(turn, now)

    def _hung_up(self, now: float) -> None:
        turn = self._turn
        if turn is not None:
            self._out += [CancelTurn(turn.number), CancelSpeech(turn.number)]
            if turn.confirmed:
                done = self._all_played(now)
                if self._paused is None:
                    self._heard_at_pause = self._playback.heard(now)
                self._settle(turn, now, interrupted=not done)
        self._closed = True

    # Time

    def _deadlines(self, now: float) -> None:
        if self._closed:
            return
        if now >= self._max_at:
            self._max_at = NEVER
            self._say_goodbye("the call is at its longest", now)
        if now >= self._settle_at:
            self._settle_at = NEVER
            if self._turn is not None and self._ear.said and not is_backchannel(self._ear.said):
                self._interrupt(self._turn)
                self._weigh(now)
            else:
                self._ear.forget()
                self._go_on(now)
        wordless = self._ear.voice is not None and not self._ear.said and now >= self._ear.voice + WORDLESS_SECONDS
        if self._paused is not None and self._turn is not None and wordless:
            # A transcriber that tells words as they come would have told some; one that does not is not waited for.
            if self._ear.tells_early:
                self._go_on(now)
            else:
                self._interrupt(self._turn)
        if now >= self._digits_at:
            said, self._digits, self._digits_at = self._digits, "", NEVER
            if said:
                self._ear.forget()
                self._ear.ended = self._ear.final_at = now
                self._begin(said, now, confirmed=True)
        if now >= self._endpoint_at:
            self._confirm(now)
        if now >= self._filler_at:
            self._filler_at = NEVER
            turn = self._turn
            if turn is not None and turn.confirmed and not turn.texts and not turn.over:
                self._phrase(turn, self._rules.filler, aside=True)
                self._ask(turn)
        if now >= self._reprompt_at:
            self._reprompt_at = NEVER
            if self._turn is None and self._ear.voice is None:
                self._silence(now)
        self._finish_if_said(now)

    def _silence(self, now: float) -> None:
        self._reprompted += 1
        if self._reprompted > self._rules.reprompts:
            self._say_goodbye("the caller is silent", now)
        elif self._rules.reprompt:
            self._say_own(self._rules.reprompt, now)
        else:
            self._reprompt_at = now + self._rules.reprompt_after

    def _say_goodbye(self, why: str, now: float) -> None:
        turn = self._turn
        if turn is not None:
            self._out += [CancelTurn(turn.number), CancelSpeech(turn.number)]
            if turn.spoken and self._paused is None:
                self._pause(now)
            self._paused = None
            self._settle(turn, now, interrupted=True)
        self._then = EndCall(why)
        if self._rules.goodbye:
            self._say_own(self._rules.goodbye, now)

    def _effects(self, now: float) -> list[CallEffect]:
        wake = self._next_wake()
        if wake != self._asked_wake and not self._closed:
            self._asked_wake = wake
            if wake < NEVER:
                self._out.append(WakeAt(max(wake, now)))
        out, self._out = self._out, []
        return out

    def _next_wake(self) -> float:
        times = [self._endpoint_at, self._settle_at, self._filler_at, self._reprompt_at, self._digits_at, self._max_at]
        if self._turn is not None and self._turn.over and self._turn.spoken and self._paused is None:
            times.append(self._playback.until + 2.05)
        if self._paused is not None and self._ear.voice is not None:
            times.append(self._ear.voice + WORDLESS_SECONDS)
        return min(times)
