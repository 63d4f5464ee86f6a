"""One suite for whoever finds personal data: our patterns, and Presidio's results as our kinds."""

from dataclasses import dataclass
from typing import Any

import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured
from hookflash.providers.presidio import PresidioFinder
from hookflash.providers.registry import FINDERS, Providers, known
from hookflash.safety.masker import Masker
from hookflash.safety.personal import KINDS, PATTERNS, Finder


@dataclass
class Result:
    """As Presidio's AnalyzerEngine gives it."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyzer:
    """Sees persons where somebody is greeted, and is sure or not."""

    def __init__(self, score: float = 0.85) -> None:
        self.score = score
        self.asked: list[list[str]] = []

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Any]:
        self.asked.append(entities)
        at = text.find("Wijtze")
        results = [Result("PERSON", at, at + 6, self.score)] if at >= 0 and "PERSON" in entities else []
        mail = text.find("jo@")
        return [
            *results,
            *([Result("EMAIL_ADDRESS", mail, mail + 12, 1.0)] if mail >= 0 else []),
            Result("URL", 0, 1, 1.0),
        ]


@pytest.fixture(params=["patterns", "presidio"])
def finder(request: pytest.FixtureRequest) -> Finder:
    return PATTERNS if request.param == "patterns" else PresidioFinder(Analyzer())


def test_what_is_proven_is_found_in_order_without_overlaps(finder: Finder) -> None:
    text = "jo@a.example, card 4111 1111 1111 1111, call +1 503 555 0142"
    assert [(s.kind, text[s.start : s.end]) for s in finder.find(text, KINDS)] == [
        ("email", "jo@a.example"),
        ("card", "4111 1111 1111 1111"),
        ("phone", "+1 503 555 0142"),
    ]
    assert [s.kind for s in finder.find(text, ("card",))] == ["card"]
    assert finder.find("", KINDS) == []


def test_a_masker_works_with_it(finder: Finder) -> None:
    masker = Masker(finder=finder)
    assert masker.unmask(masker.mask("jo@a.example and 4111 1111 1111 1111")) == "jo@a.example and 4111 1111 1111 1111"


def test_presidio_adds_what_patterns_do_not_see_when_it_is_sure() -> None:
    text = "tell Wijtze"
    assert [s.kind for s in PresidioFinder(Analyzer()).find(text, KINDS)] == ["name"]
    assert PresidioFinder(Analyzer(0.2)).find(text, KINDS) == []
    analyzer = Analyzer()
    assert PresidioFinder(analyzer).find(text, ("email",)) == []
    assert analyzer.asked == [["EMAIL_ADDRESS"]]


def test_the_registry_knows_them() -> None:
    providers = Providers({}, clock=SystemClock())
    assert providers.finder("patterns") is PATTERNS
    assert "presidio" in known(FINDERS)
    with pytest.raises(Misconfigured):
        providers.finder("nobody")
