"""The evaluation data of safety that ships with the program: attacks, ordinary questions, personal data; each in two halves."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """`part` is `dev`, on which rules and weights were made, or `test`, which was left alone."""

    text: str
    kind: str
    part: str
    spans: tuple[tuple[str, int, int], ...] = ()


def part_of(text: str) -> str:
    """By the text itself, so that it is the same for ever and everywhere."""
    return ("dev", "test")[hashlib.sha256(text.encode()).digest()[0] % 2]


@lru_cache
def samples(name: str) -> tuple[Sample, ...]:
    """A set by name: jailbreaks, attacks, planted, questions, letters, bank_sentences, personal; practice is all dev."""
    raw = files("hookflash.insight").joinpath("safety_data", f"{name}.jsonl").read_text(encoding="utf-8")
    return tuple(_sample(json.loads(line), name) for line in raw.split("\n") if line)


def _sample(row: dict[str, Any], name: str) -> Sample:
    spans = tuple((str(kind), int(start), int(end)) for kind, start, end in row.get("spans", ()))
    return Sample(row["text"], row.get("kind", name), "dev" if name == "practice" else part_of(row["text"]), spans)
