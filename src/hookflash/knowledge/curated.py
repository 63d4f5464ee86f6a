"""Answers that people wrote for questions that are asked again and again: when a question is one of those."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["proposed", "approved", "rejected"]
Origin = Literal["staff", "ticket", "correction"]

# The cosine from which two questions are the same in other words. It is high: a wrong exact answer is worse than none.
SAME = 0.9
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CODE = re.compile(r"\b(?=\w*\d)(?=\w*[^\W\d])\w+\b")
# Whether something is denied changes everything, and vectors hardly.
_DENIED = "not no never without cannot cant can't don't doesn't isn't won't nunca sin ni nahi nahin नहीं मत nicht kein keine pas"
_DENIALS = frozenset(_DENIED.split())


@dataclass(frozen=True, slots=True)
class CuratedQuestion:
    """One way to ask, and how often it was asked so."""

    question: str
    hits: int = 0


@dataclass(frozen=True, slots=True)
class CuratedAnswer:
    """An answer and the questions that it is for; of one assistant or all, in one language or any.

    Only `approved` ones are given. `origin_id` is the ticket or correction that it comes from.
    """

    id: str
    account_id: str
    assistant_id: str | None
    language: str | None
    answer: str
    questions: tuple[CuratedQuestion, ...]
    state: State
    origin: Origin
    origin_id: str | None
    hits: int
    last_hit_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CuratedMatch:
    """The answer to give. `similarity` is 1 when the words are the same, else the cosine."""

    id: str
    answer: str
    question: str
    similarity: float


def normalised(question: str) -> str:
    """The question without what does not change its meaning: case, punctuation, space."""
    if question.isascii():
        return " ".join(_ASCII_WORD.findall(question.lower()))
    folded = unicodedata.normalize("NFKC", question).casefold()
    # Marks are kept: they are the vowels of many scripts.
    return " ".join("".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded).split())


def same_matter(one: str, other: str) -> bool:
    """Whether two like questions name the same numbers and product codes, and deny the same."""

    def facts(question: str) -> tuple[frozenset[str], frozenset[str], bool]:
        folded = question.casefold().replace("’", "'")
        words = re.findall(r"[\w'\u0900-\u0963]+", folded)
        return (
            frozenset(_NUMBER.findall(folded)),
            frozenset(_CODE.findall(folded)),
            not _DENIALS.isdisjoint(words),
        )

    return facts(one) == facts(other)
