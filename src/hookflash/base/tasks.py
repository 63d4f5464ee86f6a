"""Errors of task groups: the only one comes out bare, so that callers can name what they catch."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bare_error() -> Iterator[None]:
    """Around a task group: when one error ended it, raise that error itself instead of a group of one."""
    try:
        yield
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        raise only from None
