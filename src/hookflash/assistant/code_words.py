"""A code of six digits as people write, say and key it, and what else they say when they are asked for one."""

import re
from dataclasses import dataclass

LENGTH = 6
MASK = "[code]"

# By digit: how it is said in the languages of the templates.
_SAID = (
    "zero oh null cero zéro nul शून्य shunya",
    "one uno una un une eins ein eine um uma एक ek",
    "two dos deux zwei zwo dois duas दो do",
    "three tres trois drei três तीन teen",
    "four cuatro quatre vier quatro चार char chaar",
    "five cinco cinq fünf fuenf पांच पाँच paanch panch",
    "six seis sechs छह छः chhe chhah",
    "seven siete sept sieben sete सात saat",
    "eight ocho huit acht oito आठ aath",
    "nine nueve neuf neun nove नौ nau",
)
_DIGIT = {word: str(digit) for digit, words in enumerate(_SAID) for word in words.split()}
_TIMES = {"double": 2, "doble": 2, "triple": 3}
_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:[\u0900-\u0903\u093a-\u094f]+[^\W\d_]*)*")
_BETWEEN = re.compile(r"[\s,.\-–/;]*(?:(?:and|y|et|und|e|aur|और)[\s,]+)?", re.IGNORECASE)
# So many other words may stand beside digits that are too few or too many for a code and still be meant as one.
_FEW_WORDS = 3

_AGAIN = re.compile(
    r"\b(?:re-?send|send (?:it |me |the code |a code |another |a new )|(?:another|new) code|again|"
    r"did ?n[o']?t (?:get|receive|come)|no code|not received)|"
    r"\b(?:otra vez|de nuevo|reenv[ií]\w*|nuevo c[oó]digo|no (?:me )?(?:lleg|recib)\w*)|"
    r"\b(?:renvoy\w*|nouveau code|pas re[çc]u)|\b(?:noch ?mal|erneut|neuen code|nicht (?:bekommen|erhalten|angekommen))|"
    r"\b(?:reenvi\w*|novo c[oó]digo|n[ãa]o (?:chegou|recebi))|\b(?:phir se|dobara|nahi (?:aaya|mila))|फिर से|दोबारा|नहीं (?:आया|मिला)",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"^\W*(?:please )?(?:cancel\w*|abort|never ?mind|forget it|stop it|leave it|no thanks|"
    r"cancel(?:ar|a|e)|olv[ií]d\w*|d[eé]jalo|annul\w*|laisse\w* tomber|abbrechen|abbruch|vergiss es|lass es|"
    r"esque[cç]\w*|deixa pra l[aá]|rehne (?:do|dijiye)|chhodo|रद्द\w*|रहने (?:दो|दीजिए)|छोड़ो)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Code:
    """A code."""

    digits: str


@dataclass(frozen=True, slots=True)
class Again:
    """They want another one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """They do not want this any more."""


@dataclass(frozen=True, slots=True)
class Unlike:
    """Digits that were meant as a code and are too few or too many."""


@dataclass(frozen=True, slots=True)
class Other:
    """Something else."""


Heard = Code | Again | Stop | Unlike | Other


@dataclass(frozen=True, slots=True)
class _Run:
    """Digits that belong together, and where they stand."""

    digits: str
    start: int
    end: int
    words: int


def listen(words: str) -> Heard:
    """What somebody who was asked for a code says."""
    runs, others = _runs(words)
    digits = "".join(run.digits for run in runs)
    for run in runs:
        if len(run.digits) == LENGTH:
            return Code(run.digits)
    if len(digits) == LENGTH:
        return Code(digits)
    if len(digits) >= 3 and others <= _FEW_WORDS:
        return Unlike()
    if _STOP.search(words):
        return Stop()
    return Again() if _AGAIN.search(words) else Other()


def conceal(words: str) -> str:
    """The words without what may be a code, or part of one; a single small number stays."""
    runs, _ = _runs(words)
    whole = sum(len(run.digits) for run in runs)
    out, done = [], 0
    for run in runs:
        if len(run.digits) >= 3 or whole == LENGTH:
            out += [words[done : run.start], MASK]
            done = run.end
    return "".join((*out, words[done:]))


def _runs(words: str) -> tuple[list[_Run], int]:
    """The numbers in a text, written or spoken digit by digit, and how many other words there are."""
    runs: list[_Run] = []
    others, times, since = 0, 1, -1
    for token in _TOKEN.finditer(words):
        text = token.group().casefold()
        if text in _TIMES:
            times, since = _TIMES[text], token.start()
            continue
        digits = text if text.isdecimal() else _DIGIT.get(text)
        if digits is None:
            others += 1
            times, since = 1, -1
            continue
        digits = "".join(str(int(digit)) for digit in digits)
        digits = digits[0] * (times - 1) + digits
        start = since if since >= 0 else token.start()
        times, since = 1, -1
        spoken = 0 if text.isdecimal() else 1
        whole = len(digits) == LENGTH or bool(runs and len(runs[-1].digits) == LENGTH)
        if runs and not whole and _BETWEEN.fullmatch(words[runs[-1].end : start]):
            last = runs[-1]
            runs[-1] = _Run(last.digits + digits, last.start, token.end(), last.words + spoken)
        else:
            runs.append(_Run(digits, start, token.end(), spoken))
    # "one", "do" or "un" by itself is a word like others.
    numbers = [run for run in runs if len(run.digits) > 1 or not run.words]
    return numbers, others + len(runs) - len(numbers)
