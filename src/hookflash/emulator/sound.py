"""Telephone sound: mu-law at 8 kHz, WAV files in and out, and the voices that turn text into it."""

import shutil
import struct
from functools import cache
from typing import Protocol

import anyio
import numpy as np
from numpy.typing import NDArray

from hookflash.base.errors import Invalid, Misconfigured

RATE = 8000  # samples, and bytes of mu-law, a second
FRAME = 160  # bytes of one frame
FRAME_SECONDS = FRAME / RATE
SILENCE = b"\xff" * FRAME
# Bytes whose samples are within 100 of zero: a line on which nobody speaks.
QUIET = bytes(range(0x73, 0x80)) + bytes(range(0xF3, 0x100))

Samples = NDArray[np.int16]


def is_audible(mulaw: bytes) -> bool:
    """Whether anything but silence is in it."""
    return bool(mulaw.translate(None, QUIET))


def decode(mulaw: bytes) -> Samples:
    """Samples of 16 bits."""
    return _decoding()[np.frombuffer(mulaw, np.uint8)]


def encode(samples: Samples) -> bytes:
    """Mu-law of 16-bit samples."""
    magnitude = np.minimum(np.abs(samples.astype(np.int32)), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return codes.tobytes()


@cache
def _decoding() -> Samples:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 132) << ((code >> 4) & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def read_wav(data: bytes) -> bytes:
    """Mu-law at 8 kHz of a WAV file (8 or 16 bits, or mu-law; any rate; channels are mixed); raises Invalid."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise Invalid("the sound is not a WAV file")
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt " and at + 16 <= len(data):
            form = struct.unpack_from("<HHIIHH", data, at)
        elif name == b"data" and form is not None:
            # A writer to a pipe does not know the size and writes a huge one.
            return _as_mulaw(data[at : at + size], form)
        at += size + size % 2
    raise Invalid("the WAV file has no sound in it")


def _as_mulaw(raw: bytes, form: tuple[int, ...]) -> bytes:
    kind, channels, rate, _, _, bits = form
    if kind == 7:
        samples = decode(raw)
    elif kind in (1, 0xFFFE) and bits == 16:
        samples = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.int16)
    elif kind == 1 and bits == 8:
        samples = ((np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)
    else:
        raise Invalid("the WAV file must hold 8 or 16 bits, or mu-law")
    if not channels or not rate:
        raise Invalid("the WAV file names no channels or no rate")
    if channels > 1:
        whole = samples[: len(samples) // channels * channels].reshape(-1, channels)
        samples = whole.mean(axis=1).astype(np.int16)
    elif kind == 7 and rate == RATE:
        return raw
    return encode(resample(samples, rate))


def resample(samples: Samples, rate: int) -> Samples:
    """The samples at 8 kHz; what lies above the telephone's band is taken away first."""
    if rate == RATE or not len(samples):
        return samples
    wide = samples.astype(np.float64)
    if rate > RATE:
        taps = np.arange(-64, 65)
        cut = 2 * 3600 / rate
        wide = np.convolve(wide, np.sinc(taps * cut) * cut * np.hanning(129), "same")
    moments = np.arange(int(len(samples) * RATE / rate)) * (rate / RATE)
    narrow: Samples = np.clip(np.interp(moments, np.arange(len(wide)), wide), -32768, 32767).astype(np.int16)
    return narrow


def stereo_wav(left: Samples, right: Samples) -> bytes:
    """A WAV file of two channels, 16 bits, 8 kHz; the shorter one ends in silence."""
    both = np.zeros((max(len(left), len(right)), 2), "<i2")
    both[: len(left), 0], both[: len(right), 1] = left, right
    raw = both.tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(raw), b"WAVE", b"fmt ", 16, 1, 2, RATE, RATE * 4, 4, 16,
                       b"data", len(raw))  # fmt: skip
    return head + raw


class Voice(Protocol):
    """Says text. `sounds`: somebody who listens could understand it."""

    sounds: bool

    async def say(self, text: str, language: str | None = None) -> bytes:
        """Mu-law of the text; raises Misconfigured when there is no voice."""
        ...


class Toneless:
    """Takes the time that saying would take, at `rate` characters a second, and makes no sound."""

    sounds = False

    def __init__(self, rate: float = 15.0) -> None:
        self.rate = rate

    async def say(self, text: str, language: str | None = None) -> bytes:
        return self.breath(text)

    def breath(self, text: str) -> bytes:
        frames = max(1, round(len(text) / self.rate / FRAME_SECONDS)) if text.strip() else 0
        return SILENCE * frames


class Espeak:
    """The program espeak-ng: robotic, quick, offline, more than a hundred languages."""

    sounds = True

    def __init__(self, words_per_minute: int = 160) -> None:
        self._speed = words_per_minute
        self._said: dict[tuple[str, str], bytes] = {}

    async def say(self, text: str, language: str | None = None) -> bytes:
        tongue = (language or "en-us").lower()
        if (text, tongue) not in self._said:
            if len(self._said) >= 200:
                self._said.clear()
            self._said[text, tongue] = await self._speak(text, tongue)
        return self._said[text, tongue]

    async def _speak(self, text: str, tongue: str) -> bytes:
        program = espeak()
        for each in dict.fromkeys((tongue, tongue.partition("-")[0], "en")):
            command = [program, "--stdin", "--stdout", "-b", "1", "-v", each, "-s", str(self._speed)]
            done = await anyio.run_process(command, input=text.encode(), check=False)
            if done.returncode == 0 and done.stdout:
                return read_wav(done.stdout)
        raise Misconfigured(f"espeak-ng failed: {done.stderr.decode(errors='replace').strip() or 'it said nothing'}")


def espeak() -> str:
    """Where espeak-ng is; raises Misconfigured with how to install it."""
    found = shutil.which("espeak-ng")
    if found is None:
        raise Misconfigured(
            "A caller's text can only be spoken by the program espeak-ng, which is not installed.",
            hint="apt-get install espeak-ng, or brew install espeak-ng; or give the caller a WAV file",
        )
    return found
