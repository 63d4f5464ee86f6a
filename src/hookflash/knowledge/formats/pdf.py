"""PDF: lines with their size and height, put together to headings and paragraphs again."""

import ctypes
import re
import statistics
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pypdfium2
import pypdfium2.raw

from hookflash.base.errors import Invalid, TooLarge
from hookflash.knowledge.document import Block, Extracted, Kind, Limits, Place

# Generated from C headers while it is imported, so that a type checker sees nothing in it.
raw: Any = pypdfium2.raw
open_pdf: Any = pypdfium2.PdfDocument
# PDFium keeps global state: one thread of a process at a time.
_pdfium = threading.Lock()

_ITEM = re.compile(r"(?:[•‣▪●○◦–*-]|\(?\d{1,3}[.)])\s+\S")
_BULLET = re.compile(r"[•‣▪●○◦–*]\s+")
_NUMBER = re.compile(r"\d+")
# PDFium's sign for a hyphen that is there only because the line ended.
_HYPHENS = ("\x02", "\ufffe", "\u00ad")
_EDGE = 2  # lines at the top and the bottom that may be a running header or footer
_LARGER = 1.12  # a line this many times as large as the running text is a heading
_HEADING_LENGTH = 150


@dataclass(frozen=True, slots=True)
class _Line:
    """`size` is the font's in points; `bottom` counts upwards from the foot of the page; both 0 when unknown."""

    text: str
    size: float
    bottom: float
    page: int


def read_pdf(data: bytes, limits: Limits) -> Extracted:
    """Title: of the document's properties, else empty. Headers and footers that repeat are left out.

    Raises Invalid for a broken, protected or scanned file, TooLarge for too many pages.
    """
    with _pdfium:
        pages, title = _pages(data, limits)
    silent = [number for number, page in enumerate(pages, 1) if not page]
    if len(silent) == len(pages):
        raise Invalid(
            f"the PDF's {len(pages)} page{'s' * (len(pages) != 1)} hold no text: it seems to be scanned or drawn",
            hint="Run text recognition (OCR) over it first.",
        )
    notes = (f"No text was found on {len(silent)} of {len(pages)} pages, first on page {silent[0]}.",) if silent else ()
    body = _usual_size(pages)
    lines = [line for page in _without_running(pages, body) for line in page]
    return Extracted(title, tuple(_blocks(lines, body)), notes=notes)


def _pages(data: bytes, limits: Limits) -> tuple[list[list[_Line]], str]:
    try:
        document = open_pdf(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}:
            raise Invalid("the PDF is protected by a password", hint="Save it without a password.") from None
        raise Invalid("the PDF is broken: its structure cannot be read", hint="Open it and save it again.") from error
    try:
        if len(document) > limits.pages:
            raise TooLarge(f"the PDF has {len(document):,} pages; at most {limits.pages:,} are read")
        title = document.get_metadata_value("Title").strip()
        return [_page(document, index) for index in range(len(document))], title
    except pypdfium2.PdfiumError as error:
        raise Invalid(
            "the PDF is broken: one of its pages cannot be read", hint="Open it and save it again."
        ) from error
    finally:
        document.close()


def _page(document: Any, index: int) -> list[_Line]:
    page = document[index]
    words = page.get_textpage()
    try:
        count = words.count_chars()
        text = words.get_text_range() if count else ""
        # Where the two differ, positions in the text do not lead to the character's shape.
        measured = len(text) == count
        lines = []
        at = 0
        for line in text.split("\n"):
            bare = line.strip()
            if bare:
                first = at + len(line) - len(line.lstrip())
                size, bottom = _shape(words, first) if measured else (0.0, 0.0)
                lines.append(_Line(bare, size, bottom, index + 1))
            at += len(line) + 1
        return lines
    finally:
        words.close()
        page.close()


def _shape(words: Any, index: int) -> tuple[float, float]:
    """Font size as it appears on the page, and the line's base (the character's origin)."""
    matrix = raw.FS_MATRIX()
    scale = matrix.d if raw.FPDFText_GetMatrix(words, index, matrix) else 1.0
    x, y = ctypes.c_double(), ctypes.c_double()
    if not raw.FPDFText_GetCharOrigin(words, index, x, y):
        return 0.0, 0.0
    return round(float(raw.FPDFText_GetFontSize(words, index)) * (abs(scale) or 1.0), 1), y.value


def _usual_size(pages: list[list[_Line]]) -> float:
    weights: Counter[float] = Counter()
    for page in pages:
        for line in page:
            weights[line.size] += len(line.text)
    return weights.most_common(1)[0][0]


def _without_running(pages: list[list[_Line]], body: float) -> list[list[_Line]]:
    """Drops lines at the edges that stand on most pages, the same or with a number that grows with the page's."""
    full = [page for page in pages if page]
    if len(full) < 3:
        return pages
    seen = Counter(key for page in full for key in {key for line in _edges(page, body) for key in _forms(line)})
    running = {key for key, pages_with in seen.items() if pages_with > len(full) / 2}
    kept = []
    for page in pages:
        edges = {id(line) for line in _edges(page, body)}
        kept.append([line for line in page if id(line) not in edges or running.isdisjoint(_forms(line))])
    # Short pages that are the same all over are not headers.
    return kept if any(kept) else pages


def _edges(page: list[_Line], body: float) -> list[_Line]:
    """Never a heading, and at most two thirds of a page: "Step 1" on top of each page is no running header."""
    edge = min(_EDGE, len(page) // 3)
    return [line for line in page[:edge] + page[len(page) - edge :] if line.size < body * _LARGER or not body]


def _forms(line: _Line) -> set[str]:
    """The line, and the line with each of its numbers told relative to the page's: equal on all pages for "3 of 9"."""
    text = line.text[:200]
    numbers = [found for found in _NUMBER.finditer(text) if len(found.group()) <= 6]
    return {text} | {f"{text[: n.start()]}<{int(n.group()) - line.page}>{text[n.end() :]}" for n in numbers[:6]}


def _blocks(lines: list[_Line], body: float) -> Iterator[Block]:
    if not lines:
        return
    larger = sorted({line.size for line in lines if body and line.size >= body * _LARGER}, reverse=True)
    steps = [
        before.bottom - line.bottom
        for before, line in pairwise(lines)
        if before.page == line.page and before.size == line.size == body and before.bottom > line.bottom
    ]
    # From line to line, not from paragraph to paragraph, unless the whole is set that wide.
    near = [step for step in steps if step <= body * 1.8]
    steps = near if len(near) * 3 >= len(steps) else steps
    step = statistics.median_low(steps) if steps else body * 1.2
    width = max(len(line.text) for line in lines)

    start = 0
    for end in range(1, len(lines) + 1):
        if end == len(lines) or _breaks(lines[end - 1], lines[end], step, width):
            yield _block(lines[start:end], larger)
            start = end


def _breaks(before: _Line, line: _Line, step: float, width: int) -> bool:
    if line.size != before.size and max(line.size, before.size) > min(line.size, before.size) * 1.1:
        return True
    if _ITEM.match(line.text):
        return True
    if line.page != before.page:  # a sentence that goes on on the next page
        return before.text[-1] in ".!?:" or not (line.text[0].islower() or len(before.text) > width * 0.7)
    if before.bottom:
        return before.bottom - line.bottom > step * 1.3 or before.bottom < line.bottom - step
    return before.text[-1] in ".!?:" and len(before.text) < width * 0.8


def _block(lines: list[_Line], larger: list[float]) -> Block:
    text = lines[0].text
    for line in lines[1:]:
        text = text[:-1] + line.text if text.endswith(_HYPHENS) else f"{text} {line.text}"
    place = Place("page", lines[0].page, lines[-1].page)
    if lines[0].size in larger and len(text) <= _HEADING_LENGTH:
        return Block(Kind.HEADING, text, min(larger.index(lines[0].size) + 1, 6), place)
    if _ITEM.match(text):
        return Block(Kind.ITEM, _BULLET.sub("- ", text, count=1), place=place)
    return Block(Kind.PARAGRAPH, text, place=place)
