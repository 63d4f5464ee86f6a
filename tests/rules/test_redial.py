"""When a person who was not reached is called again, and when no more."""

from datetime import UTC, datetime, timedelta

from hookflash.channels.redial import GIVE_UP_AFTER, LONGEST_GAP, gap, next_try

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


def test_the_gaps_grow_to_a_longest() -> None:
    gaps = [gap(n) for n in range(1, 7)]
    assert gaps == sorted(gaps)
    assert gaps[0] == timedelta(minutes=5)
    assert gaps[1] == timedelta(minutes=20)
    assert gaps[-1] == LONGEST_GAP


def test_it_is_tried_so_often_as_was_asked() -> None:
    assert next_try(1, 0, NOON, NOON) is None
    assert next_try(1, 2, NOON, NOON) == NOON + gap(1)
    assert next_try(2, 2, NOON, NOON) == NOON + gap(2)
    assert next_try(3, 2, NOON, NOON) is None


def test_it_is_not_tried_for_ever() -> None:
    late = NOON + GIVE_UP_AFTER - timedelta(minutes=1)
    assert next_try(1, 10, NOON, late) is None
