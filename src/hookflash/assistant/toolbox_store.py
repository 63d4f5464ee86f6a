"""The tools of all accounts: found for a turn, called at most once for the same call, and what became of it kept."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from hookflash.assistant import tool_store
from hookflash.assistant.act import masked
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.builtin import Builtin
from hookflash.assistant.notation import problems
from hookflash.assistant.tool import Tool, ToolAnswer, ToolFailed, ToolOutcome, ToolRefused, identity
from hookflash.assistant.tool_auth import READ, ToolAuth
from hookflash.base.clock import Clock
from hookflash.base.secret import Sealer
from hookflash.conversation.turn import Turn
from hookflash.db.pool import Database

_MOST_PROBLEMS = 5


class Run(Protocol):
    """How tools of one kind are called; what their servers do is never an exception."""

    async def __call__(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        session_id: str,
        identity: str,
        key: str,
        auth: ToolAuth | None,
    ) -> ToolOutcome: ...


class StoredToolbox:
    """A Toolbox. `runs` says how each kind is called; `builtins` are by name."""

    def __init__(
        self, db: Database, clock: Clock, sealer: Sealer, runs: Mapping[str, Run], builtins: Mapping[str, Builtin]
    ) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._runs = runs
        self._builtins = builtins

    async def tools(self, turn: Turn) -> tuple[Tool, ...]:
        wanted = AssistantConfig.stored(turn.session.config).tools
        if not wanted:
            return ()
        async with self._db.at_once(turn.account_id) as conn:
            found = await tool_store.named(conn, wanted)
        return tuple(stored.tool for stored in found if stored.tool.enabled)

    async def call(self, turn: Turn, tool: Tool, arguments: dict[str, Any], key: str) -> ToolOutcome:
        wrong = _wrong(tool, arguments)
        if wrong is not None:
            return ToolRefused(wrong)
        async with self._db.at_once(turn.account_id) as conn:
            before, sealed = await tool_store.before_calling(conn, tool.id, key)
        if before is not None:
            return ToolAnswer(before)
        auth = READ.validate_json(self._sealer.open(sealed, tool.id).get_secret_value()) if sealed else None
        began = time.perf_counter()
        outcome = _storable(await self._run(turn, tool, arguments, key, auth))
        ms = (time.perf_counter() - began) * 1000
        # An answer is not to be asked for again, so it must be there after a crash.
        async with self._db.at_once(turn.account_id, durable=isinstance(outcome, ToolAnswer)) as conn:
            await tool_store.record(
                conn,
                turn.account_id,
                key,
                turn.id,
                tool,
                outcome,
                ms,
                self._clock.now(),
                arguments=masked(arguments),
                contact_id=turn.contact.id,
            )
        return outcome

    async def _run(
        self, turn: Turn, tool: Tool, arguments: dict[str, Any], key: str, auth: ToolAuth | None
    ) -> ToolOutcome:
        if tool.kind == "builtin":
            builtin = self._builtins.get(str(tool.config.get("builtin")))
            if builtin is not None:
                return await builtin.of(tool)(turn, arguments, key)
        elif run := self._runs.get(tool.kind):
            return await run(tool, arguments, session_id=turn.session.id, identity=identity(turn), key=key, auth=auth)
        return ToolRefused(f"tools of the kind {tool.kind} cannot be used here")


def _wrong(tool: Tool, arguments: dict[str, Any]) -> str | None:
    """Why these arguments are not sent; None when they are."""
    try:
        encoded = msgspec.json.encode(arguments)
    except (UnicodeEncodeError, RecursionError):
        encoded = b"\\u0000"
    if b"\\u0000" in encoded:
        return "the input holds characters that cannot be sent"
    return "; ".join(problems(tool.schema, arguments)[:_MOST_PROBLEMS]) or None


def _storable(outcome: ToolOutcome) -> ToolOutcome:
    """Without what PostgreSQL cannot hold."""
    match outcome:
        case ToolAnswer(text=text, micros=micros):
            return ToolAnswer(_clean(text), micros)
        case ToolRefused(why=why):
            return ToolRefused(_clean(why))
        case ToolFailed(why=why):
            return ToolFailed(_clean(why))


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
