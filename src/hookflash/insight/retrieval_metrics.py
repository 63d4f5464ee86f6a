"""How good a ranking is, and how sure one may be of it: recall, hits, reciprocal rank, discounted gain, bootstrap intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEASURES = ("recall@5", "recall@10", "hit@1", "hit@5", "mrr", "ndcg@10")
_DRAWS = 2_000

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean over questions, and the 95 % bootstrap interval around it."""

    mean: float
    low: float
    high: float


def measure(found: Sequence[str], relevant: frozenset[str]) -> tuple[float, ...]:
    """Each of MEASURES for one question: `found` best first, without repetitions; `relevant` is not empty.

    Recall is the share of the relevant that is among the first k; hit whether any is; mrr 1 / the rank of the first.
    """
    ranks = [rank for rank, document in enumerate(found, 1) if document in relevant]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(relevant)) + 1))
    return (
        sum(rank <= 5 for rank in ranks) / len(relevant),
        sum(rank <= 10 for rank in ranks) / len(relevant),
        float(bool(ranks) and ranks[0] == 1),
        float(bool(ranks) and ranks[0] <= 5),
        1 / ranks[0] if ranks else 0.0,
        sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 10) / ideal,
    )


def interval(values: Numbers) -> Measured:
    """Of the mean of one number a question; the same values give the same interval."""
    chosen = np.random.default_rng(0).integers(0, len(values), (_DRAWS, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return Measured(round(float(values.mean()), 4), round(float(low), 4), round(float(high), 4))


def table(measured: Sequence[tuple[float, ...]]) -> dict[str, Measured]:
    """Each measure over all questions."""
    values = np.array(measured, np.float64)
    return {name: interval(values[:, position]) for position, name in enumerate(MEASURES)}


def differences(one: Sequence[tuple[float, ...]], other: Sequence[tuple[float, ...]]) -> dict[str, Measured]:
    """How much `one` is better than `other`, question by question: an interval above 0 is no chance."""
    values = np.array(one, np.float64) - np.array(other, np.float64)
    return {name: interval(values[:, position]) for position, name in enumerate(MEASURES)}


def worse(relative: Mapping[str, Mapping[str, Measured]], names: Sequence[str] = ("recall@10", "mrr")) -> list[str]:
    """Sentences for each part that alone is better than the whole by more than chance."""
    return [
        f"{name} of both together is below that of {part} alone"
        for part, values in relative.items()
        for name in names
        if values[name].high < 0
    ]
