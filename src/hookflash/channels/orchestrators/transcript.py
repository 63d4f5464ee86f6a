"""A call as the service that conducts it tells it: who calls, what was said up to now, what was heard of our answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.conversation.call import CallArrival

# What a call that came by one of these services has as its way.
SERVICES = ("vapi", "retell", "bland", "chat")
MOST_SAID = 4_000

_ID = re.compile(r"[A-Za-z0-9._@+\-]{1,100}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Line:
    """Words of the caller (`ours` False) or of ours."""

    ours: bool
    text: str


@dataclass(frozen=True, slots=True)
class Conducted:
    """Which call it is, by its id at the service, and whose. Numbers as the service has them, or None."""

    service: str
    id: str
    outbound: bool = False
    theirs: str | None = None
    ours: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise Invalid("a call's id has 1 to 100 letters, digits and . _ @ + -", field="call.id")

    @property
    def sid(self) -> str:
        """What the call is known by here."""
        return f"{self.service}:{self.id}"

    def arrival(self, account_id: str, integration_id: str, sender: str) -> CallArrival:
        """The call at our door; `sender` is our number if the service does not tell it. Nobody knows who calls without one."""
        return CallArrival(
            account_id=account_id,
            integration_id=integration_id,
            call_sid=self.sid,
            direction="out" if self.outbound else "in",
            way=self.service,
            address=_number(self.theirs) or f"web:{self.sid}",
            sender=_number(self.ours) or sender,
            name=(self.name or "").strip()[:100] or None,
        )


@dataclass(frozen=True, slots=True)
class Over:
    """A call is over, or more is known of how it was. Cost in micro-dollars; `lines` is all that was said, if told."""

    call: Conducted
    why: str
    seconds: float | None = None
    cost_micros: int | None = None
    lines: tuple[Line, ...] = ()

    @property
    def measures(self) -> dict[str, float | str]:
        told: dict[str, float | str] = {"status": self.why}
        return told | ({"seconds": self.seconds} if self.seconds is not None else {})


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a call is: what the caller said since our last words, those words, and what the caller had said before them.

    `turns` counts the caller's lines; `asked` is everything that the caller said, in order. Not `complete`: it is no more
    than the last words, by which nothing can be told of those before.
    """

    said: str = ""
    spoken: str | None = None
    before: str = ""
    turns: int = 0
    asked: tuple[str, ...] = ()
    complete: bool = True


def only(said: str) -> Moment:
    """The last words of the caller are all that is told."""
    return Moment(said[:MOST_SAID], turns=1, asked=(said[:MOST_SAID],), complete=False)


def moment(lines: Sequence[Line]) -> Moment:
    """Where a call is by all that was said in it."""
    spoken = [line for line in lines if line.text.strip()]
    at = len(spoken)
    said, at = _run(spoken, at, ours=False)
    ours, at = _run(spoken, at, ours=True)
    before, _ = _run(spoken, at, ours=False)
    asked = tuple(line.text.strip() for line in spoken if not line.ours)
    return Moment(said[:MOST_SAID], ours or None, before[:MOST_SAID], len(asked), asked)


def _run(lines: Sequence[Line], end: int, *, ours: bool) -> tuple[str, int]:
    """The last words before `end` that one side said without the other, and where they begin."""
    begin = end
    while begin and lines[begin - 1].ours is ours:
        begin -= 1
    return " ".join(line.text.strip() for line in lines[begin:end]), begin


def heard_of(said: str, whole: str, now: Moment) -> str | None:
    """How much was heard of `whole`, our answer to `said`; None where the service does not tell.

    The service tells by what it has of us in the call's words: an answer that was cut off stands there cut off, and one
    that came too late, because the caller spoke on, not at all.
    """
    if not now.complete:
        return None
    asked, goes_on = _words(said), _words(now.said)
    before = _words(now.before)
    answers = bool(asked) and before[-len(asked) :] == asked
    if not answers and asked and goes_on[: len(asked)] == asked:
        return ""
    if now.spoken is None:
        return None
    theirs, kept = _words(now.spoken), list(_WORD.finditer(whole))
    same = 0
    while same < min(len(theirs), len(kept)) and kept[same].group().casefold() == theirs[same]:
        same += 1
    if not same:
        return None
    if same < len(theirs):
        # They have it in other words, numbers for example; ours or those of another answer, if it is not known which.
        return now.spoken if answers else None
    return whole if same == len(kept) else whole[: kept[same - 1].end()]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _number(text: str | None) -> str | None:
    """A number as we keep it; None for what is none."""
    try:
        address = Address.parse(text or "", Kind.VOICE)
    except Invalid:
        return None
    return str(address) if address.is_number else None
