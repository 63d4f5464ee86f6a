"""What was made of an object that never changes, remembered for as long as it is asked about: finding it again costs nothing."""

from collections.abc import Callable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")
Made = TypeVar("Made")


class Remembered(Generic[Thing, Made]):
    """`make(thing)`, made once for each of the last `most` things; they are told apart by identity, not by what they hold."""

    def __init__(self, make: Callable[[Thing], Made], *, most: int = 1_024) -> None:
        self._make = make
        self._most = most
        # The thing itself is kept, so that its id is nobody else's.
        self._made: dict[int, tuple[Thing, Made]] = {}

    def __call__(self, thing: Thing) -> Made:
        known = self._made.get(id(thing))
        if known is not None:
            return known[1]
        made = self._make(thing)
        if len(self._made) >= self._most:
            self._made.clear()
        self._made[id(thing)] = (thing, made)
        return made
