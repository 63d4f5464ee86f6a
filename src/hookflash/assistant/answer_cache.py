"""Answers to questions that were asked before: the key under which one is kept, and what is kept."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from hookflash.conversation.turn import Source
from hookflash.knowledge.curated import normalised as normalised

# What is likely about one person is not kept: numbers as long as an order's or a telephone's, addresses of mail.
_PERSONAL = re.compile(r"@|\d[\d\s().-]{3,}\d|\d{5,}")


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that was given with confidence, as it was sent."""

    text: str
    confidence: float
    sources: tuple[Source, ...]
    model: str


class AnswerCache(Protocol):
    """Keeps answers of an account by `answer_key`; it may forget any of them at any time."""

    async def get(self, account_id: str, key: str) -> CachedAnswer | None: ...

    async def put(self, account_id: str, key: str, answer: CachedAnswer) -> None: ...


def answer_key(
    question: str, *, assistant_id: str, knowledge_version: str, prompt_revision: str, language: str, max_chars: int
) -> str | None:
    """64 hexadecimal digits that change with anything that the answer rests on; None when it must not be kept."""
    normal = normalised(question)
    if not normal or _PERSONAL.search(question):
        return None
    parts = (assistant_id, knowledge_version, prompt_revision, language, str(max_chars), normal)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
