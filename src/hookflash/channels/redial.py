"""When a person who was not reached is called again: after growing gaps, so often and so long as was asked, no longer."""

from datetime import datetime, timedelta

MOST_RETRIES = 10
USUAL_RETRIES = 2
# Where nobody was reached; who hung up, or whose machine answered, is not called again.
NOT_REACHED = frozenset({"busy", "no-answer", "failed"})
FIRST_GAP = timedelta(minutes=5)
GROWTH = 4
LONGEST_GAP = timedelta(hours=4)
# Who was not reached in this time is not called for this purpose any more.
GIVE_UP_AFTER = timedelta(hours=48)


def gap(attempt: int) -> timedelta:
    """How long to wait after the attempt of this number (from 1) came to nothing: 5 and 20 minutes, 80, then 4 hours."""
    return min(FIRST_GAP * int(GROWTH ** min(attempt - 1, 10)), LONGEST_GAP)


def next_try(attempt: int, retries: int, first: datetime, now: datetime) -> datetime | None:
    """When the attempt after this one is due; None when it was the last."""
    due = now + gap(attempt)
    return due if attempt <= retries and due <= first + GIVE_UP_AFTER else None
