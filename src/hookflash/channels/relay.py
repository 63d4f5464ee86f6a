"""A call by ConversationRelay as a machine: Twilio hears and speaks, we decide whose turn it is and what was heard."""

from dataclasses import dataclass, field

from hookflash.speech.tongue import Tongue
from hookflash.twilio.relay import Digit, Failure, Interrupt, Prompt, RelayMessage, Setup, Unknown

MALFORMED_AT_MOST = 10
DIGITS_MOST = 64


@dataclass(frozen=True, slots=True)
class Open:
    """Admit the call by its token."""

    call_sid: str
    token: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key was pressed, the `count`th of the call; which one matters only when they are all there: see `keys_over`."""

    count: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Think about this."""

    turn: int
    said: str
    language: str | None


@dataclass(frozen=True, slots=True)
class ChangeLanguage:
    """Twilio's voice is to speak this language (a BCP 47 tag) from now on."""

    language: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop thinking about a turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class Send:
    """Words for the caller; `last` ends the utterance."""

    token: str
    last: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """A turn is history: what was said, what of the answer was heard."""

    turn: int
    said: str
    heard: str
    whole: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the socket."""

    why: str


RelayEffect = Open | Pressed | Begin | ChangeLanguage | Cancel | Send | Settled | Refuse


@dataclass(slots=True)
class _Turn:
    number: int
    said: str
    pieces: list[str] = field(default_factory=list)
    over: bool = False
    aside: str = ""

    @property
    def whole(self) -> str:
        return "".join(self.pieces).strip()


class RelayMachine:
    """No I/O, no clock. Words of a cancelled turn die at the door. With a `tongue` the call may change its language."""

    def __init__(self, tongue: Tongue | None = None) -> None:
        self._tongue = tongue
        self._turns = 0
        self._turn: _Turn | None = None
        self._said: list[str] = []
        self._digits = ""
        self._pressed = 0
        self._open = False
        self._malformed = 0

    def receive(self, message: RelayMessage) -> list[RelayEffect]:
        """What follows from a message of Twilio's."""
        match message:
            case Setup(call_sid=call_sid, parameters=parameters):
                if self._open:
                    return [Refuse("a second setup")]
                self._open = True
                return [Open(call_sid, parameters.get("token", ""), bool(parameters.get("again")))]
            case Unknown():
                self._malformed += 1
                return [Refuse("too many malformed messages")] if self._malformed >= MALFORMED_AT_MOST else []
            case _ if not self._open:
                return [Refuse("no setup")]
            case Prompt(text=text, language=language, last=last):
                self._malformed = 0
                return self._prompt(text, language, last=last)
            case Digit(digit=digit):
                return self._digit(digit)
            case Interrupt(spoken=spoken):
                return self._interrupt(spoken)
            case Failure():
                return []

    def _prompt(self, text: str, language: str | None, *, last: bool) -> list[RelayEffect]:
        if not last:
            self._said.append(text)
            return []
        said = "".join((*self._said, text)).strip()
        self._said = []
        return self._begin(said, language) if said else []

    def _digit(self, digit: str) -> list[RelayEffect]:
        self._pressed += 1
        if digit == "#":
            return self.keys_over(self._pressed)
        self._digits = (self._digits + digit)[:DIGITS_MOST]
        return [Pressed(self._pressed)]

    def keys_over(self, count: int) -> list[RelayEffect]:
        """No other key has followed the `count`th for a while: what was keyed is what the caller says."""
        if count != self._pressed:
            return []
        said, self._digits = self._digits, ""
        return self._begin(said, None) if said else []

    def _begin(self, said: str, language: str | None) -> list[RelayEffect]:
        out: list[RelayEffect] = []
        turn = self._turn
        if turn is not None and not turn.over and not turn.pieces:
            # Nothing was said yet: they go on with what they were saying.
            out.append(Cancel(turn.number))
            said = f"{turn.said} {said}"
            self._turn = None
        elif turn is not None:
            out += self._settle(turn, turn.whole, interrupted=not turn.over)
        self._turns += 1
        self._turn = _Turn(self._turns, said)
        if self._tongue is not None:
            if self._tongue.hear(said, language):
                out.append(ChangeLanguage(self._tongue.current))
            language = self._tongue.current
        return [*out, Begin(self._turns, said, language)]

    def _interrupt(self, spoken: str) -> list[RelayEffect]:
        turn = self._turn
        if turn is None or not turn.pieces:
            return []
        heard = " ".join(spoken.split()).removeprefix(turn.aside)
        return self._settle(turn, cut(turn.whole, heard), interrupted=True)

    def _settle(self, turn: _Turn, heard: str, *, interrupted: bool) -> list[RelayEffect]:
        self._turn = None
        out: list[RelayEffect] = [] if turn.over else [Cancel(turn.number)]
        return [*out, Settled(turn.number, turn.said, heard, turn.whole, interrupted)]

    def reply(self, turn: int, text: str, *, last: bool) -> list[RelayEffect]:
        """Words of the answer to a turn."""
        now = self._turn
        if now is None or now.number != turn or now.over:
            return []
        if text:
            now.pieces.append(text)
        now.over = last
        return [Send(text, last)] if text or last else []

    def fill(self, turn: int, words: str) -> list[RelayEffect]:
        """A word to who waits for the first of an answer; it is in no record."""
        now = self._turn
        if now is None or now.number != turn or now.pieces or now.over:
            return []
        now.aside = words
        return [Send(f"{words} ", last=False)]

    def said(self, turn: int) -> list[RelayEffect]:
        """So long after the last words of a turn that they must have been heard: it is history, unless it is already."""
        now = self._turn
        if now is None or now.number != turn or not now.over:
            return []
        return self._settle(now, now.whole, interrupted=False)

    def closed(self) -> list[RelayEffect]:
        """The socket is gone: what was begun is settled."""
        turn = self._turn
        if turn is None:
            return []
        return self._settle(turn, turn.whole if turn.over else "", interrupted=not turn.over)


def cut(whole: str, spoken: str) -> str:
    """What was heard of the whole when the voice was at `spoken` of its last piece."""
    words = " ".join(spoken.split())
    if not words:
        return ""
    at = " ".join(whole.split()).rfind(words)
    return " ".join(whole.split())[: at + len(words)] if at >= 0 else words
