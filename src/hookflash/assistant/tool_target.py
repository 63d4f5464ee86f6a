"""What a tool of each kind needs, so that it can be called; and whether two of them are called at the same place."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hookflash.base.errors import Invalid

# By kind: what belongs to it, with what it is unless it is said; None must be said.
_PARTS: Mapping[str, Mapping[str, Any]] = {
    "http": {"method": "POST", "url": None, "timeout_seconds": 10.0},
    "mcp": {"url": None, "remote_name": None, "timeout_seconds": 10.0},
    "python": {"function": None, "timeout_seconds": 10.0},
    "builtin": {"builtin": None, "hosts": [], "traits": []},
}
PARTS = frozenset(part for parts in _PARTS.values() for part in parts)
AT_AN_ADDRESS = frozenset(kind for kind, parts in _PARTS.items() if "url" in parts)


def config_of(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's `config` of what was given. Raises Invalid for what is missing, and for what other kinds have."""
    parts = _PARTS[kind]
    for name in sorted(set(given) - set(parts)):
        raise Invalid(f"A tool of the kind {kind} has no {name}.", field=name)
    config = {**parts, **given}
    for name, value in config.items():
        if value is None:
            raise Invalid(f"A tool of the kind {kind} needs {name}.", field=name)
    return config


def same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configs lead to the same server: what authenticates us to one must not be shown to another."""
    return _origin(one) == _origin(other)


def _origin(config: Mapping[str, Any]) -> tuple[str, str]:
    parts = urlsplit(str(config.get("url", "")))
    return parts.scheme, parts.netloc.casefold()
