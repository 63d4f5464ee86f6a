"""HTML pages: their main part, without menus and footers."""

import re
from collections.abc import Iterator

from lxml import etree, html

from hookflash.base.errors import Invalid
from hookflash.knowledge.document import Block, Extracted, Kind, table_rows
from hookflash.knowledge.formats.encoding import decode

_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_ITEMS = frozenset({"li", "dt", "dd"})
_LISTS = frozenset({"ul", "ol", "dl"})
# Stands for a line break until white space has been cleaned.
_BREAK = "\v"
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "del",
        "dfn",
        "em",
        "font",
        "hi",
        "i",
        "ins",
        "kbd",
        "label",
    }
    | {
        "mark",
        "q",
        "ref",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    }
)
_IGNORED = frozenset(
    {"script", "style", "noscript", "template", "nav", "aside", "button", "select", "iframe", "svg", "canvas", "object"}
    | {"video", "audio", "map", "dialog"}
)
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")


def read_html(data: bytes) -> Extracted:
    """Title: of the page's head. A page that marks its main part is taken at its word, others lose menus and footers.

    Raises Invalid when elements are nested deeper than 255.
    """
    declared = _CHARSET.search(data[:2048])
    text = decode(data, declared=declared.group(1).decode("ascii") if declared else None)
    # libxml2 refuses a str with an XML declaration, and would trust the page's meta element over what was decoded.
    parser = html.HTMLParser(encoding="utf-8")
    try:
        page = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:
        raise Invalid("the page is empty") from None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise Invalid("the page's elements are nested deeper than 255: this is not a page made for reading")
    title = _SPACE.sub(" ", page.findtext(".//title") or "").strip()
    language = (page.get("lang") or "").split("-")[0].lower() or None
    return Extracted(title, tuple(_main(page)), language)


def _main(page: html.HtmlElement) -> list[Block]:
    marked = page.xpath("//main | //*[@role='main']") or page.xpath("//article[not(ancestor::article)]")
    if len(marked) == 1:
        return list(_blocks(marked[0]))
    body = page.find(".//body")
    if body is None:
        return []
    _drop_decoration(body)
    return list(_blocks(body))


def _drop_decoration(body: html.HtmlElement) -> None:
    """Takes out menus, banners and footers. What is left may hold too much: a lost opening hour costs more than a slogan."""
    doomed = [
        element
        for element in body.iter("header", "footer", *_LISTS, "div", "section")
        if _is_frame(element) or _is_menu(element)
    ]
    for element in doomed:
        if element.getparent() is not None:
            element.drop_tree()


def _is_frame(element: html.HtmlElement) -> bool:
    if element.get("role") in {"navigation", "banner", "contentinfo", "search"}:
        return True
    inside = next(element.iterancestors("article", "section"), None) is not None
    return element.tag in {"header", "footer"} and not inside and element.find(".//h1") is None


def _is_menu(element: html.HtmlElement) -> bool:
    """Whether it is a list, or a row, of links and little else."""
    if element.tag not in _LISTS and len(element.findall("a")) < 3:
        return False
    links = [len("".join(link.itertext()).strip()) for link in element.iter("a")]
    everything = len(_SPACE.sub(" ", "".join(element.itertext())).strip())
    return len(links) >= 3 and sum(links) >= 0.7 * everything


def _blocks(element: html.HtmlElement, marker: str = "") -> Iterator[Block]:
    """Walks the children; text between block elements is a paragraph. The depth is bounded by the parser."""
    kind = Kind.ITEM if marker else Kind.PARAGRAPH
    loose: list[str] = [element.text or ""]
    number = 0

    def paragraph() -> Iterator[Block]:
        nonlocal marker
        text = _clean("".join(loose))
        loose.clear()
        if text:
            yield Block(kind, marker + text)
            marker = " " * len(marker)

    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag == "br":
            loose.append(_BREAK)
        elif tag in _INLINE and child.find(".//p") is None:
            loose.append(_text(child))
        elif tag and tag not in _IGNORED:
            yield from paragraph()
            if tag in _HEADINGS:
                if heading := _clean(_text(child)).replace("\n", " "):
                    yield Block(Kind.HEADING, heading, _HEADINGS[tag])
            elif tag == "table":
                yield from _table(child)
            elif tag == "pre":
                if code := "".join(child.itertext()).strip("\n"):
                    yield Block(Kind.CODE, code)
            elif tag in _ITEMS:
                number += 1
                yield from _blocks(child, f"{number}. " if element.tag == "ol" else "- ")
            else:
                yield from _blocks(child, "" if tag in _LISTS else marker)
        loose.append(child.tail or "")
    yield from paragraph()


def _table(table: html.HtmlElement) -> list[Block]:
    rows = [
        [_clean(_text(cell)).replace("\n", ", ") for cell in row if cell.tag in {"td", "th"}]
        for row in table.iter("tr")
        if next(row.iterancestors("table")) is table
    ]
    rows = [row for row in rows if any(row)]
    if rows and max(map(len, rows)) == 1:  # a table for the looks
        return [Block(Kind.PARAGRAPH, row[0]) for row in rows]
    caption = _clean("".join(_text(child) for child in table.findall("caption")))
    return ([Block(Kind.PARAGRAPH, caption)] if caption else []) + table_rows(rows)


def _text(element: html.HtmlElement) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag in _ITEMS or child.tag in {"br", "p", "div"}:
            parts.append(_BREAK)
        if isinstance(child.tag, str) and child.tag not in _IGNORED:
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _clean(text: str) -> str:
    """White space as a browser shows it."""
    lines = (_SPACE.sub(" ", line).strip() for line in text.split(_BREAK))
    return "\n".join(line for line in lines if line)
