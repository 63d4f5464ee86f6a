"""Knows how the two halves of a search become one order: what each is worth, and when a chunk bears on the question.

The order adds evidence: cosines, and the BM25 score as it is. A long question gives the keywords more to count, and there
they are indeed the better half; with a short one the cosine decides. Ranks (as in reciprocal-rank fusion) would give
both halves the same say everywhere, which loses against the better of them.
"""

import math
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from hookflash.knowledge.keywords import K1
from hookflash.knowledge.questions_asked import questions_of
from hookflash.knowledge.sentences import split_sentences

# What one point of BM25 is worth in cosine, and the cosine from which a chunk bears on a sentence.
KEYWORD_WEIGHT = 0.005
RELEVANT = 0.35
AGREEMENT = 0.5

# Logistic in the best cosine and in the share of the question's words that are there; fitted on questions about a shop
# that its documents do and do not answer.
_BOTH = (11.8, 8.0, -5.7)
_KEYWORDS_ONLY = (13.9, -0.85)

RANK_OFFSET = 60
MAX_PARTS = 16
_SHORT_WORDS = 3

Ranked = Sequence[tuple[int, float]]


class Candidate(msgspec.Struct, frozen=True):
    """A chunk that was found. `order` sorts one search; `score` (0..1) is how likely the chunk bears on the question.

    `dense` is its best cosine with a part of the question, `keyword` its BM25 score; None where it was not found.
    """

    chunk_id: int
    order: float
    score: float
    dense: float | None
    keyword: float | None


def parts_of(question: str) -> list[str]:
    """The question in at most MAX_PARTS parts, each a need of its own: sentences, and the questions that one joins; of a long
    text, runs of them.
    """
    sentences = [part for sentence in split_sentences(question) for part in questions_of(sentence.text)]
    least = max(_SHORT_WORDS, math.ceil(len(question.split()) / MAX_PARTS))
    parts: list[str] = []
    held = ""
    for sentence in sentences:
        held = f"{held} {sentence}".lstrip()
        if len(held.split()) >= least:
            parts.append(held)
            held = ""
    if held and parts:
        parts[-1] += f" {held}"
    elif held:
        parts.append(held)
    return parts


def fuse(dense: Sequence[Ranked], keywords: Ranked, *, limit: int, attainable: float) -> list[Candidate]:
    """All chunks of the lists, best first.

    `dense` has (chunk id, cosine) for each part of the question, empty when there are no vectors; `limit` is how long the
    lists could get, and a chunk missing from a full list gets the list's last value. `attainable` is the BM25 score of a
    chunk of usual length that has every word of the question once.
    """
    cosines = [dict(ranked) for ranked in dense]
    floors = [min(found.values()) if found else 0.0 for found in cosines]
    bests = [max(RELEVANT, *found.values()) if found else RELEVANT for found in cosines]
    scores = dict(keywords)
    floor = min(scores.values()) if len(scores) >= limit else 0.0
    parts = list(zip(cosines, floors, bests, strict=True))
    candidates = []
    for chunk_id in dict.fromkeys([chunk_id for found in (*cosines, scores) for chunk_id in found]):
        keyword = scores.get(chunk_id)
        order = KEYWORD_WEIGHT * (floor if keyword is None else keyword)
        nearest, dense_best = 0.0, None
        # Being the best for one part of the question counts most, so that each part gets its answer; then all that fits.
        if parts:
            leading, nearest, agreeing = -2.0, -1.0, 0.0
            for found, least, best in parts:
                cosine = found.get(chunk_id)
                if cosine is None:
                    cosine = least
                elif dense_best is None or cosine > dense_best:
                    dense_best = cosine
                leading = max(leading, cosine - best)
                nearest = max(nearest, cosine)
                if cosine > RELEVANT:
                    agreeing += cosine - RELEVANT
            order += leading + AGREEMENT * agreeing
        score = _likelihood(nearest if parts else None, keyword or 0.0, attainable)
        candidates.append((-order, chunk_id, score, dense_best, keyword))
    candidates.sort()
    return [Candidate(i, -order, score, near, keyword) for order, i, score, near, keyword in candidates]


def by_ranks(rankings: Sequence[Sequence[Hashable]]) -> list[Hashable]:
    """What several lists have in common, best first (reciprocal-rank fusion): for scores that nobody can compare."""
    sums: dict[Hashable, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            sums[key] = sums.get(key, 0.0) + 1 / (RANK_OFFSET + rank)
    return sorted(sums, key=lambda key: -sums[key])


def likelihood(cosine: float) -> float:
    """How likely (0..1) a passage of this cosine bears on the question, when nothing is known of its words."""
    return _likelihood(cosine, 0.0, 0.0)


def attainable(rarities: Mapping[int, float]) -> float:
    """The BM25 score of a chunk of usual length that has each of these terms once; see `keywords.rarities`."""
    return K1 * sum(rarities.values())


def _likelihood(nearest: float | None, keyword: float, most: float) -> float:
    covered = min(1.0, keyword / most) if most else 0.0
    if nearest is not None:
        weight, share, offset = _BOTH
        return _logistic(weight * nearest + share * covered + offset)
    share, offset = _KEYWORDS_ONLY
    return _logistic(share * covered + offset)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
