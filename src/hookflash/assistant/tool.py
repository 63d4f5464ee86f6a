"""A tool: something that an assistant can do for the person it talks with, and what may come of one call of it."""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from hookflash.conversation.identity import Identity
from hookflash.conversation.turn import Turn

MOST_ANSWER = 20_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a tool and an assistant's set of tools may be; the well-known defaults of the field."""

    name_chars: int = 30
    description_chars: int = 300
    properties: int = 25
    tools: int = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may use a tool. Empty: everybody.

    `channels` are line names (sms, whatsapp, voice, web); `traits` must be there with these values; `verified` asks for a
    person who has proven to hold their phone in this session.
    """

    channels: tuple[str, ...] = ()
    traits: dict[str, Any] = field(default_factory=dict)
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """`schema` is the JSON Schema of its input. `config` is the kind's own: method, url, timeout ... without secrets.

    The output of a `final_response` tool goes to the customer as it is.
    """

    id: str
    name: str
    description: str
    schema: dict[str, Any]
    kind: Literal["http", "mcp", "python", "builtin"]
    config: dict[str, Any]
    policy: Policy = Policy()
    final_response: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What the tool gave: text from outside, to be trusted as little as a document."""

    text: str
    micros: int = 0


@dataclass(frozen=True, slots=True)
class ToolRefused:
    """It was not called: wrong arguments, not for this person. The model is told why."""

    why: str


@dataclass(frozen=True, slots=True)
class ToolFailed:
    """It was called, and did not do it; or nobody knows."""

    why: str


ToolOutcome = ToolAnswer | ToolRefused | ToolFailed


@dataclass(frozen=True, slots=True)
class Occasion:
    """In whose name a tool is called: our session, the person (`phone:+1...`), the key that makes a repetition harmless."""

    session_id: str
    identity: str
    key: str


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as a server that has several describes it; nothing of it was checked."""

    name: str
    description: str
    schema: Any


class Toolbox(Protocol):
    """The tools of all assistants."""

    async def tools(self, turn: Turn) -> tuple[Tool, ...]:
        """Those that the turn's assistant has, enabled, in the order in which it names them."""
        ...

    async def call(self, turn: Turn, tool: Tool, arguments: dict[str, Any], key: str) -> ToolOutcome:
        """Do it. `key` is the same for the same call of the same turn, also when the turn is thought again."""
        ...


class NoTools:
    """The toolbox of those who have none."""

    async def tools(self, _: Turn) -> tuple[Tool, ...]:
        return ()

    async def call(self, turn: Turn, tool: Tool, arguments: dict[str, Any], key: str) -> ToolOutcome:
        return ToolRefused("there are no tools")


def call_key(turn: Turn, tool: Tool, arguments: dict[str, Any]) -> str:
    """The idempotency key of a call: what was said, which tool, with which arguments."""
    said = [message.id for message in turn.said]
    text = msgspec.json.encode([said, tool.id, arguments], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


def signing_secret(signing: bytes, tool_id: str) -> str:
    """A tool's own secret, so that no server learns what the requests to another one are signed with."""
    return hmac.new(signing, tool_id.encode(), hashlib.sha256).hexdigest()


def denied(policy: Policy, turn: Turn, *, verified: bool) -> str | None:
    """Why the person of this turn may not use what the policy guards; None when they may."""
    if policy.channels and turn.line.name not in policy.channels:
        return f"it is not available by {turn.line.name}"
    for name, value in policy.traits.items():
        if turn.contact.traits.get(name) != value:
            return "it is not available to this customer"
    if policy.verified and not verified:
        return "the customer must be verified first"
    return None


def identity(turn: Turn) -> str:
    """On whose behalf: `phone:+1...`, `whatsapp:+1...` or `user_id:...`."""
    return str(Identity.of(turn.said[-1].address)) if turn.said else f"user_id:{turn.contact.id}"
