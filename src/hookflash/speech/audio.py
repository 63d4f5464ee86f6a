"""Knows mu-law, the sound of the telephone: to and from linear samples, its level, its silence, its fading away."""

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 8000
FRAME = 160
FRAME_SECONDS = FRAME / SAMPLE_RATE
# The quieter of the two codes for zero; Twilio sends both.
SILENCE = 0xFF
SILENT_FRAME = bytes([SILENCE]) * FRAME
# The level of digital silence, and the least that `level` gives.
QUIETEST = -90.0

Samples = NDArray[np.int16]
Floats = NDArray[np.float32]

_BIAS, _CLIP = 132, 32635


def _decoding() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((mantissa << 3) + _BIAS << exponent) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encoding() -> NDArray[np.uint8]:
    """By the sample's 16 bits, read as unsigned."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    sign = np.where(sample < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(sample), _CLIP) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = magnitude >> exponent + 3 & 15
    code: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return code


_DECODING = _decoding()
_ENCODING = _encoding()
# Full scale is 1.
FLOATS: Floats = (_DECODING / np.float32(32768)).astype(np.float32)


def decoded(mulaw: bytes) -> Samples:
    """Linear samples of mu-law."""
    return _DECODING.take(np.frombuffer(mulaw, np.uint8))


def encoded(samples: Samples) -> bytes:
    """Mu-law of linear samples."""
    return _ENCODING.take(np.ascontiguousarray(samples, np.int16).view(np.uint16)).tobytes()


def level(mulaw: bytes) -> float:
    """The mean power in dB below full scale (a full square wave is 0), at least QUIETEST; of nothing, QUIETEST."""
    samples = FLOATS.take(np.frombuffer(mulaw, np.uint8))
    power = float(samples.dot(samples)) / (len(mulaw) or 1)
    return 10.0 * math.log10(power) if power > 1e-9 else QUIETEST


def silence(seconds: float) -> bytes:
    """That much silence, to the nearest sample."""
    return bytes([SILENCE]) * max(0, round(seconds * SAMPLE_RATE))


def _fading(halvings: int) -> bytes:
    return encoded((_DECODING >> halvings).astype(np.int16) if halvings < 15 else np.zeros(256, np.int16))


_FADINGS = tuple(_fading(halvings) for halvings in range(16))


def faded(mulaw: bytes, halvings: int) -> bytes:
    """The same sound at half the amplitude, `halvings` times over."""
    return mulaw.translate(_FADINGS[min(halvings, 15)])
