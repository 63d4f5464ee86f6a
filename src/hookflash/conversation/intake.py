"""Taking a message in: what arrived, what was known of its sender at that moment, and the gates that it passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hookflash.base.phone import Address
from hookflash.conversation.message import Media
from hookflash.conversation.turn import Pass, Verdict


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as its channel delivered it. `sid` is the vendor's id, by which it is claimed once.

    `word` is the opt-out keyword that it is (`stop`, `start`, `help`), if any; `vendor_answers` says that the vendor has
    answered that word by itself. `via` is `webhook` or `backfill`. `given` is a code that was taken out of the text.
    """

    account_id: str
    integration_id: str
    sid: str
    address: Address
    sender: Address
    text: str
    media: tuple[Media, ...]
    at: datetime
    via: str = "webhook"
    name: str | None = None
    language: str | None = None
    word: str | None = None
    vendor_answers: bool = False
    raw: dict[str, Any] = field(default_factory=dict)
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A recent message of this contact, newest first: direction, the beginning of its text and age in seconds."""

    direction: str
    text: str
    age: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known when a message arrives. Money in micro-dollars, spent today (UTC). `seen`: our id of this very message.

    `stamp`: when the integration, or its assistant, was last changed. `awaits_code`: the text may be a code.
    """

    contact_id: str
    language: str | None
    opted_out: bool
    human_has_it: bool
    in_last_minute: int
    spent_contact: int
    spent_account: int
    recent: tuple[Past, ...]
    seen: str | None
    session_id: str | None
    stamp: datetime | None = None
    awaits_code: bool = False
    spent_session: int = 0
    spent_assistant: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """The integration's rules that gates apply."""

    disabled: bool
    allow_from: tuple[str, ...]
    messages_per_minute: int
    contact_day_micros: int
    account_day_micros: int
    stale_after: float
    texts: dict[str, str]
    session_micros: int | None = None
    assistant_day_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """How to store an arrival: `state` is unanswered, silenced, stale, human or answered (by a fixed notice).

    `logged` is the text as the journal may have it, if not as it is.
    """

    state: str
    why: str | None
    burst_ms: int
    scope: str
    collect: bool
    settings: dict[str, Any]
    notice: str | None
    verdicts: list[Any]
    logged: str | None = None


IntakeGate = Callable[[Arrival, Standing, Rules, datetime], Verdict]
Decided = tuple[tuple[str, Verdict], ...]


def decide(
    gates: Sequence[tuple[str, IntakeGate]], arrival: Arrival, standing: Standing, rules: Rules, now: datetime
) -> Decided:
    """Ask the gates in order until one does not pass; every verdict that was given, with its gate's name."""
    asked: list[tuple[str, Verdict]] = []
    for name, gate in gates:
        verdict = gate(arrival, standing, rules, now)
        asked.append((name, verdict))
        if not isinstance(verdict, Pass):
            break
    return tuple(asked)
