"""Web sites as sources, over HTTP: reading one again, how that went, and its pages."""

from datetime import datetime
from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from hookflash.base.errors import Invalid
from hookflash.base.paging import Page
from hookflash.db.pool import Connection
from hookflash.knowledge import store, web_store
from hookflash.knowledge.web import WebPage
from hookflash.rest.caller import Caller, allowed
from hookflash.rest.problems import answers
from hookflash.rest.resource import ListAsked, Listing, listed, router

sites = router("/v1/sources", "knowledge")

SourceId = Annotated[str, Path(max_length=64, examples=["src_06bq3v0d5k8n2r7t1w4y9zac3e"])]
Reading = Annotated[Caller, allowed("knowledge:read")]
Writing = Annotated[Caller, allowed("knowledge:write")]


class ShownCrawl(BaseModel):
    """How the site was read last."""

    model_config = ConfigDict(from_attributes=True)

    state: str = Field(description="QUEUED, PROCESSING, COMPLETED or FAILED.")
    reason: str | None = Field(description="Why the site as a whole could not be read.")
    due_at: datetime | None = Field(description="When it is read again by itself.")
    began_at: datetime | None
    ended_at: datetime | None


class ShownPage(BaseModel):
    """A page of a web site."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source_id: str
    url: str
    status: str = Field(description="QUEUED, PROCESSING, COMPLETED or FAILED.")
    reason: str | None = Field(description="Why it could not be had or read the last time.")
    document_id: str | None = Field(description="What was read of it; its chunks are listed there.")
    title: str | None
    chunk_count: int
    checked_at: datetime


@sites.post("/{source_id}/crawl", status_code=202, responses=answers(404))
async def crawl_source(source_id: SourceId, caller: Writing) -> ShownCrawl:
    """Read the web site again, soon. Only what changed is taken in; pages that vanished are found no more."""
    async with caller.transaction() as conn:
        source = await store.get_source(conn, source_id)
        if source.kind != "web":
            raise Invalid("This source is no web site.", field="source_id")
        crawl = await web_store.queue_crawl(conn, source)
        await caller.record(conn, "source.crawl", source_id)
    return ShownCrawl.model_validate(crawl)


@sites.get("/{source_id}/crawl", responses=answers(404))
async def get_crawl(source_id: SourceId, caller: Reading) -> ShownCrawl:
    """How the web site was read last."""
    async with caller.transaction() as conn:
        return ShownCrawl.model_validate(await web_store.crawl_of(conn, source_id))


@sites.get("/{source_id}/pages", **listed(ShownPage, 404))
async def list_pages(source_id: SourceId, asked: ListAsked, caller: Reading) -> Listing[ShownPage] | Response:
    """The pages of a web site in the order in which they were found, also those that could not be had, and why."""

    async def read(conn: Connection, limit: int, cursor: str | None) -> Page[WebPage]:
        await store.get_source(conn, source_id)
        return await web_store.list_pages(conn, source_id, limit, cursor)

    return await caller.list(asked, read, ShownPage.model_validate)
