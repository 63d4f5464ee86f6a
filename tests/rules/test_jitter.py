"""The jitter buffer: in order costs no time, out of order is put right, gaps are covered, and everything is counted."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.speech.audio import SILENT_FRAME, level
from hookflash.speech.jitter import FrameCounts, JitterBuffer

# Another sound for each frame, so that it can be told which is which.
LOUD = [bytes([number % 120]) * 160 for number in range(2000)]


def feed(
    buffer: JitterBuffer, numbers: list[int], *, first: int = 155, step: float = 20, now: float = 0.0
) -> list[bytes]:
    out: list[bytes] = []
    for number in numbers:
        out += buffer.push(str(first + round(number * step)), LOUD[number], now)
    return out


def test_frames_in_order_pass_at_once() -> None:
    buffer = JitterBuffer()
    for number in range(600):
        assert buffer.push(str(155 + 20 * number), LOUD[number], 0.0) == [LOUD[number]]
    assert buffer.counts == FrameCounts(received=600)
    assert not buffer.waiting
    assert buffer.depth_ms == 0, "after a long calm nothing would wait"


@pytest.mark.parametrize("step", [19.97, 20.03, 19.5, 20.5])
def test_a_clock_that_drifts_is_followed(step: float) -> None:
    buffer = JitterBuffer()
    assert feed(buffer, list(range(1500)), step=step) == LOUD[:1500]
    assert buffer.counts == FrameCounts(received=1500)


def test_two_frames_that_changed_places_are_put_right() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, [0, 2]) == [LOUD[0]]
    assert buffer.waiting
    assert feed(buffer, [1]) == [LOUD[1], LOUD[2]]
    assert not buffer.waiting
    assert buffer.counts == FrameCounts(received=3, reordered=1)


def test_several_out_of_order_are_put_right() -> None:
    buffer = JitterBuffer()
    buffer.depth_ms = 60
    assert feed(buffer, [0, 3, 2, 1, 4]) == LOUD[:5]
    assert buffer.counts == FrameCounts(received=5, reordered=2)


def test_a_missing_frame_is_covered_by_a_fainter_one_when_its_time_is_up() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, [0, 2], now=1.0) == [LOUD[0]]
    assert buffer.tick(1.019) == []
    covered, after = buffer.tick(1.021)
    assert after == LOUD[2]
    assert len(covered) == 160
    assert level(LOUD[0]) - 7 < level(covered) < level(LOUD[0]) - 5
    assert buffer.counts == FrameCounts(received=2, missing=1)


def test_later_frames_also_end_the_wait() -> None:
    buffer = JitterBuffer()
    out = feed(buffer, [0, 2, 3])
    assert len(out) == 4
    assert (out[0], out[2], out[3]) == (LOUD[0], LOUD[2], LOUD[3])


def test_a_long_gap_fades_into_silence_of_the_same_length() -> None:
    buffer = JitterBuffer()
    feed(buffer, [0])
    assert feed(buffer, [50], now=0.0) == []
    out = buffer.tick(0.1)
    assert len(out) == 50
    assert level(LOUD[0]) > level(out[0]) > level(out[1]) > -60
    assert out[2:49] == [SILENT_FRAME] * 47
    assert out[49] == LOUD[50]
    assert buffer.counts.missing == 49


def test_a_late_frame_is_dropped_and_makes_the_next_wait_longer() -> None:
    buffer = JitterBuffer()
    feed(buffer, [0, 2])
    buffer.tick(1.0)
    assert feed(buffer, [1]) == []
    assert buffer.counts == FrameCounts(received=3, missing=1, late=1)
    assert buffer.depth_ms == 40
    for lost in range(4, 20, 3):
        feed(buffer, [lost - 1, lost + 1])
        buffer.tick(1.0)
        feed(buffer, [lost])
    assert buffer.depth_ms == 60


def test_duplicates_are_dropped_given_or_held() -> None:
    buffer = JitterBuffer()
    assert feed(buffer, [0, 1, 1, 0]) == LOUD[:2]
    assert feed(buffer, [3, 3]) == []
    assert feed(buffer, [2]) == LOUD[2:4]
    assert feed(buffer, [3]) == []
    assert buffer.counts == FrameCounts(received=8, duplicate=4, reordered=1)


@pytest.mark.parametrize("timestamp", ["", "soon", "-5", "1.5", "9" * 30, -1])
def test_what_has_no_time_or_no_sound_is_malformed(timestamp: str | int) -> None:
    buffer = JitterBuffer()
    assert buffer.push(timestamp, LOUD[0], 0.0) == []
    assert buffer.push("155", b"", 0.0) == []
    assert buffer.counts == FrameCounts(received=2, malformed=2)
    assert feed(buffer, [0, 1]) == LOUD[:2]


@pytest.mark.parametrize("first", [102, 10_000_000, 0])
def test_a_clock_that_begins_anew_is_followed(first: int) -> None:
    buffer = JitterBuffer()
    feed(buffer, [0, 1, 2], first=400_000)
    feed(buffer, [4], first=400_000)
    out = feed(buffer, [10, 11, 12], first=first)
    assert out == [LOUD[4], *LOUD[10:13]], "what was held is not lost"
    assert buffer.counts.restarts == 1
    assert buffer.counts.missing == 0


def test_a_stall_on_the_way_loses_nothing() -> None:
    buffer = JitterBuffer()
    out = feed(buffer, list(range(5)), now=0.1)
    assert buffer.tick(0.9) == []
    out += feed(buffer, list(range(5, 40)), now=0.9)
    assert out == LOUD[:40]
    assert buffer.counts.missing == 0


def test_frames_of_another_length() -> None:
    buffer = JitterBuffer()
    long = [LOUD[number] * 5 for number in range(4)]
    out = [piece for number in (0, 1, 3) for piece in buffer.push(100 * number, long[number], 0.0)]
    out += buffer.tick(1.0)
    assert out[:2] == long[:2]
    assert out[-1] == long[3]
    assert sum(map(len, out)) == 4 * 800


@given(st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.3))
def test_whatever_is_lost_doubled_or_shuffled_the_sound_keeps_its_length_and_order(
    seed: int, lost: float, moved: float
) -> None:
    chance = random.Random(seed)
    sent = [0, *(number for number in range(1, 199) if chance.random() > lost), 199]
    order = sorted(sent, key=lambda number: number + (chance.random() * 4 if chance.random() < moved else 0))
    order = [number for number in order for _ in range(1 + (chance.random() < 0.05))]
    buffer = JitterBuffer()
    out: list[bytes] = []
    # Nothing can be put before the first.
    order = [0, *(number for number in order if number)]
    for place, number in enumerate(order):
        out += buffer.push(155 + 20 * number, number.to_bytes(2, "big") * 80, place * 0.02)
        out += buffer.tick(place * 0.02)
    out += buffer.tick(1e6)
    given = [
        int.from_bytes(frame[:2], "big") for place, frame in enumerate(out) if frame[:2] == place.to_bytes(2, "big")
    ]
    counts = buffer.counts
    assert sum(map(len, out)) == 160 * len(out)
    assert len(out) == max(sent) + 1
    assert len(given) >= len(out) - counts.missing
    assert counts.received == len(order)
    assert counts.received == len(out) - counts.missing + counts.late + counts.duplicate
    assert counts.malformed == counts.restarts == 0
