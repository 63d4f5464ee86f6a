"""What happens in a call, as values: events come in, effects go out. Times are seconds of the call's own clock."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller's voice has begun. `sure`: it passed the stricter test that counts while we speak."""

    at: float
    sure: bool = True


@dataclass(frozen=True, slots=True)
class SpeechPerhaps:
    """The caller's voice may be beginning: what follows will tell."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller's voice has ceased, `at` being its end."""

    at: float


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """How sure a model is (0..1), from the sound, that the caller whose voice ceased `at` has finished."""

    at: float
    finished: float


@dataclass(frozen=True, slots=True)
class Words:
    """Words from the transcriber. `final`: this part will not change; `end_of_turn`: the vendor holds the turn for over."""

    text: str
    final: bool
    end_of_turn: bool = False
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyText:
    """Words of the answer to a turn; `last` ends it."""

    turn: int
    text: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The thinking of a turn has ended: nothing more comes. `failed` when it broke."""

    turn: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio (mu-law) of an utterance that we asked for; `last` ends it. `failed`: the voice broke off."""

    turn: int
    utterance: int
    audio: bytes
    last: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """Twilio has played everything up to this mark, or has thrown it away by a `clear`."""

    name: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key of the telephone."""

    digit: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the wake-up that was asked for."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over from the other side, or its socket is gone."""


@dataclass(frozen=True, slots=True)
class TransferTo:
    """The call goes to a person once what is being said has been said."""

    target: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call ends once what is being said has been said."""

    why: str


CallEvent = (
    SpeechStarted
    | SpeechPerhaps
    | SpeechEnded
    | TurnJudged
    | Words
    | ReplyText
    | TurnOver
    | Sound
    | Marked
    | Pressed
    | Tick
    | HungUp
    | TransferTo
    | EndCall
)


@dataclass(frozen=True, slots=True)
class BeginTurn:
    """Think about this. `early`: the caller may go on; then the turn is cancelled and nothing of it is kept."""

    turn: int
    said: str
    early: bool
    language: str | None = None


@dataclass(frozen=True, slots=True)
class CancelTurn:
    """Stop thinking about a turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """The words so far are stable: search for them already. `settled`: they are all that was said until now."""

    said: str
    settled: bool = False


@dataclass(frozen=True, slots=True)
class ChangeLanguage:
    """From now on the call is in this language (a BCP 47 tag): the voice, and ears that hear only one, follow."""

    language: str


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Turn this sentence into sound."""

    turn: int
    utterance: int
    text: str


@dataclass(frozen=True, slots=True)
class CancelSpeech:
    """Stop all synthesis of a turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class Play:
    """Send audio to the caller."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class SetMark:
    """Ask to be told when everything sent so far has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Take back what has not been played yet."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Ask the transcriber for the final words of what it has heard."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A turn is settled: what the caller said, and what of our answer was really heard.

    `whole` is what was to be said. `interrupted` when the caller cut it off.
    """

    turn: int
    said: str
    heard: str
    whole: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """The times of a turn, each in seconds after the end of speech, None where it did not come to that."""

    turn: int
    final_words: float | None
    begun: float | None
    first_text: float | None
    first_sound: float | None
    first_played: float | None


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send a Tick at this time (the earliest one asked for counts; a later WakeAt replaces it)."""

    at: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    why: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the call to a person."""

    target: str


CallEffect = (
    BeginTurn
    | CancelTurn
    | LookUp
    | ChangeLanguage
    | Synthesize
    | CancelSpeech
    | Play
    | SetMark
    | ClearAudio
    | Finalize
    | Heard
    | Measured
    | WakeAt
    | HangUp
    | Transfer
)
