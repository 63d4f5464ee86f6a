"""Index terms and BM25: what is a term, and that the index in memory gives exactly what the formula says."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.knowledge.analyze import terms
from hookflash.knowledge.keywords import K1, B, KeywordIndex, pack_terms, ranked, rarities, unpack_terms


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Returns were returned", ["return", "return"]),
        ("en", "the WX-200", ["wx200", "wx", "200"]),
        ("en", "wx200", ["wx200", "wx", "200"]),
        ("en", "$1,299.00 or 1.299,00 or 49,90 or 49.95", ["1299", "1299", "49.9", "49.95"]),
        ("en", "1.250", ["1.25"]),
        ("en", "1,250", ["1250"]),
        ("en", "It's John's check-in", ["john", "checkin", "check"]),
        ("en", "item.The red,blue", ["item", "red", "blue"]),
        ("en", "ﬁve", ["five"]),
        ("es", "¿Cuánto tarda la devolución?", ["cuant", "tard", "devolu"]),
        ("es", "devolucion devoluciones", ["devolu", "devolu"]),
        ("de", "Größe und Rückgabe", ["gross", "ruckgab"]),
        ("fr", "l'échange des chaussures", ["echang", "chaussur"]),
        ("it", "l'ordine", ["ordin"]),
        ("pt-BR", "as entregas", ["entreg"]),
        ("hi", "क्या मैं जूते वापस कर सकता हूँ", ["जूत", "वापस", "सक"]),
        ("hi", "१२३ जूता", ["123", "जूत"]),
        ("hi-Latn", "kya main joote return kar sakta hoon", ["joote", "return", "sakta"]),
        ("xx", "The Returns", ["the", "returns"]),
        ("en", "", []),
        ("en", "?!… — ___", []),
    ],
)
def test_terms(language: str, text: str, expected: list[str]) -> None:
    assert terms(text, language) == expected


def test_forms_that_people_type_for_the_same_thing_share_a_term() -> None:
    for one, other in [("WX-200", "wx200"), ("WX-200", "WX 200"), ("e-mail", "email"), ("Résumé", "resume")]:
        assert set(terms(one, "en")) & set(terms(other, "en"))


@given(st.text(max_size=200), st.sampled_from(["en", "de", "hi", "xx"]))
def test_any_text_has_clean_terms(text: str, language: str) -> None:
    for term in terms(text, language):
        assert term
        assert not any(sign.isspace() for sign in term)


@given(st.lists(st.text(min_size=1, max_size=8), max_size=300))
def test_packed_terms_keep_length_and_frequencies(words: list[str]) -> None:
    length, frequencies = unpack_terms(pack_terms(words))
    assert length == len(words)
    assert sorted(frequencies.values()) == sorted(min(255, n) for n in Counter(words).values())


def test_a_term_repeated_without_end_does_not_overflow() -> None:
    length, frequencies = unpack_terms(pack_terms(["spam"] * 1_000))
    assert length == 1_000
    assert list(frequencies.values()) == [255]


def _texts(seed: int, count: int) -> dict[int, list[str]]:
    chance = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(60)]
    return {
        chance.randrange(10**9): [
            chance.choice(vocabulary[: chance.randint(2, 60)]) for _ in range(chance.randint(1, 40))
        ]
        for _ in range(count)
    }


def _bm25(texts: dict[int, list[str]], question: list[str]) -> list[tuple[int, float]]:
    """The formula, word for word."""
    mean = sum(map(len, texts.values())) / len(texts)
    scored = []
    for chunk_id, words in texts.items():
        score = 0.0
        for term in question:
            having = sum(term in other for other in texts.values())
            often = words.count(term)
            rarity = math.log1p((len(texts) - having + 0.5) / (having + 0.5))
            score += rarity * often * (K1 + 1) / (often + K1 * (1 - B + B * len(words) / mean))
        if score > 0:
            scored.append((chunk_id, score))
    return sorted(scored, key=lambda entry: (-entry[1], entry[0]))


def _built(texts: dict[int, list[str]]) -> KeywordIndex:
    return KeywordIndex.build([(i, pack_terms(words)) for i, words in texts.items()], ["en"])


def _assert_same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-5)
    assert dict(found).keys() == dict(expected).keys()


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_the_formula(seed: int) -> None:
    texts = _texts(seed, 80)
    question = ["w1", "w5", "w5", "w30", "w59", "unheard-of"]
    _assert_same(_built(texts).search(question, 1_000), _bm25(texts, question))


def test_the_limit_gives_the_head_of_the_whole_order() -> None:
    index = _built(_texts(7, 200))
    question = ["w3", "w11", "w40"]
    whole = index.search(question, 1_000)
    assert len(whole) > 20
    assert index.search(question, 10) == whole[:10]


def test_ties_come_in_the_order_of_chunk_ids() -> None:
    index = _built({9: ["tent"], 3: ["tent"], 5: ["tent"]})
    assert [chunk_id for chunk_id, _ in index.search(["tent"], 2)] == [3, 5]


def test_an_index_knows_nothing_of_words_that_it_has_not_seen() -> None:
    assert _built(_texts(1, 10)).search(["unheard-of"], 5) == []
    assert KeywordIndex.build([], []).search(["tent"], 5) == []
    assert _built({4: []}).search(["tent"], 5) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_index_equals_one_built_anew(seed: int) -> None:
    before, added = _texts(seed, 60), _texts(seed + 100, 25)
    removed = list(before)[::3]
    replaced = list(before)[1]
    added[replaced] = ["w1", "w1", "w2"]
    after = {i: words for i, words in before.items() if i not in removed} | added
    changed = _built(before).changed([(i, pack_terms(words)) for i, words in added.items()], removed, ["en", "es"])
    anew = _built(after)
    assert len(changed) == len(after)
    assert changed.languages == {"en", "es"}
    assert changed.nbytes == anew.nbytes
    question = ["w1", "w7", "w20", "w55"]
    assert changed.search(question, 500) == anew.search(question, 500)


def test_several_sources_are_searched_as_one() -> None:
    """A word's rarity is that among all of them, not that within its source."""
    texts = _texts(11, 90)
    ids = list(texts)
    halves = [{i: texts[i] for i in ids[0::2]}, {i: texts[i] for i in ids[1::2]}]
    indexes = [_built(half) for half in halves]
    weights = rarities(indexes, ["w2", "w40", "unheard-of"])
    assert len(weights) == 3
    assert weights == rarities([_built(texts)], ["w2", "w40", "unheard-of"])
    found = ranked(indexes, weights, 1_000)
    assert {i for i, _ in found} == {i for i, _ in _bm25(texts, ["w2", "w40"])}
    assert found == sorted(found, key=lambda entry: (-entry[1], entry[0]))
