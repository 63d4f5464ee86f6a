"""Knows the words of all chunks: exact BM25 over an index of one source that lives in memory."""

import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hookflash.base.errors import TooLarge

# How fast repetitions of a word stop counting, and how much a long chunk is held to be long only because it says more.
K1 = 1.2
B = 0.6

_MAX_FREQUENCY = 255
_LENGTH = struct.Struct("<I")

Scored = list[tuple[int, float]]


def pack_terms(terms: Sequence[str]) -> bytes:
    """The terms of a chunk for storage: its length (uint32), distinct hashes (uint32 each), frequencies (uint8 each)."""
    counted = Counter(crc32(term.encode()) for term in terms)
    hashes = sorted(counted)
    frequencies = bytes(min(counted[term], _MAX_FREQUENCY) for term in hashes)
    return _LENGTH.pack(len(terms)) + np.array(hashes, "<u4").tobytes() + frequencies


def unpack_terms(packed: bytes) -> tuple[int, dict[int, int]]:
    """The chunk's length in terms, and the frequency of each hash."""
    (length,) = _LENGTH.unpack_from(packed)
    count = (len(packed) - _LENGTH.size) // 5
    hashes: list[int] = np.frombuffer(packed, "<u4", count, _LENGTH.size).tolist()
    return length, dict(zip(hashes, packed[_LENGTH.size + 4 * count :], strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class KeywordIndex:
    """The words of one source: for each hash the chunks that have it, and what BM25 gives for it but for its rarity.

    Immutable, so that searches in several threads need no lock; a change makes a new one (`changed`).
    """

    languages: frozenset[str]
    ids: NDArray[np.int64]  # of each chunk by its position; ascending
    _lengths: NDArray[np.uint32]
    _hashes: NDArray[np.uint32]  # distinct, ascending
    _starts: NDArray[np.int64]  # of each hash's postings, and the end of the last
    _postings: NDArray[np.uint32]  # positions of chunks
    _frequencies: NDArray[np.uint8]
    _weights: NDArray[np.float32]

    @classmethod
    def build(cls, rows: Iterable[tuple[int, bytes]], languages: Iterable[str]) -> "KeywordIndex":
        """From (chunk id, packed terms), in any order; `languages` are those that the terms were analysed in."""
        return _built(*_unpacked(rows), frozenset(languages))

    def changed(
        self, rows: Iterable[tuple[int, bytes]], removed: Iterable[int], languages: Iterable[str]
    ) -> "KeywordIndex":
        """The index with `rows` added (or replaced) and the chunks `removed` taken out."""
        ids, lengths, keys = _unpacked(rows)
        gone = np.union1d(np.fromiter(removed, np.int64), ids)
        if not len(gone) and self.languages == frozenset(languages):
            return self
        kept = ~np.isin(self.ids, gone)
        renumbered = np.cumsum(kept, dtype=np.uint64) - np.uint64(1)
        of_kept = kept[self._postings]
        hashes = np.repeat(self._hashes, np.diff(self._starts))[of_kept]
        own = _keys(hashes, renumbered[self._postings[of_kept]], self._frequencies[of_kept])
        offset = np.uint64(kept.sum()) << np.uint64(8)
        return _built(
            np.concatenate([self.ids[kept], ids]),
            np.concatenate([self._lengths[kept], lengths]),
            np.concatenate([own, keys + offset]),
            frozenset(languages),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        arrays = (self.ids, self._lengths, self._hashes, self._starts, self._postings, self._frequencies)
        return sum(array.nbytes for array in arrays) + self._weights.nbytes

    def search(self, query_terms: Sequence[str], limit: int) -> Scored:
        """The best chunks with any of the terms, best first; BM25 scores above 0, ties by chunk id."""
        return ranked([self], rarities([self], query_terms), limit)

    def count(self, term_hash: int) -> int:
        """How many chunks have the term."""
        start, end = self._span(term_hash)
        return end - start

    def _span(self, term_hash: int) -> tuple[int, int]:
        at = int(np.searchsorted(self._hashes, np.uint32(term_hash)))
        if at == len(self._hashes) or self._hashes[at] != term_hash:
            return 0, 0
        return int(self._starts[at]), int(self._starts[at + 1])

    def scores(self, weights: Mapping[int, float]) -> NDArray[np.float32]:
        """The weighted sum for each chunk by position; the weights by hash are what the terms' rarity gives."""
        scores = np.zeros(len(self.ids), np.float32)
        for term_hash, weight in weights.items():
            start, end = self._span(term_hash)
            # A chunk is there once for a term, so plain addition sums rightly.
            scores[self._postings[start:end]] += self._weights[start:end] * np.float32(weight)
        return scores

    def best(self, scores: NDArray[np.float32], limit: int) -> Scored:
        """The chunk ids of the highest scores above 0, best first."""
        # Five times as fast as looking for what is not zero among numbers.
        positions = np.flatnonzero(scores > 0)
        if len(positions) > limit:
            found = scores[positions]
            positions = positions[found >= np.partition(found, len(found) - limit)[len(found) - limit]]
        ordered = positions[np.lexsort((positions, -scores[positions]))][:limit]
        return list(zip(self.ids[ordered].tolist(), scores[ordered].tolist(), strict=True))


def rarities(indexes: Sequence[KeywordIndex], query_terms: Iterable[str]) -> dict[int, float]:
    """What each term (by its hash) of a question is worth: its rarity among the chunks of all indexes, times its count.

    A term that no chunk has is worth most: a chunk cannot be said to have the question's words when it lacks that one.
    """
    total = sum(map(len, indexes))
    weights = {}
    for term_hash, repeated in Counter(crc32(term.encode()) for term in query_terms).items():
        having = sum(index.count(term_hash) for index in indexes)
        weights[term_hash] = repeated * math.log1p((total - having + 0.5) / (having + 0.5))
    return weights


def ranked(indexes: Sequence[KeywordIndex], weights: Mapping[int, float], limit: int) -> Scored:
    """The best chunks of all indexes, best first, with BM25 scores above 0; ties by chunk id."""
    found = [scored for index in indexes for scored in index.best(index.scores(weights), limit)]
    return sorted(found, key=lambda scored: (-scored[1], scored[0]))[:limit]


def _unpacked(rows: Iterable[tuple[int, bytes]]) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint64]]:
    """Chunk ids, their lengths, and the key of each posting (positions counted from 0)."""
    ids, heads, counts, hashes, frequencies = [], [], [], [], []
    for chunk_id, packed in rows:
        count = (len(packed) - _LENGTH.size) // 5
        split = _LENGTH.size + 4 * count
        ids.append(chunk_id)
        heads.append(packed[: _LENGTH.size])
        counts.append(count)
        hashes.append(packed[_LENGTH.size : split])
        frequencies.append(packed[split:])
    positions = np.repeat(np.arange(len(ids), dtype=np.uint64), np.array(counts, np.int64))
    keys = _keys(np.frombuffer(b"".join(hashes), "<u4"), positions, np.frombuffer(b"".join(frequencies), np.uint8))
    return np.array(ids, np.int64), np.frombuffer(b"".join(heads), "<u4").astype(np.uint32), keys


def _keys(
    hashes: NDArray[np.uint32], positions: NDArray[np.uint64], frequencies: NDArray[np.uint8]
) -> NDArray[np.uint64]:
    """Hash, position (24 bits) and frequency in one number: sorting it makes the index, ten times faster than by hash."""
    return hashes.astype(np.uint64) << np.uint64(32) | positions << np.uint64(8) | frequencies


def _built(
    ids: NDArray[np.int64], lengths: NDArray[np.uint32], keys: NDArray[np.uint64], languages: frozenset[str]
) -> KeywordIndex:
    if len(ids) >= 1 << 24:
        raise TooLarge("One source cannot have more than 16 million passages.", hint="Divide it into several.")
    order = np.argsort(ids, kind="stable")
    if (order[1:] < order[:-1]).any():
        rank = np.empty(len(ids), np.uint64)
        rank[order] = np.arange(len(ids), dtype=np.uint64)
        positions = keys >> np.uint64(8) & np.uint64(0xFFFFFF)
        keys = keys & np.uint64(0xFFFFFFFF000000FF) | rank[positions.astype(np.int64)] << np.uint64(8)
        ids, lengths = ids[order], lengths[order]
    keys = np.sort(keys)
    hashes = (keys >> np.uint64(32)).astype(np.uint32)
    postings = (keys >> np.uint64(8) & np.uint64(0xFFFFFF)).astype(np.uint32)
    frequencies = keys.astype(np.uint8)
    first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(keys) else np.zeros(0, np.int64)
    relative = lengths / np.float32(max(1.0, lengths.mean())) if len(ids) else np.zeros(0, np.float32)
    penalty = (K1 * (1 - B + B * relative)).astype(np.float32)[postings]
    weights = frequencies * np.float32(K1 + 1) / (frequencies + penalty)
    return KeywordIndex(
        languages=languages,
        ids=ids,
        _lengths=lengths,
        _hashes=hashes[first],
        _starts=np.append(first, len(keys)).astype(np.int64),
        _postings=postings,
        _frequencies=frequencies,
        _weights=weights.astype(np.float32),
    )
