"""Experiments: people stay with their variant, and looking often does not make a difference out of nothing."""

from random import Random

import pytest

from hookflash.base.errors import Invalid
from hookflash.insight.experiment import PLACES, Tally, Variant, place_of, sequential_p, split, standing

HALVES = (Variant("control", 1, 50), Variant("shorter", 2, 50))


def test_people_are_split_by_their_shares_and_stay() -> None:
    places = split([Variant("control", 4, 70), Variant("shorter", 5, 30)])
    assert len(places) == PLACES
    assert (places.count(4), places.count(5)) == (70, 30)
    people = [f"cont_{number}" for number in range(5_000)]
    first = [places[place_of("exp_1", person)] for person in people]
    assert first == [places[place_of("exp_1", person)] for person in people]
    assert 0.27 < first.count(5) / len(people) < 0.33
    # Being in one experiment's variant says nothing of another's.
    other = [places[place_of("exp_2", person)] for person in people]
    both = sum(a == b == 5 for a, b in zip(first, other, strict=True))
    assert 0.07 < both / len(people) < 0.11


@pytest.mark.parametrize(
    ("variants", "says"),
    [
        ([Variant("a", 1, 100)], "2 to 5 variants"),
        ([Variant("a", 1, 50), Variant("a", 2, 50)], "same name"),
        ([Variant("a", 1, 50), Variant("b", 2, 40)], "100 together"),
        ([Variant("a", 1, 100), Variant("b", 2, 0)], "1 or more"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(variants: list[Variant], says: str) -> None:
    with pytest.raises(Invalid) as told:
        split(variants)
    assert says in told.value.message


def simulate(rng: Random, rates: tuple[float, float], sessions: int) -> str:
    """Look after every twenty sessions of each variant until there is a verdict."""
    resolved = [0, 0]
    for n in range(20, sessions + 1, 20):
        for arm, rate in enumerate(rates):
            resolved[arm] += sum(rng.random() < rate for _ in range(20))
        found = standing(
            HALVES,
            {"control": Tally(n, resolved[0]), "shorter": Tally(n, resolved[1])},
            most_sessions=2 * sessions,
        )
        if found.verdict != "go on":
            return found.verdict
    raise AssertionError("there must be a verdict at the end")


def test_looking_often_does_not_find_what_is_not_there() -> None:
    rng = Random(1)
    verdicts = [simulate(rng, (0.6, 0.6), 1_000) for _ in range(300)]
    assert sum(verdict != "no difference" for verdict in verdicts) / len(verdicts) <= 0.05


def test_a_real_difference_is_found_and_named() -> None:
    rng = Random(2)
    better = [simulate(rng, (0.55, 0.7), 2_000) for _ in range(40)]
    assert better.count("won") >= 38
    worse = [simulate(rng, (0.7, 0.55), 2_000) for _ in range(40)]
    assert worse.count("kept") >= 38


def test_few_sessions_never_decide() -> None:
    found = standing(HALVES, {"control": Tally(30, 0), "shorter": Tally(30, 30)})
    assert found.verdict == "go on"
    assert found.compared[0].p < 0.05


def test_fewer_hand_offs_are_better() -> None:
    tallies = {"control": Tally(500, handed_off=200), "shorter": Tally(500, handed_off=50)}
    found = standing(HALVES, tallies, metric="hand_off")
    assert (found.verdict, found.winner) == ("won", "shorter")
    assert found.compared[0].difference == pytest.approx(0.3)


def test_ratings_are_means_with_their_own_spread() -> None:
    good = Tally(400, ratings=200, rating_sum=180.0, rating_squares=168.0)
    poor = Tally(400, ratings=200, rating_sum=120.0, rating_squares=90.0)
    found = standing(HALVES, {"control": poor, "shorter": good}, metric="rating")
    assert (found.verdict, found.winner) == ("won", "shorter")
    nothing = standing(HALVES, {"control": Tally(400), "shorter": Tally(400)}, metric="rating")
    assert nothing.verdict == "go on"
    assert nothing.compared[0].difference is None


def test_p_is_a_probability() -> None:
    assert sequential_p(0.0, 0.001) == 1.0
    assert 0.0 < sequential_p(0.2, 0.001) < 1e-5
    assert sequential_p(-0.2, 0.001) == sequential_p(0.2, 0.001)
