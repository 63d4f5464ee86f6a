"""`hookflash tools`: what assistants can do."""

import json
from typing import Annotated, Any

import typer

from hookflash.assistant import tool_store
from hookflash.assistant.tool_routes import Tried
from hookflash.base.errors import Invalid, NotFound
from hookflash.base.paging import whole
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What assistants can do.", epilog="Example: hookflash tools list"
)

Account = Annotated[str | None, typer.Option(help="The account, where there are several.")]


@app.command("list", epilog="Example: hookflash tools list")
def list_(
    account: Account = None, as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
) -> None:
    """Show the tools of an account."""
    found = run(_list, read_settings(), account)
    if as_json:
        screen.as_json(
            [{"id": s.id, "name": s.tool.name, "kind": s.tool.kind, "enabled": s.tool.enabled} for s in found]
        )
        return
    table = screen.rows("Tool", "Name", "Kind", "Description", "")
    for stored in found:
        state = "" if stored.tool.enabled else "off"
        table.add_row(stored.id, stored.tool.name, stored.tool.kind, stored.tool.description, state)
    screen.out().print(table)
    screen.next_step("call one:", "hookflash tools test NAME '{}'")


@app.command(
    "test",
    epilog="""Example: hookflash tools test order_status '{"order_id": "A-1001"}' --identity phone:+15550111222""",
)
def try_(
    tool: Annotated[str, typer.Argument(help="The tool's name or id.")],
    arguments: Annotated[str, typer.Argument(help="What it is given, as JSON.")] = "{}",
    identity: Annotated[str, typer.Option(help="On whose behalf.")] = "user_id:test",
    account: Account = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Call a tool, as an assistant would. What it does is really done. Ends with 1 unless it answers."""
    tried = run(_test, read_settings(), account, tool, _read(arguments), identity)
    if as_json:
        screen.as_json(tried.model_dump())
    elif tried.outcome == "answered":
        screen.done(f"It answered in {screen.milliseconds(tried.ms)}:")
        typer.echo(tried.text)
    else:
        screen.fail(
            f"It was {tried.outcome}: {tried.text}" if tried.outcome == "refused" else f"It failed: {tried.text}"
        )
    if tried.outcome != "answered":
        raise typer.Exit(1)


def _read(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Invalid("What a tool is given is a JSON object.", hint="""such as: '{"order_id": "A-1001"}'""")
    return found


async def _list(settings: Settings, account: str | None) -> list[tool_store.StoredTool]:
    async with open_core(settings) as core:
        return await _all(core, await account_meant(core, account))


async def _all(core: Core, account_id: str) -> list[tool_store.StoredTool]:
    async with core.db.tenant(account_id) as conn:
        return await whole(lambda cursor: tool_store.page(conn, 100, cursor))


async def _test(
    settings: Settings, account: str | None, wanted: str, arguments: dict[str, Any], identity: str
) -> Tried:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = next((s for s in await _all(core, account_id) if wanted in (s.id, s.tool.name)), None)
        if found is None:
            raise NotFound(f"There is no tool {wanted}.", hint="hookflash tools list shows them")
        async with core.db.tenant(account_id) as conn:
            sealed = await tool_store.secret_of(conn, found.id)
        return await core.workbench.attempt(found.tool, sealed, arguments, identity)
