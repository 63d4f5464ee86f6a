"""Measures whether search finds the right documents: BM25 alone, vectors alone, and both fused, in the same run.

    python benchmarks/retrieval_quality.py                    # the sample shop and its questions
    python benchmarks/retrieval_quality.py DIRECTORY          # documents.jsonl and queries.jsonl
    HOOKFLASH_RETRIEVAL_SET=DIRECTORY python benchmarks/retrieval_quality.py --check 0.30

A document is {"id", "title", "content"}; a query is {"query", "required_documents": [ids]} (no ids: nothing answers it).
File names may have a prefix (bank_documents.jsonl). Documents are ranked by their best chunk. With `--titles` each
document is sought by its title, which is taken out of the text. `--check R` fails when recall@10 is below R, or when
recall@10 or MRR of the fused order is below that of a half by more than chance (the 95 % interval of the difference).
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
from numpy.typing import NDArray

from hookflash.knowledge.analyze import terms
from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import RawDocument
from hookflash.knowledge.extract import extract
from hookflash.knowledge.fusion import Ranked, attainable, fuse, parts_of
from hookflash.knowledge.keywords import KeywordIndex, pack_terms, ranked, rarities
from hookflash.knowledge.passage import Embedder, Vector
from hookflash.knowledge.search import Limits
from hookflash.providers import minilm
from hookflash.providers.registry import ProviderConfig

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "src/hookflash/sample/documents"
MEASURES = ("recall@5", "recall@10", "hit@1", "mrr")
# As deep as the fused order looks; the halves alone get the whole ranking.
CANDIDATES = Limits().candidates
LEAST = Limits().least_score
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and the documents that answer it."""

    text: str
    wanted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, its document and language."""

    document: str
    language: str
    chunk: Chunk


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def load(directory: Path | None, *, titles: bool) -> tuple[list[RawDocument], list[Query]]:
    """The documents, and the questions."""
    if directory is None:
        raw = [RawDocument(path.name, None, path.read_bytes()) for path in sorted(SAMPLE.iterdir())]
        asked = read_lines(HERE / "data" / "shop_questions.jsonl")
    else:
        kept = read_lines(next(directory.glob("*documents.jsonl")))
        if titles:
            often = Counter(str(row["title"]) for row in kept)
            raw = [RawDocument(str(row["id"]), "text/plain", str(row["content"]).encode()) for row in kept]
            asked = [
                {"query": row["title"], "required_documents": [row["id"]]}
                for row in kept
                if often[str(row["title"])] == 1
            ]
        else:
            raw = [
                RawDocument(str(row["id"]), "text/markdown", f"# {row['title']}\n\n{row['content']}".encode())
                for row in kept
            ]
            asked = read_lines(next(directory.glob("*queries.jsonl")))
    queries = []
    for row in asked:
        wanted = row["required_documents"]
        assert isinstance(wanted, list)
        queries.append(Query(str(row["query"]), frozenset(map(str, wanted))))
    return raw, queries


class Corpus:
    """All chunks with their vectors and words, searched exactly."""

    def __init__(self, pieces: list[Piece], vectors: Vector) -> None:
        self._vectors = vectors
        self.documents = [piece.document for piece in pieces]
        self.languages = sorted({piece.language for piece in pieces})
        rows = [(i, pack_terms(terms(p.chunk.indexed_text, p.language))) for i, p in enumerate(pieces)]
        self._index = KeywordIndex.build(rows, self.languages)

    def by_words(self, question: str, limit: int) -> tuple[Ranked, float]:
        counted: Counter[str] = Counter()
        for language in self.languages:
            counted |= Counter(terms(question, language))
        weights = rarities([self._index], counted.elements())
        return ranked([self._index], weights, limit), attainable(weights)

    def by_meaning(self, vector: Vector, limit: int) -> Ranked:
        cosines = self._vectors @ vector
        best = np.argsort(-cosines, kind="stable")[:limit]
        return list(zip(best.tolist(), cosines[best].tolist(), strict=True))

    def of_documents(self, chunk_ids: Sequence[int]) -> list[str]:
        return list(dict.fromkeys(self.documents[chunk_id] for chunk_id in chunk_ids))


def measures(found: Sequence[str], wanted: frozenset[str]) -> list[float]:
    hits = [rank for rank, document in enumerate(found, 1) if document in wanted]
    return [
        sum(rank <= 5 for rank in hits) / len(wanted),
        sum(rank <= 10 for rank in hits) / len(wanted),
        float(bool(hits) and hits[0] == 1),
        1 / hits[0] if hits else 0.0,
    ]


def interval(values: Numbers, draws: int = 2_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean."""
    chosen = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


async def run(directory: Path | None, *, titles: bool) -> dict[str, object]:
    """Everything that is measured, as JSON takes it."""
    raw, queries = load(directory, titles=titles)
    embedder: Embedder = minilm.embedder(
        ProviderConfig(data_dir=Path(os.environ.get("HOOKFLASH_DATA_DIR", ".hookflash")))
    )
    began = time.perf_counter()
    pieces = []
    for document in raw:
        read = extract(document)
        cut = chunk(read, count_tokens=embedder.count_tokens)
        pieces += [Piece(document.name, read.language or "en", piece) for piece in cut]
    corpus = Corpus(pieces, await embedder.embed([piece.chunk.indexed_text for piece in pieces]))
    indexed = time.perf_counter() - began
    results: dict[str, list[list[float]]] = {"bm25": [], "dense": [], "fused": []}
    sure: list[tuple[bool, float]] = []
    seconds = []
    for query in queries:
        began = time.perf_counter()
        vectors = await embedder.embed(parts_of(query.text))
        words, most = corpus.by_words(query.text, CANDIDATES)
        near = [corpus.by_meaning(vector, CANDIDATES) for vector in vectors]
        both = fuse(near, words, limit=CANDIDATES, attainable=most)
        seconds.append(time.perf_counter() - began)
        sure.append((bool(query.wanted), max((c.score for c in both), default=0.0)))
        if not query.wanted:
            continue
        whole = (await embedder.embed([query.text]))[0]
        everything = len(pieces)
        words, _ = corpus.by_words(query.text, everything)
        orders: dict[str, list[int]] = {
            "bm25": [chunk_id for chunk_id, _ in words],
            "dense": [chunk_id for chunk_id, _ in corpus.by_meaning(whole, everything)],
            "fused": [candidate.chunk_id for candidate in both],
        }
        for name, order in orders.items():
            results[name].append(measures(corpus.of_documents(order), query.wanted))
    return {
        "set": str(directory.name if directory else "sample shop") + (" by title" if titles else ""),
        "documents": len(raw),
        "chunks": len(pieces),
        "queries": len(results["fused"]),
        "index_seconds": round(indexed, 2),
        "query_ms_p50": round(float(np.median(seconds)) * 1e3, 2),
        **compared({name: np.array(values) for name, values in results.items()}),
        "found": found_rates(sure),
    }


def compared(results: dict[str, Numbers]) -> dict[str, object]:
    """Each measure with its interval, and how the fused order stands to the halves."""
    fused = results["fused"]

    def table(values: Numbers) -> dict[str, object]:
        return {
            name: {"mean": round(float(values[:, i].mean()), 4), "interval": interval(values[:, i])}
            for i, name in enumerate(MEASURES)
        }

    def against(half: str) -> dict[str, object]:
        return {
            name: {
                "ratio": round(float(fused[:, i].mean() / max(1e-9, results[half][:, i].mean())), 3),
                "difference": interval(fused[:, i] - results[half][:, i]),
            }
            for i, name in enumerate(MEASURES)
        }

    return {
        "results": {name: table(values) for name, values in results.items()},
        "fused_to": {half: against(half) for half in ("bm25", "dense")},
    }


def found_rates(sure: list[tuple[bool, float]]) -> dict[str, float]:
    """The share of questions for which something is found, by whether the documents answer them."""
    rates = {}
    for name, answered in (("answerable", True), ("unanswerable", False)):
        scores = [score for has, score in sure if has is answered]
        if scores:
            rates[name] = round(sum(score >= LEAST for score in scores) / len(scores), 3)
    return rates


def failures(report: dict[str, object], least: float) -> list[str]:
    """What does not hold."""
    results, relative = report["results"], report["fused_to"]
    assert isinstance(results, dict)
    assert isinstance(relative, dict)
    recall = results["fused"]["recall@10"]["mean"]
    wrong = [f"recall@10 is {recall}, below {least}"] if recall < least else []
    for half, values in relative.items():
        wrong += [
            f"{name} of the fused order is below that of {half} alone"
            for name in ("recall@10", "mrr")
            if values[name]["difference"][1] < 0
        ]
    return wrong


def show(report: dict[str, object], write: Callable[[str], object]) -> None:
    results = report["results"]
    assert isinstance(results, dict)
    write(f"{report['set']}: {report['documents']} documents, {report['chunks']} chunks, {report['queries']} queries\n")
    write(f"{'':8}" + "".join(f"{name:>24}" for name in MEASURES) + "\n")
    for name, values in results.items():
        cells = (values[measure] for measure in MEASURES)
        row = "".join(f"{c['mean']:>8.3f} ({c['interval'][0]:.3f}-{c['interval'][1]:.3f})".rjust(24) for c in cells)
        write(f"{name:8}{row}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=os.environ.get("HOOKFLASH_RETRIEVAL_SET"))
    parser.add_argument("--titles", action="store_true", help="seek each document by its title")
    parser.add_argument("--check", type=float, metavar="R", help="fail when recall@10 is below R")
    given = parser.parse_args()
    directory = Path(given.directory) if given.directory else None
    report = anyio.run(lambda: run(directory, titles=given.titles))
    show(report, sys.stderr.write)
    print(json.dumps(report))
    wrong = failures(report, given.check) if given.check is not None else []
    for sentence in wrong:
        sys.stderr.write(f"FAILED: {sentence}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
