"""The first account of a database, with a key that may do everything."""

import anyio.to_thread

from hookflash.db.migrate import migrate
from hookflash.rest.auth import ADMIN
from hookflash.settings import Settings
from hookflash.wiring import database_url, open_core
from hookflash.workspace import store as workspace


async def first_account(settings: Settings, name: str) -> tuple[str, str] | None:
    """Its id and its key's text; None when there is an account already."""
    async with database_url(settings) as url:
        await anyio.to_thread.run_sync(migrate, url)
    async with open_core(settings) as core:
        if await workspace.accounts(core.db):
            return None
        account_id = await workspace.create_account(core.db, name)
        async with core.db.tenant(account_id) as conn:
            key = await workspace.create_key(conn, account_id, "first", frozenset({ADMIN}), core.clock.now())
        return account_id, key.text.get_secret_value()
