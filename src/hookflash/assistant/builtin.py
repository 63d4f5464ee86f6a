"""Tools that are part of the house: they act within a conversation, so they are given the turn."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hookflash.assistant.tool import ToolOutcome
from hookflash.conversation.turn import Turn


@dataclass(frozen=True, slots=True)
class Builtin:
    """A tool of the house. `run` is given the turn, the arguments (checked by `schema`) and the call's key."""

    name: str
    description: str
    schema: dict[str, Any]
    run: Callable[[Turn, Mapping[str, Any], str], Awaitable[ToolOutcome]]
