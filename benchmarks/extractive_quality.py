"""How well the extractive model answers questions over the sample shop, and how well it knows when it cannot.

Prints JSON. Every question of the set `answers` of hookflash.insight.safety_data was written before the model was tuned; its weights were
fitted on the `tune` half, the `held-out` half was left alone. `removed` asks the answerable questions again with every
passage taken away that holds the answer, so that only near misses remain.

    python benchmarks/extractive_quality.py [--wrong] [--fit]
"""

import argparse
import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import anyio
import msgspec
import numpy as np
from numpy.typing import NDArray

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.followup import resolve
from hookflash.assistant.model import ModelRequest, nowhere
from hookflash.conversation.turn import Exchange
from hookflash.knowledge.analyze import terms
from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import RawDocument
from hookflash.knowledge.extract import extract
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import Embedder, Passage, Vector
from hookflash.providers import minilm
from hookflash.providers.extractive import Candidate, Extractive, choose, confidence_in, evidence, fit
from hookflash.providers.registry import ProviderConfig

HERE = Path(__file__).parent
DOCUMENTS = HERE.parent / "src/hookflash/sample/documents"
THRESHOLD = AssistantConfig.model_fields["confidence_threshold"].default
PASSAGES = 5
KEYWORDS = 0.15


class Case(msgspec.Struct, frozen=True):
    """`facts`: each must occur in the answer, in one of its spellings; none: the documents do not say.

    `fair` are words of an answer that is right although it says something else ("we have two stores"). `history` is what
    the customer asked before.
    """

    question: str
    facts: list[list[str]]
    part: str
    fair: list[str] = []
    history: list[str] = []

    def met(self, text: str) -> bool:
        return bool(text) and all(any(fact.lower() in text.lower() for fact in group) for group in self.facts)


@dataclass(frozen=True, slots=True)
class Outcome:
    case: Case
    answer: str
    forced: str
    best: Candidate
    confidence: float
    right: bool
    milliseconds: float


class Shop:
    """The sample documents, searched in memory by meaning and words."""

    def __init__(self, chunks: list[Chunk], vectors: Vector, embedder: Embedder) -> None:
        self._chunks = chunks
        self._vectors = vectors
        self._embedder = embedder
        self._counts = [Counter(terms(piece.indexed_text, "en")) for piece in chunks]
        self._spread = Counter(term for counts in self._counts for term in counts)
        self._mean = sum(sum(counts.values()) for counts in self._counts) / len(chunks)

    @classmethod
    async def open(cls, embedder: Embedder) -> "Shop":
        chunks: list[Chunk] = []
        for path in sorted(DOCUMENTS.iterdir()):
            document = extract(RawDocument(path.name, None, path.read_bytes()))
            chunks += chunk(document, count_tokens=embedder.count_tokens)
        return cls(chunks, await embedder.embed([piece.indexed_text for piece in chunks]), embedder)

    async def search(self, question: str, *, without: Case | None = None) -> tuple[Passage, ...]:
        """The best passages; `without` leaves out those that hold a case's answer."""
        cosines = self._vectors @ (await self._embedder.embed([question]))[0]
        order = np.argsort(-(cosines + KEYWORDS * self._bm25(question)))
        left = (int(i) for i in order if without is None or not without.met(self._chunks[i].indexed_text))
        return tuple(self._passage(i, float(cosines[i])) for i, _ in zip(left, range(PASSAGES), strict=False))

    def _passage(self, index: int, cosine: float) -> Passage:
        piece = self._chunks[index]
        return Passage(index, "shop", piece.title, piece.title, piece.headings, piece.text, None, cosine, cosine, None)

    def _bm25(self, question: str) -> NDArray[np.float64]:
        scores = np.zeros(len(self._counts))
        for term in set(terms(question, "en")) & set(self._spread):
            seen = self._spread[term]
            rarity = math.log(1 + (len(self._counts) - seen + 0.5) / (seen + 0.5))
            for index, counts in enumerate(self._counts):
                if counts[term]:
                    length = 0.4 + 0.6 * sum(counts.values()) / self._mean
                    scores[index] += rarity * counts[term] * 2.2 / (counts[term] + 1.2 * length)
        return scores / max(float(scores.max()), 1e-9)


async def ask(shop: Shop, model: Extractive, case: Case, *, removed: bool = False) -> Outcome:
    history = tuple(Exchange(said, "…") for said in case.history)
    question = resolve(case.question, history)
    passages = await shop.search(question, without=case if removed else None)
    request = ModelRequest("", (), question, passages, detect(question))
    began = time.perf_counter()
    reply = await model.reply(request, nowhere)
    took = (time.perf_counter() - began) * 1000
    candidates = await model.weigh(request)
    forced, _ = fit(choose(candidates), None)
    fair = any(words in forced for words in case.fair)
    right = case.met(forced) if case.facts else fair
    said = reply.answer if reply.confidence >= THRESHOLD else ""
    return Outcome(case, said, forced, candidates[0], confidence_in(candidates[0]), right, took)


def report(outcomes: list[Outcome]) -> dict[str, Any]:
    can = [outcome for outcome in outcomes if outcome.case.facts]
    cannot = [outcome for outcome in outcomes if not outcome.case.facts]
    return {
        "answerable": len(can),
        "answered_correct": share(can, lambda o: bool(o.answer) and o.right),
        "answered_wrong": share(can, lambda o: bool(o.answer) and not o.right),
        "abstained": share(can, lambda o: not o.answer),
        "unanswerable": len(cannot),
        "false_answer": share(cannot, lambda o: bool(o.answer) and not o.right),
        "auroc": auroc(outcomes),
        "expected_calibration_error": calibration(outcomes),
    }


def share(outcomes: list[Outcome], test: Any) -> float | None:
    return round(sum(map(test, outcomes)) / len(outcomes), 3) if outcomes else None


def auroc(outcomes: list[Outcome]) -> float | None:
    """How often a right answer has the higher confidence of a right and a wrong one."""
    right = [o.confidence for o in outcomes if o.right]
    wrong = [o.confidence for o in outcomes if not o.right]
    if not right or not wrong:
        return None
    return round(sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong)), 3)


def calibration(outcomes: list[Outcome]) -> float:
    """The mean distance between confidence and share of right answers, over five bands of confidence."""
    total = 0.0
    for band in range(5):
        inside = [o for o in outcomes if min(4, int(o.confidence * 5)) == band]
        total += abs(sum(o.confidence - o.right for o in inside))
    return round(total / len(outcomes), 3)


def fitted(outcomes: list[Outcome], near_misses: list[Outcome]) -> list[float]:
    """The weights of the confidence, by ridge logistic regression; a near miss counts a quarter of a real question."""
    everything = [*outcomes, *near_misses]
    told = np.array([evidence(o.best) for o in everything])
    right = np.array([o.right for o in everything], float)
    counts = np.array([1.0] * len(outcomes) + [0.25] * len(near_misses))
    ridge = np.diag([0.01] + [0.5] * (told.shape[1] - 1))
    weights = np.zeros(told.shape[1])
    for _ in range(100):
        sure = 1 / (1 + np.exp(-told @ weights))
        slope = told.T @ (counts * (sure - right)) + ridge @ weights
        bend = (told * (counts * sure * (1 - sure))[:, None]).T @ told + ridge
        weights = weights - np.linalg.solve(bend, slope)
    return [round(float(weight), 2) for weight in weights]


async def main(wrong: bool, fit_weights: bool) -> None:
    embedder = minilm.embedder(ProviderConfig(data_dir=Path(gettempdir())))
    shop = await Shop.open(embedder)
    model = Extractive(embedder)
    lines = (DOCUMENTS.parents[1] / "insight/safety_data/answers.jsonl").read_bytes().splitlines()
    cases = [msgspec.json.decode(line, type=Case) for line in lines]
    outcomes = [await ask(shop, model, case) for case in cases]
    removed = [await ask(shop, model, case, removed=True) for case in cases if case.facts and not case.history]
    parts = {
        "tune": [o for o in outcomes if o.case.part == "tune" and not o.case.history],
        "held-out": [o for o in outcomes if o.case.part == "held-out" and not o.case.history],
        "follow-ups": [o for o in outcomes if o.case.history],
    }
    result: dict[str, Any] = {name: report(chosen) for name, chosen in parts.items()}
    result["removed"] = {
        part: share([o for o in removed if o.case.part == part], lambda o: bool(o.answer) and not o.right)
        for part in ("tune", "held-out")
    }
    milliseconds = sorted(o.milliseconds for o in outcomes)
    result["milliseconds"] = {"p50": round(milliseconds[len(milliseconds) // 2], 2), "max": round(milliseconds[-1], 2)}
    if fit_weights:
        result["fitted"] = fitted(parts["tune"], [o for o in removed if o.case.part == "tune"])
    print(json.dumps(result, indent=2))
    for outcome in outcomes if wrong else []:
        if (outcome.confidence >= THRESHOLD) != bool(outcome.case.facts) or (outcome.case.facts and not outcome.right):
            asked = " / ".join([*outcome.case.history, outcome.case.question])
            print(f"{outcome.case.part} {outcome.confidence:.2f} {asked} | {outcome.case.facts} | {outcome.forced}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrong", action="store_true", help="print the questions that were answered wrongly")
    parser.add_argument("--fit", action="store_true", help="print weights fitted on the tune half")
    given = parser.parse_args()
    anyio.run(partial(main, given.wrong, given.fit))
