"""Knows WAV files: reads linear and mu-law ones of any rate, writes linear ones, and lays out a call in two tracks."""

import struct
from dataclasses import dataclass

import numpy as np

from hookflash.base.errors import Invalid
from hookflash.speech.audio import SAMPLE_RATE, SILENCE, Samples, decoded

_LINEAR, _MULAW, _EXTENSIBLE = 1, 7, 0xFFFE


@dataclass(frozen=True, slots=True)
class Wav:
    """Sound of a file. `samples` has the shape (length, channels)."""

    rate: int
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def mono(self) -> Samples:
        """The mean of the channels."""
        if self.samples.shape[1] == 1:
            return self.samples[:, 0]
        mean: Samples = self.samples.mean(axis=1).astype(np.int16)
        return mean


def read_wav(data: bytes) -> Wav:
    """The sound of a file's content. Chunks that are not known are passed over, a cut end is accepted. Raises Invalid."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise Invalid("This is not a WAV file.")
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt " and len(body) >= 16:
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if kind == _EXTENSIBLE and len(body) >= 26:
                kind = int.from_bytes(body[24:26], "little")
            form = kind, channels, rate, bits
        elif name == b"data":
            if form is None:
                raise Invalid("The WAV file has its sound before its format.")
            return _sound(body, *form)
        # A chunk of odd size is followed by a byte that does not count.
        at += 8 + size + (size & 1)
    raise Invalid("The WAV file has no sound.")


def _sound(body: bytes, kind: int, channels: int, rate: int, bits: int) -> Wav:
    if not 1 <= channels <= 8 or not 1000 <= rate <= 192_000:
        raise Invalid(f"The WAV file has {channels} channels at {rate} Hz.")
    if (kind, bits) == (_LINEAR, 16):
        samples = np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.int16)
    elif (kind, bits) == (_LINEAR, 8):
        samples = (np.frombuffer(body, np.uint8).astype(np.int16) - 128) * np.int16(256)
    elif (kind, bits) == (_MULAW, 8):
        samples = decoded(body)
    else:
        raise Invalid(f"The WAV file's encoding {kind} with {bits} bits is not understood: only 16 bits and mu-law.")
    return Wav(rate, samples[: len(samples) // channels * channels].reshape(-1, channels))


def written_wav(samples: Samples, rate: int) -> bytes:
    """The content of a file with these samples: (length,) for one channel or (length, channels)."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    body = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", _LINEAR, channels, rate, rate * channels * 2, channels * 2, 16)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body))
    return b"RIFF" + struct.pack("<I", len(head) + len(body)) + head + body


class Track:
    """One side of a call as it was heard: pieces of mu-law at their times, silence between them."""

    def __init__(self) -> None:
        self._sound = bytearray()

    def put(self, at: float, mulaw: bytes) -> None:
        """The piece is heard from `at` seconds on; where something was there already, the new piece is heard."""
        start = max(0, round(at * SAMPLE_RATE))
        self._sound.extend(bytes([SILENCE]) * (start - len(self._sound)))
        self._sound[start : start + len(mulaw)] = mulaw

    def cut(self, at: float) -> None:
        """Nothing is heard from `at` seconds on."""
        del self._sound[max(0, round(at * SAMPLE_RATE)) :]

    @property
    def mulaw(self) -> bytes:
        return bytes(self._sound)
