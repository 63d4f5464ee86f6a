"""`hookflash migrate`: the database's schema."""

import typer

from hookflash.cli import screen
from hookflash.cli.opening import read_settings, run
from hookflash.db.migrate import migrate as bring_up_to_date
from hookflash.db.migrate import newest
from hookflash.settings import Settings
from hookflash.wiring import database_url

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: HOOKFLASH_DATABASE_URL=postgresql://hookflash@db/hookflash hookflash migrate")
def migrate() -> None:
    """Bring the database up to date. Run it once for each release, before the roles of that release start.

    Roles of the release before go on working meanwhile. With our own database (no HOOKFLASH_DATABASE_URL) every start
    does it by itself.
    """
    applied = run(_migrate, read_settings())
    if applied:
        screen.done(f"Migrated to revision {applied[-1]} ({len(applied)} step{'s' if len(applied) > 1 else ''}).")
    else:
        screen.done(f"The database is at revision {newest()} already.")
    screen.next_step("start the program:", "hookflash serve --role all")


async def _migrate(settings: Settings) -> list[str]:
    async with database_url(settings) as url:
        return bring_up_to_date(url)
