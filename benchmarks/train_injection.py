"""Fits the classifier of attempts to take the assistant over, on the dev halves of the shipped sets, and writes its weights.

python benchmarks/train_injection.py [--compare | --dry]
"""

import argparse
import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hookflash.insight.safety_sets import samples
from hookflash.safety.injection import by_rules
from hookflash.safety.injection_model import BUCKETS, features

WEIGHTS = Path(__file__).parents[1] / "src/hookflash/safety/injection_weights.npy"
STEPS, RATE, DECAY = 600, 0.08, 1e-4


def windows(text: str) -> list[str]:
    """The whole, and its beginning as somebody in a hurry would have sent it."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return [text, " ".join(sentences[:2])[:300]]


def training() -> tuple[list[str], list[int], list[bool]]:
    """Texts, 1 (attack) or 0, and whether a text is a sample itself, not something made of samples."""
    texts: list[str] = []
    labels: list[int] = []
    own: list[bool] = []
    for name, label in (("jailbreaks", 1), ("attacks", 1), ("questions", 0), ("bank_sentences", 0), ("letters", 0)):
        dev = [s for s in samples(name) if s.part == "dev"]
        for sample in dev:
            pieces = windows(sample.text) if name == "jailbreaks" else [sample.text]
            texts += pieces
            labels += [label] * len(pieces)
            own += [True] + [False] * (len(pieces) - 1)
        if name == "bank_sentences":
            # Long texts are not attacks for being long.
            for size in (3, 6, 9):
                paragraphs = [" ".join(s.text for s in dev[i : i + size]) for i in range(0, len(dev), size)]
                texts += paragraphs
                labels += [0] * len(paragraphs)
                own += [False] * len(paragraphs)
    for sample in samples("practice"):
        texts.append(sample.text)
        labels.append(int(sample.kind == "attack"))
        own.append(True)
    return texts, labels, own


def matrix(texts: list[str]) -> NDArray[np.float32]:
    rows = np.zeros((len(texts), BUCKETS + 1), np.float32)
    for row, text in zip(rows, texts, strict=True):
        places, values = features(text)
        row[places] = values
    # The bias; as long as a whole text, it learns as fast.
    rows[:, BUCKETS] = 1.0
    return rows


def fit(rows: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic regression by Adam, both classes weighing the same."""
    weight = np.where(labels == 1, 0.5 / labels.mean(), 0.5 / (1 - labels.mean())).astype(np.float32)
    theta = np.zeros(rows.shape[1], np.float32)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, STEPS + 1):
        guess = 1 / (1 + np.exp(-(rows @ theta)))
        slope = rows.T @ ((guess - labels) * weight) / len(labels) + DECAY * theta
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope * slope
        theta -= RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return theta


def compare() -> None:
    """Rules, classifier and both on the dev half, the classifier always on a fifth that it was not fitted to."""
    texts, labels, own = training()
    rows, truth, whole = matrix(texts), np.array(labels, np.float32), np.array(own)
    place = np.array([int(hashlib.sha256(text[:60].encode()).hexdigest(), 16) % 5 for text in texts])
    like = np.zeros(len(texts))
    for fold in range(5):
        theta = fit(rows[place != fold], truth[place != fold])
        like[place == fold] = 1 / (1 + np.exp(-(rows[place == fold] @ theta)))
    rules = np.array([by_rules(text).score if mine else 0.0 for text, mine in zip(texts, own, strict=True)])
    ways = {"rules": rules, "classifier": like, "higher": np.maximum(rules, like), "both": 1 - (1 - rules) * (1 - like)}
    for name, scores in ways.items():
        good = np.sort(scores[whole & (truth == 0)])
        threshold = good[int(np.ceil(len(good) * 0.99)) - 1]
        bad = scores[whole & (truth == 1)]
        print(f"{name:10} recall {np.mean(bad > threshold):.3f} above {threshold:.2f}, at most 1 % of the others")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--dry", action="store_true", help="write nothing")
    arguments.add_argument("--compare", action="store_true", help="compare with the rules, on folds of the dev half")
    given = arguments.parse_args()
    dry = given.dry
    if given.compare:
        compare()
        return
    texts, labels, _ = training()
    theta = fit(matrix(texts), np.array(labels, np.float32))
    print(f"{len(texts)} texts, {sum(labels)} attacks")
    if not dry:
        np.save(WEIGHTS, theta.astype(np.float16), allow_pickle=False)
        print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
