"""Whether the extractive model knows when it does not know: questions on the sample shop that its documents answer, or do not."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.model import ModelReply, ModelRequest, nowhere
from hookflash.insight.safety_trial import Rate, corrupted
from hookflash.knowledge.chunk import Chunk, chunk
from hookflash.knowledge.document import RawDocument
from hookflash.knowledge.extract import extract
from hookflash.knowledge.language import detect
from hookflash.knowledge.passage import Embedder, Passage
from hookflash.knowledge.sentences import split_sentences
from hookflash.providers.extractive import Extractive
from hookflash.safety.grounding import Evidence, ground
from hookflash.sample import documents

PASSAGES = 5
# What language models say of themselves, whatever they said.
SURE = 0.9


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: whether the documents answer it, whether it was answered, rightly, and how sure the model was."""

    answerable: bool
    answered: bool
    right: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Claim:
    """What a model that always answers and is always sure would say: whether it is right, and what is known of it."""

    right: bool
    stated: float
    retrieval: float
    grounding: float


async def ask_all(embedder: Embedder, part: str) -> list[Asked]:
    """Ask the questions of a half: `test` is the half that no weight was fitted on."""
    threshold = float(AssistantConfig.model_fields["confidence_threshold"].default)
    asked = []
    async for case, _, reply in _replies(embedder, part):
        answered = reply.confidence >= threshold and bool(reply.answer)
        asked.append(Asked(bool(case["facts"]), answered, _right(case, reply.answer), reply.confidence))
    return asked


async def claims(embedder: Embedder, part: str) -> list[Claim]:
    """The best sentence to every question said as if it were the answer, and once more with a fact changed."""
    found = []
    async for case, passages, reply in _replies(embedder, part):
        if not reply.answer:
            continue
        evidence = Evidence([text for p in passages for text in (p.title, *p.headings, p.text)], [case["question"]])
        said = [(reply.answer, _right(case, reply.answer)), *((text, False) for _, text in corrupted(reply.answer)[:1])]
        for text, right in said:
            score = ground([sentence.text for sentence in split_sentences(text)], evidence).score
            found.append(Claim(right, SURE, passages[0].score, score))
    return found


async def _replies(
    embedder: Embedder, part: str
) -> AsyncIterator[tuple[dict[str, Any], tuple[Passage, ...], ModelReply]]:
    raw = files("hookflash.insight").joinpath("safety_data", "answers.jsonl").read_text(encoding="utf-8")
    wanted = "held-out" if part == "test" else "tune"
    cases = [case for case in map(json.loads, raw.splitlines()) if case["part"] == wanted and not case.get("history")]
    chunks: list[Chunk] = []
    for document in documents():
        text = extract(RawDocument(document.name, None, document.read_bytes()))
        chunks += chunk(text, count_tokens=embedder.count_tokens)
    vectors = await embedder.embed([piece.indexed_text for piece in chunks])
    model = Extractive(embedder)
    for case in cases:
        cosines = vectors @ (await embedder.embed([case["question"]]))[0]
        best = [int(i) for i in np.argsort(-cosines)[:PASSAGES]]
        passages = tuple(_passage(i, chunks[i], float(cosines[i])) for i in best)
        request = ModelRequest("", (), case["question"], passages, detect(case["question"]))
        yield case, passages, await model.reply(request, nowhere)


def _right(case: dict[str, Any], answer: str) -> bool:
    told = bool(case["facts"]) and all(
        any(fact.casefold() in answer.casefold() for fact in group) for group in case["facts"]
    )
    return told or any(words in answer for words in case.get("fair", ()))


def rates(asked: list[Asked]) -> dict[str, Rate]:
    """What was answered rightly, wrongly, and rightly not."""
    can = [one for one in asked if one.answerable]
    cannot = [one for one in asked if not one.answerable]
    return {
        "answerable, answered rightly": Rate.over([one.answered and one.right for one in can]),
        "answerable, answered wrongly": Rate.over([one.answered and not one.right for one in can]),
        "unanswerable, rightly not answered": Rate.over([not one.answered or one.right for one in cannot]),
    }


def calibration_error(asked: list[Asked]) -> float:
    """The mean distance between confidence and share of right answers, over five bands of confidence."""
    total = 0.0
    for band in range(5):
        inside = [one for one in asked if min(4, int(one.confidence * 5)) == band]
        total += abs(sum(one.confidence - one.right for one in inside))
    return total / len(asked) if asked else 0.0


def _passage(number: int, piece: Chunk, score: float) -> Passage:
    return Passage(number, "shop", piece.title, piece.title, piece.headings, piece.text, None, score, score, None)
