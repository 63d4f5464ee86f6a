"""Files of many small records: CSV, JSON Lines and JSON arrays. Each record is readable on its own."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from hookflash.base.errors import Invalid
from hookflash.knowledge.document import Block, Extracted, Kind, Place

_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[-+(]?\s*[$€£¥]?\s*\d[\d.,' ]*\s*(?:%|[$€£¥]|[A-Z]{3})?\)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?|\d{1,2}:\d{2}(?::\d{2})?")
_CONTACT = re.compile(r"\S+@\S+\.\S+|https?://\S+|\+?\d[\d ()/-]{6,}")
# A survey names its columns by questions; what is below are no questions then.
_SENTENCE = re.compile(r"\S+\s+\S+\s.*[.?!]", re.DOTALL)
_NAME_LENGTH = 80
_SAMPLE = 200
# What a record is about, and what it says of it: these need no label.
_ABOUT = frozenset({"question", "q", "title", "heading", "pregunta", "frage"})
_SAYS = frozenset({"answer", "a", "text", "content", "body", "respuesta", "antwort"})


def read_csv(text: str) -> Extracted:
    """One record a row, as lines `column: value`; comma, semicolon, tab or bar between the columns.

    Raises Invalid when the first row does not name the columns, or when a row cannot be read.
    """
    first, _, rest = text.partition("\n")
    if told := re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE):  # a spreadsheet's own hint
        text, delimiter = rest, told.group(1)
    else:
        delimiter = _delimiter(text)
    rows = _rows(text, delimiter)
    header: list[str] = []
    blocks: list[Block] = []
    sample: list[list[str]] = []
    for number, row in rows:
        if not header:
            header = _trimmed(row)
            sample = [other for _, other in islice(_rows(text, delimiter), 1, _SAMPLE) if any(other)]
            _check_header(header, sample)
        else:
            extra = [""] * (len(row) - len(header))
            fields = [(name, value) for name, value in zip(header + extra, row, strict=False) if value]
            blocks += _record(fields, Place("row", number, number))
    if header and not blocks:
        raise Invalid("the file holds a header row and nothing else")
    return Extracted("", tuple(blocks))


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the number that a spreadsheet shows."""
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True, strict=True)
    number = 0
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise Invalid(f"the row that begins in line {begins} is not valid CSV: {error}") from None
        if row is None:
            return
        number += 1
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield number, cells


def _delimiter(text: str) -> str:
    """The one that cuts the most rows into the same number of columns as the first row."""
    lines = text[:200_000].splitlines(keepends=True)[:_SAMPLE]

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row]
        except csv.Error:
            return 0.0, 0
        if not widths or widths[0] < 2:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(_DELIMITERS, key=fit)


def _trimmed(header: list[str]) -> list[str]:
    """Without the empty columns that spreadsheets leave at the right."""
    return header[: max(position for position, name in enumerate(header, 1) if name)]


def _check_header(header: list[str], sample: list[list[str]]) -> None:
    for position, name in enumerate(header, 1):
        found = None
        below = [row[position - 1] for row in sample if len(row) >= position]
        if not name:
            found = "nothing"
        elif len(name) > _NAME_LENGTH:
            found = f"a text of {len(name)} characters"
        elif _DATE.fullmatch(name):
            found = "a date or time"
        elif _NUMBER.fullmatch(name):
            found = "a number"
        elif _CONTACT.fullmatch(name):
            found = "an address"
        elif [other.casefold() for other in header].index(name.casefold()) + 1 < position:
            found = "the same name as another column"
        elif name in below:
            found = "a value that the column has again below"
        elif _SENTENCE.fullmatch(name) and any(_SENTENCE.fullmatch(value) and value[-1] == name[-1] for value in below):
            found = "a sentence, as the rows below"
        if found:
            raise Invalid(
                f"the CSV file has no header row: column {position} of its first row holds {found}, "
                "where the column's name is expected",
                hint="Put a row on top that names every column, each name once.",
            )


def read_json(text: str) -> Extracted:
    """JSON Lines with an object a line, or one JSON array of objects; fields inside fields are named `a.b`.

    Raises Invalid with the number of the line that is not an object.
    """
    blocks: list[Block] = []
    for number, unit, value in _values(text):
        if not isinstance(value, dict):
            raise Invalid(
                f"{unit} {number} is not a JSON object", hint='Each must look like {"question": "…", "answer": "…"}.'
            )
        blocks += _record(_flat(value), Place(unit, number, number))
    return Extracted("", tuple(blocks))


def _values(text: str) -> Iterator[tuple[int, str, object]]:
    if text.lstrip().startswith("["):
        try:
            array = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise Invalid(f"the JSON array cannot be read: {error}") from None
        except RecursionError:
            raise Invalid("the JSON array is nested too deeply") from None
        yield from ((number, "item", value) for number, value in enumerate(array, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise Invalid(f"line {number} is not valid JSON: {error}") from None
            except RecursionError:
                raise Invalid(f"line {number} is nested too deeply") from None
            yield number, "line", value


def _flat(value: object, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [field for key, inner in value.items() for field in _flat(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        if any(isinstance(inner, dict | list) for inner in value):
            return [field for number, inner in enumerate(value, 1) for field in _flat(inner, f"{path}.{number}")]
        return [(path, ", ".join(_scalar(inner) for inner in value))] if value else []
    text = _scalar(value)
    return [(path, text)] if text else []


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).strip()


def _record(fields: Iterable[tuple[str, str]], place: Place) -> list[Block]:
    """A question becomes the heading of its answer, so that it stays with every part of a long one."""
    fields = list(fields)
    names = Counter(name.casefold() for name, _ in fields)
    about = [value for name, value in fields if name.casefold() in _ABOUT]
    says = [value for name, value in fields if name.casefold() in _SAYS]
    known = (len(about), len(says)) == (1, 1) and names.total() == len(names)
    blocks = []
    lines = []
    for name, value in fields:
        if known and name.casefold() in _ABOUT:
            blocks.append(Block(Kind.HEADING, value, 1, place))
        elif name and not (known and name.casefold() in _SAYS):
            lines.append(f"{name}: {value}")
        else:
            lines.append(value)
    return [*blocks, Block(Kind.RECORD, "\n".join(lines), place=place)] if lines else blocks
