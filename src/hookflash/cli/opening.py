"""How a command begins: its settings, those of a running `up` over them, and an event loop for its work."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import anyio

from hookflash.cli.logs import configure_logs
from hookflash.cli.running import Running
from hookflash.settings import Settings

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
