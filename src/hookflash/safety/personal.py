"""Personal data in a text: numbers of cards and persons, accounts, e-mail, telephones, addresses, and names that are known."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from hookflash.safety.pii import numbers
from hookflash.safety.rule_file import words

KINDS = ("card", "aadhaar", "pan", "ssn", "iban", "email", "phone", "address", "name")
_SUREST = ("iban", *(kind for kind in KINDS if kind != "iban"))
# What stands in a record in place of what was there.
LABELS = {
    "card": "[card number]",
    "aadhaar": "[Aadhaar number]",
    "pan": "[PAN]",
    "ssn": "[SSN]",
    "iban": "[IBAN]",
    "email": "[e-mail]",
    "phone": "[phone number]",
    "address": "[address]",
    "name": "[name]",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data of a kind: character offsets in the text."""

    kind: str
    start: int
    end: int


class Finder(Protocol):
    """Finds personal data; spans do not overlap and come in order."""

    def find(self, text: str, kinds: Sequence[str], names: Sequence[str] = ()) -> list[Span]: ...


_PAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z](?![A-Za-z0-9])", re.IGNORECASE)
_SSN = re.compile(
    r"(?<![\d-])(?!000|666|9\d\d)\d{3}(?P<gap>[- ])(?!00)\d{2}(?P=gap)(?!0000)\d{4}(?![\d-])"
    r"|(?<=ssn )\d{9}(?!\d)|(?<=ssn: )\d{9}(?!\d)|(?<=ssn is )\d{9}(?!\d)|(?<=social security number is )\d{9}(?!\d)",
    re.IGNORECASE,
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])", re.IGNORECASE
)
_EMAIL = re.compile(
    r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
    r"|\b[\w.+-]{2,64}\s?(?:\(at\)|\[at\]|\bat\b)\s?[\w-]{2,40}(?:\s?(?:\(dot\)|\[dot\]|\bdot\b)\s?[a-z]{2,10}){1,3}\b",
    re.IGNORECASE,
)
_PHONE = re.compile(
    r"(?<![\w.,$€£₹#/-])(?:\+|00)?\(?\d(?:[ ().\-\u2011\u2013\u00a0]{0,2}\d){6,14}(?:\s?(?:x|ext\.?)\s?\d{1,5})?(?![\w]|[.,]\d)"
)
_DIGIT = re.compile(r"\d")
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}|(?:19|20)\d\d[-. ]+(?:19|20)\d\d")
_AMOUNT = re.compile(r"\d{1,3}(?:[ .,\u00a0]\d{3})+")
# Before what looks like an amount, such as 612 345 678, but is a telephone number.
_CALLED = re.compile(
    r"\b(?:ll[aá]m\w*|tel[eé]?f?\w*|m[oó]vil|celular|call|text|ring|phone|mobile|whatsapp|n[uú]mero|number|फोन|फ़ोन|मोबाइल)\W+(?:[^\W\d]+\W+){0,2}$",
    re.IGNORECASE,
)
_WAY = (
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|pl|square|sq|terrace|ter|close|circle|cir|highway|hwy|parkway|pkwy|crescent|alley|mews|row"
    r"|nagar|marg|colony|enclave|chowk|gali|vihar|layout|cross|main)"
)
_UNIT = r"(?i:[,\s]+(?:apt|apartment|suite|ste|unit|flat|floor|room|#)\.?\s?[\w-]{1,6})"
_TOWN = r"(?:,?\s+(?:[A-Z][\w'’.-]+\s?){1,3})?(?:,?\s+[A-Z]{2})?(?:,?\s+\d{5}(?:-\d{4})?|,?\s+\d{6}|,? [A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2})?"
_ADDRESSES = (
    re.compile(
        rf"(?<![\w$€£₹#.])\d{{1,5}}[a-zA-Z]?(?:[-/]\d{{1,4}})?,?\s+(?i:(?:(?!days?|hours?|items?|pairs?|times?|km|kg|miles?)[\w'’.-]+\s+){{1,4}}?{_WAY})\b\.?{_UNIT}?{_TOWN}"
    ),
    re.compile(r"\b(?i:p\.?\s?o\.?\s?box)\s+\d{1,6}\b" + _TOWN),
    re.compile(
        r"\b(?i:calle|avenida|avda\.?|plaza|paseo|carrera|rua|rue|via|viale|piazza)\s+(?:(?:de|del|la|las|los|da|do|du|des|el)\s+)*[A-ZÁÉÍÓÚÑÀÈ][\w'’.-]+(?:\s+[A-ZÁÉÍÓÚÑ][\w'’.-]+){0,3},?\s+(?:(?i:n[.ºo°]*|núm\.?)\s?)?\d{1,4}\b"
    ),
    re.compile(
        r"\b[A-ZÄÖÜ][\wäöüß-]{2,30}(?:straße|strasse|str\.|weg|platz|gasse|allee|laan|straat)\s+\d{1,4}[a-z]?\b(?:,?\s+\d{5}(?:\s+[A-ZÄÖÜ]\w+)?)?"
    ),
    re.compile(
        r"\b(?i:(?:flat|house|h\.?|plot|door|shop)\s*(?:no\.?|number|#)\s*)[\w/-]{1,8}(?:,\s*[\w .'-]{3,30}){1,4}(?:[-\s]+\d{6})?"
    ),
    re.compile(r"\b(?:[A-Z][a-z]+\s?){1,3},\s*[A-Z]{2}\s+\d{5}(?:-\d{4})?\b"),
    re.compile(r"(?<![A-Z0-9])[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}(?![A-Z0-9])"),
)
_NAMED = re.compile(
    r"\b(?i:my\s+(?:full\s+)?name\s+is|name\s*:|mera\s+naam|me\s+llamo|mi\s+nombre\s+es|ich\s+hei(?:ß|ss)e|je\s+m'appelle|meu\s+nome\s+[ée])\s+(?P<a>[^\W\d_][\w'’-]+(?:\s+[A-ZÀ-Ý][\w'’-]+){0,3})"
    r"|\b(?i:mr|mrs|ms|miss|dr|prof|shri|smt)\.?\s+(?P<b>[A-ZÀ-Ý][\w'’-]+(?:\s+[A-ZÀ-Ý][\w'’-]+){0,2})"
    r"|मेरा\s+नाम\s+(?P<c>\S+(?:\s+\S+)?)\s+है"
)
# Names that are words too: only as somebody would write a name.
_WORDS = words("""
    will may mark rose hope grace joy bill art sunny dawn summer autumn april june august king young long price rich frank grant
    chase pat sue drew jack dean miles hunter faith star sky rain jay ray bob rob nick page case day
""")


def find(text: str, kinds: Sequence[str] = KINDS, names: Sequence[str] = ()) -> list[Span]:
    """The personal data in a text, in order, without overlaps: the surer kind wins. `names` are those that are known."""
    return list(_found(text, tuple(kinds), tuple(names)))


# A turn asks several times about what was said and what is answered.
@lru_cache(64)
def _found(text: str, kinds: tuple[str, ...], names: tuple[str, ...]) -> tuple[Span, ...]:
    taken: list[Span] = []
    without = _absent(text)
    for kind in _SUREST:
        if kind not in kinds or kind in without:
            continue
        for start, end in _FINDERS[kind](text) if kind != "name" else _names(text, names):
            if start < end and not any(start < span.end and span.start < end for span in taken):
                taken.append(Span(kind, start, end))
    return tuple(sorted(taken, key=lambda span: span.start))


def _absent(text: str) -> tuple[str, ...]:
    """Kinds that a text without a digit, or without what every e-mail address has, cannot hold: most texts."""
    digits = () if _DIGIT.search(text) else ("iban", "pan", "ssn", "phone")
    return digits if "@" in text or "dot" in text.casefold() else (*digits, "email")


class Patterns:
    """The Finder that needs nothing."""

    def find(self, text: str, kinds: Sequence[str], names: Sequence[str] = ()) -> list[Span]:
        return find(text, kinds, names)


PATTERNS = Patterns()


def conceal(text: str, kinds: Sequence[str], names: Sequence[str] = ()) -> str:
    """The text for a record: personal data of these kinds replaced by what it is, for good."""
    out, at = [], 0
    for span in find(text, kinds, names):
        out += [text[at : span.start], LABELS[span.kind]]
        at = span.end
    return "".join((*out, text[at:]))


def concealed(value: Any, kinds: Sequence[str], names: Sequence[str] = ()) -> Any:
    """The same in every text of a JSON value."""
    match value:
        case str():
            return conceal(value, kinds, names)
        case dict():
            return {name: concealed(each, kinds, names) for name, each in value.items()}
        case list():
            return [concealed(each, kinds, names) for each in value]
        case _:
            return value


def unsaid(text: str, said: str, kinds: Sequence[str]) -> str:
    """An answer to what was `said` that does not say personal data of these kinds back: in its place stands what it is."""
    values = {_bare(said[span.start : span.end]) for span in find(said, kinds)}
    out, at = [], 0
    for span in find(text, kinds) if values else ():
        if _bare(text[span.start : span.end]) in values:
            out += [text[at : span.start], LABELS[span.kind]]
            at = span.end
    return "".join((*out, text[at:]))


def _bare(value: str) -> str:
    return "".join(c for c in value.casefold() if c.isalnum())


def iban(text: str) -> bool:
    """Whether the check digits of an IBAN are right."""
    compact = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _ibans(text: str) -> Iterable[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        whole = found.group()
        # The next word may look like one more group.
        while whole:
            if iban(whole):
                yield found.start(), found.start() + len(whole)
                break
            cut = max(whole.rfind(" "), whole.rfind("-"))
            whole = whole[:cut] if cut > 0 else ""


def _phones(text: str) -> Iterable[tuple[int, int]]:
    for found in _PHONE.finditer(text):
        whole = found.group()
        digits = sum(c.isdigit() for c in whole)
        groups = len(re.findall(r"\d+", whole))
        plain = groups == 1 and not whole.startswith(("+", "00"))
        if digits >= 12 and re.match(r"[ -]?\d{3,4}\b", text[found.end() :]):
            # A card's number with a wrong digit, or a reference.
            continue
        if _DATE.fullmatch(whole) or (
            _AMOUNT.fullmatch(whole) and not _CALLED.search(text[max(0, found.start() - 40) : found.start()])
        ):
            continue
        if (
            whole.startswith("+")
            or (plain and digits in (10, 11))
            or (not plain and (digits >= 8 or "(" in whole or "-" in whole))
        ):
            yield found.start(), found.end()


def _addresses(text: str) -> Iterable[tuple[int, int]]:
    for pattern in _ADDRESSES:
        for found in pattern.finditer(text):
            yield found.start(), found.start() + len(found.group().rstrip(" ,."))


def _names(text: str, known: Sequence[str]) -> Iterable[tuple[int, int]]:
    for found in _NAMED.finditer(text):
        group = next(name for name in ("a", "b", "c") if found[name])
        yield found.span(group)
    parts = {part for name in known for part in (name.strip(), *name.split()) if len(part) >= 3}
    for part in sorted(parts, key=len, reverse=True):
        flags = re.NOFLAG if part.casefold() in _WORDS else re.IGNORECASE
        for found in re.finditer(rf"(?<!\w){re.escape(part)}(?!\w)", text, flags):
            yield found.span()


def _numbered(label: str) -> Callable[[str], Iterable[tuple[int, int]]]:
    return lambda text: [(start, end) for start, end, kind in numbers(text) if kind == label]


def _matched(pattern: re.Pattern[str]) -> Callable[[str], Iterable[tuple[int, int]]]:
    return lambda text: [found.span() for found in pattern.finditer(text)]


_FINDERS: dict[str, Callable[[str], Iterable[tuple[int, int]]]] = {
    "card": _numbered("[card number]"),
    "aadhaar": _numbered("[Aadhaar number]"),
    "pan": _matched(_PAN),
    "ssn": _matched(_SSN),
    "iban": _ibans,
    "email": _matched(_EMAIL),
    "phone": _phones,
    "address": _addresses,
}
