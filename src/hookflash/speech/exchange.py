"""The turns of a call of speech to speech: what is known of each, and those that wait for the words that were said in them."""

from dataclasses import dataclass, field

from hookflash.speech.events import Heard, Measured
from hookflash.speech.played import BYTES_PER_SECOND

# The words of what was said come after the answer to it; so long they are waited for, and shorter once the caller is gone.
WORDS, LAST_WORDS = 4.0, 2.0
NEVER = float("inf")


@dataclass(slots=True)
class Exchange:
    """A turn of the call: what the caller said, by item (None: its words have not come), and how the answer fares.

    Times are of the call's clock. `heard` and `whole` are set when it is over; `due` is when nobody waits for words any more.
    """

    number: int
    items: dict[str, str | None] = field(default_factory=dict)
    ended: float = 0.0
    replies: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    answered: bool = False
    asked_again: bool = False
    failures: int = 0
    heard: str = ""
    whole: str = ""
    interrupted: bool = False
    due: float = 0.0
    words: float | None = None
    begun: float | None = None
    first_text: float | None = None
    first_sound: float | None = None
    first_played: float | None = None
    # Where the first sound of the answer lies in what was sent.
    starts: int = 0

    @property
    def said(self) -> str:
        return " ".join(filter(None, (words.strip() for words in self.items.values() if words)))

    @property
    def settled(self) -> bool:
        """Whether everything that belongs to its record is known."""
        return not self.replies and all(words is not None for words in self.items.values())

    def replied(self, reply: str, now: float) -> None:
        """The vendor begins to answer."""
        self.replies.add(reply)
        self.answered = True
        self.begun = self.begun if self.begun is not None else now

    def heard_up_to(self, position: int, now: float) -> None:
        """So much of all sound was played by now."""
        if self.first_played is None and self.first_sound is not None and position > self.starts:
            self.first_played = now - (position - self.starts) / BYTES_PER_SECOND

    def give_up(self) -> None:
        """Nothing more comes of the vendor."""
        self.functions.clear()
        self.replies.clear()
        self.answered = True

    def measured(self) -> Measured:
        times = (self.words, self.begun, self.first_text, self.first_sound, self.first_played)
        return Measured(self.number, *(None if at is None else round(at - self.ended, 4) for at in times))

    def record(self) -> Heard:
        return Heard(self.number, self.said, self.heard, self.whole, self.interrupted)


class Past:
    """Turns that are over, in their order; each is given to the record when its words and costs have come, or are overdue."""

    def __init__(self) -> None:
        self._turns: list[Exchange] = []

    def __bool__(self) -> bool:
        return bool(self._turns)

    @property
    def due(self) -> float:
        """When nobody waits for the oldest any more."""
        return self._turns[0].due if self._turns else NEVER

    def add(self, turn: Exchange, within: float, now: float) -> None:
        turn.due = now + within
        self._turns.append(turn)

    def find(self, item: str) -> Exchange | None:
        """The turn in which this was said."""
        return next((turn for turn in self._turns if item in turn.items), None)

    def hasten(self, until: float) -> None:
        """Wait no longer than until then."""
        for turn in self._turns:
            turn.due = min(turn.due, until)

    def settle(self, now: float) -> list[Heard | Measured]:
        """What is known for good."""
        out: list[Heard | Measured] = []
        while self._turns and (self._turns[0].settled or now >= self._turns[0].due):
            turn = self._turns.pop(0)
            out += [turn.record(), turn.measured()]
        return out
