"""Experiments: which variant of an assistant a person gets, and when the figures are enough to say which one is better."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hookflash.base.errors import Invalid

PLACES = 100
MOST_VARIANTS = 5
LEAST_SESSIONS = 50
# The scale of differences that are worth finding, as a part of one: the test is most powerful near it.
EFFECT = 0.05

Metric = Literal["resolution", "hand_off", "rating"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A revision of the assistant, and its share of the people, in percent. The first one is the control."""

    name: str
    revision: int
    share: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a variant's sessions so far, one of each person. `ratings` are between 0 and 1; sums, so that they add up."""

    sessions: int
    resolved: int = 0
    handed_off: int = 0
    ratings: int = 0
    rating_sum: float = 0.0
    rating_squares: float = 0.0
    cost_micros: int = 0
    answers: int = 0
    answer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """A variant against the control by one metric. `difference` above 0 is better; `p` holds at any moment of looking."""

    variant: str
    metric: Metric
    control: float | None
    measured: float | None
    difference: float | None
    p: float
    winner: bool
    loser: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an experiment stands: `go on`, `won` (by `winner`), `kept` (the control is better), `no difference`."""

    verdict: Literal["go on", "won", "kept", "no difference"]
    winner: str | None
    compared: tuple[Compared, ...]


def split(variants: Sequence[Variant]) -> list[int]:
    """The revision of each of the hundred places that people fall into. Raises Invalid."""
    if not 2 <= len(variants) <= MOST_VARIANTS:
        raise Invalid(f"An experiment has 2 to {MOST_VARIANTS} variants.", field="variants")
    if len({variant.name for variant in variants}) < len(variants):
        raise Invalid("Two variants have the same name.", field="variants")
    if any(variant.share < 1 for variant in variants) or sum(variant.share for variant in variants) != PLACES:
        raise Invalid("The shares must be 1 or more each, and 100 together.", field="variants")
    return [variant.revision for variant in variants for _ in range(variant.share)]


def place_of(experiment_id: str, contact_id: str) -> int:
    """0 to 99: the same for a person as long as the experiment runs, and unrelated to any other experiment."""
    digest = hashlib.sha256(f"{experiment_id}:{contact_id}".encode()).digest()
    # The database computes the same where a session begins (experiment_place), and has no larger whole numbers.
    return int.from_bytes(digest[:7], "big") % PLACES


def standing(
    variants: Sequence[Variant],
    tallies: dict[str, Tally],
    *,
    metric: Metric = "resolution",
    alpha: float = 0.05,
    most_sessions: int = 20_000,
) -> Standing:
    """Compare each variant with the first. One may look at it as often as one likes: the error stays below `alpha`.

    The test is a mixture sequential probability ratio test; with several variants `alpha` is shared between them.
    """
    control = tallies.get(variants[0].name, Tally(0))
    level = alpha / (len(variants) - 1)
    compared = [_compare(v.name, control, tallies.get(v.name, Tally(0)), metric, level) for v in variants[1:]]
    winners = [each for each in compared if each.winner]
    if winners:
        best = max(winners, key=lambda each: each.difference or 0.0)
        return Standing("won", best.variant, tuple(compared))
    if all(each.loser for each in compared):
        return Standing("kept", variants[0].name, tuple(compared))
    if sum(tally.sessions for tally in tallies.values()) >= most_sessions:
        return Standing("no difference", None, tuple(compared))
    return Standing("go on", None, tuple(compared))


def _compare(name: str, control: Tally, other: Tally, metric: Metric, level: float) -> Compared:
    one, two = _moments(control, metric), _moments(other, metric)
    if one is None or two is None:
        measured = two[0] if two else None
        return Compared(name, metric, one[0] if one else None, measured, None, 1.0, False, False)
    better = -1.0 if metric == "hand_off" else 1.0
    difference = better * (two[0] - one[0])
    variance = one[1] / one[2] + two[1] / two[2]
    p = sequential_p(difference, variance)
    enough = p <= level and min(one[2], two[2]) >= LEAST_SESSIONS
    return Compared(name, metric, one[0], two[0], difference, p, enough and difference > 0, enough and difference < 0)


def _moments(tally: Tally, metric: Metric) -> tuple[float, float, int] | None:
    """Mean, variance and number of observations; None without any."""
    match metric:
        case "rating":
            n, total, squares = tally.ratings, tally.rating_sum, tally.rating_squares
        case "resolution":
            n, total, squares = tally.sessions, float(tally.resolved), float(tally.resolved)
        case "hand_off":
            n, total, squares = tally.sessions, float(tally.handed_off), float(tally.handed_off)
    if n == 0:
        return None
    # One success and one failure more than were seen: a rate of 0 or 1 out of few says less than it seems to.
    count = n + 2
    mean = (total + 1.0) / count
    return total / n, max((squares + 1.0) / count - mean * mean, 1e-6), n


def sequential_p(difference: float, variance: float, effect: float = EFFECT) -> float:
    """The p-value that may be looked at after every observation, for a difference of means with this variance.

    Johari, Pekelis and Walsh, "Always valid inference: continuous monitoring of A/B tests" (2015), for a normal mixture.
    """
    prior = effect * effect
    log_ratio = 0.5 * math.log(variance / (variance + prior)) + prior * difference * difference / (
        2.0 * variance * (variance + prior)
    )
    return min(1.0, math.exp(-log_ratio)) if log_ratio > 0 else 1.0
