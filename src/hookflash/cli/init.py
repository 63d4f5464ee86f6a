"""`hookflash init`: a settings file, and the first account."""

from pathlib import Path
from typing import Annotated

import typer

from hookflash.base.errors import Conflict, HookflashError
from hookflash.base.secret import Sealer
from hookflash.cli import screen
from hookflash.settings import FILE_NAME, template

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash init")
def init(
    print_key: Annotated[
        bool, typer.Option("--print-key", help="Print a new HOOKFLASH_SECRET_KEY and do no more.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a settings file that is there.")] = False,
    path: Annotated[Path, typer.Option(help="Where to write the settings file.")] = Path(FILE_NAME),
    account: Annotated[str, typer.Option(help="What to call the first account.")] = "main",
) -> None:
    """Write a settings file in which everything is explained and nothing is set.

    With HOOKFLASH_DATABASE_URL set, also bring that database up to date and create the first account with an API key,
    unless there is an account.
    """
    if print_key:
        typer.echo(Sealer.new_key())
        return
    if path.exists() and not force:
        raise Conflict(f"There is a file {path} already.", hint="--force replaces it, --path writes another one")
    path.write_text(template(), encoding="utf-8")
    screen.done(f"Wrote {path}: every setting, explained. What you leave commented keeps its default.")
    made = _first_account(account)
    if made is not None:
        screen.done(f"Created account {made[0]}. This is its API key; it is not shown again:")
        typer.echo(made[1])
    if made is None:
        screen.next_step("an account, unless there is one:", 'hookflash accounts create "Acme"')
    else:
        screen.next_step("join a number to an assistant:", "hookflash integrations create --sender +1...")


def _first_account(name: str) -> tuple[str, str] | None:
    """Account id and the text of its key, when a database is configured and has no account."""
    # Imported here: most of what init does needs nothing of it.
    from hookflash.cli.first_account import first_account
    from hookflash.cli.opening import read_settings, run

    try:
        settings = read_settings()
    except HookflashError as error:
        screen.warn(f"No account was created: {error.message}")
        return None
    if settings.embedded:
        return None
    return run(first_account, settings, name)
