"""A test set of documents and questions, searched by words, by meaning, by both as the product does, and re-ranked."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from hookflash.assistant.choose import certain
from hookflash.base.errors import Invalid
from hookflash.insight.retrieval_metrics import Measured, differences, measure, table
from hookflash.knowledge.analyze import terms
from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import RawDocument
from hookflash.knowledge.extract import extract
from hookflash.knowledge.fusion import Ranked, attainable, fuse, parts_of
from hookflash.knowledge.keywords import KeywordIndex, pack_terms, ranked, rarities
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import Embedder, Vector
from hookflash.knowledge.rerank import Reranker
from hookflash.knowledge.search import READ_PER_WANTED, Limits

# As deep as the fused order looks; the halves alone get the whole ranking.
CANDIDATES = Limits().candidates
LEAST = Limits().least_score
# Passages that a search reads, which is what a re-ranker gets to see.
READ = Limits().passages * READ_PER_WANTED
_BATCH = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and the ids of the documents that answer it; none: the documents do not."""

    text: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Documents by their ids (the name of each), and questions."""

    documents: tuple[RawDocument, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """`results` by way of searching (bm25, dense, both; reranked where there is a re-ranker) and measure; `both_to` is what both
    together are better than each.

    `found` is the share of questions for which anything counts as found, by whether the documents answer them; `certain`
    the share of the answerable for which search alone is certain (no model is asked to choose), and how often a
    relevant document is then among the passages given to the model.
    """

    documents: int
    chunks: int
    queries: int
    index_seconds: float
    query_ms: float
    results: dict[str, dict[str, Measured]]
    both_to: dict[str, dict[str, Measured]]
    found: dict[str, float]
    certain: dict[str, float]
    rerank_ms: float | None = None


def read_set(data: bytes) -> RetrievalSet:
    """JSON Lines of {"id", "title", "text"} and {"query", "relevant": [ids]}, in any order.

    Raises Invalid with the line: for what is neither, an id that occurs twice, or one that no document has.
    """
    documents: dict[str, RawDocument] = {}
    queries: list[Query] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        row = _object(line, number)
        if "query" in row:
            wanted = row.get("relevant", row.get("required_documents"))
            if not isinstance(wanted, list) or not isinstance(row["query"], str):
                raise Invalid(f"line {number}: a question needs a list of relevant ids")
            queries.append(Query(row["query"], frozenset(map(str, wanted))))
        elif "id" in row and ("text" in row or "content" in row):
            name, text, title = str(row["id"]), str(row.get("text", row.get("content"))), row.get("title")
            if name in documents:
                raise Invalid(f"line {number}: there are two documents of the id {name!r}")
            whole = f"# {title}\n\n{text}" if title else text
            documents[name] = RawDocument(name, "text/markdown" if title else "text/plain", whole.encode())
        else:
            raise Invalid(f'line {number}: neither a document {{"id", "text"}} nor a question {{"query", "relevant"}}')
    if not documents or not any(query.relevant for query in queries):
        raise Invalid("the set needs documents, and questions that they answer")
    unknown = sorted({name for query in queries for name in query.relevant} - set(documents))
    if unknown:
        raise Invalid(f"no document has the id {unknown[0]!r} that a question names")
    return RetrievalSet(tuple(documents.values()), tuple(queries))


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise Invalid(f"line {number} is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise Invalid(f"line {number} is no JSON object")
    return row


@dataclass(frozen=True, slots=True)
class _Piece:
    document: str
    language: str
    chunk: Chunk


class _Corpus:
    """All chunks with their vectors and words, searched exactly."""

    def __init__(self, pieces: Sequence[_Piece], vectors: Vector) -> None:
        self._vectors = vectors
        self._documents = [piece.document for piece in pieces]
        self._languages = sorted({piece.language for piece in pieces})
        rows = [(i, pack_terms(terms(p.chunk.indexed_text, p.language))) for i, p in enumerate(pieces)]
        self._index = KeywordIndex.build(rows, self._languages)

    def by_words(self, question: str, limit: int) -> tuple[Ranked, float]:
        counted: Counter[str] = Counter()
        for language in self._languages:
            counted |= Counter(terms(question, language))
        weights = rarities([self._index], counted.elements())
        return ranked([self._index], weights, limit), attainable(weights)

    def by_meaning(self, vector: Vector, limit: int) -> Ranked:
        cosines = self._vectors @ vector
        best = np.argsort(-cosines, kind="stable")[:limit]
        return list(zip(best.tolist(), cosines[best].tolist(), strict=True))

    def documents_of(self, chunk_ids: Sequence[int]) -> list[str]:
        """Each once, by its best chunk."""
        return list(dict.fromkeys(self._documents[chunk_id] for chunk_id in chunk_ids))


async def try_out(
    retrieval_set: RetrievalSet,
    embedder: Embedder,
    progress: Progress | None = None,
    reranker: Reranker | None = None,
) -> RetrievalReport:
    """Index the documents in memory as the product does, and ask every question in each way."""
    began = time.perf_counter()
    pieces = []
    for document in retrieval_set.documents:
        read = extract(document)
        sample = " ".join(block.text for block in read.blocks)[:2_000]
        language = read.language or detect(sample, None) or "en"
        pieces += [_Piece(document.name, language, piece) for piece in chunk(read, count_tokens=embedder.count_tokens)]
    vectors = []
    for start in range(0, len(pieces), _BATCH):
        batch = pieces[start : start + _BATCH]
        vectors.append(await embedder.embed([piece.chunk.indexed_text for piece in batch]))
        if progress is not None:
            progress(start + len(batch), len(pieces))
    corpus = _Corpus(pieces, np.concatenate(vectors))
    indexed = time.perf_counter() - began
    results: dict[str, list[tuple[float, ...]]] = {"bm25": [], "dense": [], "both": []}
    if reranker is not None:
        results["reranked"] = []
    reranking = []
    sure: list[tuple[bool, float]] = []
    right: list[bool] = []
    seconds = []
    for query in retrieval_set.queries:
        began = time.perf_counter()
        parts = await embedder.embed(parts_of(query.text))
        words, most = corpus.by_words(query.text, CANDIDATES)
        both = fuse([corpus.by_meaning(part, CANDIDATES) for part in parts], words, limit=CANDIDATES, attainable=most)
        seconds.append(time.perf_counter() - began)
        sure.append((bool(query.relevant), max((candidate.score for candidate in both), default=0.0)))
        if not query.relevant:
            continue
        whole = (await embedder.embed([query.text]))[0]
        words, _ = corpus.by_words(query.text, len(pieces))
        orders = {
            "bm25": [chunk_id for chunk_id, _ in words],
            "dense": [chunk_id for chunk_id, _ in corpus.by_meaning(whole, len(pieces))],
            "both": [candidate.chunk_id for candidate in both],
        }
        if reranker is not None:
            began = time.perf_counter()
            first = [candidate.chunk_id for candidate in both if candidate.score >= LEAST][:READ]
            scores = await reranker.scores(query.text, [pieces[i].chunk.indexed_text for i in first]) if first else []
            judged = sorted(zip(scores, range(len(first)), strict=True), key=lambda pair: (-pair[0], pair[1]))
            reranking.append(time.perf_counter() - began)
            orders["reranked"] = [first[place] for _, place in judged] + [i for i in orders["both"] if i not in first]
        if both and certain(query.text, both[0].score):
            given = corpus.documents_of([candidate.chunk_id for candidate in both[: Limits().passages]])
            right.append(not query.relevant.isdisjoint(given))
        for way, order in orders.items():
            results[way].append(measure(corpus.documents_of(order), query.relevant))
    return RetrievalReport(
        documents=len(retrieval_set.documents),
        chunks=len(pieces),
        queries=len(results["both"]),
        index_seconds=round(indexed, 2),
        query_ms=round(float(np.median(seconds)) * 1e3, 2),
        results={way: table(values) for way, values in results.items()},
        both_to={half: differences(results["both"], results[half]) for half in results if half != "both"},
        found=_found(sure),
        rerank_ms=round(float(np.median(reranking)) * 1e3, 2) if reranking else None,
        certain={
            "share": round(len(right) / max(1, len(results["both"])), 3),
            "right": round(sum(right) / max(1, len(right)), 3),
        },
    )


def _found(sure: Sequence[tuple[bool, float]]) -> dict[str, float]:
    rates = {}
    for name, answered in (("answerable", True), ("unanswerable", False)):
        scores = [score for has, score in sure if has is answered]
        if scores:
            rates[name] = round(sum(score >= LEAST for score in scores) / len(scores), 3)
    return rates
