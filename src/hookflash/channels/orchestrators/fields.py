"""What of a service's JSON is of the type that it should be; everything else counts as not told."""

from datetime import datetime
from math import isfinite
from typing import Any


def obj(found: Any, *names: str) -> dict[str, Any]:
    """The object at the end of a path; empty if there is none."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def text(found: dict[str, Any], *names: str) -> str:
    """The first of these that is a text with something in it. NUL characters, which PostgreSQL cannot keep, are left out."""
    for name in names:
        value = found.get(name)
        words = value.replace("\0", "").strip() if isinstance(value, str) else ""
        if words:
            return words
    return ""


def number(found: dict[str, Any], name: str) -> float | None:
    """A number that is not negative, also one that is written as a text."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if isfinite(read) and 0 <= read < 1e9 else None


def objects(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = found.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def seconds_between(begin: str, end: str) -> float | None:
    """Between two times of ISO 8601."""
    try:
        passed = (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    except (ValueError, TypeError):
        return None
    return passed if passed >= 0 else None


def micros(usd: float | None) -> int | None:
    return None if usd is None else round(usd * 1_000_000)
