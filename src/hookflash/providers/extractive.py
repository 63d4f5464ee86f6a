"""Answering without a language model: the passages' own best sentences, or the admission that they do not say."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import structlog

from hookflash.assistant.model import ModelReply, ModelRequest, Stream
from hookflash.base.errors import HookflashError, Unavailable
from hookflash.knowledge.language import ROMANISED_HINDI, detect
from hookflash.knowledge.passage import Embedder, Passage, Vector
from hookflash.knowledge.sentences import split_sentences
from hookflash.knowledge.spelling import mended, written_out
from hookflash.providers import minilm
from hookflash.providers.extractive_question import Question, needs_of, read_question, stems
from hookflash.providers.extractive_units import Unit, asks, units
from hookflash.providers.registry import ProviderConfig

NAME = "extractive"
# Below this confidence there is no answer at all; whether one above it is given is the assistant's threshold to say.
ABSTAIN = 0.25
# Of the confidence: a logistic regression over near, covered, fits, passage, absent and missing (the first is its constant).
# Fitted by benchmarks/extractive_quality.py on the `tune` half of its questions; then the constant was lowered for as long as
# .85 of those got their answer at the default threshold, because a wrong answer costs more than none.
WEIGHTS = (-3.85, 2.2, 1.4, 1.7, 2.1, -2.1, -1.6)
# How many units are compared by meaning; the words choose them.
CANDIDATES = 12
REMEMBERED = 8192
MOST = 3
# How sure of each of several answers we must be to give them together.
SEVERAL = 0.35
# What a document that is named for the topic is worth.
TITLED = 0.25
# How near the best a sentence must come to be said after it, and a row of another table to be said with it.
CLOSE = 0.75
TWIN = 0.9
# Forms that a good answer may well lack.
SOFT = frozenset({"policy", "steps", "when", "place"})

# A sentence that only says where to look.
POINTING = re.compile(
    r"\b(?:(?:listed|shown|described|see|given|table) (?:below|above)|as follows|the following|siguientes?|folgende[nrs]?)\b",
    re.IGNORECASE,
)
# A sentence of one case: "On Labor Day", "If it rains", "For orders from abroad".
CASE = re.compile(r"(?:on|in|at|if|for|during|when|si|para|en|wenn|bei|pour)\b(?:\s+[\w'’]+){1,4}", re.IGNORECASE)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit of a passage (numbered from 1) and how well it answers, each 0..1.

    `near` is its cosine with the question; `covered` the share of the question's telling words in it and its headings,
    `own` in it alone; `missing` is the share that its whole passage lacks, `absent` that every passage lacks; `fits` whether
    it has the form that was asked for; `passage` is what the search thinks of its passage; `special` is what it loses for a case
    that nobody asked about, `titled` the share of a bare topic's words ("returns") in the document's title.
    """

    unit: Unit
    number: int
    covered: float
    own: float
    fits: float
    passage: float
    absent: float
    missing: float
    special: float = 0.0
    titled: float = 0.0
    near: float = 0.0

    @property
    def by_words(self) -> float:
        return self.covered + 0.3 * self.own + 0.3 * self.fits + 0.5 * self.passage

    @property
    def score(self) -> float:
        # A whole list says more than was asked, mostly.
        listed = 0.1 if self.unit.kind == "list" else 0.0
        # A question answers nothing, what is "listed below" stands elsewhere, and a case that nobody named is one of several.
        listed += 1.0 if asks(self.unit) else self.special
        return (
            self.near
            + 0.6 * self.covered
            + 0.3 * self.own
            + 0.25 * self.fits
            + 0.3 * self.passage
            + TITLED * self.titled
            - listed
        )


def chat_model(config: ProviderConfig) -> "Extractive":
    """The model that needs no key; it compares sentences with the built-in embedder. Raises Misconfigured."""
    return Extractive(minilm.embedder(config))


class Extractive:
    """A ChatModel. The same request gets the same reply, whatever was asked before."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[bytes, Vector] = {}

    @property
    def name(self) -> str:
        return NAME

    @property
    def sees_images(self) -> bool:
        return False

    @property
    def generative(self) -> bool:
        return False

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        """Never fails: without the embedder the words alone decide. An answer of "" means that the passages do not say."""
        request = replace(request, question=self._spelt(request))
        confidence, chosen = await self._each(request) or await self._whole(request)
        if confidence < ABSTAIN:
            return ModelReply("", confidence, (), NAME)
        answer, used = fit(chosen, request.max_chars)
        await stream(answer)
        return ModelReply(answer, confidence, tuple(sorted({candidate.number for candidate in used})), NAME)

    def _spelt(self, request: ModelRequest) -> str:
        texts = [text for p in request.passages for text in (p.title, *p.headings, p.text)]
        question = written_out(request.question)
        try:
            # A word that the embedder knows as one is a word.
            alone = self._embedder.count_tokens("a")
            return mended(question, texts, lambda word: self._embedder.count_tokens(word) <= alone)
        except HookflashError:
            return question

    async def _whole(self, request: ModelRequest) -> tuple[float, list[Candidate]]:
        """How sure we are, and what is said."""
        candidates = await self.weigh(request)
        return (confidence_in(candidates[0]), choose(candidates)) if candidates else (0.0, [])

    async def _each(self, request: ModelRequest) -> tuple[float, list[Candidate]] | None:
        """The same of a text that asks several things, when each of them has its answer; as sure as of the least sure."""
        needs = needs_of(request.question, request.language)
        if len(needs) < 2:
            return None
        found = [await self._whole(replace(request, question=need)) for need in needs]
        least = min(confidence for confidence, _ in found)
        if least < SEVERAL:
            return None
        said: dict[tuple[int, int], Candidate] = {}
        longest = max((chosen for _, chosen in found), key=len)
        while request.max_chars and len(longest) > 1 and _length(found) > request.max_chars:
            # Each question keeps an answer.
            longest.pop()
            longest = max((chosen for _, chosen in found), key=len)
        for _, chosen in found:
            said.update(((each.number, each.unit.order), each) for each in chosen)
        return least, list(said.values())

    async def weigh(self, request: ModelRequest) -> list[Candidate]:
        """What could answer the question, best first."""
        everything = frozenset[str]().union(
            *(stems(f"{p.title} {' '.join(p.headings)} {p.text}", _language(p.text)) for p in request.passages)
        )
        candidates = [
            candidate
            for number, passage in enumerate(request.passages, 1)
            for candidate in _candidates(request.question, passage, number, everything)
        ]
        candidates.sort(key=lambda candidate: -candidate.by_words)
        candidates = candidates[:CANDIDATES]
        try:
            vectors = await self._embed([request.question, *(_embedded(candidate.unit) for candidate in candidates)])
        except Unavailable as error:
            _log.warning("sentences compared by words alone, the embedder failed", error=str(error))
            near = [0.25 + 0.4 * candidate.covered for candidate in candidates]
        else:
            near = [float(cosine) for cosine in vectors[1:] @ vectors[0]]
        weighed = [replace(candidate, near=cosine) for candidate, cosine in zip(candidates, near, strict=True)]
        return sorted(weighed, key=lambda candidate: -candidate.score)

    async def _embed(self, texts: list[str]) -> Vector:
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        # Taken out and put back, so that what was used last stays longest.
        known = {key: self._vectors.pop(key) for key in keys if key in self._vectors}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        try:
            if missing:
                known.update(zip(missing, await self._embedder.embed(list(missing.values())), strict=True))
        finally:
            self._vectors.update(known)
        while len(self._vectors) > REMEMBERED:
            self._vectors.pop(next(iter(self._vectors)))
        return np.stack([known[key] for key in keys])


@lru_cache(maxsize=4096)
def _language(text: str) -> str:
    language = detect(text[:300])
    return "en" if language == ROMANISED_HINDI else language


def _embedded(unit: Unit) -> str:
    return unit.text if unit.kind == "record" else f"{unit.label} {unit.text}"


def _candidates(asked: str, passage: Passage, number: int, everything: frozenset[str]) -> list[Candidate]:
    language = _language(passage.text)
    question = read_question(asked, language)
    whole = sum(question.weights.values()) or 1.0
    place = passage.dense if passage.dense is not None else passage.score
    here = stems(f"{passage.title} {' '.join(passage.headings)} {passage.text}", language) | question.spanned(
        passage.text
    )
    everything |= here
    found = []
    for unit in units(passage):
        own = stems(unit.text if unit.kind == "sentence" else unit.said, language)
        own |= question.spanned(unit.text) if unit.kind == "row" else frozenset()
        own |= question.naming if question.naming and question.fits(unit.text) else frozenset()
        around = stems(" ".join((*passage.headings, unit.heading, unit.title)), language)
        found.append(
            Candidate(
                unit,
                number,
                covered=sum(w for stem, w in question.weights.items() if stem in own or stem in around) / whole,
                own=sum(w for stem, w in question.weights.items() if stem in own) / whole,
                fits=_fits(question, unit),
                passage=place,
                absent=sum(w for stem, w in question.weights.items() if stem not in everything | own) / whole,
                missing=sum(w for stem, w in question.weights.items() if stem not in here | own) / whole,
                special=_special(question, unit, language),
                titled=0.0 if question.form else _titled(question, passage.title, language) / whole,
            )
        )
    return _rows_or_table(found)


def _titled(question: Question, title: str, language: str) -> float:
    named = stems(title, language)
    return sum(weight for stem, weight in question.weights.items() if stem in named)


def _special(question: Question, unit: Unit, language: str) -> float:
    if unit.kind != "sentence":
        # A number is given by itself rather than in the answer to something else.
        return 0.1 if question.naming else 0.0
    if POINTING.search(unit.text):
        return 0.3
    case = CASE.match(unit.text)
    return 0.0 if case is None or question.weights.keys() & stems(case[0], language) else 0.15


def _rows_or_table(found: list[Candidate]) -> list[Candidate]:
    """Of each table the whole, where the question fits all its rows alike; else the rows."""
    rows: dict[str, list[Candidate]] = {}
    for candidate in found:
        if candidate.unit.kind == "row":
            rows.setdefault(candidate.unit.heading, []).append(candidate)
    tables = {candidate.unit.heading for candidate in found if candidate.unit.kind == "table"}
    whole = {heading for heading in tables if len({row.own for row in rows[heading]}) == 1}
    dropped = {"row": whole, "table": tables - whole}
    return [each for each in found if each.unit.heading not in dropped.get(each.unit.kind, ())]


def _fits(question: Question, unit: Unit) -> float:
    if not question.form or (question.form in SOFT and unit.kind in {"record", "row"}):
        return 0.5
    if question.fits(unit.text):
        return 1.0
    # Where no street is named, no address was given.
    return 0.5 if question.form in SOFT else -0.5 if question.form == "address" else 0.0


def _length(found: Sequence[tuple[float, list[Candidate]]]) -> int:
    return sum(len(each.unit.said) + 1 for _, chosen in found for each in chosen)


def confidence_in(best: Candidate) -> float:
    """The probability (0..1) that the candidate answers the question."""
    return 1 / (1 + math.exp(-sum(weight * told for weight, told in zip(WEIGHTS, evidence(best), strict=True))))


def evidence(best: Candidate) -> tuple[float, ...]:
    """What the confidence is made of, in the order of WEIGHTS."""
    return (1.0, best.near, best.covered, best.fits, best.passage, best.absent, best.missing)


def choose(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The best unit with what it leans on before it and what completes it after it, in their order."""
    best = candidates[0]
    if best.unit.kind in {"row", "table"}:
        rows = [best, *_twins(best, candidates[1:])][:MOST]
        return sorted(rows, key=lambda candidate: (candidate.number, candidate.unit.order))
    if best.unit.kind != "sentence":
        return [best]
    near = {c.unit.order: c for c in candidates if c.number == best.number and c.unit.kind == "sentence"}
    # As good an answer before it, or before what completes that, comes first: standard shipping before Mexico's.
    first = next(
        (
            near[order]
            for order in range(best.unit.order - MOST + 1, best.unit.order)
            if all(between in near for between in range(order, best.unit.order))
            and near[order].unit.heading == best.unit.heading
            and near[order].score >= TWIN * best.score
            and near[order].fits >= best.fits
        ),
        best,
    )
    chosen = [near[order] for order in range(first.unit.order, best.unit.order + 1)]
    while chosen[0].unit.leans and chosen[0].unit.order - 1 in near and len(chosen) < MOST:
        chosen.insert(0, near[chosen[0].unit.order - 1])
    while len(chosen) < MOST and chosen[-1].unit.order + 1 in near:
        after = near[chosen[-1].unit.order + 1]
        completes = after.unit.leans or after.score >= CLOSE * best.score or after.fits > best.fits
        if after.unit.heading != best.unit.heading or not completes:
            break
        chosen.append(after)
    return chosen


def _twins(row: Candidate, others: Sequence[Candidate]) -> list[Candidate]:
    """What answers as well: the Sundays of two stores, when none was named; both tents, when none was; two whole tables."""
    about = row.unit.text.partition(":")[0]
    return [
        other
        for other in others
        if other.unit.kind == row.unit.kind
        and other.unit.title == row.unit.title
        and (
            other.unit.kind == "table"
            or (other.unit.text.partition(":")[0] == about) != (other.unit.heading == row.unit.heading)
        )
        and other.own == row.own
        and other.score >= TWIN * row.score
    ]


def fit(chosen: Sequence[Candidate], max_chars: int | None) -> tuple[str, list[Candidate]]:
    """The answer within `max_chars`, and what it is made of. Within a sentence it is cut only when not even one fits."""
    parts = [candidate.unit.said for candidate in chosen]
    while max_chars is not None and len(parts) > 1 and len(" ".join(parts)) > max_chars:
        # What leans on the sentence before it cannot stay without it.
        parts.pop()
    text = " ".join(parts)
    if max_chars is not None and len(text) > max_chars:
        text = shortened(text, max_chars)
    return text, list(chosen[: len(parts)])


def shortened(text: str, max_chars: int) -> str:
    """As many whole sentences as fit, else as many whole words."""
    whole = [sentence.end for sentence in split_sentences(text) if sentence.end <= max_chars]
    if whole:
        return text[: whole[-1]]
    cut = text[: max(0, max_chars - 1)]
    words = cut.rsplit(None, 1) if " " in cut else [cut]
    return f"{words[0] if words else ''}…"[:max_chars]
