"""`hookflash accounts`: who shares this installation."""

from typing import Annotated

import typer

from hookflash.base.errors import Invalid
from hookflash.cli import screen
from hookflash.cli.opening import read_settings, run
from hookflash.settings import Settings
from hookflash.wiring import open_core
from hookflash.workspace import store as workspace

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Accounts: each has its own numbers, documents and conversations.",
    epilog="Example: hookflash accounts list",
)


@app.command("list", epilog="Example: hookflash accounts list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False) -> None:
    """Show all accounts."""
    found = run(_list, read_settings())
    if as_json:
        screen.as_json([{"id": account_id, "name": name} for account_id, name in found])
        return
    if found:
        table = screen.rows("Account", "Name")
        for account_id, name in found:
            table.add_row(account_id, name)
        screen.out().print(table)
        screen.next_step("a key for one of them:", "hookflash keys create --account ID")
    else:
        screen.next_step("there is none yet:", 'hookflash accounts create "Acme"')


@app.command(epilog='Example: hookflash accounts create "Acme"')
def create(name: Annotated[str, typer.Argument(help="What to call it.")]) -> None:
    """Create an account."""
    if not name.strip():
        raise Invalid("An account needs a name.")
    account_id = run(_create, read_settings(), name)
    screen.done(f"Created account {account_id} ({name}).")
    screen.next_step("a key for it:", f"hookflash keys create --account {account_id}")


async def _list(settings: Settings) -> list[tuple[str, str]]:
    async with open_core(settings) as core:
        found = []
        for account_id in await workspace.accounts(core.db):
            async with core.db.tenant(account_id) as conn:
                found.append((account_id, await workspace.account_name(conn)))
        return found


async def _create(settings: Settings, name: str) -> str:
    async with open_core(settings) as core:
        return await workspace.create_account(core.db, name)
