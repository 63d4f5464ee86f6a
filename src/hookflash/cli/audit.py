"""`hookflash audit`: whether the journal is as it was written."""

from typing import Annotated

import typer

from hookflash.base.errors import NotFound
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.conversation.journal import Broken, Sound
from hookflash.conversation.journal_store import verify_journal
from hookflash.settings import Settings
from hookflash.wiring import open_core
from hookflash.workspace import store as workspace

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The journal of everything that was said and done.",
    epilog="Example: hookflash audit verify",
)


@app.callback()
def _group() -> None:
    """Keeps `verify` a command of its own while it is the only one."""


@app.command(epilog="Example: hookflash audit verify")
def verify(
    account: Annotated[str | None, typer.Option(help="Only this account; otherwise all of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Verify the journal, and name the first record that was altered, removed, added or moved. Ends with 1 if there is one.

    Entries are sealed a few seconds after they were written; those that still wait for their seal are counted apart.
    """
    found = run(_verify, read_settings(), account)
    if as_json:
        screen.as_json([_data(account_id, outcome) for account_id, outcome in found])
    else:
        for account_id, outcome in found:
            _tell(account_id, outcome)
    if any(isinstance(outcome, Broken) for _, outcome in found):
        raise typer.Exit(1)


async def _verify(settings: Settings, account: str | None) -> list[tuple[str, Sound | Broken]]:
    async with open_core(settings) as core:
        wanted = [await account_meant(core, account)] if account else await workspace.accounts(core.db)
        if not wanted:
            raise NotFound("There is no account, so there is no journal.", hint="hookflash up makes one")
        found = []
        for account_id in wanted:
            async with core.db.tenant(account_id) as conn:
                found.append((account_id, await verify_journal(conn, account_id)))
        return found


def _data(account_id: str, outcome: Sound | Broken) -> dict[str, object]:
    match outcome:
        case Sound(entries, seals, unsealed):
            return {"account": account_id, "sound": True, "entries": entries, "seals": seals, "unsealed": unsealed}
        case Broken(what, record):
            return {"account": account_id, "sound": False, "what": what, "record": record}


def _tell(account_id: str, outcome: Sound | Broken) -> None:
    match outcome:
        case Sound(entries, seals, unsealed):
            waiting = f"; {unsealed} wait for their seal" if unsealed else ""
            screen.done(f"{account_id}: {entries} entries under {seals} seals are as they were written{waiting}.")
        case Broken(what, record):
            screen.fail(
                f"{account_id}: {record} is {what}.",
                "what comes after it proves nothing; compare with a backup from before, and find who may write to the database",
            )
