"""What is known of a customer, and which of it bears on a question."""

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal

from hookflash.assistant.prompt import about_tokens
from hookflash.conversation.turn import Turn
from hookflash.knowledge.analyze import terms

TraitSource = Literal["api", "verification", "segment", "conversation"]
NoteKind = Literal["observation", "summary"]

# Of two sources the one that is less easily told something wrong is believed, whichever spoke last.
_TRUST: Mapping[str, int] = {"api": 0, "verification": 0, "segment": 1, "conversation": 2}
_SAID_BY = {
    "api": "company record",
    "verification": "verified",
    "segment": "company record",
    "conversation": "said by the customer",
}
ALWAYS = ("name", "language")
# From this closeness in meaning on a note bears on a question; a shared word makes up for some of it, and so does it when
# people ask about themselves.
_CLOSE = 0.42
_WORD, _CODE, _SELF = 0.16, 0.3, 0.1
_OWN = re.compile(
    r"\b(?:i|i'm|i've|my|me|mine|we|our|mi|mis|yo|me|ich|mir|mich|mein\w{0,2}|je|mon|ma|mes|moi|j'ai|io|mio|mia|miei|mie|eu|meu|meus"
    r"|minha|minhas|ik|mijn|mera|meri|mere|maine|mujhe|main)\b|मेर[ाीे]|मैं|मैंने|मुझे",
    re.IGNORECASE,
)
# Words of one matter that neither stemming nor a small model of meaning brings together.
_MATTERS = (
    re.compile(
        r"\b(?:buy\w*|bought|purchas\w*|order\w*|own|got|compr[aoéeó]\w*|pedi\w*|kauf\w*|gekauft|bestell\w*|achet\w*|command\w*"
        r"|ordin\w*|encomend\w*|gekocht|kopen|khareed\w*|liya)\b|खरीद|लिया|ऑर्डर",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:prefer\w*|like\w*|love\w*|favou?rite\w*|prefier\w*|gusta\w*|préf\w*|aime\w*|bevorzug\w*|liebling\w*|pasand)\b|पसंद",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:live\w*|address\w*|moved?|home|vivo|viv[ei]\w*|direcci[oó]n|wohn\w*|adresse|habite\w*|abit\w*|mor[oa])\b",
        re.IGNORECASE,
    ),
)
_LONGEST_LINE = 400
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing that is known: `value` is a text, a number, a truth, a date (`2026-01-31`) or a list of texts."""

    name: str
    value: Any
    source: TraitSource
    at: datetime

    @property
    def text(self) -> str:
        shown = ", ".join(map(str, self.value)) if isinstance(self.value, list) else str(self.value)
        return (
            f"{self.name.replace('_', ' ')}: {'yes' if self.value is True else 'no' if self.value is False else shown}"
        )


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence on a customer, or the summary of a session. `cosine` is its closeness to the question, where known."""

    kind: NoteKind
    text: str
    at: datetime
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the model is told of the customer. `bears`: some of it has to do with the question.

    `degraded` says what could not be looked at.
    """

    lines: tuple[str, ...] = ()
    bears: bool = False
    degraded: tuple[str, ...] = ()


Remembers = Callable[[Turn, str], Awaitable[Recalled]]


async def no_memory(_: Turn, __: str) -> Recalled:
    """The memory of those who have none."""
    return Recalled()


def kind_of(value: Any) -> str:
    """string, number, boolean, date, list or object: what a trait's value is."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "date" if is_date(value) else "string"
        case list():
            return "list"
        case _:
            return "object"


def is_date(text: str) -> bool:
    """Whether a text is a day of the calendar, such as 2026-01-31."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def effective(traits: Iterable[Trait]) -> dict[str, Trait]:
    """By name the value that holds: what the company or a verification says before what was said, then the newest."""
    best: dict[str, Trait] = {}
    for trait in traits:
        other = best.get(trait.name)
        if other is None or (_TRUST[trait.source], other.at) < (_TRUST[other.source], trait.at):
            best[trait.name] = trait
    return best


def choose(
    question: str,
    language: str,
    traits: Iterable[Trait],
    notes: Sequence[Note],
    *,
    tokens: int,
    name: str | None = None,
    closeness: Mapping[str, float] | None = None,
) -> Recalled:
    """What bears on the question, best first, within so many tokens; name and language always.

    `name` is what the contact is called where no trait says it; it is told of those of whom there is something else to tell.
    `closeness` is the cosine of traits' texts with the question.
    """
    held = effective(traits)
    asked = frozenset(terms(question, language)) | _matters(question)
    near = closeness or {}
    own = bool(_OWN.search(question))
    scored: list[tuple[float, datetime, str]] = []
    for trait in held.values():
        if trait.name in ALWAYS or isinstance(trait.value, dict):
            continue
        score = _score(asked, trait.text, language, near.get(trait.text), own=own)
        if score >= _CLOSE:
            scored.append((score, trait.at, f"{trait.text} ({_SAID_BY[trait.source]})"))
    for note in notes:
        score = _score(asked, note.text, language, note.cosine, own=own)
        if score >= _CLOSE:
            scored.append((score, note.at, _line(note)))
    lines: list[str] = []
    left = tokens
    for key in ALWAYS:
        if key in held:
            lines.append(held[key].text)
        elif key == "name" and name and (held or notes):
            lines.append(f"name: {name}")
    lines = [one_line(line) for line in lines]
    left -= sum(about_tokens(line) for line in lines)
    bears = False
    for _, _, line in sorted(scored, key=lambda each: (-each[0], -each[1].timestamp())):
        line = one_line(line)
        left -= about_tokens(line)
        if left < 0:
            break
        lines.append(line)
        bears = True
    return Recalled(tuple(lines), bears)


def opening(traits: Iterable[Trait], notes: Sequence[Note], *, tokens: int, name: str | None = None) -> tuple[str, ...]:
    """What a model is told that talks on its own, before anything is asked: name and language, traits, the latest notes."""
    held = effective(traits)
    lines = [held[key].text for key in ALWAYS if key in held]
    if "name" not in held and name and (held or notes):
        lines.insert(0, f"name: {name}")
    lines += [
        f"{t.text} ({_SAID_BY[t.source]})"
        for t in held.values()
        if t.name not in ALWAYS and kind_of(t.value) != "object"
    ]
    lines += [_line(note) for note in sorted(notes, key=lambda note: note.at, reverse=True)]
    kept: list[str] = []
    left = tokens
    for line in map(one_line, lines):
        left -= about_tokens(line)
        if left < 0:
            break
        kept.append(line)
    return tuple(kept)


def one_line(text: str) -> str:
    """A text on one line of bounded length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST_LINE else joined[: _LONGEST_LINE - 1] + "…"


@lru_cache(20_000)
def _terms(text: str, language: str) -> frozenset[str]:
    return frozenset(terms(text, language)) | _matters(text)


def _matters(text: str) -> frozenset[str]:
    return frozenset(f"~{chr(ord('a') + place)}" for place, matter in enumerate(_MATTERS) if matter.search(text))


def _line(note: Note) -> str:
    earlier = "earlier conversation: " if note.kind == "summary" else ""
    return f"{note.at.date().isoformat()}: {earlier}{note.text}"


def _score(asked: frozenset[str], text: str, language: str, cosine: float | None, *, own: bool) -> float:
    shared = asked & _terms(text, language)
    codes = sum(1 for term in shared if any(c.isdigit() for c in term))
    words = len(shared) - codes
    if cosine is None or not math.isfinite(cosine):
        # Words are all there is to go by.
        return _CLOSE + words * _WORD + codes * _CODE if shared else 0.0
    return cosine + min(words, 3) * _WORD + min(codes, 1) * _CODE + own * _SELF
