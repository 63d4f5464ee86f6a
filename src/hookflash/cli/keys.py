"""`hookflash keys`: what opens the REST API."""

from typing import Annotated

import typer

from hookflash.base.errors import Invalid
from hookflash.base.paging import whole
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.rest.auth import ADMIN, SCOPES, NewKey
from hookflash.settings import Settings
from hookflash.wiring import open_core
from hookflash.workspace import store as workspace

app = typer.Typer(add_completion=False, no_args_is_help=True, help="API keys.", epilog="Example: hookflash keys list")

Account = Annotated[str | None, typer.Option(help="The account, where there are several.")]


@app.command("list", epilog="Example: hookflash keys list")
def list_(
    account: Account = None, as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
) -> None:
    """Show the keys of an account; never their text."""
    found = run(_list, read_settings(), account)
    if as_json:
        screen.as_json(
            [
                {"id": k.id, "name": k.name, "scopes": k.scopes, "created_at": k.created_at, "revoked_at": k.revoked_at}
                for k in found
            ]
        )
        return
    table = screen.rows("Key", "Name", "May", "Made", "")
    for key in found:
        gone = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
        table.add_row(key.id, key.name, ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d}", gone)
    screen.out().print(table)
    screen.next_step("another one:", "hookflash keys create --name NAME")


@app.command(epilog="Example: hookflash keys create --name crm --scope messages:read --scope contacts:write")
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; several are possible. Unset: admin.")] = None,
    account: Account = None,
) -> None:
    """Make a key. Its text is shown once and kept nowhere."""
    wanted = frozenset(scope or [ADMIN])
    if wrong := sorted(wanted - SCOPES):
        raise Invalid(f"There is no scope {', '.join(wrong)}.", hint=f"there are: {', '.join(sorted(SCOPES))}")
    key = run(_create, read_settings(), account, name, wanted)
    screen.done(f"Made key {key.id} ({name}). This is its text; it is not shown again:")
    typer.echo(key.text.get_secret_value())
    screen.next_step("use it:", "curl -H 'Authorization: Bearer KEY' ADDRESS/v1/assistants")


@app.command(epilog="Example: hookflash keys revoke key_06bq3v0d8q4f7g2h5j9k1m3n5p")
def revoke(key: Annotated[str, typer.Argument(help="The key's id.")], account: Account = None) -> None:
    """Revoke a key: from now on nobody can use it."""
    run(_revoke, read_settings(), account, key)
    screen.done(f"Revoked {key}.")
    screen.next_step("what is left:", "hookflash keys list")


async def _list(settings: Settings, account: str | None) -> list[workspace.ApiKey]:
    async with open_core(settings) as core, core.db.tenant(await account_meant(core, account)) as conn:
        return await whole(lambda cursor: workspace.list_keys(conn, 100, cursor))


async def _create(settings: Settings, account: str | None, name: str, scopes: frozenset[str]) -> NewKey:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        async with core.db.tenant(account_id) as conn:
            return await workspace.create_key(conn, account_id, name, scopes, core.clock.now())


async def _revoke(settings: Settings, account: str | None, key: str) -> None:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        async with core.db.tenant(account_id) as conn:
            await workspace.revoke_key(conn, key, core.clock.now())
