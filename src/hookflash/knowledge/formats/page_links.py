"""What a page says to those who follow links: where it leads, its own address, whether it wants to be read by us."""

import re
from dataclasses import dataclass

from lxml import etree, html

from hookflash.base.errors import Invalid
from hookflash.knowledge.formats.encoding import decode
from hookflash.knowledge.robots import NAME
from hookflash.knowledge.web_address import joined

MOST_LINKS = 2_000
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageLinks:
    """`links` in their order, canonical, of any site; `address` is the one that the page says is its own."""

    links: tuple[str, ...] = ()
    address: str | None = None
    indexed: bool = True


def read_links(data: bytes, url: str) -> PageLinks:
    """Of an HTML page that was fetched from `url`. One that cannot be parsed leads nowhere."""
    declared = _CHARSET.search(data[:2048])
    try:
        text = decode(data, declared=declared.group(1).decode("ascii") if declared else None)
        page = html.document_fromstring(text.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8"))
    except (Invalid, etree.ParserError, etree.XMLSyntaxError):
        return PageLinks()
    base = page.find(".//base[@href]")
    against = joined(url, base.get("href")) or url if base is not None else url
    asked = {
        word.strip().lower()
        for meta in page.iter("meta")
        if (meta.get("name") or "").lower() in {"robots", NAME}
        for word in (meta.get("content") or "").split(",")
    }
    own = next(
        (joined(against, link.get("href") or "") for link in page.iter("link") if _rel(link, "canonical")),
        None,
    )
    follow = asked.isdisjoint({"nofollow", "none"})
    found = (
        joined(against, link.get("href"))
        for link in (page.iter("a", "area") if follow else ())
        if link.get("href") and not _rel(link, "nofollow")
    )
    links = tuple(dict.fromkeys(link for link in found if link))[:MOST_LINKS]
    return PageLinks(links, own, asked.isdisjoint({"noindex", "none"}))


def read_sitemap(data: bytes, url: str) -> tuple[list[str], list[str]]:
    """The pages, and the further sitemaps, that a sitemap names. One that is no XML names none; text has one a line."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, recover=True, load_dtd=False)
    if not data.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        lines = data.decode("utf-8", "replace").split()
        return [made for line in lines[:MOST_LINKS] if line.startswith("http") and (made := joined(url, line))], []
    try:
        root = etree.fromstring(data, parser=parser)
    except etree.XMLSyntaxError:
        return [], []
    if root is None:
        return [], []
    found: dict[str, list[str]] = {"url": [], "sitemap": []}
    for place in root.iter("{*}loc"):
        parent = place.getparent()
        kind = etree.QName(parent).localname if parent is not None else ""
        made = joined(url, place.text) if place.text and place.text.strip() else None
        if made and kind in found and len(found[kind]) < MOST_LINKS:
            found[kind].append(made)
    return found["url"], found["sitemap"]


def _rel(element: html.HtmlElement, word: str) -> bool:
    return word in (element.get("rel") or "").lower().split()
