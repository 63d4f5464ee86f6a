"""The log tells what happened and never what a customer said."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
import structlog

from hookflash.cli.logs import configure_logs


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = StringIO()
    configure_logs("info", request.param, stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


# Made so that no line of this file, which a traceback may quote, holds the words themselves.
SAID = " ".join(("my", "dog", "is", "ill"))


def failing(words: str) -> None:
    local = words
    raise psycopg.errors.NotNullViolation(f"null value in column\nthe row contains ({local})")


def test_neither_pii_nor_locals_nor_details_of_errors_reach_the_log(log: StringIO) -> None:
    logger = structlog.get_logger()
    logger.info("text received", message="msg_1", **{"pii.body": SAID})
    try:
        failing(SAID)
    except psycopg.Error:
        logger.exception("it failed")
        logging.getLogger("somebody.else").exception("theirs failed")
    written = log.getvalue()
    assert "msg_1" in written
    assert "in failing" in written, "a traceback names the place"
    assert "null value in column" in written
    assert "somebody" in written or "theirs failed" in written
    assert SAID not in written


def test_levels_count_and_chatter_is_left_out(log: StringIO) -> None:
    structlog.get_logger().debug("not shown")
    logging.getLogger("uvicorn.access").info("GET /twilio/... 200")
    logging.getLogger("procrastinate.worker").info("Job arguments ...")
    assert log.getvalue() == ""


def test_json_is_one_object_a_line() -> None:
    stream = StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        configure_logs("info", "json", stream)
        structlog.get_logger().warning("it happened", count=2)
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["count"], told["level"]) == ("it happened", 2, "warning")
    assert told["timestamp"].endswith("Z")
