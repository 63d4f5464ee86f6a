"""The log of the program: one line an event, for people or for machines; never what a customer said.

Keys that begin with `pii.` are dropped. A traceback names files and lines; of each error only the first line is told,
because what follows it (a row that the database refused, a value that did not fit) may be a customer's words.
"""

import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_LONGEST = 300
Event = MutableMapping[str, Any]


def configure_logs(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send everything that is logged, by us or by a library, to `stream` (stderr). `form`: console or json."""
    shown = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_persons,
        plain_traceback,
    ]
    render = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=_colourful(stream or sys.stderr), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(shown),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(shown)
    # Others tell addresses, bodies and SQL when they chatter.
    for name in (
        "uvicorn",
        "procrastinate",
        "alembic",
        "twilio",
        "openai",
        "anthropic",
        "httpx2",
        "psycopg",
        "asyncio",
    ):
        logging.getLogger(name).setLevel(max(shown, logging.WARNING))


def without_persons(logger: object, method: str, event: Event) -> Event:
    """Drop what a person said."""
    for key in [key for key in event if key.startswith("pii.")]:
        del event[key]
    return event


def plain_traceback(logger: object, method: str, event: Event) -> Event:
    """Put the traceback, without local variables and with the first line of each message, under `exception`."""
    error = event.pop("exc_info", None)
    if not error:
        return event
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        error = sys.exc_info()[1]
    if error is not None:
        event["exception"] = "\n".join(_told(error))
    return event


def _told(error: BaseException) -> list[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = _told(cause) if cause is not None else []
    lines += [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
    first = str(error).partition("\n")[0][:_LONGEST]
    lines.append(f"{type(error).__module__}.{type(error).__qualname__}: {first}".removeprefix("builtins."))
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            lines += ["  | " + line for part in _told(inner) for line in part.splitlines()]
    return lines


def _colourful(stream: TextIO) -> bool:

    return stream.isatty() and not os.environ.get("NO_COLOR")
