"""Knows how near each chunk of one source is to a question: exact cosines over vectors that lie in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hookflash.knowledge.passage import Vector


@dataclass(frozen=True, slots=True, eq=False)
class VectorIndex:
    """The vectors of one source; immutable, so that searches in several threads need no lock."""

    _ids: NDArray[np.int64]
    _rows: NDArray[np.float32]  # one a chunk, of length 1

    @classmethod
    def build(cls, rows: Sequence[tuple[int, bytes]]) -> "VectorIndex":
        """From (chunk id, pgvector's binary halfvec: two int16 of head, then big-endian float16)."""
        ids = np.array([chunk_id for chunk_id, _ in rows], np.int64)
        if not rows:
            return cls(ids, np.zeros((0, 0), np.float32))
        stored = np.frombuffer(b"".join(vector for _, vector in rows), ">f2").reshape(len(rows), -1)
        return cls(ids, _of_length_one(stored[:, 2:].astype(np.float32)))

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._ids.nbytes + self._rows.nbytes

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        """The nearest chunks, (id, cosine), best first."""
        if not len(self._ids):
            return []
        # Not `@`: the library behind it would wait for its threads on every core, which others may be using.
        cosines = np.vecdot(self._rows, _of_length_one(vector.astype(np.float32)))
        best = np.argpartition(-cosines, limit - 1)[:limit] if len(cosines) > limit else np.arange(len(cosines))
        best = best[np.lexsort((self._ids[best], -cosines[best]))]
        return list(zip(self._ids[best].tolist(), cosines[best].tolist(), strict=True))


def _of_length_one(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled
