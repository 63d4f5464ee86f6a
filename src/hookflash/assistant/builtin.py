"""Tools that are part of the house: they act within a conversation, so they are given the turn."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool, ToolAnswer, ToolOutcome, ToolRefused
from hookflash.conversation.turn import Turn

HAND_OFF, LOOK_UP, VERIFY = "hand_off", "look_up_customer", "verify_customer"
SEND_LINK, SCHEDULE = "send_link", "schedule_message"
MOST_REASON = 200


Run = Callable[[Turn, Mapping[str, Any], str], Awaitable[ToolOutcome]]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A tool of the house. `run` is given the turn, the arguments (checked by `schema`) and the call's key.

    `needs` names what must be set of such a tool; `configured` then gives the `run` of one by its config.
    """

    name: str
    description: str
    schema: dict[str, Any]
    run: Run
    needs: str | None = None
    configured: Callable[[Mapping[str, Any]], Run] | None = None

    def of(self, tool: Tool) -> Run:
        """How this tool is called."""
        return self.run if self.configured is None else self.configured(tool.config)


def is_builtin(tool: Tool, name: str) -> bool:
    """Whether a tool is this one of the house."""
    return tool.kind == "builtin" and tool.config.get("builtin") == name


async def _hand_off(turn: Turn, _: Mapping[str, Any], __: str) -> ToolOutcome:
    config = AssistantConfig.stored(turn.session.config)
    if not (config.hand_off or (turn.line.spoken and config.voice.transfer_to)):
        return ToolRefused("nobody takes over here: say what you can and cannot do")
    return ToolAnswer("A colleague is told when you have answered, and goes on from here. Say so in one sentence.")


def _look_up(config: Mapping[str, Any]) -> Run:
    async def run(turn: Turn, _: Mapping[str, Any], __: str) -> ToolOutcome:
        known = {**turn.contact.traits, "name": turn.contact.name, "language": turn.contact.language}
        shown = {name: known[name] for name in config.get("traits") or () if known.get(name) is not None}
        if not shown:
            return ToolAnswer("Nothing is known of this customer that you may see.")
        return ToolAnswer(msgspec.json.encode(shown).decode())

    return run


async def _verify(_: Turn, __: Mapping[str, Any], ___: str) -> ToolOutcome:
    # Whoever comes here has been let in by the tool's policy.
    return ToolAnswer("The customer is verified.")


def own() -> dict[str, Builtin]:
    """Those that need nothing but the turn."""
    tools = (
        Builtin(
            HAND_OFF,
            "Have a person of the company take over, when the customer asks for one or you cannot help.",
            read("{\n  // Why a person is needed, in one short sentence.\n  reason: string\n}"),
            _hand_off,
        ),
        Builtin(
            LOOK_UP,
            "What the company knows of the customer you talk with, such as their plan.",
            read("{}"),
            _look_up({}),
            "traits",
            _look_up,
        ),
        Builtin(
            VERIFY,
            "Have the customer prove who they are by a code to their phone, before you speak of anything personal.",
            read("{}"),
            _verify,
        ),
    )
    return {tool.name: tool for tool in tools}
