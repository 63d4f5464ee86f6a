"""SQL of web sites as sources: their crawls and pages."""

from collections.abc import Collection
from datetime import datetime

from psycopg.types.json import Jsonb

from hookflash.base.errors import NotFound
from hookflash.base.ids import new_id
from hookflash.base.paging import Page, decode_cursor, encode_cursor
from hookflash.db.jobs import defer
from hookflash.db.pool import Connection
from hookflash.knowledge import store
from hookflash.knowledge.crawl import Fetch, Got, Keep, Known, Lost
from hookflash.knowledge.source import Document, KnowledgeSource
from hookflash.knowledge.web import Crawl, Site, WebPage
from hookflash.knowledge.web_address import site

_PAGE = (
    "select p.id, p.source_id, p.url,"
    " case when p.reason is not null then 'FAILED' else coalesce(d.status, 'QUEUED') end as status,"
    " coalesce(p.reason, d.error) as reason, p.document_id, d.title, coalesce(d.chunk_count, 0) as chunk_count, p.checked_at"
    " from web_pages p left join documents d on d.id = p.document_id"
)


async def queue_crawl(conn: Connection, source: KnowledgeSource) -> Crawl:
    """Have a worker read the site, unless that is waiting or under way already. One site is read by one worker at a time."""
    await conn.execute(
        "insert into crawls (source_id, account_id) values (%s, %s) on conflict (source_id) do update"
        " set state = case when crawls.state = 'PROCESSING' then crawls.state else 'QUEUED' end, due_at = null",
        (source.id, source.account_id),
    )
    await defer(
        conn,
        "knowledge.crawl",
        lock=f"site:{site(Site.stored(source.config).url)}",
        queueing_lock=f"crawl:{source.id}",
        account_id=source.account_id,
        source_id=source.id,
    )
    return await crawl_of(conn, source.id)


async def set_site(conn: Connection, source_id: str, place: Site) -> KnowledgeSource:
    """From the next reading on."""
    await conn.execute("update sources set config = %s where id = %s", (Jsonb(place.to_dict()), source_id))
    return await store.get_source(conn, source_id)


async def crawl_of(conn: Connection, source_id: str) -> Crawl:
    """How the site was read last. Raises NotFound for a source that is no site."""
    cursor = await conn.execute(
        "select state, reason, due_at, began_at, ended_at from crawls where source_id = %s", (source_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("This source is no web site.")
    return Crawl(**row)


async def begin_crawl(conn: Connection, source: KnowledgeSource, now: datetime) -> dict[str, Known]:
    """What is known of the site's pages, by the addresses that they were fetched from."""
    await conn.execute(
        "insert into crawls (source_id, account_id, state, began_at) values (%s, %s, 'PROCESSING', %s)"
        " on conflict (source_id) do update set state = 'PROCESSING', reason = null, began_at = excluded.began_at,"
        " ended_at = null, due_at = null",
        (source.id, source.account_id, now),
    )
    # Of what we do not hold readably, the server must not say that it is as it was.
    cursor = await conn.execute(
        "select p.url, p.fetched_from, p.links, case when d.status <> 'FAILED' then p.etag end as etag,"
        " case when d.status <> 'FAILED' then p.last_modified end as last_modified"
        " from web_pages p left join documents d on d.id = p.document_id where p.source_id = %s",
        (source.id,),
    )
    known = {}
    for row in await cursor.fetchall():
        page = Known(row["url"], row["etag"], row["last_modified"], tuple(row["links"]))
        known[row["fetched_from"]] = page
        known.setdefault(row["url"], page)
    return known


async def end_crawl(
    conn: Connection, source_id: str, reason: str | None, due_at: datetime | None, now: datetime
) -> None:
    """Without a reason it went well."""
    await conn.execute(
        "update crawls set state = %s, reason = %s, due_at = %s, ended_at = %s where source_id = %s",
        ("FAILED" if reason else "COMPLETED", reason, due_at, now, source_id),
    )


async def due_sources(conn: Connection, now: datetime) -> list[KnowledgeSource]:
    """Those of the account's sites whose time has come."""
    cursor = await conn.execute("select source_id from crawls where due_at <= %s order by due_at", (now,))
    return [await store.get_source(conn, row["source_id"]) for row in await cursor.fetchall()]


async def page_came(
    conn: Connection, source: KnowledgeSource, fetch: Fetch, keep: Keep, got: Got, now: datetime, *, queue: bool
) -> tuple[Document, bool]:
    """Take in what a page says now; False when its document is what we have."""
    document, changed = await store.put_document(
        conn,
        source,
        name=keep.address,
        content_type=got.content_type,
        data=got.data,
        url=keep.address,
        now=now,
        queue=queue,
    )
    await conn.execute(
        "insert into web_pages (id, account_id, source_id, url, fetched_from, document_id, etag, last_modified, links, checked_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (source_id, url) do update set fetched_from = excluded.fetched_from, document_id = excluded.document_id,"
        " reason = null, etag = excluded.etag, last_modified = excluded.last_modified, links = excluded.links,"
        " checked_at = excluded.checked_at",
        (
            new_id("page"),
            source.account_id,
            source.id,
            keep.address,
            fetch.url,
            document.id,
            got.etag,
            got.last_modified,
            list(keep.links),
            now,
        ),
    )
    return document, changed


async def page_same(conn: Connection, source_id: str, address: str, now: datetime) -> None:
    await conn.execute(
        "update web_pages set reason = null, checked_at = %s where source_id = %s and url = %s",
        (now, source_id, address),
    )


async def page_lost(conn: Connection, source: KnowledgeSource, lost: Lost, now: datetime) -> None:
    """Note why; of a page that is gone nothing is found from now on."""
    await conn.execute(
        "insert into web_pages (id, account_id, source_id, url, fetched_from, reason, checked_at)"
        " values (%s, %s, %s, %s, %s, %s, %s)"
        " on conflict (source_id, url) do update set reason = excluded.reason, checked_at = excluded.checked_at",
        (new_id("page"), source.account_id, source.id, lost.address, lost.address, lost.reason, now),
    )
    if lost.gone:
        await _forget(conn, source.id, [lost.address], now)


async def pages_vanished(conn: Connection, source_id: str, addresses: Collection[str], now: datetime) -> None:
    """They are not part of the site any more."""
    await _forget(conn, source_id, addresses, now)
    await conn.execute("delete from web_pages where source_id = %s and url = any(%s)", (source_id, list(addresses)))


async def page_addresses(conn: Connection, source_id: str) -> set[str]:
    cursor = await conn.execute("select url from web_pages where source_id = %s", (source_id,))
    return {row["url"] for row in await cursor.fetchall()}


async def list_pages(conn: Connection, source_id: str, limit: int, cursor: str | None) -> Page[WebPage]:
    after = decode_cursor(cursor, str)[0] if cursor else ""
    rows = await (
        await conn.execute(
            f"{_PAGE} where p.source_id = %s and p.id > %s order by p.id limit %s", (source_id, after, limit + 1)
        )
    ).fetchall()
    items = [WebPage(**row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


async def _forget(conn: Connection, source_id: str, addresses: Collection[str], now: datetime) -> None:
    cursor = await conn.execute(
        "delete from documents d using web_pages p where p.document_id = d.id and p.source_id = %s and p.url = any(%s)"
        " returning d.id",
        (source_id, list(addresses)),
    )
    if await cursor.fetchall():
        await store.changed(conn, source_id, now)
