"""Whether a text tries to take the assistant over: rules over every reading of it, and a small classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookflash.base.remembered import short_texts
from hookflash.safety.injection_model import likelihood
from hookflash.safety.injection_rules import RULES, SURE
from hookflash.safety.normal import View, hides, views

# A sentence of a document from this score on is taken out.
INSTRUCTS = 0.65
# What hiding adds to what was hidden.
HIDDEN = 0.3
# From here on the classifier is named among the reasons.
ALIKE = 0.4
BY_LIKENESS = "is written like one"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """`score` 0..1, and the names of the rules that it comes from, each once."""

    score: float
    rules: tuple[str, ...]

    @property
    def why(self) -> str:
        return f"injection {self.score:.2f}: {', '.join(self.rules)}"


def suspect(text: str) -> Suspicion:
    """What a person wrote."""
    return _suspect(text, False)


def instructs(sentence: str) -> Suspicion:
    """One sentence, or a few, of a document, a web page or a tool's answer: does it speak to the assistant that reads it."""
    return _suspect(sentence, True)


def by_rules(text: str, *, inside: bool = False) -> Suspicion:
    """The rules alone."""
    best = Suspicion(0.0, ())
    # A document is honest as a rule and long: what only a person at play would send is not looked for.
    for view in views(text, turned=not inside):
        score, names = _hits(view, inside)
        if view.how != "plain" and names:
            score, names = 1 - (1 - score) * (1 - HIDDEN), (*names, f"hidden: {view.how}")
        if score > best.score:
            best = Suspicion(score, names)
    if hides(text):
        best = Suspicion(1 - (1 - best.score) * (1 - HIDDEN), (*best.rules, "invisible characters"))
    return Suspicion(round(best.score, 3), best.rules)


def instructing(sentences: Sequence[str]) -> list[int]:
    """The places of those of a document's sentences that instruct whoever reads it by machine."""
    return [place for place, sentence in enumerate(sentences) if instructs(sentence).score >= INSTRUCTS]


@short_texts(1_000, most=16_384)
def _suspect(text: str, inside: bool) -> Suspicion:
    ruled = by_rules(text, inside=inside)
    if inside:
        return ruled
    like = likelihood(text)
    score = round(1 - (1 - ruled.score) * (1 - like), 3)
    return Suspicion(score, (*ruled.rules, BY_LIKENESS) if like >= ALIKE else ruled.rules)


def _hits(view: View, inside: bool) -> tuple[float, tuple[str, ...]]:
    left, names = 1.0, []
    for rule in RULES:
        if rule.inside and not inside:
            continue
        if view.how != "plain" and rule.weight < SURE:
            continue
        if rule.pattern.search(view.text):
            left *= 1 - rule.weight
            names.append(rule.name)
    return 1 - left, tuple(names)
