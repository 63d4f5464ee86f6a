"""The way of a message out: what may have happened to a request that was made, and when that is settled."""

from collections.abc import Sequence
from dataclasses import dataclass

RETRY_FIRST = 0.5
RETRY_MOST = 300.0
MAX_ATTEMPTS = 12
POST_WITHIN = 5.0
PROVE_ABSENT_LIVE = 30.0
PROVE_ABSENT_DEAD = 10.0
SLOWNESS = 10.0
PARK_AFTER = 600.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor has it under this id, with this first status."""

    sid: str
    status: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor did not take it. `again` says that a later try may go through; `park` that an operator must act first.

    `opted_out`, `unreachable` and `stop_sender` are what the code says about the person and about our sender; a person
    counts as unreachable when `tries` messages in a row met this code.
    """

    code: int
    reason: str
    again: bool = False
    opted_out: bool = False
    unreachable: bool = False
    stop_sender: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Unclear:
    """The request may or may not have been performed."""

    reason: str


Posted = Accepted | Refused | Unclear


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that the vendor lists for this person and time, whose id none of our rows has."""

    sid: str
    status: str
    body: str
    error_code: int | None = None


def match(body: str, candidates: Sequence[Candidate]) -> Candidate | None:
    """The listed message that is ours: the same words, white space aside; the oldest if there are several."""
    words = body.split()
    return next((c for c in candidates if c.body.split() == words), None)


def retry_after(attempts: int) -> float:
    """Seconds to wait before the next try, doubling."""
    return min(RETRY_FIRST * 2.0 ** max(attempts - 1, 0), RETRY_MOST)


def proven_absent_after(poster_lives: bool) -> float:
    """Seconds after which a message that is not listed was never accepted.

    A dead process sends nothing more, but what it sent may still be on the wire, or wait at a vendor that is slow: bytes
    of a dead process were seen to arrive after 13 s at a server that did not keep up. A live one may be slow: it posts
    within POST_WITHIN of its mark or not at all, and waits some 20 s for the answer.
    """
    return PROVE_ABSENT_LIVE if poster_lives else PROVE_ABSENT_DEAD
