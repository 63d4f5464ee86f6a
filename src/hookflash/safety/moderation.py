"""Words that should not be there, by category: what every judge of them gives, and one that judges by rules alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hookflash.base.remembered import short_texts
from hookflash.safety.normal import views
from hookflash.safety.rule_file import rules

# As OpenAI names them, so that thresholds mean the same with any judge.
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Moderation:
    """Scores 0..1 by category; categories that are not there have none."""

    scores: Mapping[str, float] = field(default_factory=dict)

    def over(self, thresholds: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """The categories over their thresholds, the surest first. A category's own threshold also rules those below it."""
        found = []
        for category, score in self.scores.items():
            least = thresholds.get(category, thresholds.get(category.partition("/")[0], THRESHOLD))
            if score >= least and least < 1.0:
                found.append((category, score))
        return tuple(sorted(found, key=lambda each: -each[1]))


class Moderator(Protocol):
    """Judges texts. Raises Unavailable when it cannot."""

    @property
    def name(self) -> str: ...

    async def moderate(self, texts: Sequence[str]) -> list[Moderation]:
        """One for each text, in their order."""
        ...


class LocalModerator:
    """Rules over words, in English, Spanish, Hindi and romanised Hindi; it sees nothing between the lines."""

    name = "local"

    async def moderate(self, texts: Sequence[str]) -> list[Moderation]:
        return [judged(text) for text in texts]


_RULES = tuple((rule["category"], rule["score"], pattern) for rule, pattern in rules("moderation_rules.toml"))


@short_texts(1_000, most=16_384)
def judged(text: str) -> Moderation:
    """By rules, over the readings of a text; a category counts for the one that it is a part of too."""
    scores: dict[str, float] = {}
    readings = [view.text for view in views(text, turned=False)]
    for category, score, pattern in _RULES:
        if any(pattern.search(reading) for reading in readings):
            scores[category] = max(scores.get(category, 0.0), score)
            whole = category.partition("/")[0]
            if whole != category and category != "illicit/violent":
                scores[whole] = max(scores.get(whole, 0.0), score)
    return Moderation(scores)
