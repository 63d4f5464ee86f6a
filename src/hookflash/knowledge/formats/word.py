"""Word documents (DOCX)."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from lxml import etree

from hookflash.base.errors import Invalid, TooLarge
from hookflash.knowledge.document import Block, Extracted, Kind, Limits, table_rows

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_ENTRIES = 10_000
# What python-docx, lxml, zipfile and zlib raise on damaged files (found by damaging thousands).
_BROKEN = (
    *(PackageNotFoundError, zipfile.BadZipFile, zlib.error, etree.XMLSyntaxError),
    *(KeyError, ValueError, OSError, EOFError, NotImplementedError, AttributeError),
)


def read_docx(data: bytes, limits: Limits) -> Extracted:
    """Title: of the document's properties, else its Title paragraph. Insertions under review count, deletions do not.

    Raises Invalid when it is broken or no Word document, TooLarge when it unfolds to more than the limit.
    """
    _check_archive(data, limits)
    try:
        document = docx.Document(io.BytesIO(data))
        body = document.element.body
        styles = {style.style_id: style.name or "" for style in document.styles}
        title = document.core_properties.title or ""
    except _BROKEN as error:
        raise Invalid(
            f"the Word document is broken ({type(error).__name__})", hint="Open it in Word and save it again."
        ) from error
    blocks = []
    for block in _blocks(body, styles):
        if block.kind is Kind.HEADING and block.level == 0:
            title = title or block.text
            block = Block(Kind.HEADING, block.text, 1)
        blocks.append(block)
    return Extracted(title.strip(), tuple(blocks))


def _check_archive(data: bytes, limits: Limits) -> None:
    """Python's zipfile never reads more of an entry than the size that is declared here, so that can be trusted."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Invalid("the Word document is broken: it is not a whole ZIP archive") from error
    size = sum(entry.file_size for entry in entries)
    if size > limits.unpacked_bytes or len(entries) > _ENTRIES:
        raise TooLarge(
            f"the Word document unfolds to {size / 1e6:,.0f} MB in {len(entries):,} parts; "
            f"at most {limits.unpacked_bytes / 1e6:,.0f} MB in {_ENTRIES:,} are read"
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise Invalid("the Word document is protected by a password", hint="Save it without a password.")
    if not any(entry.filename.startswith("word/") for entry in entries):
        raise Invalid("this is a ZIP archive, but not a Word document")


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[Block]:
    """In the order of the page; content controls and other wrappers are looked through."""
    for element in parent:
        if element.tag == f"{_W}p":
            yield from _paragraph(element, styles)
        elif element.tag == f"{_W}tbl":
            rows = [[_cell(cell) for cell in row.iter(f"{_W}tc") if _owner(cell) is row] for row in _own_rows(element)]
            if rows and max(map(len, rows)) == 1:  # a box around text
                yield from (Block(Kind.PARAGRAPH, row[0]) for row in rows if row and row[0])
            else:
                yield from table_rows(rows)
        elif element.tag in {f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml", f"{_W}smartTag"}:
            yield from _blocks(element, styles)


def _own_rows(table: Any) -> list[Any]:
    return [row for row in table.iter(f"{_W}tr") if next(row.iterancestors(f"{_W}tbl")) is table]


def _owner(cell: Any) -> Any:
    return next(cell.iterancestors(f"{_W}tr"))


def _paragraph(element: Any, styles: dict[str, str]) -> list[Block]:
    text = _text(element)
    if not text:
        return []
    named = element.find(f"{_W}pPr/{_W}pStyle")
    style_id = named.get(f"{_W}val", "") if named is not None else ""
    style = styles.get(style_id, style_id).lower()
    if heading := _HEADING.match(style):
        return [Block(Kind.HEADING, text.replace("\n", " "), int(heading.group(1)))]
    if style == "title":
        return [Block(Kind.HEADING, text.replace("\n", " "), 0)]
    if style.startswith("list") or element.find(f"{_W}pPr/{_W}numPr") is not None:
        return [Block(Kind.ITEM, f"- {text}")]
    return [Block(Kind.PARAGRAPH, text)]


def _cell(cell: Any) -> str:
    return ", ".join(text for paragraph in cell.iter(f"{_W}p") if (text := _text(paragraph).replace("\n", " ")))


def _text(paragraph: Any) -> str:
    """Deleted text lies in other elements than `t`; a text box stands twice, once for old programs."""
    parts = []
    for node in paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}noBreakHyphen", f"{_W}p"):
        if node is paragraph or next(node.iterancestors(_FALLBACK), None) is not None:
            continue
        if node.tag == f"{_W}t":
            parts.append(node.text or "")
        elif node.tag == f"{_W}tab":
            # Tab stops of a paragraph's settings have the same name as a tab in its text.
            parts.append(" " if node.getparent().tag == f"{_W}r" else "")
        else:
            parts.append("-" if node.tag == f"{_W}noBreakHyphen" else "\n")
    return "".join(parts).strip()
