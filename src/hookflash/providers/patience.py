"""Patience with vendors: which of their failures are worth another try, how soon, and how often."""

import math
from collections.abc import AsyncIterator, Mapping

import stamina

from hookflash.base.errors import HookflashError

# Nobody waits longer than this for a limit of rate: the next model of a chain is quicker.
LONGEST_WAIT = 4.0
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Failing(Exception):
    """One attempt failed: `error` is what the caller is told, `again` whether, or after how many seconds, to try again.

    Its text is ours and not the vendor's, who likes to quote the request: the text goes into the log.
    """

    def __init__(self, error: HookflashError, again: bool | float) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again


def worth_another(status: int, headers: Mapping[str, str]) -> bool | float:
    """Whether a request that was answered with this status is tried again: yes, no, or after that many seconds."""
    if status not in _AGAIN:
        return False
    try:
        wait = float(headers.get("retry-after", ""))
    except ValueError:
        return True
    return wait if math.isfinite(wait) and 0 <= wait <= LONGEST_WAIT else False


def is_passing(status: int) -> bool:
    """Whether a failure with this status may be gone a while later."""
    return status in _AGAIN


def attempts() -> AsyncIterator[stamina.Attempt]:
    """Up to three attempts with growing waits and jitter, for `async for attempt in attempts(): with attempt: ...`.

    What is raised in an attempt, Failing or other, is raised in the end.
    """
    return stamina.retry_context(on=_again, attempts=3, wait_initial=0.2, wait_max=2.0, wait_jitter=0.5)


def _again(error: Exception) -> bool | float:
    return error.again if isinstance(error, Failing) else False
