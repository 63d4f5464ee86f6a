"""Results that are kept instead of being computed again: of objects that never change, and of short texts."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

Thing = TypeVar("Thing")
Made = TypeVar("Made")
Others = ParamSpec("Others")
OfText = Callable[Concatenate[str, Others], Made]


def short_texts(longest: int, *, most: int) -> Callable[[OfText[Others, Made]], OfText[Others, Made]]:
    """Keeps what a function made of the last `most` texts of at most `longest` characters (and its other arguments).

    Short ones come again and again; long ones hardly come twice, and would fill the memory.
    """

    def decorate(make: OfText[Others, Made]) -> OfText[Others, Made]:
        kept = cast(OfText[Others, Made], lru_cache(most)(make))

        @wraps(make)
        def made(text: str, /, *arguments: Others.args, **named: Others.kwargs) -> Made:
            return (kept if len(text) <= longest else make)(text, *arguments, **named)

        return made

    return decorate


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
