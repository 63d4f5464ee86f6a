"""Evaluation: what answers to a set of questions must be like, which of them are, and what changed since last time."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

import yaml

from hookflash.base.errors import Invalid
from hookflash.conversation.turn import Ending

Kind = Literal["exact", "contains", "lacks", "regex", "grounded", "refused", "asks", "hands_off", "tool", "judge"]
KINDS: dict[str, str] = {
    "exact": "the whole answer, but for case and white space",
    "contains": "a text that the answer must hold; a list: all of them",
    "lacks": "a text that it must not hold; a list: none of them",
    "regex": "a regular expression that must be found in it",
    "grounded": "true: it rests on passages, a name: on that document",
    "refused": "true: it must say that it does not know; false: it must not",
    "asks": "true: it must ask back",
    "hands_off": "true: a person must be asked; false: must not",
    "tool": "the name of a tool that must be called; a list: all of them",
    "judge": "a criterion that a model judges",
}
MOST_CASES = 10_000
MOST_REGEX = 500


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that an answer must be like."""

    kind: Kind
    value: Any

    def __str__(self) -> str:
        return f"{self.kind}: {self.value if isinstance(self.value, str) else json.dumps(self.value)}"


@dataclass(frozen=True, slots=True)
class Step:
    """What a customer says, and what the answer to it must be like (nothing: it only leads on)."""

    said: str
    expects: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation with one customer."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One expectation against one answer; `why` says what was found instead."""

    expectation: str
    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one step."""

    said: str
    answered: str
    kind: str
    judgements: tuple[Judgement, ...]
    ms: float
    micros: int

    @property
    def passed(self) -> bool:
        return all(judgement.passed for judgement in self.judgements)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case."""

    name: str
    steps: tuple[Answered, ...]

    @property
    def passed(self) -> bool:
        return all(step.passed for step in self.steps)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs of the same set: cases by name."""

    broken: tuple[str, ...]
    mended: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        return bool(self.broken)


def read_cases(name: str, text: str) -> list[Case]:
    """Cases of a YAML, JSON or JSON Lines file. Raises Invalid, which names the case and what is wrong with it.

    A case is {name?, said, <expectations>} or {name?, steps: [{said, <expectations>}, ...]}; see `KINDS`.
    """
    cases = [_case(number, found) for number, found in enumerate(_load(name, text), start=1)]
    if not cases:
        raise Invalid(f"{name} holds no case.")
    if len(cases) > MOST_CASES:
        raise Invalid(f"{name} holds {len(cases)} cases, more than {MOST_CASES}.")
    twice = {case.name for case in cases if sum(other.name == case.name for other in cases) > 1}
    if twice:
        raise Invalid(f"Two cases of {name} have the same name: {sorted(twice)[0]}")
    return cases


def _load(name: str, text: str) -> list[Any]:
    suffix = PurePath(name).suffix.lower()
    try:
        if suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        found = json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise Invalid(f"{name} cannot be read: {str(error).splitlines()[0]}") from None
    if isinstance(found, dict) and isinstance(found.get("cases"), list):
        found = found["cases"]
    if not isinstance(found, list):
        raise Invalid(f"{name} must be a list of cases.")
    return found


def _case(number: int, found: Any) -> Case:
    where = f"case {number}"
    if not isinstance(found, Mapping):
        raise Invalid(f"{where} is not a mapping.")
    name = str(found.get("name") or found.get("said") or where)
    where = f"case {number} ({name[:60]})"
    if "steps" in found:
        rest = set(found) - {"name", "steps"}
        if rest:
            raise Invalid(f"{where}: besides its steps a case has only a name, not {sorted(rest)[0]}")
        if not isinstance(found["steps"], list) or not found["steps"]:
            raise Invalid(f"{where}: steps must be a list with something in it.")
        return Case(name, tuple(_step(where, step) for step in found["steps"]))
    return Case(name, (_step(where, {key: value for key, value in found.items() if key != "name"}),))


def _step(where: str, found: Any) -> Step:
    if not isinstance(found, Mapping) or not isinstance(found.get("said"), str) or not found["said"].strip():
        raise Invalid(f"{where}: a step needs `said`, what the customer writes.")
    return Step(found["said"], tuple(_expectation(where, k, v) for k, v in found.items() if k != "said"))


def _expectation(where: str, kind: str, value: Any) -> Expectation:
    if kind not in KINDS:
        raise Invalid(f"{where}: no such expectation: {kind}; there are: {', '.join(KINDS)}")
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value) and bool(value)
    match kind:
        case "contains" | "lacks" | "tool":
            fits = isinstance(value, str) or texts
        case "grounded":
            fits = value is True or isinstance(value, str)
        case "refused" | "asks" | "hands_off":
            fits = isinstance(value, bool)
        case "regex":
            fits = isinstance(value, str) and len(value) <= MOST_REGEX and _compiles(value)
        case _:
            fits = isinstance(value, str)
    if not fits:
        raise Invalid(f"{where}: {kind} must be {KINDS[kind]}")
    return Expectation(kind, value)  # type: ignore[arg-type]


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


# Nothing was told: the documents do not say it, or it is not spoken about.
REFUSALS = ("unknown", "reply", "hand_off")


def judge(expectation: Expectation, ending: Ending, tools: Sequence[str] = ()) -> Judgement:
    """One expectation of every kind but `judge`, which takes a model."""
    passed, why = _judged(expectation, ending, tools)
    return Judgement(str(expectation), passed, "" if passed else why)


def _judged(expectation: Expectation, ending: Ending, tools: Sequence[str]) -> tuple[bool, str]:
    value, text = expectation.value, ending.text
    wanted = [value] if isinstance(value, str) else value
    match expectation.kind:
        case "exact":
            return _plain(text) == _plain(value), f"it was: {text}"
        case "contains":
            missing = [each for each in wanted if _plain(each) not in _plain(text)]
            return not missing, f"missing: {', '.join(missing)}"
        case "lacks":
            there = [each for each in wanted if _plain(each) in _plain(text)]
            return not there, f"it holds: {', '.join(there)}"
        case "regex":
            return re.search(value, text, re.IGNORECASE) is not None, "not found"
        case "grounded":
            cited = [source.title for source in ending.sources if source.cited]
            if value is True:
                return bool(cited), "it rests on nothing"
            return any(
                _plain(value) in _plain(title) for title in cited
            ), f"it rests on: {', '.join(cited) or 'nothing'}"
        case "refused":
            return (ending.kind in REFUSALS) is value, f"it was {ending.kind}"
        case "asks":
            return (ending.kind == "clarified") is value, f"it was {ending.kind}"
        case "hands_off":
            return (ending.hand_off is not None) is value, f"hand-off: {ending.hand_off or 'none'}"
        case "tool":
            missing = [each for each in wanted if each not in tools]
            return not missing, f"not called: {', '.join(missing)}"
        case "judge":
            return False, "no model judged it"


def compare(before: Mapping[str, bool], after: Sequence[Outcome]) -> Difference:
    """What changed since the last run, in which `before` says which cases passed."""
    now = {outcome.name: outcome.passed for outcome in after}
    return Difference(
        broken=tuple(name for name, passed in now.items() if not passed and before.get(name) is True),
        mended=tuple(name for name, passed in now.items() if passed and before.get(name) is False),
        new=tuple(name for name in now if name not in before),
        gone=tuple(name for name in before if name not in now),
    )


@dataclass(frozen=True, slots=True)
class Replayed:
    """A real turn, and what a draft would answer to it today."""

    turn_id: str
    contact_id: str
    said: str
    kind: str
    answered: str
    now_kind: str
    now_answered: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        return self.kind != self.now_kind or not _alike(self.answered, self.now_answered)


def _alike(one: str, other: str) -> bool:
    """Whether two answers say the same: the same figures and links, and most of the same words."""
    facts_one, facts_other = (set(re.findall(r"https?://\S+|\d[\d.,:]*\d|\d", text)) for text in (one, other))
    if facts_one != facts_other:
        return False
    words_one, words_other = (set(re.findall(r"\w+", text.casefold())) for text in (one, other))
    together = words_one | words_other
    return not together or len(words_one & words_other) / len(together) >= 0.8


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split())
