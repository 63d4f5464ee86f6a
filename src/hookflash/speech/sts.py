"""Speech to speech: a vendor that hears, thinks and speaks by itself, what it is asked for, and what it tells."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Function:
    """Something of ours that the vendor may use; `schema` is the JSON schema of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opening:
    """How a talk begins. `history` is what was said before, as (theirs, ours). `patience` stretches the pauses."""

    instructions: str
    functions: tuple[Function, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    voice: str | None = None
    language: str | None = None
    hints: tuple[str, ...] = ()
    patience: float = 1.0
    interruptible: bool = True


# What the vendor tells. A reply has an id of the vendor's; so has each item (one utterance) of the conversation.


@dataclass(frozen=True, slots=True)
class CallerBegan:
    """The caller's voice has begun; with an interruptible talk the vendor has ceased to answer."""


@dataclass(frozen=True, slots=True)
class CallerCeased:
    """The caller's voice has ceased, `ago` seconds of audio ago."""

    ago: float = 0.0


@dataclass(frozen=True, slots=True)
class CallerItem:
    """What the caller said is an item of the conversation; its words come later."""

    item: str


@dataclass(frozen=True, slots=True)
class CallerWords:
    """The words of an item; empty when none were understood. `micros`: what it cost to find them."""

    item: str
    text: str
    language: str | None = None
    micros: int = 0


@dataclass(frozen=True, slots=True)
class ReplyBegan:
    """The vendor begins to answer. `own`: it is what we had it say."""

    reply: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Sound of a reply (mu-law, 8 kHz)."""

    reply: str
    item: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class ReplyWords:
    """More words of what is being said."""

    reply: str
    item: str
    text: str


@dataclass(frozen=True, slots=True)
class FunctionAsked:
    """The vendor wants a function of ours. `arguments` is JSON, as it gave it."""

    reply: str
    call: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A reply is over. `failed` is the vendor's code if it broke. What it consumed, in micro-dollars and tokens."""

    reply: str
    failed: str | None = None
    micros: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class NotNow:
    """A reply that we asked for is not begun, because another is under way."""


StsEvent = (
    CallerBegan
    | CallerCeased
    | CallerItem
    | CallerWords
    | ReplyBegan
    | ReplyAudio
    | ReplyWords
    | FunctionAsked
    | ReplyEnded
    | NotNow
)


# What the vendor is told.


@dataclass(frozen=True, slots=True)
class Cut:
    """Of an item only so many milliseconds of sound were heard; with 0 it was never said."""

    item: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Cease:
    """Stop the reply that is under way."""


@dataclass(frozen=True, slots=True)
class Tell:
    """The caller told this by other means than the voice."""

    text: str


@dataclass(frozen=True, slots=True)
class Give:
    """What came of a function."""

    call: str
    output: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to what was said last."""


@dataclass(frozen=True, slots=True)
class SayThis:
    """Say these words."""

    text: str


Order = Cut | Cease | Tell | Give | Answer | SayThis

Happened = Callable[[StsEvent], None]


class StsTalk(Protocol):
    """One call's way to a vendor. Neither waits: both are queued, and of audio the oldest is dropped."""

    def feed(self, audio: bytes) -> None:
        """The caller's sound (mu-law, 8 kHz)."""
        ...

    def order(self, order: Order) -> None: ...


class Sts(Protocol):
    """A vendor. `talk` raises Unavailable when it cannot be reached, Misconfigured for a wrong key or name.

    A vendor that fails in the middle raises Unavailable out of the context.
    """

    @property
    def name(self) -> str: ...

    def talk(self, opening: Opening, happened: Happened) -> AbstractAsyncContextManager[StsTalk]: ...
