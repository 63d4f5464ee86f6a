"""Search as a whole: what is found, what is left out, and what still works when a part fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio
import msgspec
import numpy as np
import pytest

from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.knowledge.analyze import terms
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.keywords import KeywordIndex, pack_terms
from hookflash.knowledge.passage import Embedder, Found, NothingFound, Passage, Vector
from hookflash.knowledge.rerank import Reranking
from hookflash.knowledge.search import Limits, chosen, search
from hookflash.knowledge.source import Scope

TOPICS = ("return", "ship", "open", "warranty", "tent", "boot", "price", "gift")
TEXTS = {
    1: ("returns", "You can return boots within thirty days, unworn."),
    2: ("shipping", "We ship within two days; express costs more."),
    3: ("hours", "We open at ten and close at seven."),
    4: ("warranty", "The warranty of a tent is five years."),
    5: ("products", "SKU WX-200: a lamp for the tent."),
}


@dataclass
class Topics:
    """An embedder that knows eight words; texts without any of them are alike to nothing."""

    name: str = "topics"
    dimensions: int = len(TOPICS)
    max_tokens: int = 256
    asked: list[list[str]] = field(default_factory=list)
    failure: HookflashError | None = None
    hangs: bool = False

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def embed(self, texts: list[str]) -> Vector:
        self.asked.append(texts)
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await anyio.sleep_forever()
        rows = np.array([[float(topic in text.casefold()) for topic in TOPICS] for text in texts], np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


@dataclass
class Memory:
    """A PassageStore of a few texts; `broken` names the methods that fail."""

    passages_by_id: dict[int, Passage]
    vectors: Vector
    language: str = "en"
    broken: frozenset[str] = frozenset()
    gone: frozenset[int] = frozenset()
    models: list[str] = field(default_factory=list)

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise Unavailable(f"The database does not answer ({method}).")

    async def nearest(
        self, scope: Scope, model: str, vectors: Vector, limit: int, failures: list[str]
    ) -> Sequence[Ranked]:
        self._check("nearest")
        self.models.append(model)
        ids = list(self.passages_by_id)
        cosines = vectors @ self.vectors.T
        return [sorted(zip(ids, row.tolist(), strict=True), key=lambda scored: -scored[1])[:limit] for row in cosines]

    async def indexes(self, scope: Scope) -> Sequence[KeywordIndex]:
        self._check("indexes")
        rows = [(p.chunk_id, pack_terms(terms(p.text, self.language))) for p in self.passages_by_id.values()]
        return [KeywordIndex.build(rows, [self.language])]

    async def passages(self, scope: Scope, chunk_ids: Sequence[int]) -> Mapping[int, Passage]:
        self._check("passages")
        return {i: self.passages_by_id[i] for i in chunk_ids if i not in self.gone}


def _passage(chunk_id: int, document: str, text: str) -> Passage:
    return Passage(chunk_id, "src_1", document, document.title(), (), text, None, 0.0, None, None)


async def _memory(texts: dict[int, tuple[str, str]], language: str = "en") -> Memory:
    passages = {i: _passage(i, document, text) for i, (document, text) in texts.items()}
    return Memory(passages, await Topics().embed([text for _, text in texts.values()]), language)


def _scope(chunks: int = 5) -> Scope:
    return Scope("acc_1", (("src_1", 1, "topics", chunks),))


async def _find(
    question: str, store: Memory, embedder: Embedder | None = None, limits: Limits | None = None
) -> Found | NothingFound:
    chosen = embedder or Topics()
    return await search(question, _scope(), store=store, embedder=lambda _: chosen, limits=limits or Limits())


async def test_the_best_passage_comes_first_with_score_and_provenance() -> None:
    found = await _find("How long is the warranty of my tent?", await _memory(TEXTS))
    assert isinstance(found, Found)
    best = found.passages[0]
    assert (best.chunk_id, best.document_id, best.source_id, best.title) == (4, "warranty", "src_1", "Warranty")
    assert best.dense == pytest.approx(1.0)
    assert best.keyword is not None
    assert best.score > 0.9
    assert found.degraded is None
    assert [p.score for p in found.passages[1:]] == sorted((p.score for p in found.passages[1:]), reverse=True)


async def test_a_product_number_is_found_by_its_letters() -> None:
    found = await _find("wx-200", await _memory(TEXTS))
    assert isinstance(found, Found)
    assert [p.chunk_id for p in found.passages] == [5]


async def test_what_nothing_bears_on_is_not_found() -> None:
    assert await _find("Who won the football match?", await _memory(TEXTS)) == NothingFound("no match")
    assert await _find("   ", await _memory(TEXTS)) == NothingFound("no match")


async def test_empty_knowledge_is_said_without_asking_anyone() -> None:
    embedder = Topics()
    store = await _memory(TEXTS)
    empty = [Scope("acc_1", ()), _scope(chunks=0)]
    for scope in empty:
        result = await search("Can I return boots?", scope, store=store, embedder=lambda _: embedder)
        assert result == NothingFound("empty knowledge")
    assert embedder.asked == []


async def test_all_parts_of_a_question_are_embedded_in_one_call_and_each_is_answered() -> None:
    embedder = Topics()
    found = await _find("Hello there. Can I return my boots? How fast do you ship?", await _memory(TEXTS), embedder)
    assert len(embedder.asked) == 1
    assert isinstance(found, Found)
    assert {p.chunk_id for p in found.passages[:2]} == {1, 2}


@pytest.mark.parametrize("failure", [Unavailable("The vendor does not answer."), Misconfigured("The key is missing.")])
async def test_without_the_embedder_the_keywords_answer(failure: HookflashError) -> None:
    found = await _find("warranty of a tent", await _memory(TEXTS), Topics(failure=failure))
    assert isinstance(found, Found)
    assert found.passages[0].chunk_id == 4
    assert found.passages[0].dense is None
    assert found.degraded == f"embedder: {failure.message}"


async def test_an_embedder_that_hangs_is_given_up() -> None:
    found = await _find("warranty of a tent", await _memory(TEXTS), Topics(hangs=True), Limits(embed_seconds=0.01))
    assert isinstance(found, Found)
    assert found.passages[0].chunk_id == 4
    assert found.degraded == "embedder: no answer within 0.01 s"


async def test_without_vectors_the_keywords_answer() -> None:
    store = replace(await _memory(TEXTS), broken=frozenset({"nearest"}))
    found = await _find("warranty of a tent", store)
    assert isinstance(found, Found)
    assert found.passages[0].chunk_id == 4
    assert found.degraded == "vectors: The database does not answer (nearest)."


async def test_without_keywords_the_vectors_answer() -> None:
    store = replace(await _memory(TEXTS), broken=frozenset({"indexes"}))
    found = await _find("warranty of a tent", store)
    assert isinstance(found, Found)
    assert found.passages[0].chunk_id == 4
    assert found.passages[0].keyword is None
    assert found.degraded == "keywords: The database does not answer (indexes)."


async def test_when_all_fails_the_outcome_says_so() -> None:
    store = replace(await _memory(TEXTS), broken=frozenset({"nearest", "indexes"}))
    result = await _find("warranty of a tent", store)
    assert isinstance(result, NothingFound)
    assert result.why.startswith("failed: ")
    assert result.degraded is not None
    assert "vectors: " in result.degraded
    assert "keywords: " in result.degraded


async def test_passages_that_cannot_be_read_are_a_failure_not_an_absence() -> None:
    result = await _find("warranty of a tent", replace(await _memory(TEXTS), broken=frozenset({"passages"})))
    assert isinstance(result, NothingFound)
    assert result.why == "failed: passages: The database does not answer (passages)."


async def test_a_failure_with_nothing_to_find_is_still_told() -> None:
    result = await _find("Who won the football match?", await _memory(TEXTS), Topics(failure=Unavailable("Away.")))
    assert result == NothingFound("no match", "embedder: Away.")


async def test_a_chunk_that_was_deleted_meanwhile_is_not_returned() -> None:
    found = await _find("warranty of a tent", replace(await _memory(TEXTS), gone=frozenset({4})))
    ids = [p.chunk_id for p in found.passages] if isinstance(found, Found) else []
    assert 4 not in ids


async def test_near_repetitions_are_given_once() -> None:
    text = "The warranty of a tent is five years and covers poles, zips, seams and floors of it."
    store = await _memory({1: ("a", text), 2: ("b", text + " Yes."), 3: ("c", "A warranty claim needs the receipt.")})
    found = await _find("warranty", store)
    assert isinstance(found, Found)
    assert sorted(p.chunk_id for p in found.passages) in ([1, 3], [2, 3])


async def test_one_document_does_not_crowd_out_the_others() -> None:
    many = {n: ("long", f"The warranty of the tent, part {n}: {'x' * n} {'y' * n} {'z' * n}.") for n in range(1, 7)}
    store = await _memory(many | {9: ("other", "Our warranty is handled by the warranty desk on the first floor.")})
    found = await _find("warranty of the tent", store, limits=Limits(passages=3))
    assert isinstance(found, Found)
    assert len(found.passages) == 3
    assert [p.document_id for p in found.passages].count("long") == 2
    alone = await _find("warranty of the tent", await _memory(many), limits=Limits(passages=3))
    assert isinstance(alone, Found)
    assert len(alone.passages) == 3


def test_what_hardly_bears_on_it_does_not_displace_the_same_documents_next_passage() -> None:
    def found(chunk_id: int, document: str, score: float) -> Passage:
        return msgspec.structs.replace(_passage(chunk_id, document, f"text {chunk_id}"), score=score)

    hours = [found(n, "hours", score) for n, score in ((1, 0.96), (2, 0.9), (3, 0.54), (5, 0.49))]
    given = [*hours[:3], found(4, "walks", 0.19), hours[3]]
    assert [p.chunk_id for p in chosen(given, Limits(passages=4))] == [1, 2, 3, 5]
    # Where all are unlikely, or the others are as likely, several documents are given.
    given = [found(1, "a", 0.2), found(2, "a", 0.2), found(3, "a", 0.2), found(4, "b", 0.18)]
    assert [p.chunk_id for p in chosen(given, Limits(passages=3))] == [1, 2, 4]


async def test_shorthand_is_searched_as_what_it_stands_for() -> None:
    embedder = Topics()
    await _find("wen r u open", await _memory(TEXTS), embedder)
    assert embedder.asked == [["when are you open"]]


async def test_passages_stay_within_the_tokens_but_the_best_is_always_given() -> None:
    texts = {n: (f"d{n}", f"warranty {' '.join(f'word{n}{i}' for i in range(100))}") for n in range(1, 5)}
    store = await _memory(texts)
    two = await _find("warranty", store, limits=Limits(tokens=550, passages=4))
    one = await _find("warranty", store, limits=Limits(tokens=1, passages=4))
    assert isinstance(two, Found)
    assert isinstance(one, Found)
    assert (len(two.passages), len(one.passages)) == (2, 1)


async def test_a_question_is_analysed_in_the_language_of_the_documents() -> None:
    store = await _memory({1: ("es", "Devoluciones: puede devolver la ropa."), 2: ("es", "Envíos a México.")}, "es")
    found = await _find("una devolución", store, Topics(failure=Unavailable("Away.")))
    assert isinstance(found, Found)
    assert found.passages[0].chunk_id == 1


async def test_sources_of_several_models_are_searched_each_with_its_own() -> None:
    store = await _memory(TEXTS)
    scope = Scope("acc_1", (("src_1", 1, "topics", 3), ("src_2", 4, "other", 2), ("src_3", 1, "unused", 0)))
    made: list[str] = []

    def embedder(model: str) -> Embedder:
        made.append(model)
        return Topics(failure=Unavailable("Away.") if model == "other" else None)

    found = await search("warranty of a tent", scope, store=store, embedder=embedder)
    assert made == ["other", "topics"]
    assert store.models == ["topics"]
    assert isinstance(found, Found)
    assert found.passages[0].dense is not None
    assert found.degraded == "embedder: Away."


@dataclass
class Backwards:
    """A re-ranker that likes what search likes least; `failure` or silence instead."""

    name: str = "backwards"
    failure: Exception | None = None
    hangs: bool = False
    short: bool = False
    texts: list[str] = field(default_factory=list)

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.texts += texts
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await anyio.sleep_forever()
        return [float(place) for place in range(len(texts) - self.short)]


async def _reranked(reranker: Backwards, question: str = "warranty tent boots") -> Found | NothingFound:
    reranking = Reranking(reranker, seconds=0.01)
    store = await _memory(TEXTS)
    return await search(question, _scope(), store=store, embedder=lambda _: Topics(), reranking=reranking)


async def test_a_reranker_decides_the_order_and_nothing_else() -> None:
    plain = await _find("warranty tent boots", await _memory(TEXTS))
    reranker = Backwards()
    found = await _reranked(reranker)
    assert isinstance(plain, Found)
    assert isinstance(found, Found)
    assert len(found.passages) > 1
    assert found.degraded is None
    assert found.passages != plain.passages
    assert {p.chunk_id: p.score for p in found.passages} == {p.chunk_id: p.score for p in plain.passages}
    assert reranker.texts[0].startswith(f"{plain.passages[0].title}\n"), "it sees titles too"
    assert isinstance(await _reranked(reranker, "what about quantum chromodynamics?"), NothingFound)


@pytest.mark.parametrize(
    ("reranker", "told"),
    [
        (Backwards(failure=Unavailable("The re-ranker is away.")), "reranker: The re-ranker is away."),
        (Backwards(hangs=True), "reranker: no answer within 0.01 s"),
        (Backwards(short=True), "reranker: The re-ranker backwards did not judge every passage."),
    ],
    ids=["fails", "hangs", "too few"],
)
async def test_a_reranker_that_fails_leaves_the_order_and_a_note(reranker: Backwards, told: str) -> None:
    plain = await _find("warranty tent boots", await _memory(TEXTS))
    found = await _reranked(reranker)
    assert isinstance(plain, Found)
    assert isinstance(found, Found)
    assert (found.passages, found.degraded) == (plain.passages, told)
