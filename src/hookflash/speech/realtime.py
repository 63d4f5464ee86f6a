"""A call of speech to speech as a machine: the vendor hears and thinks, we decide what is heard and what it is told."""

from hookflash.speech.call import DIGITS_MOST, DIGITS_PAUSE, CallRules
from hookflash.speech.events import (
    ClearAudio,
    EndCall,
    HangUp,
    HungUp,
    Marked,
    Play,
    Pressed,
    SetMark,
    Tick,
    Transfer,
    TransferTo,
    WakeAt,
)
from hookflash.speech.exchange import LAST_WORDS, NEVER, WORDS, Exchange, Past
from hookflash.speech.played import GIVE_UP, Played
from hookflash.speech.realtime_events import (
    Over,
    RealtimeEffect,
    RealtimeEvent,
    Spent,
    Use,
    Used,
    VendorLost,
)
from hookflash.speech.replies import Replies
from hookflash.speech.run_call import FAILED
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
    StsEvent,
    Tell,
)

# A vendor that owes us something and says nothing for so long is asked again, then given up.
SILENCE = 8.0
# The call ends so long after it was to end, whatever is still being said; sooner when the vendor is gone.
ENDING, REMAINS = 15.0, 5.0


class RealtimeMachine:
    """No I/O, no clock. What a cancelled reply still brings dies at the door."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules
        self._out: list[RealtimeEffect] = []
        self._turns = 0
        self._turn: Exchange | None = None
        # Turns that are over, whose words or costs have not all come; and what was said meanwhile to one that goes on.
        self._past = Past()
        self._later: dict[str, str | None] = {}
        self._played = Played()
        self._replies = Replies()
        self._voice = False
        self._ceased: float | None = None
        self._digits = ""
        self._reprompted = 0
        self._idle = False
        self._then: EndCall | TransferTo | None = None
        self._gone = False
        self._lost = False
        self._closed = False
        self._asked_wake = NEVER
        self._then_at = self._owed_at = NEVER
        self._filler_at = self._reprompt_at = self._digits_at = self._max_at = NEVER

    def start(self, now: float) -> list[RealtimeEffect]:
        """The call is connected, and the vendor listens."""
        self._max_at = now + self._rules.max_seconds
        if self._rules.greeting:
            self._replies.want = SayThis(self._rules.greeting)
        self._deadlines(now)
        return self._effects(now)

    def receive(self, event: RealtimeEvent, now: float) -> list[RealtimeEffect]:
        """What follows from an event. After the end of the call nothing does."""
        if self._closed:
            return []
        match event:
            case CallerBegan():
                self._caller_begins(now)
            case CallerCeased(ago=ago):
                self._ceased = now - ago
            case CallerItem(item=item):
                self._item(item, now)
            case CallerWords():
                self._words(event, now)
            case ReplyBegan(reply=reply, own=own):
                self._reply_begins(reply, own, now)
            case ReplyAudio():
                self._sound(event, now)
            case ReplyWords():
                self._text(event, now)
            case FunctionAsked():
                self._function(event, now)
            case ReplyEnded():
                self._reply_ends(event, now)
            case NotNow():
                self._replies.refused(now)
            case Used():
                self._used(event, now)
            case Marked(name=name):
                self._marked(name, now)
            case Pressed(digit=digit):
                self._pressed(digit, now)
            case TransferTo() | EndCall():
                self._end_by(event, ENDING, now)
            case HungUp():
                self._hung_up(now)
            case VendorLost(why=why):
                self._vendor_lost(why, now)
            case Tick():
                pass
        self._owe(isinstance(event, StsEvent), now)
        self._deadlines(now)
        return self._effects(now)

    def close(self, now: float) -> list[RealtimeEffect]:
        """The call is over, whatever was still to come: what is known of it goes to the record."""
        if self._closed:
            return []
        self._hung_up(now)
        self._close(now)
        return self._effects(now)

    # The caller's side

    def _caller_begins(self, now: float) -> None:
        self._voice, self._ceased = True, None
        self._reprompt_at = NEVER
        if not self._rules.interruptible or self._gone:
            return
        self._replies.want = None
        self._interrupt(now)

    def _interrupt(self, now: float) -> None:
        """They want the floor: what was not heard was not said."""
        turn = self._turn
        started = not self._played.empty
        heard, whole = self._played.heard(now), self._played.text()
        self._replies.drop()
        if started and not self._played.all_played(now):
            self._out.append(ClearAudio())
        self._out += [Cut(item, heard_ms) for item, heard_ms in self._played.unheard(now)]
        # A turn of which nothing was heard yet goes on with what they say next.
        if turn is not None and started:
            self._over(turn, heard, whole, interrupted=True, now=now)
        elif turn is not None:
            turn.answered = turn.asked_again = False
        self._played.forget()
        self._filler_at = NEVER

    def _item(self, item: str, now: float) -> None:
        turn = self._turn
        self._voice = False
        if self._rules.interruptible and isinstance(self._replies.want, Answer):
            # The vendor answers to this by itself, and to what it was given meanwhile.
            self._replies.want = None
        if turn is not None and self._rules.interruptible:
            turn.items[item] = None
            turn.ended = self._ceased if self._ceased is not None else now
        elif not self._rules.interruptible and (turn is not None or not self._all_said(now)):
            self._later[item] = None
        else:
            self._begin({item: None}, now)
            if not self._rules.interruptible:
                self._replies.want = Answer()

    def _begin(self, items: dict[str, str | None], now: float) -> None:
        self._turns += 1
        self._played.forget()
        self._idle = False
        self._turn = Exchange(self._turns, items, self._ceased if self._ceased is not None else now)
        self._reprompt_at = NEVER

    def _words(self, event: CallerWords, now: float) -> None:
        turn = self._past.find(event.item)
        if turn is None and self._turn is not None and event.item in self._turn.items:
            turn = self._turn
        if turn is None:
            if event.item in self._later:
                self._later[event.item] = event.text
            return
        turn.items[event.item] = event.text
        turn.words = now
        if event.text.strip():
            self._reprompted = 0
        if event.micros:
            self._out.append(Spent(turn.number, event.micros, words=True))

    def _pressed(self, digit: str, now: float) -> None:
        if not self._rules.interruptible and not self._all_said(now):
            return
        if not self._played.empty and not self._played.all_played(now):
            self._cease()
            self._interrupt(now)
        self._reprompt_at = NEVER
        if digit == "#":
            self._digits_at = now
        else:
            self._digits = (self._digits + digit)[:DIGITS_MOST]
            self._digits_at = now + DIGITS_PAUSE

    def _keyed(self, now: float) -> None:
        said, self._digits, self._digits_at = self._digits, "", NEVER
        if not said:
            return
        self._cease()
        self._interrupt(now)
        if self._turn is None:
            self._ceased = None
            self._begin({}, now)
        if self._turn is not None:
            self._turn.items[f"keys {len(self._turn.items)}"] = said
            self._turn.words = now
        self._out.append(Tell(f"(The caller pressed these keys of the telephone: {said})"))
        self._replies.want = Answer()

    def _cease(self) -> None:
        if self._replies.wanted:
            self._out.append(Cease())

    # The vendor's side

    def _reply_begins(self, reply: str, own: bool, now: float) -> None:
        if self._gone or self._lost:
            return
        if not own and self._turn is None:
            self._begin({}, now)
        turn = None if own else self._turn
        self._replies.begins(reply, turn)
        self._idle = False
        if turn is not None:
            turn.replied(reply, now)

    def _sound(self, event: ReplyAudio, now: float) -> None:
        if not self._replies.alive(event.reply):
            return
        turn = self._replies.turn(event.reply)
        if turn is not None and turn.first_sound is None:
            turn.first_sound, turn.starts = now, self._played.position
        self._filler_at = NEVER
        self._out.append(Play(event.audio))
        self._mark(self._played.sent(event.item, event.audio, now))

    def _mark(self, name: str | None) -> None:
        if name is not None:
            self._out.append(SetMark(name))

    def _text(self, event: ReplyWords, now: float) -> None:
        # What is ours alone (greetings, fillers) is no part of the record.
        turn = self._replies.turn(event.reply)
        if turn is None or not self._replies.alive(event.reply):
            return
        turn.first_text = turn.first_text if turn.first_text is not None else now
        self._played.words(event.item, event.text)

    def _function(self, event: FunctionAsked, now: float) -> None:
        turn = self._replies.turn(event.reply) or self._turn
        if not self._replies.alive(event.reply) or turn is None:
            return
        turn.functions.add(event.call)
        if self._rules.filler:
            self._filler_at = now + self._rules.filler_after
        self._out.append(Use(turn.number, event.call, event.name, event.arguments))

    def _used(self, event: Used, now: float) -> None:
        if self._lost:
            return
        self._out.append(Give(event.call, event.output))
        if event.then is not None:
            self._end_by(event.then, ENDING, now)
        turn = self._turn
        if turn is None or event.call not in turn.functions:
            return
        turn.functions.discard(event.call)
        if not turn.functions and self._then is None:
            self._replies.want = Answer()
            self._filler_at = NEVER

    def _reply_ends(self, event: ReplyEnded, now: float) -> None:
        turn, heard = self._replies.ends(event.reply)
        if event.micros or event.input_tokens:
            number = turn.number if turn else 0
            self._out.append(Spent(number, event.micros, event.input_tokens, event.output_tokens))
        if turn is not None:
            turn.replies.discard(event.reply)
        if not heard:
            return
        self._played.whole()
        self._mark(self._played.mark())
        if event.failed is not None and turn is not None and turn is self._turn:
            turn.failures += 1
            self._replies.want = Answer()
            if turn.failures > 1:
                self._vendor_lost(f"{FAILED}the vendor reported an error ({event.failed}).", now)

    def _marked(self, name: str, now: float) -> None:
        position = self._played.marked(name, now)
        if position is not None and self._turn is not None:
            self._turn.heard_up_to(position, now)

    def _vendor_lost(self, why: str, now: float) -> None:
        """What was sent is heard to its end; then the call ends, or is joined anew."""
        self._lost = True
        self._replies.lost()
        self._mark(self._played.mark())
        if self._turn is not None:
            self._turn.give_up()
        self._past.hasten(now)
        if not isinstance(self._then, TransferTo):
            self._then = EndCall(why)
        self._then_at = min(self._then_at, now + REMAINS)

    # The end of what is said

    def _all_said(self, now: float) -> bool:
        """Whether nothing of ours is on its way to the caller."""
        return self._replies.idle and self._played.all_played(now)

    def _over(self, turn: Exchange, heard: str, whole: str, *, interrupted: bool, now: float) -> None:
        turn.heard, turn.whole, turn.interrupted = heard, whole, interrupted
        self._past.add(turn, 0.0 if self._lost else LAST_WORDS if self._gone else WORDS, now)
        self._turn = None
        self._filler_at = NEVER

    def _finish_if_said(self, now: float) -> None:
        turn = self._turn
        if not self._all_said(now) or self._replies.want is not None:
            return
        if turn is not None:
            if turn.functions or not turn.answered:
                return
            heard, whole = self._played.heard(now), self._played.text()
            self._over(turn, heard, whole, interrupted=self._lost and heard != whole, now=now)
        if not self._idle:
            self._idle = True
            self._played.forget()
            self._reprompt_at = now + self._rules.reprompt_after
        if self._later:
            items, self._later = self._later, {}
            self._begin(items, now)
            self._replies.want = Answer()
        elif self._then is not None and not self._past:
            self._conclude(now)

    def _end_by(self, event: EndCall | TransferTo, within: float, now: float) -> None:
        self._then = event
        self._then_at = now + within
        if isinstance(event, EndCall) and self._turn is not None and self._played.empty and self._rules.goodbye:
            self._replies.want = SayThis(self._rules.goodbye)

    def _conclude(self, now: float) -> None:
        then, self._then = self._then, None
        if self._turn is not None:
            heard, whole = self._played.heard(now), self._played.text()
            self._over(self._turn, heard, whole, interrupted=True, now=now)
        self._close(now)
        if isinstance(then, TransferTo):
            self._out.append(Transfer(then.target))
        elif then is not None:
            self._out.append(HangUp(then.why))

    def _hung_up(self, now: float) -> None:
        """The caller is gone; the words of what they said last may still come."""
        self._gone = True
        self._replies.drop()
        self._replies.want, self._then = None, None
        turn = self._turn
        if turn is not None:
            done = turn.answered and self._all_said(now)
            self._over(turn, self._played.heard(now), self._played.text(), interrupted=not done, now=now)
        self._past.hasten(now + LAST_WORDS)
        self._played.forget()

    def _close(self, now: float) -> None:
        self._past.hasten(now)
        self._out += self._past.settle(now)
        self._closed = True

    # Time

    def _owe(self, told: bool, now: float) -> None:
        """A vendor from which something must come has only so long."""
        turn = self._turn
        unanswered = turn is not None and not turn.answered and not self._voice
        owing = not self._replies.idle or unanswered
        if not owing or self._lost:
            self._owed_at = NEVER
        elif told or self._owed_at == NEVER:
            self._owed_at = now + SILENCE

    def _deadlines(self, now: float) -> None:
        if now >= self._owed_at:
            self._owed_at = now + SILENCE
            turn = self._turn
            if turn is not None and not turn.answered and not turn.asked_again and self._replies.asked is None:
                turn.asked_again = True
                self._replies.want = Answer()
            else:
                self._vendor_lost("", now)
        if now >= self._max_at:
            self._max_at = NEVER
            self._say_goodbye("the call is at its longest", now)
        if now >= self._digits_at:
            self._keyed(now)
        if now >= self._filler_at:
            self._filler_at = NEVER
            if self._turn is not None and self._turn.functions and self._replies.idle:
                self._replies.want = self._replies.want or SayThis(self._rules.filler)
        if now >= self._reprompt_at:
            self._reprompt_at = NEVER
            if self._turn is None and not self._voice and self._idle:
                self._silence(now)
        if self._gone:
            self._out += self._past.settle(now)
            if not self._past:
                self._closed = True
                self._out.append(Over())
            return
        self._pump(now)
        self._out += self._past.settle(now)
        self._finish_if_said(now)
        self._pump(now)
        self._out += self._past.settle(now)
        if self._then is not None and (
            now >= self._then_at or (self._idle and not self._past and not self._replies.want)
        ):
            self._conclude(now)

    def _pump(self, now: float) -> None:
        """Ask for what is to be said next, as soon as nothing else is."""
        order = None if self._voice or self._lost else self._replies.next(now)
        if order is not None:
            self._idle = False
            self._out.append(order)
            self._owed_at = now + SILENCE

    def _silence(self, now: float) -> None:
        self._reprompted += 1
        if self._reprompted > self._rules.reprompts:
            self._say_goodbye("the caller is silent", now)
        elif self._rules.reprompt:
            self._replies.want = SayThis(self._rules.reprompt)
        else:
            self._reprompt_at = now + self._rules.reprompt_after

    def _say_goodbye(self, why: str, now: float) -> None:
        self._cease()
        if self._turn is not None and self._played.empty:
            self._over(self._turn, "", "", interrupted=True, now=now)
        self._interrupt(now)
        self._end_by(EndCall(why), ENDING, now)
        self._voice = False
        if self._rules.goodbye:
            self._replies.want = SayThis(self._rules.goodbye)

    def _effects(self, now: float) -> list[RealtimeEffect]:
        if not self._closed:
            self._pump(now)
            wake = self._next_wake(now)
            if wake != self._asked_wake:
                self._asked_wake = wake
                if wake < NEVER:
                    self._out.append(WakeAt(wake))
        out, self._out = self._out, []
        return out

    def _next_wake(self, now: float) -> float:
        times = [
            self._then_at,
            self._owed_at,
            self._replies.retry_at,
            self._filler_at,
            self._reprompt_at,
            self._digits_at,
            self._max_at,
            self._past.due,
        ]
        if not self._idle and not self._played.empty and self._replies.active is None:
            times.append(self._played.until + GIVE_UP + 0.05)
        return min((at for at in times if at > now), default=NEVER)
