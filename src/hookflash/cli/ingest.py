"""`hookflash ingest`: files, directories and web sites into sources of knowledge."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from hookflash.assistant import store as assistants
from hookflash.base.errors import Invalid, NotFound
from hookflash.cli import screen
from hookflash.cli.indexing import Handed, Outcome, Watcher, index_all, source_named
from hookflash.cli.ingest_site import read_site
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.knowledge.crawl import MOST_DEPTH
from hookflash.knowledge.entry import MOST_PAGES
from hookflash.knowledge.extract import ENDINGS
from hookflash.knowledge.source import KnowledgeSource
from hookflash.knowledge.web import DEPTH, PAGES, Site
from hookflash.knowledge.web_address import canonical
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash ingest ./handbook prices.csv --source shop")
def ingest(
    given: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, directories with all below them, and addresses of web sites."),
    ],
    source: Annotated[
        str | None,
        typer.Option(help="Name of the source, made if it is new; else documents, and of a web site its host."),
    ] = None,
    depth: Annotated[
        int, typer.Option(min=1, max=MOST_DEPTH, help="Of a web site: how many links away a page may be.")
    ] = DEPTH,
    pages: Annotated[int, typer.Option(min=1, max=MOST_PAGES, help="Of a web site: most pages.")] = PAGES,
    assistant: Annotated[
        str | None, typer.Option(help="An assistant (name or id) that shall answer from this source.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Take documents in: Markdown, plain text, HTML, PDF, Word (DOCX), CSV, JSON Lines.

    What is unchanged since the last time is skipped, and of a changed document only the changed passages are embedded
    anew. A document is known by its path below the directory that was given. A web site becomes a source of its own, and
    is read as its robots.txt allows; pages that vanished since the last time are forgotten. Ends with 1 when a document
    could not be read.
    """
    sites = [Site(canonical(each), depth, pages) for each in given if "://" in each]
    found, skipped = _gather([Path(each) for each in given if "://" not in each])
    if not found and not sites:
        raise Invalid("There is nothing to take in.", hint=f"these kinds are read: {', '.join(sorted(ENDINGS))}")
    if source is not None and len(sites) + bool(found) > 1:
        raise Invalid("Each web site is a source of its own: name one, or leave --source out.")
    outcome, names = run(_ingest, read_settings(), found, sites, source, assistant, account)
    if as_json:
        screen.as_json(_data(outcome, skipped))
    else:
        _tell(outcome, skipped, names)
    if outcome.failed:
        raise typer.Exit(1)


def _gather(paths: list[Path]) -> tuple[list[Handed], int]:
    """The documents, and how many files of a directory are of no kind that is read. Raises NotFound."""
    found: dict[str, Handed] = {}
    skipped = 0
    for path in paths:
        if path.is_dir():
            for file in _below(path):
                if file.suffix.lower() in ENDINGS:
                    name = file.relative_to(path).as_posix()
                    found[name] = Handed(name, file.stat().st_size, file.read_bytes)
                else:
                    skipped += 1
        elif path.exists():
            found[path.name] = Handed(path.name, path.stat().st_size, path.read_bytes)
        else:
            raise NotFound(f"There is no file or directory {path}.")
    return list(found.values()), skipped


def _below(directory: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


async def _ingest(
    settings: Settings,
    found: list[Handed],
    sites: list[Site],
    name: str | None,
    assistant: str | None,
    account: str | None,
) -> tuple[Outcome, list[str]]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        if assistant is not None:
            await _assistant(core, account_id, assistant)
        sources: list[KnowledgeSource] = []
        outcome = Outcome()
        if found:
            sources.append(await source_named(core, account_id, name or "documents"))
            with screen.progress(of="documents") as bar:
                task = bar.add_task("Reading", total=len(found), note="")
                watcher = Watcher(
                    lambda: bar.advance(task),
                    lambda document, done, of: bar.update(task, note=f"{document}: {done} of {of} passages"),
                )
                outcome = await index_all(core, account_id, sources[0], found, watcher)
        for place in sites:
            with screen.progress(of="pages") as bar:
                task = bar.add_task("Reading", total=place.pages, note=place.url)
                sources.append(
                    await read_site(
                        core,
                        account_id,
                        place,
                        name,
                        outcome,
                        lambda url, kept: bar.update(task, completed=kept, note=url),  # noqa: B023
                    )
                )
        outcome.sources.extend(source.name for source in sources)
        names: set[str] = set()
        for source in sources:
            if assistant is not None:
                await _join(core, account_id, assistant, source.id)
            names |= set(await _who_answers(core, account_id, source.id))
        return outcome, sorted(names)


async def _assistant(core: Core, account_id: str, wanted: str) -> assistants.Assistant:
    async with core.db.tenant(account_id) as conn:
        return await assistants.find(conn, wanted) or await assistants.get(conn, wanted)


async def _join(core: Core, account_id: str, wanted: str, source_id: str) -> None:
    """An assistant that names no sources answers from all of them, so this one too."""
    found = await _assistant(core, account_id, wanted)
    if found.config.sources and source_id not in found.config.sources:
        config = found.config.model_copy(update={"sources": (*found.config.sources, source_id)})
        async with core.db.tenant(account_id) as conn:
            await assistants.update(conn, account_id, found.id, config, core.clock.now())


async def _who_answers(core: Core, account_id: str, source_id: str) -> list[str]:
    async with core.db.tenant(account_id) as conn:
        page = await assistants.page(conn, 100, None)
    return [each.name for each in page.items if not each.config.sources or source_id in each.config.sources]


def _data(outcome: Outcome, skipped: int) -> dict[str, object]:
    return {
        "indexed": [{"id": d.id, "name": d.name, "title": d.title, "passages": d.chunk_count} for d in outcome.indexed],
        "unchanged": outcome.unchanged,
        "vanished": outcome.vanished,
        "skipped": skipped,
        "failed": [{"name": name, "reason": reason} for name, reason in outcome.failed],
    }


def _tell(outcome: Outcome, skipped: int, names: list[str]) -> None:
    source = ", ".join(outcome.sources)
    if outcome.failed:
        table = screen.rows("Could not be read", "Because")
        for name, reason in outcome.failed:
            table.add_row(Text(name), Text(reason, "bad"))
        screen.err().print(table)
    parts = [f"{len(outcome.indexed)} taken in ({outcome.chunks} passages)"]
    parts += [f"{outcome.unchanged} unchanged"] if outcome.unchanged else []
    parts += [f"{outcome.vanished} vanished"] if outcome.vanished else []
    parts += [f"{skipped} of other kinds skipped"] if skipped else []
    parts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
    told = f"Source {source}: {', '.join(parts)}."
    if outcome.failed:
        screen.warn(told)
    else:
        screen.done(told)
    if names:
        screen.next_step("ask:", 'hookflash ask "..."')
    else:
        screen.next_step(
            "no assistant answers from it yet:", f"hookflash ingest ... --source {source} --assistant NAME"
        )
