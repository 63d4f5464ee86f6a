"""A turn: everything that is known when it is our time to speak, and what may come of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hookflash.conversation.message import Message
from hookflash.conversation.segment import Segment


@dataclass(frozen=True, slots=True)
class LineTraits:
    """What the line can carry, for whoever writes the answer.

    `max_chars` bounds one message; `segment_budget` (SMS) bounds what one answer may cost; `sends_media` and `spoken`
    say what form suits it.
    """

    name: str
    max_chars: int = 1600
    segment_budget: int | None = None
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A past turn of the session as the model should remember it: `passages` are the chunk ids that it rested on."""

    said: str
    answered: str
    passages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """One person. `traits` are what the company knows of them (name, plan ...)."""

    id: str
    name: str | None
    language: str | None
    traits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """A window of context; `config` is the assistant's configuration (of `revision`) that it began with."""

    id: str
    assistant_id: str
    revision: int
    config: dict[str, Any]
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything that a turn may know; nothing in it changes."""

    id: str
    account_id: str
    integration_id: str
    contact: Contact
    session: Session
    said: tuple[Message, ...]
    history: tuple[Exchange, ...]
    line: LineTraits
    now: datetime

    @property
    def words(self) -> str:
        """All of what was said in this turn, a burst joined by line ends."""
        return "\n".join(filter(None, (m.words for m in self.said)))


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing against it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer with this fixed text and stop."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class HandOff:
    """A person must take over."""

    why: str


Verdict = Pass | Reply | Silence | HandOff
Say = Callable[[Segment], Awaitable[None]]
Gate = Callable[[Turn], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn consumed. Money is in micro-dollars (1,000,000 = 1 USD)."""

    input_tokens: int = 0
    output_tokens: int = 0
    embedded_tokens: int = 0
    model_micros: int = 0
    embedding_micros: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that an answer was given, with its place and scores; `cited` when the answer rests on it."""

    chunk_id: int
    document_id: str
    title: str
    score: float
    dense: float | None
    keyword: float | None
    cited: bool
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One use of a tool, for the record; card numbers in `arguments` are masked.

    `outcome`: answered, refused (not for this person, wrong arguments) or failed; `text` is what it gave, or why not.
    """

    name: str
    arguments: dict[str, Any]
    outcome: str
    text: str
    ms: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended.

    `kind`: answered, clarified (a question back), unknown (the documents do not say), failed (nobody could answer).
    `question` is what was searched for after follow-ups were resolved. `degraded` tells each fallback that was taken and
    why. `stages` are milliseconds by stage. `hand_off` is the reason why a person should look at it, if so.
    """

    kind: str
    text: str
    question: str
    confidence: float
    sources: tuple[Source, ...]
    model: str
    prompt_revision: str
    language: str
    usage: Usage = Usage()
    stages: dict[str, float] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    hand_off: str | None = None
    tools: tuple[ToolUse, ...] = ()


Answerer = Callable[[Turn, Say], Awaitable[Ending]]
Check = Callable[[Turn, Say], Say]


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """What came of a turn: the verdicts asked (gate name and verdict, in order), what the line carried, the ending.

    `ending` is None when a gate stopped the turn.
    """

    verdicts: tuple[tuple[str, Verdict], ...]
    heard: str
    ending: Ending | None

    @property
    def verdict(self) -> Verdict:
        """The verdict that decided."""
        return self.verdicts[-1][1] if self.verdicts else Pass()


NamedGates = Sequence[tuple[str, Gate]]
