"""Patience with vendors: which of their failures are worth another try, how soon, and how often."""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import stamina

from hookflash.base.errors import HookflashError

T = TypeVar("T")

# Nobody waits longer than this for a limit of rate: the next model of a chain is quicker.
LONGEST_WAIT = 4.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt failed: `error` is what the caller is told, `again` whether, or after how many seconds, to try again."""

    error: HookflashError
    again: bool | float
    cause: Exception


class _Again(Exception):
    """Carries a failure through stamina, which logs its text: ours, as vendors like to quote the request in theirs."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(str(failed.error))
        self.failed = failed


async def persist(work: Callable[[], Awaitable[T | Failed]]) -> T:
    """Do it in up to three attempts, with growing waits and jitter; raises the last failure's error.

    What the work raises is raised at once.
    """
    try:
        async for attempt in stamina.retry_context(
            on=_wait, attempts=3, wait_initial=0.2, wait_max=2.0, wait_jitter=0.5
        ):
            with attempt:
                outcome = await work()
                if isinstance(outcome, Failed):
                    raise _Again(outcome)
                return outcome
    except _Again as given_up:
        raise given_up.failed.error from given_up.failed.cause
    raise AssertionError("a retry context ends by returning or raising")


def worth_another(status: int, headers: Mapping[str, str]) -> bool | float:
    """Whether a request that was answered with this status is tried again: yes, no, or after that many seconds."""
    if not is_passing(status):
        return False
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return True
    return wait if math.isfinite(wait) and 0 <= wait <= LONGEST_WAIT else False


def is_passing(status: int) -> bool:
    """Whether a failure with this status may be gone a while later."""
    return status in _PASSING


def _wait(error: Exception) -> bool | float:
    return error.failed.again if isinstance(error, _Again) else False
