"""A turn: everything that is known when it is our time to speak, and what may come of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

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
    """One person. `traits` are what the company knows of them (name, plan ...); `remembered`: there is more, learned."""

    id: str
    name: str | None
    language: str | None
    traits: dict[str, Any] = field(default_factory=dict)
    remembered: bool = False


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
    """Nothing against it; `why` is what was noticed all the same."""

    why: str | None = None


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
    """A person must take over; `text` is what is said until they do, if anything."""

    why: str
    text: str = ""


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
    why. `stages` are milliseconds by stage. `hand_off` is the reason why a person should look at it, if so. `said` is what was
    said as it may be kept, if not as it is. `awaits_code`: what is said next may be a code that nobody keeps. `prompt` is
    the hash of the system prompt that the model was given, `grounding` how much of the text passages and tools bear out (0..1).
    `known` is what the model was told of the person.
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
    said: str | None = None
    awaits_code: bool = False
    prompt: str | None = None
    grounding: float | None = None
    known: tuple[str, ...] = ()


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

    @property
    def hand_off(self) -> str | None:
        """Why a person should take over, by a gate or by the answer; None when none should."""
        if self.ending is not None:
            return self.ending.hand_off
        return self.verdict.why if isinstance(self.verdict, HandOff) else None


NamedGates = Sequence[tuple[str, Gate]]


def ending_record(ending: Ending | None) -> dict[str, Any]:
    """What is kept of an ending beside its columns, as JSON values; the same for texts and calls."""
    if ending is None:
        return {}
    record = {
        "sources": msgspec.to_builtins(ending.sources),
        "usage": msgspec.to_builtins(ending.usage),
        "degraded": list(ending.degraded),
    }
    if ending.prompt is not None:
        record["prompt"] = ending.prompt
    if ending.known:
        record["known"] = list(ending.known)
    if ending.grounding is not None:
        record["grounding"] = ending.grounding
    return record | ({"tools": msgspec.to_builtins(ending.tools)} if ending.tools else {})


def verdicts_record(verdicts: Sequence[tuple[str, Verdict]]) -> list[list[str | None]]:
    """The gates asked, what each said, and why, as JSON values."""
    return [[name, type(verdict).__name__, getattr(verdict, "why", None)] for name, verdict in verdicts]
