"""A web site as a source: where its reading begins and how far it goes, how the last one went, and its pages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

DEPTH = 2
PAGES = 15


@dataclass(frozen=True, slots=True)
class Site:
    """Pages at most `depth` links away from `url` on the same site, `pages` at most; again every so many hours, if ever."""

    url: str
    depth: int = DEPTH
    pages: int = PAGES
    every_hours: int | None = None

    @classmethod
    def stored(cls, config: dict[str, Any]) -> "Site":
        return cls(config["url"], config["depth"], config["pages"], config["every_hours"])

    def to_dict(self) -> dict[str, Any]:
        return {"url": self.url, "depth": self.depth, "pages": self.pages, "every_hours": self.every_hours}


@dataclass(frozen=True, slots=True)
class Crawl:
    """The last reading of a site. `state`: QUEUED, PROCESSING, COMPLETED or FAILED, then `reason` says why."""

    state: str
    reason: str | None
    due_at: datetime | None
    began_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page. `status` as of documents; `reason` tells why it could not be had or read. A page that is away for a while
    is FAILED and keeps its `document_id`: what was read before is still found."""

    id: str
    source_id: str
    url: str
    status: str
    reason: str | None
    document_id: str | None
    title: str | None
    chunk_count: int
    checked_at: datetime
