"""Measures whether search finds the right documents of the sample shop: BM25 alone, vectors alone, and both.

    python benchmarks/retrieval_quality.py                    # the sample shop and its questions
    python benchmarks/retrieval_quality.py --titles SET       # each document of a set is sought by its title
    python benchmarks/retrieval_quality.py --check 0.9        # fail when recall@10 is below 0.9

Any other set: `hookflash eval retrieval SET`. With `--titles` the titles are taken out of the texts; SET is a file of JSON
Lines with {"id", "title", "content"}.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import msgspec

from hookflash.insight.retrieval_metrics import MEASURES, worse
from hookflash.insight.retrieval_trial import Query, RetrievalReport, RetrievalSet, try_out
from hookflash.knowledge.document import RawDocument
from hookflash.providers import minilm
from hookflash.providers.registry import ProviderConfig

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "src/hookflash/sample/documents"


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def sample_shop() -> RetrievalSet:
    documents = tuple(RawDocument(path.name, None, path.read_bytes()) for path in sorted(SAMPLE.iterdir()))
    asked = read_lines(HERE / "data" / "shop_questions.jsonl")
    return RetrievalSet(
        documents, tuple(Query(row["query"], frozenset(map(str, row["required_documents"]))) for row in asked)
    )


def by_title(path: Path) -> RetrievalSet:
    kept = read_lines(path)
    often = Counter(row["title"] for row in kept)
    documents = tuple(RawDocument(str(row["id"]), "text/plain", str(row["content"]).encode()) for row in kept)
    queries = (Query(row["title"], frozenset({str(row["id"])})) for row in kept if often[row["title"]] == 1)
    return RetrievalSet(documents, tuple(queries))


def show(report: RetrievalReport) -> None:
    sys.stderr.write(f"{report.documents} documents, {report.chunks} chunks, {report.queries} queries\n")
    sys.stderr.write(f"{'':8}" + "".join(f"{name:>24}" for name in MEASURES) + "\n")
    for name, values in report.results.items():
        cells = (values[measure] for measure in MEASURES)
        sys.stderr.write(f"{name:8}" + "".join(f"{c.mean:>8.3f} ({c.low:.3f}-{c.high:.3f})".rjust(24) for c in cells))
        sys.stderr.write("\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=Path, metavar="SET", help="seek each document of a set by its title")
    parser.add_argument("--check", type=float, metavar="R", help="fail when recall@10 is below R")
    given = parser.parse_args()
    retrieval_set = by_title(given.titles) if given.titles else sample_shop()
    embedder = minilm.embedder(ProviderConfig(data_dir=Path(os.environ.get("HOOKFLASH_DATA_DIR", ".hookflash"))))
    report = anyio.run(try_out, retrieval_set, embedder)
    show(report)
    print(msgspec.json.encode(report).decode())
    if given.check is None:
        return 0
    recall = report.results["both"]["recall@10"].mean
    wrong = [f"recall@10 is {recall}, below {given.check}"] if recall < given.check else []
    wrong += worse(report.both_to)
    for sentence in wrong:
        sys.stderr.write(f"FAILED: {sentence}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
