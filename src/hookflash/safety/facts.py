"""The facts of a text that can be checked letter by letter: figures, prices, dates, times, links, addresses, and names."""

import re
import unicodedata
from dataclasses import dataclass

from hookflash.safety.rule_file import words

_WORDS = """
    zero:0 one:1 two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12 thirteen:13 fourteen:14 fifteen:15
    sixteen:16 seventeen:17 eighteen:18 nineteen:19 twenty:20 thirty:30 forty:40 fifty:50 sixty:60 seventy:70 eighty:80 ninety:90 twice:2
    dozen:12 dos:2 tres:3 cuatro:4 cinco:5 seis:6 siete:7 ocho:8 nueve:9 diez:10 doce:12 quince:15 veinte:20 treinta:30 cuarenta:40
    cincuenta:50 sesenta:60 noventa:90 cien:100 deux:2 trois:3 quatre:4 cinq:5 sept:7 huit:8 neuf:9 dix:10 douze:12 quinze:15 vingt:20
    trente:30 quarante:40 soixante:60 zwei:2 drei:3 vier:4 fünf:5 sechs:6 sieben:7 acht:8 neun:9 zehn:10 zwölf:12 zwanzig:20 dreißig:30
    दो:2 तीन:3 चार:4 पांच:5 पाँच:5 छह:6 सात:7 आठ:8 नौ:9 दस:10 बीस:20 तीस:30 teen:3 chaar:4 paanch:5 panch:5 chhe:6 saat:7 aath:8 nau:9
"""
_NUMBERS = {word: int(value) for word, _, value in (each.partition(":") for each in _WORDS.split())}
_ONE_UP = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan enero janvier januar",
            "february feb febrero février februar",
            "march mar marzo mars märz",
            "april apr abril avril",
            "may mayo mai",
            "june jun junio juin juni",
            "july jul julio juillet juli",
            "august aug agosto août",
            "september sep sept septiembre septembre",
            "october oct octubre octobre oktober",
            "november nov noviembre novembre",
            "december dec diciembre décembre dezember",
        ),
        start=1,
    )
    for name in names.split()
}
_DAYS = words("""
    monday tuesday wednesday thursday friday saturday sunday lunes martes miércoles jueves viernes sábado domingo montag dienstag
    mittwoch donnerstag freitag samstag sonntag lundi mardi mercredi jeudi vendredi samedi dimanche
""")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'()\[\]]+|\b[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}\.(?:com|org|net|io|example|co|in|de|es|fr|uk|eu|info|shop|store|app|dev)(?:/[^\s<>\"'()\[\]]*)?",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_TIME = re.compile(
    r"\b(\d{1,2})(?:[:.h](\d{2}))?\s*([ap])\.?\s?m\b\.?|\b([01]?\d|2[0-3])[:h]([0-5]\d)\b(?!\s*[ap]\.?m)|\b(noon|midnight|midday)\b",
    re.IGNORECASE,
)
_ISO = re.compile(r"\b((?:19|20)\d\d)-(\d{1,2})-(\d{1,2})\b")
_MONTH = "|".join(sorted(map(re.escape, _MONTHS), key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<m1>{_MONTH})\.?\s+(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\s*[-–]?\s*\d)|\b(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+|de\s+)?(?P<m2>{_MONTH})\b",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"(?P<s>[$€£₹]|\b(?:usd|eur|gbp|inr|rs\.?)\s?)\s?(?P<n>\d[\d,.]{0,20})|(?<![\d,.])(?P<n2>\d[\d,.]{0,20})\s?(?P<s2>[$€£₹]|(?:us\s)?dollars?\b|usd\b|euros?\b|eur\b|pounds?\b|gbp\b|rupees?\b|inr\b|rupaye\b|d[óo]lares\b)",
    re.IGNORECASE,
)
_CENTS = re.compile(r"(?<!\d)(\d{1,9})\s?(?:dollars?|\$)\s+(?:and\s+)?(\d{1,2})\s?cents?\b", re.IGNORECASE)
_PERCENT = re.compile(
    r"(?<![\d,.])(\d[\d,.]{0,20})\s?(?:%|percent\b|per\s?cent\b|por\s?ciento\b|pour\s?cent\b|prozent\b|प्रतिशत|pratishat\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<!\d)\d{1,30}(?:[.,]\d{1,30}){0,12}")
_PHONE = re.compile(r"\+?\(?\d[\d ().\u00a0-]{6,18}\d")
_NAME = re.compile(
    r"(?<![.!?:]\s)(?<!^)(?<=\s)(?<![.!?:]\s[\"“(])[\"“(]?([A-ZÀ-Ý][\w'’]*[a-zß-ÿ][\w'’]*(?:\s+[A-ZÀ-Ý][\w'’]*[a-zß-ÿ][\w'’]*)*)"
)
_ANY_NUMBER = r"(?:\d[\d.,]{0,20}|(?:" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + r")(?!\w))"
_COUNTED = re.compile(
    rf"(?<![\w.,$€£₹])(?P<n>{_ANY_NUMBER})(?:\s*(?:-|–|to|or|and|a|y|bis|se)\s*(?P<to>{_ANY_NUMBER}))?"
    r"[\s-](?P<first>[^\W\d_]{2,})(?:\s(?P<second>[^\W\d_]{2,}))?"
)
_WORD_NUMBER = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")
# Capitalised though they name nothing.
_PLAIN = words("""
    i ok sms usd eur gbp am pm yes no you we the a an please if it this that our your for in on at to and or but so as id mr mrs
    ms dr hi
""")


@dataclass(frozen=True, slots=True)
class Fact:
    """`kind`: number, money, percent, date, day, time, link, name; `value` is the same however it was written."""

    kind: str
    value: str
    written: str


def facts(text: str, *, names: bool = True) -> list[Fact]:
    """What a text states that can be checked, each once, in its order of kinds."""
    # A number in square brackets is that of a passage.
    text = re.sub(r"\[\d{1,2}\]", " ", _digits(unicodedata.normalize("NFKC", text)))
    found: dict[tuple[str, str], Fact] = {}

    def add(kind: str, value: str, written: str) -> None:
        found.setdefault((kind, value), Fact(kind, value, written.strip()))

    def take(pattern: re.Pattern[str], rest: str) -> tuple[list[re.Match[str]], str]:
        """The matches, and the text with them blanked out."""
        matches = list(pattern.finditer(rest))
        for match in matches:
            rest = rest[: match.start()] + " " * len(match.group()) + rest[match.end() :]
        return matches, rest

    emails, rest = take(_EMAIL, text)
    for match in emails:
        add("link", match.group().casefold().rstrip("."), match.group())
    links, rest = take(_LINK, rest)
    for match in links:
        add("link", link(match.group()), match.group())
    isos, rest = take(_ISO, rest)
    for match in isos:
        add("date", f"{int(match[2])}-{int(match[3])}", match.group())
        add("number", match[1], match[1])
    dates, rest = take(_DATE, rest)
    for match in dates:
        month = _MONTHS[(match["m1"] or match["m2"]).casefold()]
        add("date", f"{month}-{int(match['d1'] or match['d2'])}", match.group())
    times, rest = take(_TIME, rest)
    for match in times:
        add("time", _time(match), match.group())
    cents, rest = take(_CENTS, rest)
    for match in cents:
        add("money", f"{int(match[1])}.{int(match[2]):02d}", match.group())
    money, rest = take(_MONEY, rest)
    for match in money:
        add("money", number(match["n"] or match["n2"]), match.group())
    percents, rest = take(_PERCENT, rest)
    for match in percents:
        add("percent", number(match[1]), match.group())
    phones, rest = take(_PHONE, rest)
    for match in phones:
        digits = re.sub(r"\D", "", match.group())
        if len(digits) >= 8 and not re.fullmatch(r"(?:19|20)\d\d\D+(?:19|20)\d\d", match.group()):
            add("number", digits[-10:], match.group())
        else:
            for each in _NUMBER.finditer(match.group()):
                add("number", number(each.group()), each.group())
    for match in _NUMBER.finditer(rest):
        add("number", number(match.group()), match.group())
    for value, written in _spelled(rest):
        add("number", value, written)
    for word in re.findall(r"[^\W\d_]+", rest.casefold()):
        if word.rstrip("s") in _DAYS or word in _DAYS:
            add("day", word if word in _DAYS else word.rstrip("s"), word)
    if names:
        for match in _NAME.finditer(rest):
            words = [
                word for word in match[1].split() if word.casefold() not in _PLAIN and word.casefold() not in _MONTHS
            ]
            if words and not all(word.casefold() in _DAYS or word.casefold().rstrip("s") in _DAYS for word in words):
                add("name", " ".join(words).casefold(), match[1])
    return list(found.values())


def units(text: str) -> dict[str, set[str]]:
    """For every number the words that follow it, two at most: what it counts. `3 to 5 days` counts days twice."""
    found: dict[str, set[str]] = {}
    for match in _COUNTED.finditer(_digits(unicodedata.normalize("NFKC", text)).casefold()):
        words_behind = {word for word in (match["first"], match["second"]) if word}
        for value in filter(None, (match["n"], match["to"])):
            known = _value(value) if value.isalpha() else None
            key = str(known) if known is not None else number(value) if value[0].isdigit() else None
            if key is not None:
                found.setdefault(key, set()).update(words_behind)
    return found


def number(text: str) -> str:
    """A number as it is compared: 1,000 and 1.000 and 1000 are one, 9,50 and 9.5 too."""
    text = text.rstrip(".,")
    if re.fullmatch(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*", text):
        text = re.sub(r"[.,]", "", text)
    elif re.fullmatch(r"\d{1,3}(?:,\d{2,3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", text):
        text = text.replace(".", "").replace(",", ".")
    else:
        text = text.replace(",", ".")
    if text.count(".") == 1:
        whole, _, part = text.partition(".")
        part = part.rstrip("0")
        return f"{int(whole)}.{part}" if part else str(int(whole))
    return text if "." in text else str(int(text))


def link(text: str) -> str:
    """A link as it is compared."""
    bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", text.casefold())
    return bare.rstrip(".,;:!?/)")


def _digits(text: str) -> str:
    """Digits of every script as 0-9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in text)


def _time(match: re.Match[str]) -> str:
    if match[6]:
        return "0:00" if match[6].casefold() == "midnight" else "12:00"
    if match[4]:
        return f"{int(match[4])}:{match[5]}"
    hour = int(match[1]) % 12 + (12 if match[3].casefold() == "p" else 0)
    return f"{hour}:{match[2] or '00'}"


def _spelled(text: str) -> list[tuple[str, str]]:
    """Numbers that are written as words: five, twenty-one, three hundred."""
    found: list[tuple[str, str]] = []
    total: int | None = None
    written: list[str] = []
    for word in [*_WORD_NUMBER.findall(text), ""]:
        value = _value(word.casefold())
        factor = _ONE_UP.get(word.casefold())
        if value is not None and (total is None or (total % 100 == 0 and total)):
            total = value if total is None else total + value
            written.append(word)
        elif factor is not None and total is not None:
            total *= factor
            written.append(word)
        else:
            # One is a pronoun too, and half of something is no figure.
            if total is not None and (total > 1 or len(written) > 1):
                found.append((str(total), " ".join(written)))
            total, written = (value, [word]) if value is not None else (None, [])
    return found


def _value(word: str) -> int | None:
    first, dash, second = word.partition("-")
    if dash and first in _NUMBERS and second in _NUMBERS and 20 <= _NUMBERS[first] < 100 and _NUMBERS[second] < 10:
        return _NUMBERS[first] + _NUMBERS[second]
    return _NUMBERS.get(word)
