"""Reading a web site in this process, with progress: a source of its own, whose pages are indexed as they come."""

from collections.abc import Callable

from hookflash.base.errors import Invalid
from hookflash.cli.indexing import Outcome
from hookflash.knowledge import store, web_store
from hookflash.knowledge.source import Document, KnowledgeSource
from hookflash.knowledge.web import Site
from hookflash.knowledge.web_address import site
from hookflash.wiring import Core


async def read_site(
    core: Core, account_id: str, place: Site, name: str | None, outcome: Outcome, watch: Callable[[str, int], None]
) -> KnowledgeSource:
    """Read it, and add to the outcome. Without a name the source is called after its host.

    Raises Invalid when a source of that name holds something else.
    """
    source = await _source(core, account_id, place, name or site(place.url))
    indexer = core.indexer()

    async def index(owner: str, document: Document) -> None:
        indexed = await indexer.index(owner, document.id)
        if indexed is not None and indexed.status == "FAILED":
            outcome.failed.append((document.name, indexed.error or "it cannot be read"))
        elif indexed is not None:
            outcome.indexed.append(indexed)

    report = await core.crawler().crawl(account_id, source.id, index=index, watch=watch)
    outcome.unchanged += report.unchanged
    outcome.vanished += report.vanished
    outcome.failed += report.lost
    return source


async def _source(core: Core, account_id: str, place: Site, name: str) -> KnowledgeSource:
    async with core.db.tenant(account_id) as conn:
        found = await store.find_source(conn, name)
        if found is None:
            return await store.create_source(
                conn,
                account_id,
                name=name,
                description="",
                kind="web",
                model=core.settings.embedder,
                config=place.to_dict(),
            )
        if found.kind != "web" or found.config["url"] != place.url:
            raise Invalid(f"The source {name} holds something else.", hint="give another name by --source")
        kept = Site(place.url, place.depth, place.pages, found.config["every_hours"])
        return await web_store.set_site(conn, found.id, kept)
