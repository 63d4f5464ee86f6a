"""Vectors in memory: that the nearest are those of a computation with all numbers, and that a change is as good as a new start."""

import random
import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from hookflash.knowledge.vectors import COMPARED, VectorIndex

Vectors = NDArray[np.float16]


def _vectors(seed: int, count: int, dimensions: int, topics: int = 0) -> Vectors:
    """Vectors in all directions, or about so many topics."""
    numbers = np.random.default_rng(seed)
    vectors = numbers.standard_normal((count, dimensions))
    if topics:
        vectors = 0.6 * vectors + numbers.standard_normal((topics, dimensions))[numbers.integers(0, topics, count)]
    return vectors.astype(np.float16)


def _rows(vectors: Vectors, ids: list[int]) -> list[tuple[int, bytes]]:
    """As pgvector sends them."""
    head = struct.pack(">hh", vectors.shape[1], 0)
    return [(i, head + vector.astype(">f2").tobytes()) for i, vector in zip(ids, vectors, strict=True)]


def _exact(vectors: Vectors, ids: list[int], asked: NDArray[np.float32], limit: int) -> list[tuple[int, float]]:
    rows = vectors.astype(np.float64)
    cosines = rows @ asked / (np.linalg.norm(rows, axis=1) * np.linalg.norm(asked))
    return sorted(zip(ids, cosines.tolist(), strict=True), key=lambda scored: (-scored[1], scored[0]))[:limit]


@pytest.mark.parametrize("dimensions", [1, 3, 64, 100, 384])
def test_the_nearest_of_few_are_exact(dimensions: int) -> None:
    vectors = _vectors(1, 200, dimensions)
    ids = list(range(5, 605, 3))
    index = VectorIndex.build(_rows(vectors, ids))
    for asked in _vectors(2, 20, dimensions).astype(np.float32):
        found = index.nearest(asked, 10)
        expected = _exact(vectors, ids, asked, 10)
        assert [cosine for _, cosine in found] == pytest.approx([cosine for _, cosine in expected], abs=3e-5)
        if dimensions > 1:
            assert [chunk_id for chunk_id, _ in found] == [chunk_id for chunk_id, _ in expected]


def test_the_nearest_of_many_are_nearly_all_found() -> None:
    vectors = _vectors(3, 5 * COMPARED, 384, topics=400)
    ids = list(range(1, len(vectors) + 1))
    index = VectorIndex.build(_rows(vectors, ids))
    shares = []
    for asked in _vectors(4, 40, 384).astype(np.float32) + vectors[:40].astype(np.float32):
        expected = dict(_exact(vectors, ids, asked, 10))
        found = dict(index.nearest(asked, 10))
        shares.append(len(found.keys() & expected.keys()) / 10)
        for chunk_id in found.keys() & expected.keys():
            assert found[chunk_id] == pytest.approx(expected[chunk_id], abs=3e-5)
    assert np.mean(shares) >= 0.99


def test_a_limit_beyond_all_gives_all() -> None:
    index = VectorIndex.build(_rows(_vectors(5, 7, 16), list(range(7))))
    assert {chunk_id for chunk_id, _ in index.nearest(np.ones(16, np.float32), 50)} == set(range(7))
    assert VectorIndex.build([]).nearest(np.ones(16, np.float32), 5) == []


def test_equals_come_in_the_order_of_chunk_ids() -> None:
    same = np.repeat(_vectors(6, 1, 32), 3, axis=0)
    assert [i for i, _ in VectorIndex.build(_rows(same, [3, 5, 9])).nearest(np.ones(32, np.float32), 2)] == [3, 5]


def test_a_vector_of_nothing_is_near_to_nothing() -> None:
    vectors = np.array([[0, 0], [1, 1]], np.float16)
    index = VectorIndex.build(_rows(vectors, [1, 2]))
    assert index.nearest(np.array([1, 1], np.float32), 2) == [(2, pytest.approx(1, abs=1e-4)), (1, 0.0)]
    assert [cosine for _, cosine in index.nearest(np.zeros(2, np.float32), 2)] == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_index_equals_one_built_anew(seed: int) -> None:
    chance = random.Random(seed)
    held = sorted(chance.sample(range(1_000), 60))
    # Newer ones come after all others, as a rule; a transaction that took long brings one in between.
    new = sorted(chance.sample(range(1_000, 2_000), 20)) if seed % 2 else sorted(chance.sample(range(2_000), 20))
    removed = chance.sample(held, 15)
    vectors = dict(zip(range(2_000), _vectors(seed, 2_000, 70), strict=True))

    def rows(ids: list[int]) -> list[tuple[int, bytes]]:
        return _rows(np.stack([vectors[i] for i in ids]), ids)

    changed = VectorIndex.build(rows(held)).changed(rows(new), removed)
    anew = VectorIndex.build(rows(sorted(set(held) - set(removed) | set(new))))
    assert changed.ids.tolist() == anew.ids.tolist()
    assert changed.nbytes == anew.nbytes
    asked = _vectors(seed + 50, 1, 70)[0].astype(np.float32)
    assert changed.nearest(asked, 1_000) == anew.nearest(asked, 1_000)


def test_an_index_changes_from_nothing_to_nothing() -> None:
    nothing = VectorIndex.build([])
    rows = _rows(_vectors(7, 3, 8), [1, 2, 3])
    some = nothing.changed(rows, [])
    assert some.ids.tolist() == [1, 2, 3]
    assert some.changed([], []) is some
    assert some.changed([], [2]).ids.tolist() == [1, 3]
    gone = some.changed([], [1, 2, 3])
    assert gone.nearest(np.ones(8, np.float32), 5) == []
    assert gone.changed(rows, []).ids.tolist() == [1, 2, 3]
