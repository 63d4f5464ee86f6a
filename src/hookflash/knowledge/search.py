"""Search: from a question to the few passages that bear on it, by meaning and by words, whichever of the two still works."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import anyio
import msgspec
import numpy as np
import structlog

from hookflash.base.errors import HookflashError
from hookflash.knowledge.analyze import terms
from hookflash.knowledge.fusion import Candidate, Ranked, attainable, fuse, parts_of
from hookflash.knowledge.keywords import KeywordIndex, ranked, rarities
from hookflash.knowledge.passage import Embedder, Found, NothingFound, Passage, Vector
from hookflash.knowledge.rerank import Reranking, reordered
from hookflash.knowledge.source import Scope
from hookflash.knowledge.spelling import written_out

T = TypeVar("T")

# A model reads a question to its end, but nobody asks for more than this; what is longer is cut.
MAX_QUESTION = 6_000
# Candidates that are read for one passage that is wanted: some are repetitions, some too long.
READ_PER_WANTED = 4
_MOST_OF_ONE_DOCUMENT = 2
# Passages this unlikely come after all others, where the best is twice as likely; and a document's next passage gives way to
# none that is so much less likely.
_FAR_LIKELIER = 1.5
_UNLIKELY = 0.3
_SAME_WORDS = 0.8
_BYTES_PER_TOKEN = 3.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one search. `tokens` is what all passages together may cost a prompt, about; times are in seconds.

    `least_score` is the score below which a passage does not count as found.
    """

    passages: int = 5
    tokens: int = 1_000
    candidates: int = 50
    least_score: float = 0.15
    embed_seconds: float = 3.0
    store_seconds: float = 3.0


class PassageStore(Protocol):
    """Where the chunks are kept. Every method raises a HookflashError (as a rule Unavailable) when it cannot answer."""

    async def nearest(
        self, scope: Scope, model: str, vectors: Vector, limit: int, failures: list[str]
    ) -> Sequence[Ranked]:
        """For each vector the nearest chunks of the scope's sources that use this model: (chunk id, cosine), best first.

        `failures` gets the reason of a part that failed and was made up for.
        """
        ...

    async def indexes(self, scope: Scope) -> Sequence[KeywordIndex]:
        """The keyword indexes of the scope's sources."""
        ...

    async def passages(self, scope: Scope, chunk_ids: Sequence[int]) -> Mapping[int, Passage]:
        """The chunks that (still) exist, by id, without scores."""
        ...


@dataclass(frozen=True, slots=True)
class _Words:
    """What the keywords say."""

    scored: Ranked
    most: float


async def search(
    question: str,
    scope: Scope,
    *,
    store: PassageStore,
    embedder: Callable[[str], Embedder],
    limits: Limits = Limits(),
    reranking: Reranking | None = None,
) -> Found | NothingFound:
    """The passages of the scope that bear on the question, best first; never raises for a part that fails.

    `embedder` gives the embedder of a model's name (a source remembers its own). When embedder or vectors fail, the
    keywords answer alone, and the other way round; `degraded` says what failed. With `reranking` a model that reads
    question and passages together decides their order, not whether they count as found: see `rerank`.
    """
    question = written_out(question[:MAX_QUESTION].strip())
    if scope.empty or not question:
        return NothingFound("empty knowledge" if scope.empty else "no match")
    failures: list[str] = []
    words: _Words | None = None

    async def by_words() -> None:
        nonlocal words
        words = await _by_words(question, scope, store, limits, failures)

    async with anyio.create_task_group() as both:
        both.start_soon(by_words)
        dense = await _by_meaning(question, scope, store, embedder, limits, failures)
    scored, most = (words.scored, words.most) if words is not None else ((), 0.0)
    candidates = fuse(dense, scored, limit=limits.candidates, attainable=most)
    likely = [candidate for candidate in candidates if candidate.score >= limits.least_score]
    passages = await _read(likely, scope, store, limits, failures) if likely else []
    if reranking is not None and passages is not None and len(passages) > 1:
        read = passages
        order = await _attempt("reranker", lambda: reordered(reranking, question, read), reranking.seconds, failures)
        passages = order or passages
    degraded = "; ".join(failures) or None
    if degraded is not None:
        log.warning("search degraded", reasons=failures)
    if passages:
        return Found(tuple(chosen(passages, limits)), degraded)
    # One half that worked is enough to say that there is nothing, as long as what it found could be read.
    failed = passages is None or (not dense and words is None)
    return NothingFound(f"failed: {degraded}" if failed else "no match", degraded)


async def _by_meaning(
    question: str,
    scope: Scope,
    store: PassageStore,
    embedder: Callable[[str], Embedder],
    limits: Limits,
    failures: list[str],
) -> list[Ranked]:
    """For each part of the question the nearest chunks; empty when that failed."""
    parts = parts_of(question)
    merged: list[list[tuple[int, float]]] = [[] for _ in parts]
    answered = False
    for model in sorted({model for _, _, model, chunks in scope.sources if chunks}):
        vectors = await _attempt("embedder", lambda: embedder(model).embed(parts), limits.embed_seconds, failures)  # noqa: B023
        if vectors is None:
            continue
        rows = vectors.astype(np.float32, copy=False)
        found = await _attempt(
            "vectors",
            lambda: store.nearest(scope, model, rows, limits.candidates, failures),  # noqa: B023
            limits.store_seconds,
            failures,
        )
        if found is not None:
            answered = True
            for part, ranking in zip(merged, found, strict=True):
                part.extend(ranking)
    if not answered:
        return []
    return [sorted(part, key=lambda scored: (-scored[1], scored[0]))[: limits.candidates] for part in merged]


async def _by_words(
    question: str, scope: Scope, store: PassageStore, limits: Limits, failures: list[str]
) -> _Words | None:
    indexes = await _attempt("keywords", lambda: store.indexes(scope), limits.store_seconds, failures)
    if indexes is None:
        return None
    # The question is analysed in the documents' languages, since words only match what was analysed alike.
    counted: Counter[str] = Counter()
    for language in sorted({language for index in indexes for language in index.languages}):
        counted |= Counter(terms(question, language))
    weights = rarities(indexes, counted.elements())
    return _Words(ranked(indexes, weights, limits.candidates), attainable(weights))


async def _read(
    candidates: Sequence[Candidate], scope: Scope, store: PassageStore, limits: Limits, failures: list[str]
) -> list[Passage] | None:
    """The best candidates as passages, without those whose chunks are gone; None when they cannot be read."""
    wanted = candidates[: limits.passages * READ_PER_WANTED]
    ids = [candidate.chunk_id for candidate in wanted]
    found = await _attempt("passages", lambda: store.passages(scope, ids), limits.store_seconds, failures)
    if found is None:
        return None
    return [
        msgspec.structs.replace(found[c.chunk_id], score=c.score, dense=c.dense, keyword=c.keyword)
        for c in wanted
        if c.chunk_id in found
    ]


def chosen(passages: Sequence[Passage], limits: Limits) -> list[Passage]:
    """At most `limits.passages` in their order: no repetitions, several documents if any bear on it, within the tokens."""
    distinct = _distinct(passages)
    least = min(_UNLIKELY, 0.5 * max((passage.score for passage in distinct), default=0.0))
    distinct.sort(key=lambda passage: passage.score < least)
    seen: Counter[str] = Counter()
    first: list[tuple[int, Passage]] = []
    later: list[tuple[int, Passage]] = []
    for position, passage in enumerate(distinct):
        seen[passage.document_id] += 1
        place = (position, passage)
        if seen[passage.document_id] <= _MOST_OF_ONE_DOCUMENT:
            first.append(place)
            continue
        others = max((p.score for p in distinct[position:] if p.document_id != passage.document_id), default=0.0)
        alone = others < max(min(passage.score, least), passage.score / _FAR_LIKELIER)
        (first if alone else later).append(place)
    chosen: list[tuple[int, Passage]] = []
    left = float(limits.tokens)
    for position, passage in [*first, *later]:
        size = len(passage.text.encode()) / _BYTES_PER_TOKEN
        # The best passage is given even if it is too long: the prompt's own limit cuts it then.
        if len(chosen) < limits.passages and (size <= left or not chosen):
            chosen.append((position, passage))
            left -= size
    return [passage for _, passage in sorted(chosen, key=lambda entry: entry[0])]


def _distinct(passages: Sequence[Passage]) -> list[Passage]:
    """The passages without those that say again, in the same words, what a better one says."""
    distinct: list[Passage] = []
    known: list[frozenset[str]] = []
    for passage in passages:
        words = frozenset(passage.text.casefold().split())
        size = len(words)
        for other in known:
            others = len(other)
            # Sets this unlike in size share too little, which costs less to see.
            if size >= _SAME_WORDS * others and others >= _SAME_WORDS * size:
                common = len(words & other)
                if common >= _SAME_WORDS * (size + others - common):
                    break
        else:
            distinct.append(passage)
            known.append(words)
    return distinct


async def _attempt(what: str, call: Callable[[], Awaitable[T]], seconds: float, failures: list[str]) -> T | None:
    """What the call gives, or None with the reason recorded."""
    try:
        with anyio.fail_after(seconds):
            return await call()
    except TimeoutError:
        failures.append(f"{what}: no answer within {seconds:g} s")
    except HookflashError as error:
        failures.append(f"{what}: {error.message}")
    return None
