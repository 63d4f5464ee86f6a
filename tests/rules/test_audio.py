"""Sound: mu-law both ways, levels, WAV files of any make, the tracks of a call, and rates changed without a trace."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hookflash.base.errors import Invalid
from hookflash.speech.audio import (
    FRAME,
    QUIETEST,
    SILENT_FRAME,
    Samples,
    decoded,
    encoded,
    faded,
    level,
    silence,
)
from hookflash.speech.resample import RATES, Resampler, ToMulaw
from hookflash.speech.wav import Track, read_wav, written_wav

ALL = bytes(range(256))
# From ITU-T G.711's table: the first and last code of both signs, and the ends of some segments.
G711 = {
    0x00: -32124,
    0x0F: -16764,
    0x10: -15996,
    0x7E: -8,
    0x7F: 0,
    0x80: 32124,
    0x8F: 16764,
    0x90: 15996,
    0xFE: 8,
    0xFF: 0,
}


def tone(hertz: float, rate: int, seconds: float = 0.5, amplitude: float = 10_000) -> Samples:
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def rms_db(samples: NDArray[np.generic]) -> float:
    return 10 * math.log10(float(np.mean(samples.astype(np.float64) ** 2)) + 1e-9)


def test_mulaw_decodes_by_the_standard() -> None:
    linear = decoded(ALL)
    assert {code: int(linear[code]) for code in G711} == G711
    assert np.array_equal(linear[:128], -linear[128:])


def test_mulaw_survives_a_round_trip_but_for_the_sign_of_zero() -> None:
    assert encoded(decoded(ALL)) == ALL.replace(b"\x7f", b"\xff")


def test_encoding_is_as_near_as_its_steps_allow() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)
    back = decoded(encoded(every)).astype(int)
    assert (np.abs(back - every) <= (np.abs(every.astype(int)) + 132) / 32).all()
    assert (np.diff(back) >= 0).all()


def test_levels() -> None:
    assert level(SILENT_FRAME) == level(b"\x7f" * FRAME) == level(b"") == QUIETEST
    assert level(encoded(np.full(FRAME, 32124, np.int16))) == pytest.approx(-0.17, abs=0.01)
    assert level(encoded(tone(400, 8000, 0.02, 3277))) == pytest.approx(-23.0, abs=0.2)


def test_silence_has_the_length_asked_for() -> None:
    assert silence(0.02) == SILENT_FRAME
    assert len(silence(1.0)) == 8000
    assert silence(-1) == b""
    assert not decoded(silence(0.1)).any()


def test_fading_halves() -> None:
    sound = encoded(tone(400, 8000, 0.02))
    for halvings in range(6):
        assert level(faded(sound, halvings)) == pytest.approx(level(sound) - 6.02 * halvings, abs=0.4)
    assert level(faded(sound, 99)) == QUIETEST


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def wav(form: bytes, body: bytes, *, before: bytes = b"") -> bytes:
    content = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", body)
    return b"RIFF" + struct.pack("<I", len(content)) + content


LINEAR_16K = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.sampled_from([1, 2]), st.sampled_from(RATES))
def test_what_is_written_is_read(values: list[int], channels: int, rate: int) -> None:
    samples = np.array(values[: len(values) // channels * channels], np.int16).reshape(-1, channels)
    back = read_wav(written_wav(samples[:, 0] if channels == 1 else samples, rate))
    assert back.rate == rate
    assert np.array_equal(back.samples, samples)


@pytest.mark.parametrize("filler", [1, 4044, 33])
def test_chunks_that_are_not_known_are_passed_over(filler: int) -> None:
    # Recordings from Apple's tools carry FLLR before the sound.
    back = read_wav(wav(LINEAR_16K, b"\x01\x00\xff\xff", before=chunk(b"FLLR", bytes(filler))))
    assert back.samples.tolist() == [[1], [-1]]


def test_mulaw_at_16_khz_is_read() -> None:
    form = struct.pack("<HHIIHHH", 7, 1, 16000, 16000, 1, 8, 0)
    back = read_wav(wav(form, ALL, before=chunk(b"fact", b"\0\1\0\0")))
    assert back.rate == 16000
    assert back.seconds == 0.016
    assert np.array_equal(back.mono(), decoded(ALL))


def test_other_makes_of_linear_files() -> None:
    extensible = struct.pack("<HHIIHHHHI16s", 0xFFFE, 2, 8000, 32000, 4, 16, 22, 16, 3, b"\x01" + bytes(15))
    assert read_wav(wav(extensible, struct.pack("<4h", 10, 20, -10, 30))).mono().tolist() == [15, 10]
    assert read_wav(wav(struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8), b"\x80\xff\x00")).mono().tolist() == [
        0,
        32512,
        -32768,
    ]


def test_a_file_cut_short_gives_what_is_there() -> None:
    assert len(read_wav(written_wav(tone(400, 8000), 8000)[:-1001]).samples) == 4000 - 501


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ID3" + bytes(100),
        b"RIFF\x04\0\0\0WAVE",
        b"RIFF\x04\0\0\0WAVE" + chunk(b"data", b"abcd"),
        wav(struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32), bytes(8)),
        wav(struct.pack("<HHIIHH", 1, 0, 8000, 16000, 2, 16), bytes(8)),
        wav(struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16), bytes(8)),
        wav(b"short", bytes(8)),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_wav(data)


@given(st.binary(max_size=120))
def test_no_file_breaks_the_reader(noise: bytes) -> None:
    for data in (noise, b"RIFF\x04\0\0\0WAVE" + noise, wav(LINEAR_16K, b"", before=noise)):
        try:
            read_wav(data)
        except Invalid as error:
            assert error.message  # noqa: PT017 - either answer is right


def test_a_track_is_what_was_heard() -> None:
    track = Track()
    track.put(0.002, b"abcd" * 8)
    assert track.mulaw == silence(0.002) + b"abcd" * 8
    track.put(0.004, b"xy")
    assert track.mulaw == silence(0.002) + b"abcd" * 4 + b"xy" + (b"abcd" * 8)[18:]
    track.cut(0.003)
    track.cut(10.0)
    assert track.mulaw == silence(0.002) + b"abcd" * 2


WAYS = [*((rate, 8000) for rate in RATES if rate != 8000), (8000, 16000)]


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_constant_stays_what_it_was(source: int, target: int) -> None:
    out = Resampler(source, target).push(np.full(source // 10, 10_000, np.int16))
    assert len(out) == target // 10
    assert np.abs(out[target // 100 :].astype(int) - 10_000).max() <= 1


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_speech_passes_and_what_cannot_be_told_is_kept_out(source: int, target: int) -> None:
    settled = slice(target // 50, None)
    for hertz in (200, 1000, 2500, 3000):
        out = Resampler(source, target).push(tone(hertz, source))
        assert rms_db(out[settled]) == pytest.approx(rms_db(tone(hertz, source)), abs=0.5), hertz
    edge = min(source, target) / 2
    for hertz in np.linspace(edge, source / 2, 40)[:-1] if source > target else ():
        out = Resampler(source, target).push(tone(float(hertz), source, amplitude=30_000))
        assert rms_db(out[settled]) < rms_db(tone(float(hertz), source, amplitude=30_000)) - 50, hertz
    if source < target:
        out = Resampler(source, target).push(tone(3000, source)).astype(float)
        spectrum = np.abs(np.fft.rfft(out[settled] * np.hanning(len(out[settled])))) ** 2
        images = spectrum[len(spectrum) // 2 :].max() / spectrum.max()
        assert 10 * math.log10(images) < -50


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_the_delay_is_what_it_says_and_at_most_2_ms(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    assert resampler.delay <= 0.002
    times = np.arange(source // 10) / source
    out = resampler.push((30_000 * np.exp(-(((times - 0.05) / 0.0005) ** 2))).astype(np.int16)).astype(float)
    centre = float((np.arange(len(out)) * out).sum() / out.sum()) / target
    assert centre - 0.05 == pytest.approx(resampler.delay, abs=0.5 / source)


@given(st.sampled_from(WAYS), st.lists(st.integers(0, 700), max_size=12), st.integers(0, 2**32))
def test_pieces_make_no_difference(way: tuple[int, int], sizes: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).integers(-32768, 32767, sum(sizes), np.int16, endpoint=True)
    streamed, at = Resampler(*way), 0
    pieces = []
    for size in sizes:
        pieces.append(streamed.push(sound[at : at + size]))
        at += size
    whole = Resampler(*way).push(sound)
    assert np.array_equal(np.concatenate([whole[:0], *pieces]), whole)
    assert len(whole) == math.ceil(len(sound) * way[1] / way[0])


@pytest.mark.parametrize(("source", "target"), [(11025, 8000), (8000, 44), (0, 8000)])
def test_an_odd_rate_is_refused(source: int, target: int) -> None:
    with pytest.raises(Invalid):
        Resampler(source, target)


@pytest.mark.parametrize("rate", RATES)
def test_a_vendors_bytes_may_be_cut_in_mid_sample(rate: int) -> None:
    data = tone(440, rate, 0.2).astype("<i2").tobytes()
    whole = ToMulaw(rate).push(data)
    cut = ToMulaw(rate)
    assert b"".join(cut.push(data[at : at + 333]) for at in range(0, len(data), 333)) == whole
    assert len(whole) == 1600
    assert level(whole[200:]) == pytest.approx(20 * math.log10(10_000 / 32768 / math.sqrt(2)), abs=0.3)
