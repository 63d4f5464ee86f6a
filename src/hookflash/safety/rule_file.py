"""Files of rules: patterns with what they mean, too long for code."""

import re
import tomllib
from importlib.resources import files
from typing import Any


def rules(name: str) -> list[tuple[dict[str, Any], re.Pattern[str]]]:
    """The rules of a file of this package, each with its patterns as one, in which parts are filled in."""
    whole = tomllib.loads(files("hookflash.safety").joinpath(name).read_text(encoding="utf-8"))
    parts: dict[str, str] = whole.get("parts", {})
    found = []
    for rule in whole["rules"]:
        pattern = "|".join(f"(?:{each})" for each in rule["patterns"])
        for part, text in parts.items():
            pattern = pattern.replace(f"<{part}>", text)
        found.append((rule, re.compile(pattern, re.IGNORECASE)))
    return found


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())
