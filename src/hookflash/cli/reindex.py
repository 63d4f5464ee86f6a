"""`hookflash reindex`: copies the vectors of big sources into the index outside PostgreSQL, now."""

from typing import Annotated

import typer

from hookflash.base.errors import Misconfigured
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.knowledge import copy_store, store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core
from hookflash.workspace import store as workspace

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash reindex")
def reindex(
    account: Annotated[str | None, typer.Option(help="Only this account; else all of them.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Copy everything again, also what is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Copy the vectors of all big sources (more than 150,000 passages) to the index of HOOKFLASH_VECTOR_INDEX_URL.

    A worker does the same by and by. A source whose copy is complete only gets what changed; one whose copy has another
    number of vectors than it should is copied anew. Searches go on all the while.
    """
    outcome = run(_reindex, read_settings(), account, anew)
    if as_json:
        screen.as_json([{"source_id": source, "name": name, "vectors": count} for source, name, count in outcome])
        return
    for _, name, count in outcome:
        screen.done(f"Source {name}: {count:,} vectors copied or removed.")
    if not outcome:
        screen.done(f"No source has more than {store.IN_MEMORY_AT_MOST:,} passages, so there is nothing to copy.")


async def _reindex(settings: Settings, account: str | None, anew: bool) -> list[tuple[str, str, int]]:
    async with open_core(settings) as core:
        if core.outside is None:
            raise Misconfigured(
                "No index outside PostgreSQL is configured.", hint="set HOOKFLASH_VECTOR_INDEX_URL to a Milvus"
            )
        accounts = await workspace.accounts(core.db) if account is None else [await account_meant(core, account)]
        return [outcome for each in accounts for outcome in await _account(core, core.outside, each, anew)]


async def _account(core: Core, outside: ChunkVectors, account_id: str, anew: bool) -> list[tuple[str, str, int]]:
    copier = core.copier()
    async with core.db.tenant(account_id) as conn:
        big = await copy_store.big_sources(conn)
    copied = []
    for source_id, name in big:
        if anew or not await copier.check(account_id, source_id):
            await copier.begin_again(account_id, source_id)
        await copy_store.mark(core.db, account_id, source_id, outside.place)
        async with core.db.tenant(account_id) as conn:
            total = await copy_store.count_changes(conn, source_id)
        with screen.progress(of="vectors") as bar:
            task = bar.add_task("Copying", total=total, note=name)
            count = await copier.catch_up(account_id, source_id, lambda done: bar.update(task, completed=done))  # noqa: B023
        copied.append((source_id, name, count))
    return copied
