"""A verification as a machine: somebody proves to hold their phone by a code. Events in, what is to be done out; no I/O."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from hookflash.assistant.code_words import Again, Code, Heard, Other, Stop, Unlike
from hookflash.base.errors import Invalid
from hookflash.base.phone import Address
from hookflash.conversation.turn import Turn

MOST_TRIES = 5
MOST_SENDS = 3
# Verifications that are begun for one person in an hour: each is five guesses and a text that somebody pays for.
MOST_AN_HOUR = 5
GOOD_FOR = timedelta(minutes=10)
RESEND_AFTER = timedelta(seconds=20)
TRAITS = ("phone", "phone_number")

Result = Literal["right", "wrong", "expired", "used_up", "away"]


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification in a session. `place` is the line and the address that the person talks from: the proof holds there.

    `waiting` is what they wanted. `sid` is Twilio Verify's; without it the code is ours and follows from `seeds`.
    `given` is a code that the message `given_by` brought; `decided_by` is the message that was decided on last and `told`
    what was said to it (a template's key, or `resume`). `last_code` is a keyed hash of the code looked at last.
    """

    id: str
    contact_id: str
    session_id: str
    number: str
    place: str
    waiting: str
    started_at: datetime
    sent_at: datetime
    expires_at: datetime
    state: Literal["pending", "approved", "canceled", "expired", "failed"] = "pending"
    sid: str | None = None
    seeds: tuple[str, ...] = ()
    tries: int = 0
    sends: int = 0
    given: str | None = None
    given_by: str | None = None
    decided_by: str | None = None
    told: str | None = None
    last_code: bytes | None = None
    closed_at: datetime | None = None

    @property
    def end(self) -> str:
        """What may be said of the number."""
        return self.number[-2:]

    def values(self) -> dict[str, str]:
        """What its texts are filled with."""
        return {"end": self.end, "left": str(MOST_TRIES - self.tries)}


@dataclass(frozen=True, slots=True)
class PassOn:
    """It is none of ours: the assistant answers. `awaiting`: a code is still to come."""

    awaiting: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Say this template. `awaiting`: a code is still to come."""

    key: str
    values: dict[str, str] = field(default_factory=dict)
    awaiting: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """They are verified: take up what they wanted."""

    verification: Verification


@dataclass(frozen=True, slots=True)
class Check:
    """Find out whether the code is right; the try is counted."""

    digits: str


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Send the code once more; it is counted."""


Effect = PassOn | Tell | Resume | Check | SendAgain
Heeded = PassOn | Tell | Resume


@dataclass(frozen=True, slots=True)
class Asked:
    """A code was sent, to the number that ends in `end`."""

    end: str


@dataclass(frozen=True, slots=True)
class CannotProve:
    """There will be no proof; the model is told why."""

    why: str


class Proof(Protocol):
    """Who has proven to hold their phone."""

    async def verified(self, turn: Turn) -> bool:
        """Whether the person of this turn has, in this session, where they talk from now."""
        ...

    async def begin(self, turn: Turn, language: str) -> Asked | CannotProve:
        """Have a code sent, unless one is under way; what was said in this turn then waits for it."""
        ...

    async def hear(self, turn: Turn, language: str) -> Heeded:
        """What was said, while a code may be awaited."""
        ...


class NoProof:
    """For those who send no codes."""

    async def verified(self, _: Turn) -> bool:
        return False

    async def begin(self, _: Turn, __: str) -> Asked | CannotProve:
        return CannotProve("the customer must be verified first, and no code can be sent here")

    async def hear(self, _: Turn, __: str) -> Heeded:
        return PassOn()


def place_of(turn: Turn) -> str:
    """Where a person talks from: the line and their address on it."""
    address = turn.said[-1].address if turn.said else None
    return f"{turn.line.name}:{address}"


def number_of(turn: Turn) -> str | CannotProve:
    """The number whose holder the person of a turn has to be: the company says it, not the person."""
    given = next((turn.contact.traits[name] for name in TRAITS if turn.contact.traits.get(name)), None)
    if given is None:
        return CannotProve("the customer cannot be verified: no phone number of theirs is known to the company")
    try:
        address = Address.parse("".join(c for c in str(given) if c not in " -()./\u00a0"))
    except Invalid:
        address = None
    if address is None or not address.is_number:
        return CannotProve(
            "the customer cannot be verified: the phone number that the company has of them is not valid"
        )
    return address.value


def hear(old: Verification, heard: Heard, code: bytes | None, now: datetime) -> tuple[Verification, Effect]:
    """What follows from what was said; `code` is the keyed hash of a code in it."""
    if old.state != "pending":
        return old, PassOn()
    if now >= old.expires_at:
        expired = replace(old, state="expired", closed_at=now, given=None, last_code=code)
        return expired, Tell("code_expired") if isinstance(heard, Code | Again | Unlike) else PassOn()
    match heard:
        case Code() if old.tries >= MOST_TRIES:
            # The last of them is being looked at, or whoever did has died.
            return replace(old, state="failed", closed_at=now, given=None), Tell("code_tries")
        case Code(digits=digits):
            if code is not None and code == old.last_code:
                # Said again, or thought again: the answer is the same and costs no try.
                return old, Tell("code_wrong", old.values(), awaiting=True)
            return replace(old, tries=old.tries + 1, last_code=code), Check(digits)
        case Unlike():
            return old, Tell("code_digits", old.values(), awaiting=True)
        case Again():
            if old.sends >= MOST_SENDS:
                return old, Tell("code_no_more", old.values(), awaiting=True)
            if now < old.sent_at + RESEND_AFTER:
                return old, Tell("code_wait", old.values(), awaiting=True)
            return replace(old, sends=old.sends + 1, sent_at=now), SendAgain()
        case Stop():
            return replace(old, state="canceled", closed_at=now, given=None), Tell("code_canceled")
        case Other():
            return old, PassOn(awaiting=True)


def checked(old: Verification, result: Result, now: datetime) -> tuple[Verification, Heeded]:
    """What follows from the look at a code whose try was counted."""
    closed = replace(old, given=None, closed_at=now)
    match result:
        case "right":
            approved = replace(closed, state="approved")
            return approved, Resume(approved)
        case "expired":
            return replace(closed, state="expired"), Tell("code_expired")
        case "used_up":
            return replace(closed, state="failed"), Tell("code_tries")
        case "away":
            return replace(old, tries=old.tries - 1, last_code=None, given=None), Tell("code_away", awaiting=True)
        case "wrong" if old.tries >= MOST_TRIES:
            return replace(closed, state="failed"), Tell("code_tries")
        case "wrong":
            return replace(old, given=None), Tell("code_wrong", old.values(), awaiting=True)


def sent_again(old: Verification, result: Literal["sent", "no_more", "failed"]) -> tuple[Verification, Heeded]:
    """What follows from another try to send the code."""
    match result:
        case "sent":
            return old, Tell("code_sent_again", old.values(), awaiting=True)
        case "no_more":
            return old, Tell("code_no_more", old.values(), awaiting=True)
        case "failed":
            return replace(old, sends=old.sends - 1), Tell("code_away", old.values(), awaiting=True)
