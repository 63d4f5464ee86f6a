"""Who speaks when: the gate before the model, the batches of all calls, and probabilities turned into starts and ends."""

import threading
from collections.abc import AsyncIterator

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.speech.audio import FLOATS, SILENCE, Floats, encoded
from hookflash.speech.gate import Gate, Rows
from hookflash.speech.hysteresis import CHUNK_SECONDS, LISTENING, PLAYING, Hysteresis, Profile, SpeechEnd, SpeechStart
from hookflash.speech.vad import CHUNK, CONTEXT, GatedScorer, VadBatcher


def judged(probabilities: list[float], *, playing: bool = False) -> list[SpeechStart | SpeechEnd]:
    hysteresis = Hysteresis()
    events = [hysteresis.push(probability, playing) for probability in probabilities]
    return [event for event in events if event]


def at(chunk: int) -> float:
    return chunk * CHUNK_SECONDS


def test_speech_begins_with_its_first_chunk_and_ends_with_its_last() -> None:
    events = judged([0.1] * 10 + [0.9] * 20 + [0.1] * 20)
    assert events == [SpeechStart(at(10)), SpeechEnd(at(30))]


def test_a_click_is_not_speech() -> None:
    assert judged([0.1] * 5 + [0.99] + [0.1] * 20) == []


def test_a_short_pause_does_not_end_speech() -> None:
    assert judged([0.9] * 5 + [0.1] * 5 + [0.9] * 5) == [SpeechStart(0.0)]


def test_a_weak_chunk_neither_begins_nor_ends_anything() -> None:
    assert judged([0.45] * 50) == []
    assert judged([0.9] * 5 + [0.45] * 50) == [SpeechStart(0.0)]
    # Nor does it undo a pause: the end is where the voice fell silent.
    assert judged([0.9] * 5 + [0.1, 0.4] * 5) == [SpeechStart(0.0), SpeechEnd(at(5))]


def test_while_we_play_we_want_to_be_surer() -> None:
    breath = [0.1] * 3 + [0.7] * 8 + [0.1] * 10
    assert len(judged(breath)) == 2
    assert judged(breath, playing=True) == []
    word = [0.1] * 3 + [0.95] * 3 + [0.1] * 10
    assert len(judged(word)) == 2
    assert judged(word, playing=True) == []
    assert judged([0.1] * 3 + [0.95] * 4, playing=True) == [SpeechStart(at(3))]


def test_what_began_while_we_played_may_be_confirmed_after() -> None:
    hysteresis = Hysteresis()
    assert [hysteresis.push(0.9, True) for _ in range(3)] == [None] * 3
    assert hysteresis.push(0.6, False) == SpeechStart(0.0)


@given(st.lists(st.floats(0, 1), max_size=200), st.lists(st.booleans(), min_size=200, max_size=200))
def test_starts_and_ends_alternate_in_time(probabilities: list[float], playing: list[bool]) -> None:
    hysteresis = Hysteresis(LISTENING, PLAYING)
    events = []
    for chunk, probability in enumerate(probabilities):
        event = hysteresis.push(probability, playing[chunk])
        if event:
            events.append(event)
            assert hysteresis.speaking is isinstance(event, SpeechStart)
            assert 0 <= event.at <= chunk * CHUNK_SECONDS
    assert [type(event) for event in events] == [SpeechStart, SpeechEnd] * (len(events) // 2) + [SpeechStart] * (
        len(events) % 2
    )
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert hysteresis.heard_seconds == at(len(probabilities))


def test_a_profile_of_ones_own() -> None:
    quick = Hysteresis(Profile(on=0.5, off=0.5, speech_seconds=0, pause_seconds=0))
    assert quick.push(0.6) == SpeechStart(0.0)
    assert quick.push(0.4) == SpeechEnd(at(1))


ONE = np.array([0], np.intp)


def noise(chunks: int, decibels: float, seed: int = 0) -> Floats:
    sound = np.random.default_rng(seed).standard_normal((chunks, CHUNK)) * 10 ** (decibels / 20)
    return sound.astype(np.float32)


def gated(gate: Gate, sound: Floats, probability: float = 0.01) -> list[bool]:
    opened = []
    for chunk in sound:
        mask = gate.opened(ONE, chunk[None, :])
        if mask[0]:
            gate.learn(ONE, np.array([probability], np.float32))
        opened.append(bool(mask[0]))
    return opened


def new_gate() -> Gate:
    gate = Gate()
    gate.reset(ONE)
    return gate


@pytest.mark.parametrize("decibels", [-80, -60, -45, -30])
def test_steady_noise_closes_the_gate_at_any_level(decibels: float) -> None:
    opened = gated(new_gate(), noise(300, decibels))
    assert all(opened[:8]), "nothing is skipped before anything is known"
    assert sum(opened[20:]) <= 0.2 * 280


@pytest.mark.parametrize("decibels", [-60, -45])
def test_a_louder_sound_opens_it_at_once(decibels: float) -> None:
    gate = new_gate()
    gated(gate, noise(100, decibels))
    sound = noise(1, decibels)
    # The last 10 ms of the chunk only.
    sound[0, -80:] *= 10 ** (10 / 20)
    assert gated(gate, sound, 0.9) == [True]
    assert gated(gate, noise(7, decibels), 0.9) == [True] * 7, "open for a while after anything likely"


def test_hum_does_not_hide_a_voice() -> None:
    gate = new_gate()
    hum = (0.05 * np.sin(2 * np.pi * 50 * np.arange(CHUNK * 200) / 8000)).astype(np.float32).reshape(-1, CHUNK)
    opened = gated(gate, hum + noise(200, -65))
    assert sum(opened[20:]) <= 0.2 * 180
    assert gated(gate, hum[:1] + noise(1, -50)) == [True]


def test_a_line_that_grows_noisy_is_learned() -> None:
    gate = new_gate()
    gated(gate, noise(100, -60))
    opened = gated(gate, noise(400, -48))
    assert all(opened[:5])
    assert sum(opened[200:]) <= 0.2 * 200


def test_likely_speech_keeps_it_open_however_steady() -> None:
    assert all(gated(new_gate(), noise(300, -30), 0.9))


def test_rows_know_nothing_of_each_other_and_begin_anew() -> None:
    gate = Gate()
    rows = np.array([3, 70], np.intp)
    gate.reset(rows)
    quiet, loud = noise(100, -60, 1), noise(100, -30, 2)
    for chunk in range(100):
        both = np.stack([quiet[chunk], loud[chunk]])
        mask = gate.opened(rows, both)
        gate.learn(rows[mask], np.zeros(int(mask.sum()), np.float32))
    assert not gate.opened(rows, np.stack([quiet[0], loud[0]])).all()
    assert gate.opened(rows, np.stack([loud[0], quiet[0]])).tolist() == [True, False]
    gate.reset(rows[:1])
    assert gate.opened(rows[:1], quiet[:1]).tolist() == [True]


class Loudness:
    """A Scorer: the peak of the chunk is its probability. It remembers how many chunks each row has had."""

    def __init__(self) -> None:
        self.had: dict[int, int] = {}
        self.batches: list[list[int]] = []
        self.contexts: list[Floats] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.started = threading.Event()
        self.broken = False

    def reset(self, rows: Rows) -> None:
        self.had.update(dict.fromkeys(rows.tolist(), 0))

    def score(self, rows: Rows, samples: Floats) -> Floats:
        self.started.set()
        assert self.may_go.wait(10)
        if self.broken:
            raise RuntimeError("no memory")
        assert samples.shape == (len(rows), CONTEXT + CHUNK)
        assert len(set(rows.tolist())) == len(rows)
        for row in rows.tolist():
            self.had[row] += 1
        self.batches.append(rows.tolist())
        self.contexts.append(samples[:, :CONTEXT].copy())
        peaks: Floats = np.abs(samples[:, CONTEXT:]).max(axis=1)
        return peaks


SQUARE = np.tile([32000, -32000], CHUNK // 2)


def sound(*loudness: float) -> bytes:
    """Chunks of these peaks."""
    return b"".join(encoded((SQUARE * value).astype(np.int16)) for value in loudness)


def test_the_sound_before_a_chunk_is_its_context() -> None:
    scorer = Loudness()
    gated = GatedScorer(scorer)
    first, second = bytes(range(256)), bytes(reversed(range(256)))
    gated.score(ONE, ONE, [first])
    gated.score(ONE, ONE[:0], [second])
    assert np.array_equal(scorer.contexts[0][0], FLOATS[[SILENCE] * CONTEXT])
    assert np.array_equal(scorer.contexts[1][0], FLOATS[list(first[-CONTEXT:])])
    gated.score(ONE, ONE, [second])
    assert np.array_equal(scorer.contexts[2][0], FLOATS[[SILENCE] * CONTEXT])


def test_what_the_gate_keeps_out_is_silence() -> None:
    scorer = Loudness()
    gated = GatedScorer(scorer, gate=Gate())
    silent = bytes([SILENCE]) * CHUNK
    scores = [float(gated.score(ONE, ONE if not number else ONE[:0], [silent])[0]) for number in range(200)]
    assert scores == [0.0] * 200
    assert gated.skipped > 160
    assert gated.scored == scorer.had[0] == 200 - gated.skipped
    assert gated.score(ONE, ONE[:0], [sound(0.8)])[0] == pytest.approx(0.8, abs=0.03)


class Heard:
    """What one call is told."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._wanted = 0
        self._enough = anyio.Event()

    def __call__(self, probability: float) -> None:
        self.values.append(probability)
        if len(self.values) >= self._wanted:
            self._enough.set()

    async def first(self, count: int) -> list[float]:
        self._wanted, self._enough = count, anyio.Event()
        if len(self.values) < count:
            with anyio.fail_after(10):
                await self._enough.wait()
        return [round(value, 1) for value in self.values]


@pytest.fixture
def scorer() -> Loudness:
    return Loudness()


@pytest.fixture
async def batcher(scorer: Loudness) -> AsyncIterator[VadBatcher]:
    async with VadBatcher(GatedScorer(scorer), window=0.0, most=50).running() as running:
        yield running


async def test_each_call_gets_its_own_in_order(batcher: VadBatcher, scorer: Loudness) -> None:
    heard = [Heard() for _ in range(120)]
    ears = [batcher.join(one) for one in heard]
    plans = [[(number + step) % 9 / 10 for step in range(6)] for number in range(120)]
    for ear, plan in zip(ears, plans, strict=True):
        ear.feed(sound(*plan))
    for one, plan in zip(heard, plans, strict=True):
        assert await one.first(6) == plan
    assert batcher.counts.chunks == 720
    assert max(map(len, scorer.batches)) == 50
    # Nobody's second chunk before everybody's first.
    assert {row for batch in scorer.batches[:3] for row in batch} == set(range(120))


async def test_sound_in_pieces_of_any_size(batcher: VadBatcher) -> None:
    heard = Heard()
    ear = batcher.join(heard)
    whole = sound(0.1, 0.5, 0.9, 0.3)
    for at in range(0, len(whole), 160):
        ear.feed(whole[at : at + 160])
    assert await heard.first(4) == [0.1, 0.5, 0.9, 0.3]


async def test_a_call_that_leaves_while_it_is_scored_hears_nothing_and_its_place_is_clean(
    batcher: VadBatcher, scorer: Loudness
) -> None:
    gone, stays = Heard(), Heard()
    leaver, stayer = batcher.join(gone), batcher.join(stays)
    scorer.may_go.clear()
    leaver.feed(sound(0.5, 0.6))
    stayer.feed(sound(0.7))
    await anyio.to_thread.run_sync(scorer.started.wait, 10)
    leaver.leave()
    leaver.leave()
    newcomer = Heard()
    next_ear = batcher.join(newcomer)
    assert next_ear.row == leaver.row
    next_ear.feed(sound(0.2, 0.3))
    leaver.feed(sound(0.9))
    scorer.may_go.set()
    assert await newcomer.first(2) == [0.2, 0.3]
    assert await stays.first(1) == [0.7]
    assert gone.values == []
    assert scorer.had[leaver.row] == 2, "counted from the newcomer's first"


async def test_a_scorer_that_cannot_follow_loses_detail_but_no_time(batcher: VadBatcher, scorer: Loudness) -> None:
    heard = Heard()
    ear = batcher.join(heard)
    scorer.may_go.clear()
    ear.feed(sound(0.1))
    await anyio.to_thread.run_sync(scorer.started.wait, 10)
    ear.feed(sound(*[0.2] * 8, *[0.9] * 5))
    assert batcher.counts.unscored == 5
    scorer.may_go.set()
    assert len(await heard.first(14)) == 14
    assert scorer.had[ear.row] == 9


async def test_a_failing_scorer_repeats_the_last_and_recovers(batcher: VadBatcher, scorer: Loudness) -> None:
    heard = Heard()
    ear = batcher.join(heard)
    ear.feed(sound(0.4))
    await heard.first(1)
    scorer.broken = True
    ear.feed(sound(0.9))
    await heard.first(2)
    scorer.broken = False
    ear.feed(sound(0.6))
    assert await heard.first(3) == [0.4, 0.4, 0.6]
    assert batcher.counts.failed == 1


async def test_a_call_whose_receiver_fails_is_left_out_alone(batcher: VadBatcher) -> None:
    def failing(probability: float) -> None:
        raise ValueError("cannot")

    heard = Heard()
    bad, good = batcher.join(failing), batcher.join(heard)
    for ear in (bad, good):
        ear.feed(sound(0.3, 0.5))
    assert await heard.first(2) == [0.3, 0.5]
    assert bad.gone
    assert not good.gone


async def test_the_thread_ends_with_the_batcher(scorer: Loudness) -> None:
    heard = Heard()
    async with VadBatcher(GatedScorer(scorer), window=0.0).running() as running:
        running.join(heard).feed(sound(0.5))
        await heard.first(1)
        assert any(thread.name == "vad" for thread in threading.enumerate())
    assert not any(thread.name == "vad" for thread in threading.enumerate())
