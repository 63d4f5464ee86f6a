"""Pages of a list as Twilio cuts them: newest first, a token that survives new arrivals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from hookflash.emulator.form import Form
from hookflash.emulator.refusal import Refusal


class Row(Protocol):
    """Anything listed: `serial` grows with each new one."""

    @property
    def serial(self) -> int: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Slice(Generic[R]):
    """One page of `rows`; `query(page, token)` writes the query string of another page of the same list."""

    rows: Sequence[R]
    page: int
    size: int
    next: str | None
    previous: str | None
    query: Callable[[int, str], str]


def cut(rows: Sequence[R], asked: Form) -> Slice[R]:
    """The page of `rows` (newest first) that PageSize, Page and PageToken ask for."""
    size = min(1000, max(1, asked.number("PageSize"))) if asked.get("PageSize") else 50
    page = asked.number("Page") if asked.get("Page") else 0
    token = asked.get("PageToken")
    start, end = 0, size
    if token:
        try:
            direction, serial = token[:2], int(token[2:], 16)
        except ValueError:
            raise Refusal(20001, "Invalid PageToken") from None
        older = next((i for i, row in enumerate(rows) if row.serial < serial), len(rows))
        if direction == "PA":
            start, end = older, older + size
        elif direction == "PB":
            # Back from the row of this serial: the page that ends just before it.
            newer = next((i for i, row in enumerate(rows) if row.serial <= serial), len(rows))
            start, end = max(0, newer - size), newer
        else:
            raise Refusal(20001, "Invalid PageToken")
    chosen = rows[start:end]
    more = end < len(rows)

    def query(number: int, token: str) -> str:
        pairs = [(name, value) for name in asked if name not in _PAGING for value in asked.all(name)]
        pairs += [("PageSize", str(size)), ("Page", str(number)), *([("PageToken", token)] if token else [])]
        return urlencode(pairs)

    return Slice(
        chosen,
        page,
        size,
        f"PA{chosen[-1].serial:032x}" if chosen and more else None,
        f"PB{chosen[0].serial:032x}" if chosen and start else None,
        query,
    )


_PAGING = frozenset(("PageSize", "Page", "PageToken"))


def api_page(piece: Slice[R], path: str, key: str, render: Callable[[R], dict[str, Any]]) -> dict[str, Any]:
    """The page in the form of the 2010-04-01 API."""
    start = piece.page * piece.size
    first = f"{path}?{piece.query(0, '')}"
    return {
        key: [render(row) for row in piece.rows],
        "start": start,
        "end": max(start, start + len(piece.rows) - 1),
        "page": piece.page,
        "page_size": piece.size,
        "uri": f"{path}?{piece.query(piece.page, '')}",
        "first_page_uri": first,
        "next_page_uri": f"{path}?{piece.query(piece.page + 1, piece.next)}" if piece.next else None,
        "previous_page_uri": f"{path}?{piece.query(piece.page - 1, piece.previous)}" if piece.previous else None,
    }


def meta_page(piece: Slice[R], url: str, key: str, render: Callable[[R], dict[str, Any]]) -> dict[str, Any]:
    """The page in the form of the v1 and v2 APIs."""
    return {
        key: [render(row) for row in piece.rows],
        "meta": {
            "page": piece.page,
            "page_size": piece.size,
            "first_page_url": f"{url}?{piece.query(0, '')}",
            "previous_page_url": f"{url}?{piece.query(piece.page - 1, piece.previous)}" if piece.previous else None,
            "url": f"{url}?{piece.query(piece.page, '')}",
            "next_page_url": f"{url}?{piece.query(piece.page + 1, piece.next)}" if piece.next else None,
            "key": key,
        },
    }
