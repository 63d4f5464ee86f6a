"""What a command works with: the settings, the running `up` if there is one, an open core, the account meant."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import anyio

from hookflash.base.errors import Invalid, NotFound
from hookflash.cli.logs import configure_logs
from hookflash.cli.running import Running
from hookflash.settings import Settings
from hookflash.wiring import Core
from hookflash.workspace import store as workspace

T = TypeVar("T")


def run(work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run a command's work on an event loop of its own."""
    uvloop = {"use_uvloop": True} if os.name == "posix" else {}
    return anyio.run(partial(work, *arguments), backend_options=uvloop)


def read_settings(*, chatty: bool = False) -> Settings:
    """The settings of this environment; the log is quiet, so that it does not get between a command's lines."""
    settings = Settings.load(os.environ)
    configure_logs(settings.log_level if chatty else "error", settings.log_format)
    return settings


def with_running(settings: Settings) -> Settings:
    """With no Twilio account set, a running `up` on the same data directory stands in for it."""
    running = Running.find(settings.data_dir) if settings.embedded and settings.twilio_account_sid is None else None
    return running.over(settings) if running else settings


async def account_meant(core: Core, wanted: str | None) -> str:
    """The account that was named, or the only one there is. Raises NotFound and Invalid."""
    known = await workspace.accounts(core.db)
    if wanted is not None:
        if wanted not in known:
            raise NotFound(f"There is no account {wanted}.", hint="hookflash accounts list shows them")
        return wanted
    if not known:
        raise NotFound("There is no account yet.", hint="hookflash init creates one, and so does hookflash up")
    if len(known) > 1:
        raise Invalid(f"There are {len(known)} accounts: say which one.", hint="add --account; hookflash accounts list")
    return known[0]
