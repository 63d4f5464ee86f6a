"""A ticket: somebody needs a person, and how far that is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hookflash.base.errors import Conflict


class State(StrEnum):
    """While one is claimed the assistant says nothing to that contact."""

    OPEN = "open"
    CLAIMED = "claimed"
    CLOSED = "closed"


_NEXT = {State.OPEN: {State.CLAIMED, State.CLOSED}, State.CLAIMED: {State.CLOSED}, State.CLOSED: set[State]()}


@dataclass(frozen=True, slots=True)
class Ticket:
    """Why a person should look at a conversation. `summary` holds what was said.

    `answer_id` is the curated answer that what a person answered was proposed as.
    """

    id: str
    contact_id: str
    session_id: str | None
    turn_id: str | None
    reason: str
    summary: str
    state: State
    answer_id: str | None
    created_at: datetime
    updated_at: datetime


def moves(current: State, wanted: State) -> bool:
    """Whether going to `wanted` changes anything; raises Conflict when there is no way from here to there."""
    if wanted is current:
        return False
    if wanted not in _NEXT[current]:
        raise Conflict(
            f"A ticket that is {current} cannot become {wanted}.",
            hint=f"it can become {', '.join(_NEXT[current])}"
            if _NEXT[current]
            else "a new one is opened when it is needed",
        )
    return True
