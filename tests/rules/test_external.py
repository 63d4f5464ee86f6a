"""What other indexes find, among our own passages: order, repetitions, failures, and sizes that do not fit."""

from dataclasses import dataclass

import pytest

from hookflash.base.errors import Invalid
from hookflash.knowledge.external import Hit, IndexFacts, IndexPlace, check_dimensions, merged, passages_of
from hookflash.knowledge.fusion import by_ranks
from hookflash.knowledge.passage import Found, NothingFound, Passage, Vector
from hookflash.knowledge.search import Limits
from hookflash.knowledge.source import Scope


def own(number: int, score: float, text: str = "") -> Passage:
    return Passage(number, "src_1", f"doc_{number}", "T", (), text or f"our text {number}", None, score, score, None)


THEIRS = passages_of("src_2", [Hit("a", "their first text", cosine=0.8), Hit("b", "another of theirs", cosine=0.6)])


def test_ranks_of_several_lists_add_up() -> None:
    assert by_ranks([["a", "b", "c"], ["c", "a"]]) == ["a", "c", "b"]
    assert by_ranks([]) == []


def test_their_passages_have_ids_that_are_none_of_ours_and_stay_the_same() -> None:
    again = passages_of("src_2", [Hit("a", "changed", cosine=0.1), Hit("c", "  ")])
    assert [passage.chunk_id for passage in again] == [THEIRS[0].chunk_id]
    assert all(-(1 << 48) < passage.chunk_id < 0 for passage in THEIRS)
    assert passages_of("src_3", [Hit("a", "x")])[0].chunk_id != THEIRS[0].chunk_id
    assert THEIRS[0].score > THEIRS[1].score > 0.5
    assert passages_of("src_2", [Hit("a", "x", words=0.4)])[0].score == 0.4


def test_best_of_all_come_first_and_the_likelier_of_equals() -> None:
    found = merged(Found((own(1, 0.5), own(2, 0.4))), [THEIRS], [], Limits())
    assert isinstance(found, Found)
    assert [p.text for p in found.passages] == ["their first text", "our text 1", "another of theirs", "our text 2"]
    assert found.degraded is None


def test_what_says_the_same_is_given_once_and_what_does_not_bear_on_it_not_at_all() -> None:
    same = passages_of("src_2", [Hit("a", "our text 1", cosine=0.9), Hit("b", "unlikely", cosine=0.1)])
    found = merged(Found((own(1, 0.5),)), [same], [], Limits())
    assert isinstance(found, Found)
    assert [p.text for p in found.passages] == ["our text 1"]


def test_a_part_that_fails_is_told_and_the_other_answers() -> None:
    found = merged(Found((own(1, 0.5),), "embedder: away"), [[]], ["index src_2: away"], Limits())
    assert found == Found((own(1, 0.5),), "embedder: away; index src_2: away")
    assert merged(NothingFound("empty knowledge"), [[]], [], Limits()) == NothingFound("no match")
    failed = merged(NothingFound("no match"), [[]], ["index src_2: away"], Limits())
    assert failed == NothingFound("failed: index src_2: away", "index src_2: away")


@dataclass
class Sized:
    """An embedder of a size."""

    dimensions: int
    name: str = "some"
    max_tokens: int = 1

    def count_tokens(self, text: str) -> int:
        return 0

    async def embed(self, texts: list[str]) -> Vector:
        raise AssertionError("nothing is embedded")


def test_sizes_that_do_not_fit_are_told_with_both_numbers() -> None:
    check_dimensions(IndexFacts(384, 0), Sized(384), None)
    check_dimensions(IndexFacts(384, 0), Sized(384), 384)
    with pytest.raises(Invalid, match=r"has 768 dimensions, but the vectors of some have 384"):
        check_dimensions(IndexFacts(768, 0), Sized(384), None)
    with pytest.raises(Invalid, match=r"has 768 dimensions, but 1536 are expected"):
        check_dimensions(IndexFacts(768, 0), Sized(768), 1_536)


def test_secrets_of_a_place_do_not_print() -> None:
    assert "hush" not in repr(IndexPlace("acct_1", "pinecone", secrets={"api_key": "hush"}))


def test_a_scope_can_be_narrowed_and_knows_when_it_may_have_changed() -> None:
    scope = Scope("acct_1", (("a", 1, "m", 5), ("b", 2, "m", 0)), (("b", 77),))
    assert not scope.empty
    assert scope.only(["a"]) == Scope("acct_1", (("a", 1, "m", 5),))
    assert not scope.only(["b"]).empty
    assert scope.version == "a:1,b:2,b@77"
