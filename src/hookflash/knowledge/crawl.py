"""The reading of a web site as a machine: what to fetch next, and what came of it. It waits for nothing and asks no clock."""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlsplit

from hookflash.knowledge.formats.page_links import PageLinks
from hookflash.knowledge.robots import ANYTHING, Robots
from hookflash.knowledge.web_address import canonical, origin, path_and_query, site

MOST_DEPTH = 3
MOST_HOPS = 5
_MOST_SITEMAPS = 5
_MOST_LINKS_KEPT = 500
# Pages that fail do not count towards the pages that are wanted, but there is an end.
_TRIES_PER_PAGE = 3
_SPARE_TRIES = 10
_NO_TEXT = re.compile(
    r"\.(?:png|jpe?g|gif|webp|avif|svg|ico|bmp|tiff?|css|js|mjs|json|map|woff2?|ttf|otf|eot|mp[34]|m4[av]|webm|ogg|wav|avi|mov"
    r"|zip|gz|tgz|bz2|xz|7z|rar|dmg|exe|msi|apk|iso|bin|pptx?|xlsx?|rss|atom)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier crawl kept of a page: its own address, what makes a request conditional, where it leads."""

    address: str
    etag: str | None = None
    last_modified: str | None = None
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to ask for next. `chain` are the addresses that redirected to `url`; `depth` counts links from the start."""

    kind: Literal["robots", "sitemap", "page"]
    url: str
    depth: int = 0
    chain: tuple[str, ...] = ()
    known: Known | None = None

    @property
    def linked(self) -> str:
        """The address that was followed to come here."""
        return self.chain[0] if self.chain else self.url


@dataclass(frozen=True, slots=True)
class Got:
    """The server gave this; text is UTF-8 whatever the server used, `content_type` is without parameters."""

    data: bytes
    content_type: str
    etag: str | None = None
    last_modified: str | None = None
    indexed: bool = True


@dataclass(frozen=True, slots=True)
class Unchanged:
    """It is as it was."""


@dataclass(frozen=True, slots=True)
class Moved:
    """It is elsewhere, at this canonical address."""

    to: str


@dataclass(frozen=True, slots=True)
class Refused:
    """We did not get it. `gone`: it is not there or not for us, so what is kept of it must go; else it may come back."""

    reason: str
    gone: bool = False
    status: int | None = None


Fetched = Got | Unchanged | Moved | Refused


class Fetcher(Protocol):
    """Asks for one thing at one address; never follows a redirect. Raises nothing: what goes wrong is a Refused."""

    async def fetch(self, fetch: Fetch) -> Fetched: ...


@dataclass(frozen=True, slots=True)
class RobotsRead:
    """A robots.txt was read, or there is none (`ANYTHING`)."""

    robots: Robots


@dataclass(frozen=True, slots=True)
class SitemapRead:
    """The pages and further sitemaps that a sitemap names."""

    pages: tuple[str, ...]
    sitemaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageRead:
    """A page came, and this is what it says of itself."""

    links: PageLinks


Outcome = RobotsRead | SitemapRead | PageRead | Unchanged | Moved | Refused


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep what came as the page of this address."""

    address: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Still:
    """The page of this address is as it was."""

    address: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The page of this address could not be had; `gone`: nothing may be kept of it."""

    address: str
    reason: str
    gone: bool


Decision = Keep | Still | Lost


@dataclass(slots=True)
class Frontier:
    """One crawl. Ask `next` and tell `came`, in turns, until `next` is None.

    `depth` is how many links away from the start a page may be, `pages` how many are kept. `known` are pages of earlier
    crawls by the addresses they were fetched from.
    """

    start: str
    depth: int
    pages: int
    known: Mapping[str, Known] = field(default_factory=dict)
    reached: bool = field(default=False, init=False)
    kept: set[str] = field(default_factory=set, init=False)
    lost: dict[str, str] = field(default_factory=dict, init=False)
    robots: dict[str, Robots | Refused] = field(default_factory=dict, init=False)
    _waiting: deque[Fetch] = field(default_factory=deque, init=False)
    _seen: set[str] = field(default_factory=set, init=False)
    _sitemaps: deque[str] | None = field(default=None, init=False)
    _asking: Fetch | None = field(default=None, init=False)
    _maps_read: int = field(default=0, init=False)
    _whole: bool = field(default=True, init=False)
    _tries: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.start = canonical(self.start)
        self._add(self.start, 0)

    def next(self) -> Fetch | Lost | None:
        """What to fetch, or what is lost without asking (robots.txt forbids it); None: the crawl is over."""
        while self._waiting or self._sitemaps:
            if len(self.kept) >= self.pages or self._tries >= self.pages * _TRIES_PER_PAGE + _SPARE_TRIES:
                return None
            if self._sitemaps and (not self._waiting or self._waiting[0].depth > 1):
                return Fetch("sitemap", self._sitemaps.popleft())
            fetch = self._waiting[0]
            robots = self.robots.get(origin(fetch.url))
            if robots is None:
                asking, self._asking = self._asking, None
                return asking or Fetch("robots", f"{origin(fetch.url)}/robots.txt")
            self._waiting.popleft()
            self._tries += 1
            if isinstance(robots, Refused):
                return self._lose(fetch, Refused(f"robots.txt could not be read, so no page may be: {robots.reason}"))
            if not robots.allow(path_and_query(fetch.url)):
                return self._lose(fetch, Refused("robots.txt forbids it", gone=True))
            return fetch
        return None

    def came(self, fetch: Fetch, outcome: Outcome) -> Decision | None:
        """What became of a fetch; a decision when it is one about a page."""
        match outcome:
            case Moved(to):
                return self._follow(fetch, to)
            case RobotsRead(robots):
                self.robots[origin(fetch.linked)] = robots
            case SitemapRead(pages, sitemaps):
                self._map(pages, sitemaps)
            case PageRead(links):
                return self._take(fetch, links)
            case Unchanged():
                return self._still(fetch)
            case Refused():
                return self._refused(fetch, outcome)
        return None

    def delay(self, fetch: Fetch) -> float | None:
        """The seconds between two requests that the site asks for, if it does."""
        robots = self.robots.get(origin(fetch.url))
        return robots.delay if isinstance(robots, Robots) else None

    def vanished(self, addresses: set[str]) -> set[str]:
        """Which of these pages of earlier crawls are not part of the site any more; nothing when parts could not be had."""
        return addresses - self.kept - set(self.lost) if self.reached and self._whole else set()

    def _add(self, url: str, depth: int, chain: tuple[str, ...] = ()) -> None:
        if url in self._seen or depth > self.depth or site(url) != site(self.start):
            return
        if _NO_TEXT.search(urlsplit(url).path):
            return
        self._seen.add(url)
        known = self.known.get(url)
        fetch = Fetch("page", url, depth, chain, known)
        # Where a redirect leads is the same page: it does not go to the end of the queue.
        if chain:
            self._waiting.appendleft(fetch)
        else:
            self._waiting.append(fetch)

    def _follow(self, fetch: Fetch, to: str) -> Decision | None:
        chain = (*fetch.chain, fetch.url)
        if to in chain:
            return self._refused(fetch, Refused("it redirects in a circle", gone=True))
        if len(chain) > MOST_HOPS:
            return self._refused(fetch, Refused(f"it redirects more than {MOST_HOPS} times", gone=True))
        if site(to) != site(self.start):
            return self._refused(fetch, Refused(f"it leads to another site, {urlsplit(to).netloc}", gone=True))
        if fetch.kind != "page":
            self._again(fetch, to, chain)
        elif to not in self._seen:
            if _NO_TEXT.search(urlsplit(to).path):
                return self._refused(fetch, Refused("it leads to a file that holds no text", gone=True))
            self._add(to, fetch.depth, chain)
        return None

    def _again(self, fetch: Fetch, to: str, chain: tuple[str, ...]) -> None:
        """A robots.txt or sitemap is elsewhere on the site."""
        if fetch.kind == "robots":
            self._asking = Fetch("robots", to, chain=chain)
        elif self._sitemaps is not None and self._maps_read < _MOST_SITEMAPS:
            self._maps_read += 1
            self._sitemaps.append(to)

    def _take(self, fetch: Fetch, links: PageLinks) -> Decision | None:
        own = links.address
        address = own if own and site(own) == site(self.start) else fetch.url
        self._arrived(fetch, links.links)
        if not links.indexed:
            return self._lose(fetch, Refused("the page asks not to be indexed", gone=True))
        if address in self.kept:
            return None
        self.kept.add(address)
        self._seen.add(address)
        same = [link for link in links.links if site(link) == site(self.start)]
        return Keep(address, tuple(same[:_MOST_LINKS_KEPT]))

    def _still(self, fetch: Fetch) -> Decision | None:
        if fetch.known is None:
            return self._refused(fetch, Refused("the server says that nothing has changed, but was never asked before"))
        self._arrived(fetch, fetch.known.links)
        if fetch.known.address in self.kept:
            return None
        self.kept.add(fetch.known.address)
        self._seen.add(fetch.known.address)
        return Still(fetch.known.address)

    def _refused(self, fetch: Fetch, refused: Refused) -> Decision | None:
        if fetch.kind == "robots":
            there_is_none = refused.status is not None and 400 <= refused.status < 500
            self.robots[origin(fetch.linked)] = ANYTHING if there_is_none or refused.gone else refused
            return None
        if fetch.kind == "sitemap":
            # What is only found by it may still be there.
            self._whole &= refused.gone
            return None
        if fetch.known is not None and not refused.gone:
            # Away for a while: what it led to is still part of the site.
            for link in fetch.known.links:
                self._add(link, fetch.depth + 1)
        return self._lose(fetch, refused)

    def _lose(self, fetch: Fetch, refused: Refused) -> Lost:
        address = fetch.known.address if fetch.known is not None else fetch.linked
        self.lost[address] = refused.reason
        return Lost(address, refused.reason, refused.gone)

    def _arrived(self, fetch: Fetch, links: tuple[str, ...]) -> None:
        for link in links:
            self._add(link, fetch.depth + 1)
        if fetch.linked != self.start:
            return
        self.reached = True
        robots = self.robots.get(origin(fetch.url))
        named = robots.sitemaps if isinstance(robots, Robots) else ()
        maps = [url for url in named if url.startswith("http") and site(url) == site(self.start)]
        self._sitemaps = deque(maps[:_MOST_SITEMAPS] or [f"{origin(fetch.url)}/sitemap.xml"])

    def _map(self, pages: tuple[str, ...], sitemaps: tuple[str, ...]) -> None:
        self._maps_read += 1
        for page in pages:
            self._add(page, 1)
        if self._sitemaps is not None:
            room = max(0, _MOST_SITEMAPS - self._maps_read - len(self._sitemaps))
            self._sitemaps.extend([url for url in sitemaps if site(url) == site(self.start)][:room])
