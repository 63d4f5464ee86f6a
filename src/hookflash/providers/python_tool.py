"""Tools that are Python functions: of packages that the operator installed, by the entry point `hookflash.tools`."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, cast

import msgspec

from hookflash.assistant.tool import MOST_ANSWER, Occasion, Tool, ToolAnswer, ToolFailed, ToolOutcome, ToolRefused
from hookflash.assistant.tool_auth import ToolAuth
from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError, Invalid

TOOLS = "hookflash.tools"
DEFAULT_SECONDS = 10.0

# What a package offers. It gives a text, or a value that JSON has; it may also give a whole outcome.
# Invalid is told to the model as a refusal, any other HookflashError as a failure.
ToolFunction = Callable[[Mapping[str, Any], Occasion], Awaitable[Any]]


def installed_tools() -> tuple[str, ...]:
    """The functions that there are, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=TOOLS)}))


class PythonTools:
    """Calls tools of the kind `python`: `config` has `function` (an entry point's name) and `timeout_seconds`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def call(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        *,
        session_id: str,
        identity: str,
        key: str,
        auth: ToolAuth | None,
    ) -> ToolOutcome:
        """Never raises for what it does."""
        occasion = Occasion(session_id, identity, key)
        name = str(tool.config.get("function"))
        points = tuple(entry_points(group=TOOLS, name=name))
        if not points:
            return ToolFailed(f"the function {name} is not installed here")
        seconds = float(tool.config.get("timeout_seconds", DEFAULT_SECONDS))
        try:
            function = cast(ToolFunction, points[0].load())
            given = await within(self._clock, seconds, lambda: function(arguments, occasion))
        except ModuleNotFoundError as error:
            return ToolFailed(f"the function {name} needs the Python package {error.name}, which is not installed")
        except TimeoutError:
            return ToolFailed(f"it did not answer within {seconds:g} seconds")
        except Invalid as error:
            return ToolRefused(error.message.rstrip("."))
        except HookflashError as error:
            return ToolFailed(error.message.rstrip("."))
        except Exception as error:  # noqa: BLE001 - a stranger's function; the reason is recorded with the call
            return ToolFailed(f"it broke ({type(error).__name__})")
        return _outcome(given)


def _outcome(given: object) -> ToolOutcome:
    if isinstance(given, ToolAnswer | ToolFailed | ToolRefused):
        return given
    try:
        text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    except (TypeError, UnicodeEncodeError, RecursionError):
        return ToolFailed(f"its answer is of the type {type(given).__name__}, which JSON does not have")
    if len(text) > MOST_ANSWER:
        return ToolFailed(f"its answer has {len(text):,} characters, and at most {MOST_ANSWER:,} are taken")
    return ToolAnswer(text or "done")
