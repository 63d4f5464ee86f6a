"""Lists as Twilio's newer APIs page them: the page's rows under the list's own name, and `meta` that leads on and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from hookflash.base.errors import Invalid

DEFAULT_SIZE = 50
MOST_SIZE = 1_000
# So many pages lead back; each takes its cursor's length of the address.
_MOST_BACK = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page of a list is wanted. `cursors` are those of the pages before it, the last one is its own.

    `address` is the list's, without its query; `filters` are those of its query that choose rows.
    """

    address: str
    size: int = DEFAULT_SIZE
    page: int = 0
    cursors: tuple[str, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def cursor(self) -> str | None:
        return self.cursors[-1] if self.cursors else None

    def meta(self, key: str, following: str | None) -> dict[str, Any]:
        """`following` is the cursor of the next page, None at the end."""
        number = self.page
        back = None
        if len(self.cursors) > 1:
            back = self._url(number - 1, self.cursors[:-1])
        elif number == 1:
            back = self._url(0, ())
        onward = self._url(number + 1, (*self.cursors, following)[-_MOST_BACK:]) if following else None
        return {
            "key": key,
            "page": number,
            "page_size": self.size,
            "first_page_url": self._url(0, ()),
            "previous_page_url": back,
            "url": self._url(number, self.cursors),
            "next_page_url": onward,
        }

    def _url(self, page: int, cursors: tuple[str, ...]) -> str:
        query = {**self.filters, "PageSize": str(self.size), "Page": str(page)}
        if cursors:
            query["PageToken"] = ",".join(cursors)
        return f"{self.address}?{urlencode(query)}"


def asked(address: str, query: Mapping[str, str], filters: tuple[str, ...] = ()) -> Asked:
    """Read a list's query. Raises Invalid."""
    size = _number(query, "PageSize", DEFAULT_SIZE, least=1)
    if size > MOST_SIZE:
        raise Invalid(f"at most {MOST_SIZE:,} are given at once", field="PageSize")
    cursors = tuple(filter(None, query.get("PageToken", "").split(",")))
    page = _number(query, "Page", len(cursors), least=0)
    if page and not cursors:
        raise Invalid("a page after the first is reached by next_page_url", field="PageToken")
    return Asked(address, size, max(page, len(cursors)), cursors, {f: query[f] for f in filters if query.get(f)})


def _number(query: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
        raise Invalid(f"a number from {least} on is expected", field=name)
    return int(text)
