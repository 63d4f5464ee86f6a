"""The log-mel spectrogram that models of the Whisper family hear: 80 bands, 10 ms apart, of sound at 16 kHz.

Parameters are those of Whisper (Radford et al., 2022): a Hann window of 25 ms, Slaney's mel scale with bands of equal area.
"""

from functools import lru_cache

import numpy as np

from hookflash.speech.audio import Floats

RATE, WINDOW, HOP, BANDS = 16_000, 400, 160, 80
_FLOOR, _RANGE = 1e-10, 8.0
# Slaney: linear up to 1 kHz, 200/3 Hz a mel; above it 27 mels for a factor of 6.4.
_LINEAR_HZ, _BREAK_HZ, _BREAK_MEL = 200.0 / 3.0, 1_000.0, 15.0
_STEP = np.log(6.4) / 27.0


def log_mel(samples: Floats) -> Floats:
    """Bands x frames of samples in -1..1, of zero mean and unit variance first; one frame for every 160 samples."""
    whole = samples.astype(np.float64)
    whole = (whole - whole.mean()) / np.sqrt(whole.var() + 1e-7)
    padded = np.pad(whole, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(whole) // HOP]
    spectrum = np.fft.rfft(frames * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = np.log10(np.maximum(power @ _filters(), _FLOOR)).T
    bands = np.maximum(bands, bands.max() - _RANGE)
    scaled: Floats = ((bands + 4.0) / 4.0).astype(np.float32)
    return scaled


@lru_cache(1)
def _hann() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@lru_cache(1)
def _filters() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Frequencies x bands: triangles between neighbouring points of the mel scale."""
    top = _BREAK_MEL + np.log(RATE / 2 / _BREAK_HZ) / _STEP
    mels = np.linspace(0.0, top, BANDS + 2)
    edges = np.where(mels < _BREAK_MEL, mels * _LINEAR_HZ, _BREAK_HZ * np.exp(_STEP * (mels - _BREAK_MEL)))
    found = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (found - low) / (middle - low), (high - found) / (high - middle)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low)))
