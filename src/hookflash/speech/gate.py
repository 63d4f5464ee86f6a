"""Knows a quiet line from one where something sounds, for all calls at once: the cheap question before the dear one."""

import numpy as np
from numpy.typing import NDArray

from hookflash.speech.audio import QUIETEST, Floats

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Parts of a chunk whose loudest counts, so that a sound that begins at the end of a chunk is seen.
_CHUNK, _PARTS = 256, 4
_PARTING: Floats = np.kron(np.eye(_PARTS), np.full((_CHUNK // _PARTS, 1), _PARTS / _CHUNK)).astype(np.float32)
# How far above the floor a chunk must be to be listened to, in dB.
_MARGIN = 3.0
# Quieter than this is never speech on a telephone.
_SILENT = -66.0
# The floor follows down by this share of the way, and up by so many dB a chunk: slower where there is speech.
_FALL, _RISE, _RISE_IN_SPEECH = 0.5, 0.12, 0.015
# A chunk less likely speech than this is quiet; so many quiet ones must have been listened to before any is skipped.
_UNLIKELY = 0.15
_QUIET_CHUNKS = 8
# After so many skipped ones one is listened to, so that the listener's memory does not grow stale.
_SKIP_MOST = 15


class Gate:
    """Decides which chunks need a listener. Rows are calls; all arrays have one entry for each row asked about."""

    def __init__(self) -> None:
        # Two floors for each row: of the whole sound, and of its brighter part, where hum does not hide speech.
        self._floor: Floats = np.zeros((0, 2), np.float32)
        self._quiet: NDArray[np.int16] = np.zeros(0, np.int16)
        self._skipped: NDArray[np.int16] = np.zeros(0, np.int16)

    def reset(self, rows: Rows) -> None:
        """New calls have these rows; nothing is known of their lines."""
        missing = int(rows.max()) + 1 - len(self._floor)
        if missing > 0:
            more = max(missing, len(self._floor))
            self._floor = np.concatenate((self._floor, np.zeros((more, 2), np.float32)))
            self._quiet = np.concatenate((self._quiet, np.zeros(more, np.int16)))
            self._skipped = np.concatenate((self._skipped, np.zeros(more, np.int16)))
        self._floor[rows] = 0.0
        self._quiet[rows] = 0
        self._skipped[rows] = 0

    def opened(self, rows: Rows, samples: Floats) -> Mask:
        """Which of the chunks (rows x samples) must be listened to. The others are silence."""
        levels = loudest(samples)
        quiet, skipped, floor = self._quiet[rows], self._skipped[rows], self._floor[rows]
        rise = np.where(quiet > 0, np.float32(_RISE), np.float32(_RISE_IN_SPEECH))[:, None]
        above = levels - floor
        floor += np.where(above < 0, above * np.float32(_FALL), np.minimum(above, rise))
        sounds = ((above > _MARGIN) & (levels > _SILENT)).any(axis=1)
        mask: Mask = sounds | (quiet < _QUIET_CHUNKS) | (skipped >= _SKIP_MOST)
        self._floor[rows] = floor
        self._skipped[rows] = np.where(mask, 0, skipped + 1)
        return mask

    def learn(self, rows: Rows, probabilities: Floats) -> None:
        """What the listener said of the chunks that it was given."""
        quiet = self._quiet[rows]
        self._quiet[rows] = np.where(probabilities < _UNLIKELY, np.minimum(quiet + 1, _QUIET_CHUNKS), 0)


def loudest(samples: Floats) -> Floats:
    """The level of the loudest part of each chunk in dB below full scale (chunks x 2): as it is, and its differences.

    The mean of a part does not count: what is slower than 8 ms is hum or rumble.
    """
    steps = samples[:, 1:] - samples[:, :-1]
    # Products with a matrix of ones and zeros add up the parts; NumPy's own ways take three times as long.
    means = samples @ _PARTING
    power = np.empty((len(samples), 2), np.float32)
    power[:, 0] = ((samples * samples) @ _PARTING - means * means).max(axis=1)
    power[:, 1] = ((steps * steps) @ _PARTING[1:]).max(axis=1)
    levels: Floats = 10 * np.log10(np.maximum(power, np.float32(10 ** (QUIETEST / 10))))
    return levels
