"""Silero as we compute it against the package's own file, and behind the gate against itself without it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession

from hookflash.base.errors import Misconfigured
from hookflash.providers import silero
from hookflash.providers.onnx_file import read_floats
from hookflash.providers.silero import Silero, package_model, pinned
from hookflash.speech.audio import Floats, Samples, encoded, silence
from hookflash.speech.gate import Gate
from hookflash.speech.hysteresis import Hysteresis
from hookflash.speech.vad import CHUNK, CONTEXT, GatedScorer

RATE = 8000
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (300, 870, 2240), (570, 840, 2410))


def resonated(source: NDArray[np.float64], hertz: float, width: float) -> NDArray[np.float64]:
    decay = np.exp(-np.pi * width / RATE)
    first, second = 2 * decay * np.cos(2 * np.pi * hertz / RATE), -decay * decay
    out = np.zeros(len(source))
    before = earlier = 0.0
    for place, value in enumerate(source.tolist()):
        before, earlier = value + first * before + second * earlier, before
        out[place] = before
    return out


def voice(seconds: float, seed: int, amplitude: float = 8000) -> Samples:
    """Something like speech: a pulse train through the resonances of vowels, four syllables a second."""
    chance = np.random.default_rng(seed)
    length = int(seconds * RATE)
    times = np.arange(length) / RATE
    pitch = 120 * (1 + 0.08 * np.sin(2 * np.pi * 2.3 * times) + 0.02 * np.sin(2 * np.pi * 5 * times))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0) + 0.01 * chance.standard_normal(length)
    out = np.zeros(length)
    for start in range(0, length, RATE // 4):
        syllable = pulses[start : start + RATE // 4]
        for hertz, width in zip(VOWELS[chance.integers(len(VOWELS))], (80, 100, 140), strict=True):
            syllable = resonated(syllable, hertz, width)
            syllable /= np.abs(syllable).max()
        out[start : start + len(syllable)] = syllable * np.sqrt(np.hanning(len(syllable)))
    return (out * amplitude).astype(np.int16)


def scored(sounds: list[bytes], gate: Gate | None) -> tuple[Floats, GatedScorer]:
    """Probabilities, sounds x chunks; all sounds have the same length."""
    scorer = GatedScorer(Silero(package_model()), gate=gate)
    rows = np.arange(len(sounds))
    columns = [
        scorer.score(rows, rows if at == 0 else rows[:0], [sound[at : at + CHUNK] for sound in sounds])
        for at in range(0, len(sounds[0]) - CHUNK + 1, CHUNK)
    ]
    return np.stack(columns, axis=1), scorer


def test_our_arithmetic_is_the_packages() -> None:
    model = package_model()
    ours = Silero(model)
    theirs = InferenceSession(model, providers=["CPUExecutionProvider"])
    chance = np.random.default_rng(7)
    rows = np.array([5, 0, 9, 2])
    ours.reset(rows)
    state = np.zeros((2, 4, 128), np.float32)
    speech = voice(1.6, 3).astype(np.float32) / 32768
    for step in range(40):
        samples = chance.standard_normal((4, CONTEXT + CHUNK)) * 10 ** chance.uniform(-4, -0.5, (4, 1))
        samples[0] = speech[step * CHUNK : step * CHUNK + CONTEXT + CHUNK]
        given = samples.astype(np.float32)
        expected, state = theirs.run(None, {"input": given, "state": state, "sr": np.array(RATE)})  # type: ignore[assignment]
        assert ours.score(rows, given) == pytest.approx(np.asarray(expected)[:, 0], abs=1e-4)


def test_voice_is_told_from_silence_and_noise() -> None:
    chance = np.random.default_rng(1)
    noise = encoded((chance.standard_normal(RATE * 2) * 300).astype(np.int16))
    sounds = [encoded(voice(2, 0)), encoded(voice(2, 4)), silence(2), noise]
    probabilities, _ = scored(sounds, None)
    assert (probabilities[:2, 5:20].mean(axis=1) > 0.6).all()
    assert (probabilities[2:] < 0.2).all()


def test_rows_are_apart_and_may_join_late() -> None:
    ours = Silero(package_model())
    first, both = np.array([0]), np.array([0, 200])
    speech: Floats = voice(1, 3).astype(np.float32)[None, : CONTEXT + CHUNK] / np.float32(32768)
    quiet: Floats = np.zeros_like(speech)
    ours.reset(first)
    fresh = float(ours.score(first, speech)[0])
    ours.score(first, quiet)
    ours.reset(both[1:])
    assert float(ours.score(both, np.concatenate([quiet, speech]))[1]) == pytest.approx(fresh, abs=1e-5)
    ours.reset(first)
    assert float(ours.score(first, speech)[0]) == pytest.approx(fresh, abs=1e-5)


@pytest.mark.parametrize("decibels", [None, -65, -50])
def test_the_gate_skips_silence_and_misses_no_beginning(decibels: float | None) -> None:
    chance = np.random.default_rng(2)
    sounds = []
    spoken = []
    for seed in range(6):
        parts, at = [], 0
        for number in range(3):
            pause = np.zeros(int(RATE * chance.uniform(1.5, 3)), np.int16)
            words = voice(1.0, 10 * seed + number, amplitude=8000 if number else 3000)
            spoken.append((seed, (at + len(pause)) // CHUNK, (at + len(pause) + len(words)) // CHUNK))
            parts += [pause, words]
            at += len(pause) + len(words)
        track = np.concatenate([*parts, np.zeros(RATE * 14, np.int16)])[: RATE * 13].astype(float)
        if decibels is not None:
            track += chance.standard_normal(len(track)) * 32768 * 10 ** (decibels / 20)
        sounds.append(encoded(track.astype(np.int16)))
    plain, _ = scored(sounds, None)
    gated, counts = scored(sounds, Gate())
    silent = np.ones(plain.shape, bool)
    for row, first, last in spoken:
        silent[row, first : last + 12] = False
    silent[:, :10] = False
    assert (gated[silent] == 0).mean() >= 0.8
    assert counts.skipped > counts.scored
    noticed = 0
    for row, first, last in spoken:
        without, behind = (noticed_at(probabilities[row], first, last) for probabilities in (plain, gated))
        if without is not None:
            noticed += 1
            assert behind is not None
            assert behind <= without + 2, "more than 64 ms later"
    assert noticed >= 16


def noticed_at(probabilities: Floats, first: int, last: int) -> int | None:
    """The first chunk of these at which speech is seen."""
    hysteresis = Hysteresis()
    for chunk, probability in enumerate(probabilities.tolist()):
        hysteresis.push(probability)
        if first <= chunk <= last and hysteresis.speaking:
            return chunk
    return None


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silero, "PACKAGE", "silero_vad_that_is_not_there")
    with pytest.raises(Misconfigured) as raised:
        package_model()
    assert raised.value.hint is not None
    assert "silero-vad" in raised.value.hint


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "silero_vad.onnx"
    with pytest.raises(Misconfigured, match="cannot be read"):
        pinned(path)
    path.write_bytes(package_model()[:-1] + b"x")
    with pytest.raises(Misconfigured, match="not the one"):
        pinned(path)


def test_the_package_itself_is_not_imported() -> None:
    # Importing it would want torch.
    assert importlib.util.find_spec("silero_vad") is not None
    assert package_model()


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0f", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"])
def test_a_file_of_another_kind_is_not_read(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an ONNX file"):
        read_floats(data)
