"""What Presidio finds as our kinds of personal data."""

from collections.abc import Sequence
from typing import Any, Protocol

from hookflash.safety.personal import Span, find

# Below this Presidio is guessing.
LEAST = 0.35
ENTITIES = {
    "CREDIT_CARD": "card",
    "IN_AADHAAR": "aadhaar",
    "IN_PAN": "pan",
    "US_SSN": "ssn",
    "IBAN_CODE": "iban",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "LOCATION": "address",
    "PERSON": "name",
}


class Analyzer(Protocol):
    """What we use of Presidio: `analyze(text=, language=, entities=)`, results with entity_type, start, end and score."""

    def analyze(self, text: str, language: str, entities: list[str]) -> list[Any]: ...


class PresidioFinder:
    """A Finder. What our own patterns prove comes first; Presidio adds what they do not see."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer

    def find(self, text: str, kinds: Sequence[str], names: Sequence[str] = ()) -> list[Span]:
        taken = find(text, kinds, names)
        wanted = [entity for entity, kind in ENTITIES.items() if kind in kinds]
        results = self._analyzer.analyze(text=text, language="en", entities=wanted)
        for result in sorted(results, key=lambda each: (-each.score, each.start)):
            kind = ENTITIES.get(result.entity_type)
            free = not any(result.start < span.end and span.start < result.end for span in taken)
            if kind in kinds and kind is not None and result.score >= LEAST and free:
                taken.append(Span(kind, result.start, result.end))
        return sorted(taken, key=lambda span: span.start)
