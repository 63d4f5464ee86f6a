"""Feedback: how good a person found what they were told, and what an answer should have said."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

BEST_RATING: Final = 5


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thought of a session, or of one message or turn of it. `score` is 0 (bad) to 1 (good).

    `source` is where it came from: api, rating (a reply to the question), tool, twilio.
    """

    id: str
    account_id: str
    assistant_id: str
    contact_id: str
    session_id: str
    message_id: str | None
    turn_id: str | None
    score: float
    text: str
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Correction:
    """What was asked, what was answered, and what would have been right. `answer_id` is the curated answer proposed."""

    id: str
    assistant_id: str
    contact_id: str
    turn_id: str
    question: str
    wrong: str
    correct: str
    made_by: str | None
    answer_id: str | None
    created_at: datetime


def rating_of(words: str) -> int | None:
    """1 to 5 when the words are such a number and nothing else (`4`, `4.`, `4/5`, `5!`, `4️⃣`); None otherwise."""
    bare = words.strip().removesuffix("/5").rstrip(" .!\N{VARIATION SELECTOR-16}\N{COMBINING ENCLOSING KEYCAP}")
    return int(bare) if len(bare) == 1 and bare in "12345" else None


def score_of(rating: int) -> float:
    """A rating of 1 to 5 as a score of 0 to 1."""
    return (rating - 1) / (BEST_RATING - 1)
