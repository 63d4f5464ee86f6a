"""Cursors: opaque to the reader, the last row's sort key to us."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from hookflash.base.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor of the next ones (None at the end)."""

    items: list[T]
    cursor: str | None


async def whole(page: Callable[[str | None], Awaitable[Page[T]]]) -> list[T]:
    """All rows of a list, page by page; `page` gives the one at a cursor."""
    first = await page(None)
    rows, cursor = first.items, first.cursor
    while cursor is not None:
        more = await page(cursor)
        rows, cursor = rows + more.items, more.cursor
    return rows


def encode_cursor(*key: str | int) -> str:
    """Make a cursor of the sort key of the last row of a page."""
    return urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """Read a cursor whose key has exactly these kinds of parts; raises Invalid for anything that we did not make."""
    try:
        key = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or any(type(k) is not t for k, t in zip(key, kinds, strict=True))
        or any("\0" in k if isinstance(k, str) else not -(2**63) <= k < 2**63 for k in key)
    ):
        raise Invalid("this cursor was not made by this list", field="cursor")
    return tuple(key)
