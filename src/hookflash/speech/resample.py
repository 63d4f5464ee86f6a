"""Knows how to change the sampling rate of a stream: a windowed sinc in polyphase, at most 2 ms late."""

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from hookflash.base.errors import Invalid
from hookflash.speech.audio import SAMPLE_RATE, Samples, encoded

RATES = (8000, 16000, 22050, 24000, 44100, 48000)

# The filter's length; half of it is the delay.
_SPAN_SECONDS = 0.004
# What is above half of the lower rate comes through this much weaker.
_REJECTION_DB = 58.0
_NOTHING = np.zeros(0)


@lru_cache(maxsize=32)
def _bank(source: int, target: int) -> NDArray[np.float64]:
    """The filter, one row of taps for each position that an output sample may have between two input samples."""
    phases = target // gcd(source, target)
    taps = int(_SPAN_SECONDS * source)
    stop = min(source, target) / 2
    transition = (_REJECTION_DB - 7.95) / (14.36 * taps) * source
    cutoff = (stop - transition / 2) / source
    beta = 0.1102 * (_REJECTION_DB - 8.7)
    # How long before the middle of the window each tap lies, in input samples.
    middle = taps / 2 - 1 + np.arange(phases)[:, None] / phases
    distance = middle - np.arange(taps)
    window = np.i0(beta * np.sqrt(np.maximum(0.0, 1 - (2 * distance / taps) ** 2))) / np.i0(beta)
    bank = np.sinc(2 * cutoff * distance) * window
    bank /= bank.sum(axis=1, keepdims=True)
    # With so few bits every sum of products is exact, so no order of adding up (and no cut of the stream) changes it.
    return np.asarray(np.rint(bank * 2**24) / 2**24)


class Resampler:
    """One stream from one rate to another. Samples out do not depend on how the samples in were cut into pieces."""

    def __init__(self, source: int, target: int) -> None:
        """Raises Invalid for a rate that is not one of RATES."""
        if source not in RATES or target not in RATES:
            raise Invalid(f"Sound at {source} Hz cannot be turned into sound at {target} Hz.")
        divisor = gcd(source, target)
        self._up, self._down = target // divisor, source // divisor
        self._bank = _bank(source, target)
        self._taps = self._bank.shape[1]
        self._kept: NDArray[np.float64] = np.zeros(self._taps - 1)
        # Where the next output sample lies behind the first sample to come, in steps of 1 / up.
        self._next = 0
        self.delay = self._taps / 2 / source

    def push(self, samples: Samples) -> Samples:
        """All output samples that the input up to here decides."""
        given = np.concatenate((self._kept, samples), dtype=np.float64)
        count = max(0, ceil((len(samples) * self._up - self._next) / self._down))
        out = self._output(given, count) if count else _NOTHING
        self._next += count * self._down - len(samples) * self._up
        self._kept = given[len(given) - self._taps + 1 :]
        whole: Samples = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
        return whole

    def _output(self, given: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        windows = np.lib.stride_tricks.as_strided(given, (len(given) - self._taps + 1, self._taps), given.strides * 2)
        if self._up == 1:
            one: NDArray[np.float64] = np.ascontiguousarray(windows[self._next :: self._down]).dot(self._bank[0])
            return one
        if self._up == 2:
            both = np.ascontiguousarray(windows).dot(self._bank.T)
            two: NDArray[np.float64] = both.ravel()[self._next :: self._down]
            return two
        places = self._next + self._down * np.arange(count)
        whole, phase = np.divmod(places, self._up)
        each: NDArray[np.float64] = np.einsum("ij,ij->i", windows[whole], self._bank[phase])
        return each


class ToMulaw:
    """A vendor's stream of 16-bit little-endian sound into mu-law at 8 kHz; pieces may be cut in mid-sample."""

    def __init__(self, rate: int) -> None:
        """Raises Invalid for a rate that is not one of RATES."""
        self._resampler = None if rate == SAMPLE_RATE else Resampler(rate, SAMPLE_RATE)
        self._odd = b""

    def push(self, data: bytes) -> bytes:
        data = self._odd + data
        whole = len(data) & ~1
        self._odd = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
        return encoded(self._resampler.push(samples) if self._resampler else samples)
