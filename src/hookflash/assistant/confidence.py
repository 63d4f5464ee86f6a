"""How sure we are of an answer, and what follows from it: say it, ask back, or admit that we do not know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hookflash.assistant.model import ModelReply
from hookflash.conversation.turn import Exchange

# From this share of the threshold on a question back is worth the customer's time.
NEAR = 0.6
# What is left of the word of a model that names no passage: less than any usual threshold.
UNSUPPORTED = 0.4
# How much of a writing model's word hangs on the best passage's score, and on how much of it is borne out: fitted by
# benchmarks/fit_confidence.py, the second taken back from 1.0, as what is not borne out has been taken out by then.
RETRIEVED = 0.35
BORNE_OUT = 0.6
_QUESTION_MARKS = ("?", "？", "؟")


@dataclass(frozen=True, slots=True)
class Answer:
    """Say it."""


@dataclass(frozen=True, slots=True)
class Clarify:
    """Ask back, once."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Say that we do not know."""


Decision = Answer | Clarify | Unknown


def combine(
    retrieval: float,
    reply: ModelReply,
    *,
    generative: bool,
    grounding: float | None = None,
    retrieved: float = RETRIEVED,
    borne_out: float = BORNE_OUT,
) -> float:
    """0..1 of the best passage's score, what the model says of itself, how much of what it wrote is borne out (`grounding`),
    and whether it names what it rests on.

    A model that extracts has judged the passages itself: its word stands. A generative one is confident by nature, so
    weak passages, inventions and missing sources take from its word, and nothing adds to it.
    """
    stated = _bounded(reply.confidence)
    if not generative:
        return stated
    grounded = stated * (1 - retrieved + retrieved * _bounded(retrieval))
    if grounding is not None:
        grounded *= 1 - borne_out + borne_out * _bounded(grounding)
    return grounded if reply.sources else grounded * UNSUPPORTED


def decide(
    reply: ModelReply, confidence: float, threshold: float, *, may_clarify: bool, history: Sequence[Exchange]
) -> Decision:
    """What to do with a reply.

    One question back on a topic, never two in a row; far below the threshold it would not help. A reply without an answer
    is never said.
    """
    can_ask = may_clarify and not asked_lately(history)
    if reply.clarifying and reply.answer:
        return Clarify() if can_ask else Unknown()
    if reply.answer and confidence >= threshold:
        return Answer()
    return Clarify() if can_ask and confidence >= NEAR * threshold else Unknown()


def asked_lately(history: Sequence[Exchange]) -> bool:
    """Whether one of our last two texts was a question back."""
    return any(exchange.answered.rstrip().endswith(_QUESTION_MARKS) for exchange in history[-2:])


def asked_last(history: Sequence[Exchange]) -> bool:
    """Whether our last text was a question back."""
    return asked_lately(history[-1:])


def _bounded(value: float) -> float:
    return min(1.0, max(0.0, value)) if math.isfinite(value) else 0.0
