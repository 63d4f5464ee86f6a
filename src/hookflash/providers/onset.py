"""Where the sound of a turn begins, for recognisers that take all that they are given: silence before it is kept from them."""

from hookflash.speech.audio import FRAME, SAMPLE_RATE, level

# Louder than this, in dB below full scale, is more than the noise of a line.
_LOUD = -45.0
# Seconds from before that are given too: the first consonant is soft.
_BEFORE = 0.4


class Onset:
    """Passes mu-law on from shortly before the first sound until `reset()`."""

    def __init__(self) -> None:
        self._begun = False
        self._before = bytearray()

    @property
    def begun(self) -> bool:
        return self._begun

    def feed(self, audio: bytes) -> bytes:
        """What of it is to be recognised."""
        if self._begun:
            return audio
        self._before += audio
        if any(level(audio[i : i + FRAME]) > _LOUD for i in range(0, len(audio), FRAME)):
            self._begun = True
            passed = bytes(self._before)
            self._before.clear()
            return passed
        del self._before[: max(0, len(self._before) - int(_BEFORE * SAMPLE_RATE))]
        return b""

    def reset(self) -> None:
        """The turn is over."""
        self._begun = False
        self._before.clear()
