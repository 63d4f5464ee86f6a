"""What a passage can answer with: sentences, table rows, list items, records, FAQ answers, each readable by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from hookflash.knowledge.passage import Passage
from hookflash.knowledge.sentences import BULLET, split_sentences

FAQ_CHARS = 600
LIST_CHARS = 420
LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
MARKS = re.compile(r"(?<!\w)(\*\*|__|\*|_|~~|`+)(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)
OPENING = re.compile(r"^[ \t]*(?:#{1,6}|>+)[ \t]+", re.MULTILINE)
FIELD = re.compile(r"(?P<name>[^:;.!?]{1,40}): (?P<value>.+)")
# A line of few words without a mark at its end stands over the next ones.
CAPTION = re.compile(r"[^\W\d_][\w'’&-]*(?: [\w'’&-]+){0,3}")
# The column of a record that says what the record is about.
SUBJECT = re.compile(r"product|name|item|title|model|service|article|producto|nombre|produkt|artikel|produit|nom", re.I)
# A sentence that begins so speaks of what the one before it says.
LEANING = re.compile(
    r"(?:it|its|this|these|those|they|them|their|he|she|otherwise|after (?:that|\d)|then|also|but|however|both|such"
    r"|you (?:find|get|need) (?:it|them|one)|we (?:find|send|pay|keep|do) (?:it|them|so)|in that case|if (?:so|not)|eso|esto"
    r"|ellos|pero|después|sie|dies|diese|ils|elles|cela)\b",
    re.IGNORECASE,
)
# Headings that say nothing about what stands under them.
BLANK = frozenset({"details", "overview", "specifications", "features", "general", "information", "notes", "contents"})


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that can be said. `text` is plain; `heading` is over it, `title` names the whole document.

    `kind`: sentence, item (of a list), row (of a table), table (all its rows), record, list (all its items), steps (a
    numbered list), faq.
    `leans`: it needs the unit before it to be understood.
    """

    text: str
    kind: str
    title: str
    heading: str
    order: int
    leans: bool = False

    @property
    def label(self) -> str:
        """What a fragment is about."""
        return self.heading if self.heading and self.heading.lower() not in BLANK else self.title

    @property
    def said(self) -> str:
        """The text as it can be sent without what stood around it."""
        if (
            self.kind in {"row", "table", "item", "list", "steps"}
            and self.label
            and self.label.lower() not in self.text.lower()
        ):
            return closed(f"{self.label} - {self.text}" if ": " in self.text else f"{self.label}: {self.text}")
        return closed(self.text)


def units(passage: Passage) -> tuple[Unit, ...]:
    """Everything that the passage can answer with, in its order."""
    return _units(plain(passage.title), tuple(map(plain, passage.headings)), passage.text)


@lru_cache(maxsize=4096)
def _units(title: str, headings: tuple[str, ...], text: str) -> tuple[Unit, ...]:
    heading = headings[-1] if headings and headings[-1] != title else ""
    lines = [line for line in text.splitlines() if line.strip() and plain(line) not in {title, heading}]
    asked = heading or title
    if asked.endswith("?") and lines and len(text) <= FAQ_CHARS and not any(map(BULLET.match, lines)):
        return (Unit(" ".join(map(plain, lines)), "faq", title, asked, 0),)
    record = _record(lines)
    read = iter([("record", heading, record)]) if record else _read(text.splitlines(), {title, heading}, heading)
    found: list[Unit] = []
    for kind, over, content in read:
        if any(letter.isalnum() for letter in content):
            # What follows a question ("Missing a part? Tell us which.") is nothing without it.
            leans = kind == "sentence" and bool(found) and (asks(found[-1]) or LEANING.match(content) is not None)
            found.append(Unit(content, kind, title, over, len(found), leans))
    return tuple(found)


def _read(lines: list[str], skipped: set[str], heading: str) -> Iterator[tuple[str, str, str]]:
    """Kind, heading and plain text of all that can be said."""
    prose: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        row = _row(line)
        if BULLET.match(line):
            sentences = _prose(prose)
            lead = sentences.pop() if sentences and sentences[-1].endswith(":") else ""
            yield from (("sentence", heading, sentence) for sentence in sentences)
            items, taken = _items(lines[at:])
            numbered = line.lstrip("( \t")[0].isdigit()
            yield from ((kind, heading, content) for kind, content in _list(items, numbered, lead))
            prose, at = [], at + taken
            continue
        if row:
            yield from (("sentence", heading, sentence) for sentence in _prose(prose))
            rows = list(takewhile(bool, map(_row, lines[at:])))
            yield from (("row", heading, each) for each in rows)
            joined = "; ".join(rows)
            if len(rows) > 1 and len(joined) <= LIST_CHARS:
                yield "table", heading, joined
            prose, at = [], at + len(rows)
            continue
        if line.startswith("#") or (CAPTION.fullmatch(line) and at + 1 < len(lines) and lines[at + 1].strip()):
            yield from (("sentence", heading, sentence) for sentence in _prose(prose))
            heading, prose = plain(line), []
        elif plain(line) not in skipped:
            prose.append(line)
        at += 1
    yield from (("sentence", heading, sentence) for sentence in _prose(prose))


def asks(unit: Unit) -> bool:
    """Whether it is a question itself, which answers nothing."""
    return unit.kind == "sentence" and unit.text.endswith("?")


def _prose(lines: list[str]) -> list[str]:
    return [plain(sentence.text) for sentence in split_sentences("\n".join(lines))]


def _items(lines: list[str]) -> tuple[list[str], int]:
    """The items of the list that begins with the first line, and how many lines it takes."""
    items: list[str] = []
    taken = 0
    for line in lines:
        bullet = BULLET.match(line)
        if bullet:
            items.append(line[bullet.end() :])
        elif line.strip() and line[0].isspace():
            items[-1] += " " + line
        elif line.strip():
            break
        taken += 1
    return list(map(plain, items)), taken


def _list(items: list[str], numbered: bool, lead: str) -> Iterator[tuple[str, str]]:
    opening = f"{lead.rstrip(': ')}: " if lead else ""
    kind = "sentence" if lead else "item"
    if not numbered:
        yield from ((kind, opening + item) for item in items)
    joined = " ".join(map(closed, items)) if numbered else "; ".join(item.rstrip(".;,") for item in items)
    if len(items) > 1 and len(joined) <= LIST_CHARS:
        yield ("steps" if numbered else "list"), opening + joined


def _row(line: str) -> str:
    """A row of a table, `Day: Sunday; Opens: 11 a.m.; Closes: 5 p.m.`, as `Sunday: opens 11 a.m., closes 5 p.m.`."""
    parts = line.strip().split("; ")
    fields = [FIELD.fullmatch(part) for part in parts]
    if len(parts) < 2 or sum(field is not None for field in fields) * 2 <= len(parts):
        return ""
    first, *others = (
        f"{_lowered(field['name'])} {field['value']}" if field else part
        for field, part in zip(fields, parts, strict=True)
    )
    return f"{plain(fields[0]['value'] if fields[0] else first)}: {plain(', '.join(others))}"


def _record(lines: list[str]) -> str:
    """A record of lines `Column: value`, as `Lumen headlamp: SKU AP-A120, price $42`."""
    fields = [FIELD.fullmatch(line.strip()) for line in lines]
    known = [(field["name"], field["value"]) for field in fields if field]
    subject = next((value for name, value in known if SUBJECT.search(name)), None)
    if len(known) < 2 or len(known) < len(lines) or subject is None:
        return ""
    others = (f"{_lowered(name)} {value}" for name, value in known if value != subject)
    return plain(f"{subject}: {', '.join(others)}")


def _lowered(name: str) -> str:
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def plain(text: str) -> str:
    """Without Markdown, on one line."""
    text = LINK.sub(lambda link: f"{link[1]} ({link[2]})" if link[1] and link[2].startswith("http") else link[1], text)
    for _ in range(2):
        text = MARKS.sub(r"\2", text)
    return " ".join(OPENING.sub("", text).split())


def closed(text: str) -> str:
    """With a mark at its end."""
    text = text.rstrip(" ,;:")
    return text if not text or text[-1] in ".!?…।。" or text[-2:-1] in ".!?" else f"{text}."
