"""Markdown, with tables and front matter."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hookflash.knowledge.document import Block, Extracted, Kind, table_rows

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)??(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^(title|language|lang)[ \t]*:[ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"<!--.*?(?:-->|\Z)|</?[a-zA-Z][^<>]*>", re.DOTALL)
# A paragraph's lines are wrapped, a hard break is meant.
_SOFT, _HARD = " ", "\n"


def read_markdown(text: str) -> Extracted:
    """Title: of the front matter, else empty. Links keep their address, pictures their description."""
    fields: dict[str, str] = {}
    if front := _FRONT_MATTER.match(text):
        fields = {name.lower(): value.strip("\"'") for name, value in _FIELD.findall(front.group())}
        text = text[front.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    language = fields.get("language") or fields.get("lang")
    return Extracted(fields.get("title", ""), tuple(_blocks(tokens)), language)


def _blocks(tokens: list[Token]) -> list[Block]:
    blocks: list[Block] = []
    lists: list[int | None] = []  # open lists, innermost last: the next number, or None for bullets
    marker = ""  # of a list item whose first paragraph has not come yet
    level = 0
    table: list[list[str]] = []
    for token in tokens:
        match token.type:
            case "heading_open":
                level = int(token.tag[1])
            case "heading_close":
                level = 0
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                number = lists[-1]
                marker = "- " if number is None else f"{number}. "
                if number is not None:
                    lists[-1] = number + 1
            case "list_item_close":
                marker = ""
            case "table_open":
                table = []
            case "tr_open":
                table.append([])
            case "table_close":
                blocks += table_rows(table)
                table = []
            case "inline" if table:
                table[-1].append(_inline(token))
            case "inline" if level:
                blocks.append(Block(Kind.HEADING, _inline(token).replace("\n", " "), level))
            case "inline":
                blocks.append(Block(Kind.ITEM if lists else Kind.PARAGRAPH, marker + _inline(token)))
                marker = ""
            case "fence" | "code_block":
                blocks.append(Block(Kind.CODE, token.content.rstrip("\n")))
            case "html_block":
                blocks.append(Block(Kind.PARAGRAPH, _TAG.sub(" ", token.content)))
    return blocks


def _inline(token: Token) -> str:
    parts: list[str] = []
    links: list[tuple[int, str]] = []  # where the link's text begins in parts, its address
    for child in token.children or []:
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak":
                parts.append(_SOFT)
            case "hardbreak":
                parts.append(_HARD)
            case "image":
                parts.append(child.content)
            case "html_inline" if child.content.lower().startswith("<br"):
                parts.append(_HARD)
            case "link_open":
                links.append((len(parts), str(child.attrs.get("href", ""))))
            case "link_close":
                start, address = links.pop()
                parts.append(_address("".join(parts[start:]), address))
    return "".join(parts).strip()


def _address(text: str, address: str) -> str:
    """What to write after the text of a link: an address that a reader could use and does not see yet."""
    bare = address.removeprefix("mailto:").removeprefix("tel:")
    usable = bare != address or address.startswith(("http://", "https://"))
    return f" ({bare})" if usable and bare not in text else ""
