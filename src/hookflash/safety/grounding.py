"""Whether an answer rests on what it was given: every sentence against the passages and the results of tools, fact by fact."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from hookflash.safety.facts import Fact, facts, units
from hookflash.safety.rule_file import words

LEAST_WORDS = 0.25
# Sentences of so few words of their own say nothing that could be wrong but their facts.
FEW = 4
_WORD = re.compile(r"[^\W\d_]{2,}")
# Said in other words, half of them are the document's own as a rule.
ENOUGH = 0.5
# A name may be written with another ending, as a plural or in another case.
_STEM = 4
_EMPTY = words("""
    a an the and or but if so as of to in on at by for from with without about into over under after before between within until
    is are was were be been being am do does did done have has had can could may might must shall should will would not no yes it
    its this that these those there here i me my we us our you your he she they them their his her who which what when where why
    how all any each both more most other some such only own same than too very just also then now again once please sorry thank
    thanks hello hi help happy glad let know tell ask contact question questions answer information need want like see find get
    got give make take use go come sure course okay yeah unfortunately however anything else further able el la los las un una
    unos unas y o pero si de del al en por para con sin sobre es son está están fue ser estar ha han hay no sí lo se su sus le
    les mi tu que qué cuando donde como más muy también puede pueden favor gracias hola ayuda le les des et ou mais du aux dans
    par pour avec sans sur est sont été être il elle nous vous votre vos notre nos ce cette ces qui que quand où comment plus der
    die das ein eine einen einem einer und oder aber wenn von zu im am auf bei mit ohne für über ist sind war wird werden hat
    haben kann können nicht ja nein wir sie ihr ihre unser unsere uns was wann wo wie auch noch nur bitte danke है हैं था थे थी
    हो होता होती होते में से को का की के पर और या लेकिन अगर यह वह ये वे हम आप आपका आपकी आपके हमारे हमारी नहीं जी कृपया भी ही तो
    कर करें hai hain tha the thi ho hota hoti hote mein me se ko ka ki ke par aur ya lekin agar yah yeh woh hum aap aapka aapki
    aapke hamare nahi nahin ji kripya bhi hi toh to kar karen karein
""")
_UNKNOWING = re.compile(
    r"\b(?:(?:do|does|did|could|can)\s*(?:not|n'?t)\s+(?:\w+\s+)?(?:know|find|say|mention|have|hold|contain|see)|no\s+information|not\s+(?:sure|able|available|mentioned|covered)"
    r"|no\s+(?:s[ée]|encuentro|encontr[ée]|tengo)|je\s+ne\s+sais|ne\s+dit|wei(?:ß|ss)\s+(?:ich\s+)?nicht|nahi\s+(?:mil\w*|pata)|नहीं\s+(?:मिल|पता))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence. `score` is 0 when a fact of it is nowhere (`missing`: as it was written), else how many of its words are
    somewhere, 1 from half of them on; `supported` is the verdict.
    """

    text: str
    score: float
    missing: tuple[str, ...]
    supported: bool


@dataclass(frozen=True, slots=True)
class Grounded:
    """`score` 0..1: the share of the answer, by its words, that is supported, and how well."""

    score: float
    sentences: tuple[Checked, ...]

    @property
    def unsupported(self) -> tuple[Checked, ...]:
        return tuple(each for each in self.sentences if not each.supported)


class Evidence:
    """What an answer may rest on: `texts` for everything; `said` (the person's own words) for what is theirs to state.

    Of prices and percentages the person's word is no proof. `words`: whether answer and evidence share a language, so that
    words can be compared; where they do not, facts alone are.
    """

    def __init__(self, texts: Sequence[str], said: Sequence[str] = (), *, words: bool = True) -> None:
        self._words = words
        stated = [_stated(text) for text in texts]
        self._facts: set[tuple[str, str]] = set().union(*(each.values for each in stated))
        self._said = _values(facts("\n".join(said), names=False))
        self._units: dict[str, set[str]] = {}
        for value, counted in ((value, stems) for each in stated for value, stems in each.units.items()):
            self._units.setdefault(value, set()).update(counted)
        self._counted: set[str] = set().union(*self._units.values())
        self._folded = "".join(each.folded for each in stated)
        self._told = _folded("\n".join(said))
        self._stems: set[str] = set().union(*(each.stems for each in stated))

    def check(self, sentence: str, least_words: float = LEAST_WORDS) -> Checked:
        """One sentence of an answer."""
        asks = sentence.rstrip().endswith(("?", "？"))
        # A question back may name what could be meant.
        stated = facts(sentence, names=not asks)
        missing = tuple(fact.written for fact in stated if not self._holds(fact)) or self._miscounted(sentence)
        words = [word for word in _WORD.findall(sentence.casefold()) if word not in _EMPTY]
        if missing:
            return Checked(sentence, 0.0, missing, supported=False)
        if not words or not self._words or asks or _UNKNOWING.search(sentence):
            return Checked(sentence, 1.0, (), supported=True)
        share = sum(_stem(word) in self._stems for word in words) / len(words)
        if len(words) < FEW:
            return Checked(sentence, 1.0, (), supported=True)
        return Checked(sentence, round(min(1.0, share / ENOUGH), 3), (), supported=share >= least_words)

    def _holds(self, fact: Fact) -> bool:
        if fact.kind == "name":
            return not self._words or all(self._named(word) for word in fact.value.split())
        if (fact.kind, fact.value) in self._facts:
            return True
        if fact.kind not in ("money", "percent") and (fact.kind, fact.value) in self._said:
            return True
        match fact.kind:
            case "number":
                # "60" of "$60", "9" of "9 am": said otherwise, but there.
                return any((kind, fact.value) in self._facts for kind in ("money", "percent")) or (
                    ("time", f"{fact.value}:00") in self._facts
                    or (fact.value.isdecimal() and ("time", f"{int(fact.value) + 12}:00") in self._facts)
                    or any(kind == "date" and fact.value in value.split("-") for kind, value in self._facts)
                )
            case "money" | "percent":
                return ("number", fact.value) in self._facts
            case "time":
                hour = int(fact.value.partition(":")[0])
                return fact.value.endswith(":00") and any(
                    ("number", str(h)) in self._facts for h in (hour, (hour - 12) % 24 or 12)
                )
            case "link":
                return fact.value in self._folded or fact.value in self._told
            case "date":
                month, _, day = fact.value.partition("-")
                return (("number", day) in self._facts or ("number", day) in self._said) and any(
                    kind == "date" and value.startswith(f"{month}-") for kind, value in self._facts
                )
            case "day":
                return (
                    fact.value in self._folded
                    or fact.value in self._told
                    or fact.value[:3] + " " in self._folded
                    or "daily" in self._folded
                )
            case _:
                return False

    def _miscounted(self, sentence: str) -> tuple[str, ...]:
        """Figures that are there, but count something else: 45 of "45 l" is no number of days, where days are counted too."""
        if not self._words:
            return ()
        wrong = []
        for value, counted in units(sentence).items():
            stems = {_stem(word) for word in counted} & self._counted
            known = self._units.get(value)
            if known and stems and not stems & known and ("number", value) not in self._said:
                wrong.append(f"{value} {' '.join(sorted(counted))}")
        return tuple(wrong)

    def _named(self, word: str) -> bool:
        return (
            word in _EMPTY
            or word in self._folded
            or word in self._told
            or _stem(word) in self._stems
            or (word.endswith("'s") and word[:-2] in self._folded)
        )


def ground(sentences: Sequence[str], evidence: Evidence, least_words: float = LEAST_WORDS) -> Grounded:
    """Check an answer, sentence by sentence."""
    checked = tuple(evidence.check(sentence, least_words) for sentence in sentences if sentence.strip())
    weights = [max(1, len(each.text.split())) for each in checked]
    total = sum(weights)
    score = sum(weight * each.score for weight, each in zip(weights, checked, strict=True)) / total if total else 1.0
    return Grounded(round(score, 3), checked)


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a text of the evidence holds, ready to be compared."""

    values: set[tuple[str, str]]
    units: dict[str, set[str]]
    folded: str
    stems: set[str]


@lru_cache(maxsize=1_024)
def _stated(text: str) -> _Stated:
    """The same passages are evidence again and again."""
    return _Stated(
        _values(facts(text, names=False)),
        {value: {_stem(word) for word in counted} for value, counted in units(text).items()},
        _folded(text),
        {_stem(word) for word in _WORD.findall(text.casefold())},
    )


def _values(found: Sequence[Fact]) -> set[tuple[str, str]]:
    return {(fact.kind, fact.value) for fact in found}


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split()) + " "


def _stem(word: str) -> str:
    return (word.rstrip("s") or word)[:_STEM]
