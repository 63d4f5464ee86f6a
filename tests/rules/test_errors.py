"""The tree of errors is the one that its docstring draws."""

import re
from collections.abc import Iterator

import pytest

from hookflash.base import errors
from hookflash.base.errors import HookflashError


def tree(error: type[HookflashError] = HookflashError) -> Iterator[type[HookflashError]]:
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_the_docstring_draws_every_error_and_its_status() -> None:
    drawn = {
        match["name"]: match["status"]
        for line in (errors.__doc__ or "").splitlines()
        if (match := re.search(r"(?:^|── )(?P<name>[A-Z][A-Za-z]+) {2,}.*?(?P<status>\d{3})?$", line))
    }
    assert set(drawn) == {error.__name__ for error in tree()}
    for error in tree():
        if drawn[error.__name__]:
            assert error.status == int(drawn[error.__name__]), error.__name__


@pytest.mark.parametrize("error", [e for e in tree() if e is not HookflashError])
def test_an_error_is_its_sentence(error: type[HookflashError]) -> None:
    raised = error("The thing is gone.")
    assert str(raised) == raised.message == "The thing is gone."
    assert error.__doc__


def test_only_what_may_pass_is_worth_a_retry() -> None:
    assert {error.__name__ for error in tree() if error.retryable} == {"TooMany", "Unavailable"}
