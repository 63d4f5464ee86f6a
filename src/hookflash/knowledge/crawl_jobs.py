"""Background work of web sites: reading them page by page, slowly, and again when their time has come."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import anyio.to_thread
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import NotFound
from hookflash.db.jobs import Task
from hookflash.db.pool import Database
from hookflash.knowledge import store, web_store
from hookflash.knowledge.crawl import (
    Fetch,
    Fetched,
    Fetcher,
    Frontier,
    Got,
    Keep,
    Lost,
    Outcome,
    PageRead,
    RobotsRead,
    SitemapRead,
    Still,
)
from hookflash.knowledge.formats.page_links import PageLinks, read_links, read_sitemap
from hookflash.knowledge.robots import parse
from hookflash.knowledge.source import Document, KnowledgeSource
from hookflash.knowledge.web import Site
from hookflash.workspace import store as workspace

log = structlog.get_logger()

_HTML = frozenset({"text/html", "application/xhtml+xml"})

# Index a document at once, in this process; told are its account and the document.
Index = Callable[[str, Document], Awaitable[None]]
Watch = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """What one reading came to. `reason` is why the site as a whole could not be read."""

    kept: int
    unchanged: int
    lost: tuple[tuple[str, str], ...]
    vanished: int
    reason: str | None


def _silent(url: str, kept: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Crawler:
    """Reads sites. `delay`: seconds between two requests to one site, unless its robots.txt asks for more."""

    db: Database
    clock: Clock
    fetcher: Fetcher
    delay: float = 1.0

    async def crawl(
        self, account_id: str, source_id: str, *, index: Index | None = None, watch: Watch = _silent
    ) -> CrawlReport:
        """Read one site. What is wrong with a page ends in the page's reason; documents wait for a worker without `index`.

        Each page is stored as it comes, so that a crawl that is broken off has only little to ask again. Raises
        NotFound, Unavailable (of the database).
        """
        async with self.db.tenant(account_id) as conn:
            source = await store.get_source(conn, source_id)
            known = await web_store.begin_crawl(conn, source, self.clock.now())
            before = await web_store.page_addresses(conn, source_id)
        place = Site.stored(source.config)
        frontier = Frontier(place.url, place.depth, place.pages, known)
        unchanged = 0
        asked = False
        while (step := frontier.next()) is not None:
            if isinstance(step, Lost):
                await self._lost(source, step)
                continue
            if asked:
                await self.clock.sleep(max(self.delay, frontier.delay(step) or 0.0))
            asked = True
            watch(step.url, len(frontier.kept))
            fetched = await self.fetcher.fetch(step)
            outcome = await anyio.to_thread.run_sync(_read, step, fetched)
            match frontier.came(step, outcome):
                case Keep() as keep:
                    assert isinstance(fetched, Got)
                    unchanged += await self._keep(source, step, keep, fetched, index)
                case Still(address):
                    unchanged += 1
                    async with self.db.tenant(account_id) as conn:
                        await web_store.page_same(conn, source_id, address, self.clock.now())
                case Lost() as lost:
                    await self._lost(source, lost)
        vanished = frontier.vanished(before)
        reason = None if frontier.reached else next(iter(frontier.lost.values()), "the site gave nothing to read")
        now = self.clock.now()
        async with self.db.tenant(account_id) as conn:
            if vanished:
                await web_store.pages_vanished(conn, source_id, vanished, now)
            due = now + timedelta(hours=place.every_hours) if place.every_hours else None
            await web_store.end_crawl(conn, source_id, reason, due, now)
        log.info(
            "site read", source=source_id, kept=len(frontier.kept), lost=len(frontier.lost), vanished=len(vanished)
        )
        return CrawlReport(len(frontier.kept), unchanged, tuple(sorted(frontier.lost.items())), len(vanished), reason)

    async def _keep(self, source: KnowledgeSource, fetch: Fetch, keep: Keep, got: Got, index: Index | None) -> bool:
        """Whether it is what we have."""
        async with self.db.tenant(source.account_id) as conn:
            document, changed = await web_store.page_came(
                conn, source, fetch, keep, got, self.clock.now(), queue=index is None
            )
        if changed and index is not None:
            await index(source.account_id, document)
        return not changed

    async def _lost(self, source: KnowledgeSource, lost: Lost) -> None:
        async with self.db.tenant(source.account_id) as conn:
            await web_store.page_lost(conn, source, lost, self.clock.now())

    async def queue_due(self) -> None:
        """Have the sites read whose time has come."""
        for account_id in await workspace.accounts(self.db):
            async with self.db.tenant(account_id) as conn:
                for source in await web_store.due_sources(conn, self.clock.now()):
                    await web_store.queue_crawl(conn, source)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""

        async def crawl(account_id: str, source_id: str) -> None:
            try:
                await self.crawl(account_id, source_id)
            except NotFound:
                log.info("the source is gone", source=source_id)

        return [
            Task("knowledge.crawl", crawl),
            Task("knowledge.crawl_due", self.queue_due, every="*/10 * * * *"),
        ]


def _read(fetch: Fetch, fetched: Fetched) -> Outcome:
    """What came, as the frontier understands it; keeps a core busy."""
    if not isinstance(fetched, Got):
        return fetched
    match fetch.kind:
        case "robots":
            return RobotsRead(parse(fetched.data.decode("utf-8", "replace")))
        case "sitemap":
            pages, sitemaps = read_sitemap(fetched.data, fetch.url)
            return SitemapRead(tuple(pages), tuple(sitemaps))
        case "page":
            links = read_links(fetched.data, fetch.url) if fetched.content_type in _HTML else PageLinks()
            return PageRead(links if fetched.indexed else PageLinks(links.links, links.address, indexed=False))
