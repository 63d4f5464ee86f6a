"""Knows how near each chunk of one source is to a question: cosines over vectors that lie in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hookflash.knowledge.passage import Vector

# So many chunks are compared number by number: in a source of more, those whose vectors' signs are most like the question's.
# Of the 10 nearest among 100,000 passages of three sentences these hold .996.
COMPARED = 3_000

_LARGEST = 32_767
_WORD = 64
# Vectors that are worked on at once: their numbers stay in the processor's cache.
_BLOCK = 512

Rows = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class VectorIndex:
    """The vectors of one source; immutable, so that searches in several threads need no lock (`changed` makes a new one).

    A vector of length 1 is kept in steps of its largest number, and its signs apart from it, 64 in a number.
    """

    ids: NDArray[np.int64]  # ascending
    _rows: Rows  # one a chunk
    _steps: NDArray[np.float32]  # what 1 stands for in each row
    _signs: NDArray[np.uint64]  # [word, chunk]

    @classmethod
    def build(cls, rows: Sequence[tuple[int, bytes]]) -> "VectorIndex":
        """From (chunk id, pgvector's binary halfvec: two int16 of head, then big-endian float16), by chunk id."""
        return cls(*_parts(rows))

    def changed(self, rows: Sequence[tuple[int, bytes]], removed: Iterable[int]) -> "VectorIndex":
        """The index with `rows` added (or replaced) and the chunks `removed` taken out."""
        ids, vectors, steps, signs = _parts(rows)
        kept = ~np.isin(self.ids, np.union1d(np.fromiter(removed, np.int64), ids))
        if kept.all() and not rows:
            return self
        if not rows:
            return VectorIndex(self.ids[kept], self._rows[kept], self._steps[kept], self._signs[:, kept])
        if kept.any():
            ids = np.concatenate([self.ids[kept], ids])
            vectors = np.concatenate([self._rows[kept], vectors])
            steps = np.concatenate([self._steps[kept], steps])
            signs = np.concatenate([self._signs[:, kept], signs], axis=1)
        if (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids)
            ids, vectors, steps, signs = ids[order], vectors[order], steps[order], signs[:, order]
        return VectorIndex(ids, vectors, steps, np.ascontiguousarray(signs))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.ids.nbytes + self._rows.nbytes + self._steps.nbytes + self._signs.nbytes

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        """The nearest chunks, (id, cosine), best first; exact up to COMPARED chunks."""
        if not len(self.ids):
            return []
        asked = vector.astype(np.float32)
        asked /= max(np.linalg.norm(asked), np.float32(1e-12))
        chosen = self._likely(asked, max(COMPARED, limit)) if len(self.ids) > COMPARED else np.arange(len(self.ids))
        ids = self.ids[chosen]
        cosines = self._products(asked, chosen) * self._steps[chosen]
        best = np.argpartition(-cosines, limit - 1)[:limit] if len(cosines) > limit else np.arange(len(cosines))
        best = best[np.lexsort((ids[best], -cosines[best]))]
        return list(zip(ids[best].tolist(), cosines[best].tolist(), strict=True))

    def _likely(self, asked: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        """Positions of the `count` chunks (those of the last place all) whose signs differ least from the question's."""
        differing = np.zeros(len(self.ids), np.uint16)
        for chunks, mine in zip(self._signs, _signs(asked[None])[:, 0], strict=True):
            differing += np.bitwise_count(chunks ^ mine)
        return np.flatnonzero(differing <= np.partition(differing, count - 1)[count - 1])

    def _products(self, asked: NDArray[np.float32], chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        products = np.empty(len(chosen), np.float32)
        room = np.empty((_BLOCK, len(asked)), np.float32)
        for start in range(0, len(chosen), _BLOCK):
            block = chosen[start : start + _BLOCK]
            rows = room[: len(block)]
            rows[:] = self._rows.take(block, axis=0)
            # Not `@`: the library behind it would wait for its threads on every core, which others may be using.
            np.vecdot(rows, asked, out=products[start : start + _BLOCK])
        return products


def _signs(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    bits = np.packbits(vectors > 0, axis=1)
    padded = np.zeros((len(bits), -(-vectors.shape[1] // _WORD) * (_WORD // 8)), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _parts(
    rows: Sequence[tuple[int, bytes]],
) -> tuple[NDArray[np.int64], Rows, NDArray[np.float32], NDArray[np.uint64]]:
    """What an index of these is made of."""
    dimensions = len(rows[0][1]) // 2 - 2 if rows else 0
    vectors = np.empty((len(rows), dimensions), np.int16)
    steps = np.empty(len(rows), np.float32)
    signs = np.empty((-(-dimensions // _WORD), len(rows)), np.uint64)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        held = b"".join(vector for _, vector in rows[block])
        stored = np.frombuffer(held, ">f2").reshape(len(rows[block]), dimensions + 2)
        exact = stored[:, 2:].astype(np.float32)
        step = np.abs(exact).max(axis=1, initial=1e-12) / np.float32(_LARGEST)
        vectors[block] = np.rint(exact / step[:, None])
        steps[block] = step / np.maximum(np.linalg.norm(exact, axis=1), np.float32(1e-12))
        signs[:, block] = _signs(exact)
    return np.array([chunk_id for chunk_id, _ in rows], np.int64), vectors, steps, signs
