"""Figures of search: what each measure says of a ranking, how sure it is, and test sets that cannot be read."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from hookflash.base.errors import Invalid
from hookflash.insight.retrieval_metrics import MEASURES, differences, interval, measure, table, worse
from hookflash.insight.retrieval_trial import read_set, try_out
from hookflash.knowledge.passage import Vector


def measured(found: str, relevant: str) -> dict[str, float]:
    return dict(zip(MEASURES, measure(found.split(), frozenset(relevant.split())), strict=True))


def test_a_perfect_ranking_is_one_everywhere_and_a_blind_one_is_nothing() -> None:
    assert set(measured("a b c", "a b").values()) == {1.0}
    assert set(measured("c d", "a").values()) == {0.0}
    assert set(measured("", "a").values()) == {0.0}


def test_the_measures_of_a_ranking_by_hand() -> None:
    found = measured("x a y z w v b", "a b c")
    assert found == {
        "recall@5": pytest.approx(1 / 3),
        "recall@10": pytest.approx(2 / 3),
        "hit@1": 0.0,
        "hit@5": 1.0,
        "mrr": 0.5,
        "ndcg@10": pytest.approx((1 / math.log2(3) + 1 / math.log2(8)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))),
    }


def test_gain_beyond_the_tenth_place_counts_for_nothing_and_many_relevant_ones_can_still_be_perfect() -> None:
    assert measured(" ".join("abcdefghijk"), "k")["ndcg@10"] == 0.0
    letters = " ".join("abcdefghijklmno")
    assert measured(letters, letters)["ndcg@10"] == pytest.approx(1.0)


def test_an_interval_holds_the_mean_and_narrows_with_more_questions() -> None:
    few = interval(np.array([0.0, 1.0] * 5))
    many = interval(np.array([0.0, 1.0] * 500))
    assert few.mean == many.mean == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    assert interval(np.array([1.0])) == interval(np.array([1.0]))


def test_one_way_is_worse_than_another_only_beyond_chance() -> None:
    good, bad = [(1.0,) * 6] * 30, [(0.0,) * 6] * 30
    assert worse({"bm25": differences(bad, good)}) == [
        "recall@10 of both together is below that of bm25 alone",
        "mrr of both together is below that of bm25 alone",
    ]
    assert worse({"bm25": differences(good, bad), "dense": differences(good, good)}) == []
    assert table(good)["mrr"].mean == 1.0


SET = b"""{"id": "a", "title": "Returns", "text": "Boots can be returned within thirty days."}

{"query": "how long to return boots", "relevant": ["a"]}
{"id": "b", "content": "We open at nine."}
{"query": "when do you open", "required_documents": ["b"]}
{"query": "do you sell cheese", "relevant": []}
"""


def test_a_set_is_read_in_any_order() -> None:
    read = read_set(SET)
    assert [(d.name, d.data) for d in read.documents] == [
        ("a", b"# Returns\n\nBoots can be returned within thirty days."),
        ("b", b"We open at nine."),
    ]
    assert [sorted(query.relevant) for query in read.queries] == [["a"], ["b"], []]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 7 is no JSON"),
        (b"[]", "line 7 is no JSON object"),
        (b'{"id": "c"}', "line 7: neither a document"),
        (b'{"id": "a", "text": "x"}', "line 7: there are two documents of the id 'a'"),
        (b'{"query": "x"}', "line 7: a question needs a list"),
        (b'{"query": "x", "relevant": ["zz"]}', "no document has the id 'zz'"),
    ],
)
def test_a_set_that_cannot_be_read_says_where(line: bytes, told: str) -> None:
    with pytest.raises(Invalid, match=told.replace("(", r"\(")):
        read_set(SET + line)
    with pytest.raises(Invalid, match="needs documents"):
        read_set(b"")


class Letters:
    """An embedder that counts letters."""

    name = "letters"
    dimensions = 26
    max_tokens = 256

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def embed(self, texts: list[str]) -> Vector:
        rows = np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)


async def test_a_set_is_searched_in_three_ways() -> None:
    told: list[tuple[int, int]] = []
    report = await try_out(read_set(SET), Letters(), lambda done, of: told.append((done, of)))
    assert (report.documents, report.queries) == (2, 2)
    assert set(report.results) == {"bm25", "dense", "both"}
    assert report.results["both"]["recall@10"].mean == 1.0
    assert report.results["bm25"]["hit@1"].mean == 1.0
    assert set(report.both_to) == {"bm25", "dense"}
    assert set(report.found) == {"answerable", "unanswerable"}
    assert told[-1] == (report.chunks, report.chunks)


class Hours:
    """A re-ranker that prefers whatever speaks of hours."""

    name = "hours"

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        return [float("hours" in text) for text in texts]


async def test_a_reranker_gets_a_row_of_its_own_and_only_moves_what_was_found() -> None:
    given = read_set(
        b'{"id": "a", "text": "boots and hours"}\n{"id": "b", "text": "boots boots boots"}\n{"id": "c", "text": "hats"}\n'
        b'{"query": "boots", "relevant": ["a"]}'
    )
    report = await try_out(given, Letters(), reranker=Hours())
    assert report.results["reranked"]["mrr"].mean == 1.0
    assert report.results["both"]["mrr"].mean == 0.5
    assert report.both_to["reranked"]["mrr"].mean == -0.5
    assert report.rerank_ms is not None
    assert set((await try_out(given, Letters())).results) == {"bm25", "dense", "both"}
