"""How much a text is written like an attempt to take a model over: a linear classifier over words and parts of words."""

import math
import re
import zlib
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

BUCKETS = 8_192
# Attempts begin at once; what follows is what is wanted, about which the classifier knows nothing.
READ = 1_000
_WORD = re.compile(r"\w+|[^\w\s]")


def features(text: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The buckets that a text falls into, and their weights: a vector of length 1."""
    words = [word.lower() for word in _WORD.findall(text[:READ])]
    counts: dict[int, int] = {}

    def add(feature: str) -> None:
        bucket = zlib.crc32(feature.encode("utf-8", "replace")) % BUCKETS
        counts[bucket] = counts.get(bucket, 0) + 1

    for place, word in enumerate(words):
        add(f"w {word}")
        if place:
            add(f"b {words[place - 1]} {word}")
        padded = f"<{word}>"
        for start in range(len(padded) - 3):
            add(f"c {padded[start : start + 4]}")
    if not counts:
        return np.zeros(0, np.intp), np.zeros(0, np.float32)
    places = np.fromiter(counts, np.intp, len(counts))
    values = np.array([1 + math.log(n) for n in counts.values()], np.float32)
    return places, (values / np.linalg.norm(values)).astype(np.float32)


def likelihood(text: str) -> float:
    """0..1; 0 for a text in which nothing can be read."""
    places, values = features(text)
    if not len(places):
        return 0.0
    weights, bias = _weights()
    return float(1 / (1 + math.exp(-(float(weights[places] @ values) + bias))))


@lru_cache(1)
def _weights() -> tuple[NDArray[np.float32], float]:
    raw = files("hookflash.safety").joinpath("injection_weights.npy")
    with raw.open("rb") as file:
        stored: NDArray[np.float32] = np.load(file, allow_pickle=False).astype(np.float32)
    return stored[:BUCKETS], float(stored[BUCKETS])
