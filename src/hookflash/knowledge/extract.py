"""From the bytes of a file to its blocks of text: which format it has, and whether it can be read at all.

Everything here keeps a core busy and never waits: call it from a worker thread or process.
"""

import re
import unicodedata
from dataclasses import replace
from pathlib import PurePath

from hookflash.base.errors import Invalid, TooLarge
from hookflash.knowledge.document import Block, Extracted, Kind, Limits, RawDocument
from hookflash.knowledge.formats.encoding import decode
from hookflash.knowledge.formats.plain import read_plain
from hookflash.knowledge.formats.records import read_csv, read_json

ENDINGS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".txt": "plain",
    ".text": "plain",
}
CONTENT_TYPES = {
    "text/markdown": "markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/jsonl": "json",
    "application/x-ndjson": "json",
    "application/json": "json",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/plain": "plain",
}
_SUPPORTED = "Supported are Markdown, CSV, JSON Lines, HTML, PDF, DOCX and plain text."
_TITLE_LENGTH = 200
# Invisible and unstorable: controls but tab and newline, soft hyphens, zero-width and direction marks, lone surrogates.
# The joiners U+200C and U+200D stay, they carry meaning in several scripts.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_SPACE = re.compile(r"[ \t\xa0\u2000-\u200a\u202f\u205f\u3000]+")
_LINES = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def extract(raw: RawDocument, *, limits: Limits | None = None) -> Extracted:
    """The document's title and its blocks, none of them empty.

    The title is what the document says of itself, else its first heading if that is the only one of its level, else the
    file's name. Raises Invalid (unknown, broken, protected or empty file; the sentence says what and where) or TooLarge.
    """
    limits = limits or Limits()
    size = len(raw.data)
    if size > limits.file_bytes:
        raise TooLarge(
            f"the file has {size / 1e6:,.1f} MB; at most {limits.file_bytes / 1e6:,.1f} MB are read",
            hint="Split it, or raise the limit.",
        )
    if not raw.data.strip():
        raise Invalid("the file is empty")
    read = _read(raw, limits)
    blocks = tuple(_tidy(read.blocks))
    if not blocks:
        raise Invalid("the file holds no text")
    title = _clean(read.title).replace("\n", " ") or _only_top_heading(blocks) or _name(raw.name)
    return replace(read, title=title[:_TITLE_LENGTH], blocks=blocks)


def _read(raw: RawDocument, limits: Limits) -> Extracted:
    # The heavy readers are imported when their first document comes: together they take a tenth of a start.
    kind = format_of(raw)
    if kind == "pdf":
        from hookflash.knowledge.formats.pdf import read_pdf

        return read_pdf(raw.data, limits)
    if kind == "docx":
        from hookflash.knowledge.formats.word import read_docx

        return read_docx(raw.data, limits)
    if kind == "html":
        from hookflash.knowledge.formats.webpage import read_html

        return read_html(raw.data)
    text = _LINES.sub("\n", decode(raw.data))
    match kind:
        case "markdown":
            from hookflash.knowledge.formats.markdown import read_markdown

            return read_markdown(text)
        case "csv":
            return read_csv(text)
        case "json":
            return read_json(text)
        case _:
            return read_plain(text)


def format_of(raw: RawDocument) -> str:
    """`markdown`, `csv`, `json`, `html`, `pdf`, `docx` or `plain`. Raises Invalid when it is none, or not what it claims."""
    ending = PurePath(raw.name).suffix.lower()
    content_type = (raw.content_type or "").partition(";")[0].strip().lower()
    claimed = ENDINGS.get(ending) or CONTENT_TYPES.get(content_type)
    begins = raw.data[:1024]
    if b"%PDF-" in begins and claimed in {None, "pdf"}:
        return "pdf"
    if claimed == "pdf":
        raise Invalid("the file claims to be a PDF, but does not begin like one")
    if (
        begins.startswith(b"PK\x03\x04")
        and claimed in {None, "docx"}
        and ending not in {".xlsx", ".pptx", ".zip", ".epub"}
    ):
        return "docx"
    if begins.startswith(b"\xd0\xcf\x11\xe0"):
        raise Invalid("this is a file of an old Office version, or protected by a password", hint="Save it as DOCX.")
    if claimed == "docx":
        raise Invalid("the file claims to be a Word document (DOCX), but does not begin like one")
    if claimed is None and ending and (content_type and not content_type.startswith("text/")):
        raise Invalid(f"files of the type {ending[:12]} cannot be read", hint=_SUPPORTED)
    return claimed or "plain"


def _tidy(blocks: tuple[Block, ...]) -> list[Block]:
    tidied = []
    for block in blocks:
        text = _INVISIBLE.sub("", block.text).rstrip() if block.kind is Kind.CODE else _clean(block.text)
        if text:
            tidied.append(replace(block, text=text))
    return tidied


def _clean(text: str) -> str:
    """NFC, visible, with single spaces and no blank lines."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    text = _SPACE.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", _LINES.sub("\n", text))))
    return "\n".join(line for line in (line.strip() for line in text.split("\n")) if line)


def _only_top_heading(blocks: tuple[Block, ...]) -> str:
    """The first heading, when it is the first block and the only one of the highest level."""
    levels = [block.level for block in blocks if block.kind is Kind.HEADING]
    if blocks[0].kind is Kind.HEADING and blocks[0].level == min(levels) and levels.count(min(levels)) == 1:
        return blocks[0].text.replace("\n", " ")
    return ""


def _name(name: str) -> str:
    """`price-list.csv` is `Price list`."""
    stem = re.sub(r"[-_\s]+", " ", _clean(PurePath(name.replace("\\", "/")).stem)).strip()
    return stem[:1].upper() + stem[1:] if stem else "Untitled"
