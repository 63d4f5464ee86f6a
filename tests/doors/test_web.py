"""Web sites as knowledge: read from a real server into the real database, again when they changed, and what goes wrong."""

import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import anyio
import pytest

from hookflash.base.clock import SystemClock
from hookflash.base.errors import NotFound
from hookflash.db.jobs import work
from hookflash.db.pool import Database
from hookflash.knowledge import store, web_store
from hookflash.knowledge.crawl import Fetch, Refused
from hookflash.knowledge.crawl_jobs import Crawler, CrawlReport
from hookflash.knowledge.document import Limits
from hookflash.knowledge.jobs import Indexer
from hookflash.knowledge.library_store import KnowledgeBase
from hookflash.knowledge.passage import Found
from hookflash.knowledge.source import Document, KnowledgeSource
from hookflash.knowledge.web import Site, WebPage
from hookflash.providers.guarded import guarded_client
from hookflash.providers.web_fetch import WebFetcher
from hookflash.testing.vendor import Receive, Scope, Send, serve
from hookflash.testing.wait import until
from hookflash.workspace import store as workspace
from tests.doors.test_knowledge_store import Words

LONG = "This sentence stands here so that every page is long enough to be a passage of its own, alone. " * 3


@dataclass(frozen=True)
class Served:
    """What the server gives. `chunks`: the body is sent in so many pieces of a megabyte, without saying how long it is."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/html; charset=utf-8"),)
    etag: str | None = None
    chunks: int = 0


def html(*links: str, say: str = "", title: str = "A page") -> bytes:
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    return f"<html><head><title>{title}</title></head><body><p>{say} {LONG}</p><p>{anchors}</p></body></html>".encode()


def moved(to: str, status: int = 302) -> Served:
    return Served(status=status, headers=(("location", to),))


@dataclass
class WebServer:
    """A site; what it does not have is 404. `asked` are path and conditional header of each request."""

    pages: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        path = scope["path"] + (f"?{query}" if query else "")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((path, headers.get("if-none-match")))
        served = self.pages.get(path, Served(b"nothing here", 404))
        if served.etag and headers.get("if-none-match") == served.etag:
            served = replace(served, body=b"", status=304)
        told = [*served.headers, *([("etag", served.etag)] if served.etag else [])]
        await send(
            {
                "type": "http.response.start",
                "status": served.status,
                "headers": [(name.encode(), value.encode("latin-1")) for name, value in told],
            }
        )
        for _ in range(served.chunks):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": served.body})


@dataclass
class Impatient(SystemClock):
    """Does not wait, and remembers for how long it should have; `ahead` moves its day."""

    waited: list[float] = field(default_factory=list)
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


@dataclass
class Web:
    """A site, a source that reads it, and what was made of it."""

    db: Database
    account: str
    source: KnowledgeSource
    server: WebServer
    url: str
    clock: Impatient
    crawler: Crawler
    indexer: Indexer
    base: KnowledgeBase
    embedder: Words

    async def crawl(self) -> CrawlReport:
        async def index(account_id: str, document: Document) -> None:
            await self.indexer.index(account_id, document.id)

        return await self.crawler.crawl(self.account, self.source.id, index=index)

    async def pages(self) -> dict[str, WebPage]:
        async with self.db.tenant(self.account) as conn:
            listed = await web_store.list_pages(conn, self.source.id, 1_000, None)
        return {page.url.removeprefix(self.url): page for page in listed.items}

    async def reasons(self) -> dict[str, str | None]:
        return {path: page.reason for path, page in (await self.pages()).items() if page.status == "FAILED"}

    async def ask(self, question: str) -> str:
        found = await self.base.search(await self.base.scope(self.account, ()), question)
        return found.passages[0].text if isinstance(found, Found) else ""


async def web_source(db: Database, account: str, site: Site, name: str = "web") -> KnowledgeSource:
    async with db.tenant(account) as conn:
        return await store.create_source(
            conn, account, name=name, description="", kind="web", model="one", config=site.to_dict()
        )


@pytest.fixture
async def web(database: Database) -> AsyncIterator[Web]:
    account = await workspace.create_account(database, "Acme")
    server = WebServer()
    clock = Impatient()
    embedder = Words("one")
    async with serve(server) as url, guarded_client(allow=frozenset({"127.0.0.1"})) as client:
        source = await web_source(database, account, Site(f"{url}/", depth=2, pages=15, every_hours=24))
        yield Web(
            database,
            account,
            source,
            server,
            url,
            clock,
            Crawler(database, clock, WebFetcher(client, 3_000_000), 1.0),
            Indexer(database, clock, lambda _: embedder, Limits()),
            KnowledgeBase(database, clock, lambda _: embedder),
            embedder,
        )


def pdf(text: str) -> bytes:
    objects: Sequence[str] = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>",
        f"<< /Length {len(text) + 44} >>\nstream\nBT /F1 11 Tf 1 0 0 1 72 700 Tm ({text}) Tj ET\nendstream",
    )
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return body + f"{head}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF".encode()


async def test_a_site_is_read_slowly_and_its_pages_are_found(web: Web) -> None:
    web.server.pages = {
        "/": Served(html("/returns", "/prices.pdf", "/plain", say="Welcome to the shop.", title="Shop")),
        "/returns": Served(html("/", "/returns?utm_source=x", say="Boots can be returned within thirty days.")),
        "/prices.pdf": Served(pdf("Tents cost two hundred."), headers=(("content-type", "application/pdf"),)),
        "/plain": Served(b"We open at nine.", headers=(("content-type", "text/plain"),)),
    }
    report = await web.crawl()
    assert (report.kept, report.lost, report.reason) == (4, (), None)
    pages = await web.pages()
    assert {path: page.status for path, page in pages.items()} == dict.fromkeys(
        ("/", "/returns", "/prices.pdf", "/plain"), "COMPLETED"
    )
    assert pages["/"].title == "Shop"
    assert "thirty" in await web.ask("when can boots be returned")
    assert "two hundred" in await web.ask("what do tents cost")
    assert "nine" in await web.ask("when open")
    asked = [path for path, _ in web.server.asked]
    assert len(asked) == len(set(asked)), "each once"
    assert len(web.clock.waited) == len(asked) - 1
    assert set(web.clock.waited) == {1.0}
    async with web.db.tenant(web.account) as conn:
        crawl = await web_store.crawl_of(conn, web.source.id)
    assert (crawl.state, crawl.reason) == ("COMPLETED", None)
    assert crawl.due_at is not None
    assert crawl.ended_at is not None
    assert crawl.due_at - crawl.ended_at == timedelta(hours=24)


async def test_what_cannot_be_had_says_why_and_leaves_nothing_half_made(web: Web) -> None:
    web.server.pages = {
        "/robots.txt": Served(b"User-agent: *\nDisallow: /secret\nCrawl-delay: 7", headers=()),
        "/": Served(
            html(
                *[
                    "/loop",
                    "/404",
                    "/big",
                    "/endless",
                    "/secret",
                    "/meta",
                    "/image",
                    "/broken",
                    "/empty",
                    "/away",
                    "/deep",
                    "/own",
                    "/nowhere",
                ]
            )
        ),
        "/loop": moved("/loop2"),
        "/loop2": moved("/loop"),
        "/big": Served(b"x", headers=(("content-type", "text/html"), ("content-length", "50000000"))),
        "/endless": Served(chunks=50),
        "/meta": moved("http://169.254.169.254/latest/meta-data/"),
        "/image": Served(b"\x89PNG", headers=(("content-type", "image/png"),)),
        "/broken": Served(b"%PDF-1.7 nonsense", headers=(("content-type", "application/pdf"),)),
        "/empty": Served(b"  "),
        "/away": Served(status=503),
        "/deep": Served(b"<div>" * 400 + b"deep"),
        "/own": Served(html(say="Boots."), headers=(("content-type", "text/html"), ("x-robots-tag", "noindex"))),
        "/nowhere": moved("mailto:somebody"),
    }
    report = await web.crawl()
    reasons = await web.reasons()
    assert reasons == {
        "/loop": "it redirects in a circle",
        "/404": "404: the server has no such page",
        "/big": "the page has more than 3.0 MB",
        "/endless": "the page has more than 3.0 MB",
        "/secret": "robots.txt forbids it",
        "/meta": "it leads to another site, 169.254.169.254",
        "/image": "pages of the type image/png are not read",
        "/broken": reasons["/broken"],
        "/empty": "the page is empty",
        "/away": "503: the server did not give it",
        "/deep": "the page's elements are nested deeper than 255: this is not a page made for reading",
        "/own": "the page asks not to be indexed",
        "/nowhere": "it redirects to no address of the web",
    }
    assert "PDF is broken" in (reasons["/broken"] or "")
    assert "/secret" not in {path for path, _ in web.server.asked}
    assert 7.0 in web.clock.waited
    assert report.kept == 3
    async with web.db.tenant(web.account) as conn:
        documents = (await store.list_documents(conn, web.source.id, 100, None)).items
    assert {d.name.removeprefix(web.url): d.status for d in documents} == {
        "/": "COMPLETED",
        "/broken": "FAILED",
        "/deep": "FAILED",
    }


async def test_only_what_changed_is_asked_and_embedded_again(web: Web) -> None:
    web.server.pages = {
        "/": Served(html("/boots", "/tents"), etag='"home"'),
        "/boots": Served(html(say="Boots cost ninety.", title="Boots"), etag='"b1"'),
        "/tents": Served(html(say="Tents cost two hundred.", title="Tents"), etag='"t1"'),
    }
    await web.crawl()
    embedded = len(web.embedder.embedded)
    web.server.asked.clear()
    web.server.pages["/tents"] = Served(html(say="Tents cost three hundred.", title="Tents"), etag='"t2"')
    report = await web.crawl()
    assert (report.kept, report.unchanged, report.vanished) == (3, 2, 0)
    assert dict(web.server.asked) == {
        "/robots.txt": None,
        "/": '"home"',
        "/boots": '"b1"',
        "/tents": '"t1"',
        "/sitemap.xml": None,
    }
    assert len(web.embedder.embedded) == embedded + 1
    assert "three hundred" in await web.ask("what do tents cost")


async def test_pages_that_vanish_are_found_no_more_and_those_that_are_away_still_are(web: Web) -> None:
    web.server.pages = {
        "/": Served(html("/boots", "/tents", "/hats")),
        "/boots": Served(html(say="Boots cost ninety.")),
        "/tents": Served(html(say="Tents cost two hundred.")),
        "/hats": Served(html(say="Hats cost ten.")),
    }
    await web.crawl()
    web.server.pages["/"] = Served(html("/boots", "/hats"))
    web.server.pages["/boots"] = Served(b"", 410)
    web.server.pages["/hats"] = Served(b"", 503)
    report = await web.crawl()
    assert report.vanished == 1
    pages = await web.pages()
    assert set(pages) == {"/", "/boots", "/hats"}
    assert (pages["/boots"].status, pages["/boots"].document_id) == ("FAILED", None)
    assert pages["/boots"].reason == "410: the server has this page no more"
    assert (pages["/hats"].status, pages["/hats"].reason) == ("FAILED", "503: the server did not give it")
    assert "ninety" not in await web.ask("what do boots cost ninety")
    assert "two hundred" not in await web.ask("what do tents cost two hundred")
    assert "Hats cost ten" in await web.ask("what do hats cost ten")
    web.server.pages.clear()
    web.server.pages["/robots.txt"] = Served(b"", 500)
    report = await web.crawl()
    assert "robots.txt could not be read" in (report.reason or "")
    assert "Hats cost ten" in await web.ask("what do hats cost ten"), "a site that is away keeps its pages"


async def test_a_page_that_comes_back_is_found_again(web: Web) -> None:
    shop = Served(html(say="Boots cost ninety."), etag='"1"')
    web.server.pages = {"/": Served(html("/boots")), "/boots": shop}
    await web.crawl()
    web.server.pages["/boots"] = Served(b"", 404)
    await web.crawl()
    assert "ninety" not in await web.ask("boots ninety")
    web.server.pages["/boots"] = shop
    await web.crawl()
    assert "ninety" in await web.ask("boots ninety")
    assert await web.reasons() == {}


async def test_text_is_read_in_the_encoding_that_the_server_names(web: Web) -> None:
    page = (
        "<html><head><title>Öffnungszeiten</title></head><body><p>Geöffnet für Sie: größere Räume. "
        + LONG
        + "</p></body>"
    )
    japanese = "<html><head><meta charset='shift_jis'><title>営業時間</title></head><body><p>靴は三十日以内に返品できます。</p></body>"
    web.server.pages = {
        "/": Served(html("/de", "/ja", "/zip")),
        "/de": Served(page.encode("iso-8859-1"), headers=(("content-type", 'text/html; charset="ISO-8859-1"'),)),
        "/ja": Served(japanese.encode("shift_jis"), headers=(("content-type", "text/html"),)),
        "/zip": Served(
            gzip.compress(html(say="Boots.", title="Compressed")),
            headers=(("content-type", "text/html"), ("content-encoding", "gzip")),
        ),
    }
    await web.crawl()
    pages = await web.pages()
    titles = [pages[path].title for path in ("/de", "/ja", "/zip")]
    assert titles == ["Öffnungszeiten", "営業時間", "Compressed"]


async def test_a_bomb_of_compression_is_a_page_that_is_too_big(web: Web) -> None:
    bomb = gzip.compress(b"<p>" + b"0" * 30_000_000)
    web.server.pages = {
        "/": Served(html("/bomb")),
        "/bomb": Served(bomb, headers=(("content-type", "text/html"), ("content-encoding", "gzip"))),
    }
    await web.crawl()
    assert await web.reasons() == {"/bomb": "the page has more than 3.0 MB"}


async def test_a_site_that_nobody_serves_fails_with_the_reason(web: Web) -> None:
    source = await web_source(web.db, web.account, Site("http://127.0.0.1:9/"), "nobody")
    report = await web.crawler.crawl(web.account, source.id)
    assert report.reason is not None
    assert "the server cannot be reached" in report.reason
    async with web.db.tenant(web.account) as conn:
        assert (await web_store.crawl_of(conn, source.id)).state == "FAILED"


@pytest.mark.parametrize("host", ["169.254.169.254", "localhost", "[::1]", "[::ffff:10.0.0.1]", "0.0.0.0", "10.1.2.3"])
async def test_the_network_behind_us_is_out_of_reach_with_a_reason(web: Web, host: str) -> None:
    source = await web_source(web.db, web.account, Site(f"http://{host}/latest/meta-data/"), "inside")
    async with guarded_client() as client:
        report = await Crawler(web.db, web.clock, WebFetcher(client)).crawl(web.account, source.id)
    assert "may not be reached: its address is" in (report.reason or "")
    assert report.kept == 0


async def test_sites_are_read_again_when_their_time_has_come_and_no_sooner(web: Web) -> None:
    web.server.pages = {"/": Served(html())}
    await web.crawl()

    async def queued() -> int:
        await web.crawler.queue_due()
        async with web.db.tenant(web.account) as conn:
            cursor = await conn.execute(
                "select count(*)::int as n from procrastinate_jobs where task_name = 'knowledge.crawl'"
            )
            row = await cursor.fetchone()
            return row["n"] if row else 0

    assert await queued() == 0
    web.clock.ahead = timedelta(hours=25)
    assert await queued() == 1
    assert await queued() == 1, "one that waits is enough"


async def test_a_worker_reads_a_site_that_was_asked_for(web: Web, database_url: str) -> None:
    web.server.pages = {"/": Served(html("/boots")), "/boots": Served(html(say="Boots cost ninety."))}
    async with web.db.tenant(web.account) as conn:
        assert (await web_store.queue_crawl(conn, web.source)).state == "QUEUED"
        await web_store.queue_crawl(conn, web.source)

    async def done() -> bool:
        async with web.db.tenant(web.account) as conn:
            crawl = await web_store.crawl_of(conn, web.source.id)
        pages = await web.pages()
        return crawl.state == "COMPLETED" and {page.status for page in pages.values()} == {"COMPLETED"}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, database_url, [*web.crawler.tasks(), *web.indexer.tasks()], SystemClock())
        await until(done)
        tasks.cancel_scope.cancel()
    assert "ninety" in await web.ask("boots ninety")
    assert [path for path, _ in web.server.asked].count("/boots") == 1


async def test_a_source_that_was_deleted_is_not_read(web: Web) -> None:
    async with web.db.tenant(web.account) as conn:
        await store.delete_source(conn, web.source.id)
    with pytest.raises(NotFound):
        await web.crawl()
    (crawl,) = [task for task in web.crawler.tasks() if task.name == "knowledge.crawl"]
    await crawl.run(account_id=web.account, source_id=web.source.id)
    assert web.server.asked == []


async def test_a_server_that_says_nothing_changed_unasked_is_not_believed(web: Web) -> None:
    web.server.pages = {"/": Served(status=304)}
    report = await web.crawl()
    assert "nothing has changed" in (report.reason or "")


async def test_an_address_that_cannot_be_asked_for_is_refused_with_a_reason() -> None:
    async with guarded_client() as client:
        fetched = await WebFetcher(client).fetch(Fetch("page", "https://" + "a" * 300 + ".example/"))
    assert isinstance(fetched, Refused)
    assert fetched.reason
