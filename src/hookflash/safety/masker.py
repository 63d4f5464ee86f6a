"""Placeholders for personal data, and the way back: in whole texts, in values of tools, and in words that come in pieces."""

import re
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, cast

from hookflash.safety.personal import KINDS, LABELS, PATTERNS, Finder, Span

_PLACE = re.compile(r"\[\s*(" + "|".join(KINDS) + r")[ _-]?(\d{1,4})\s*\]", re.IGNORECASE)
# The longest that a placeholder can be while it is still coming in.
_LONGEST = 20


@lru_cache(maxsize=128)
def _found(finder: Any, text: str, kinds: tuple[str, ...], names: tuple[str, ...]) -> Sequence[Span]:
    return tuple(finder.find(text, kinds, names))


class Masker:
    """Gives the same placeholder, such as [PHONE_1], to the same value; knows them for one request and its reply.

    `names` are those of the person that are known. What stands in one of the `public` texts is no secret and stays.
    """

    def __init__(
        self,
        kinds: Sequence[str] = KINDS,
        names: Sequence[str] = (),
        public: Sequence[str] = (),
        finder: Finder = PATTERNS,
    ) -> None:
        self._kinds = tuple(kinds)
        self._names = tuple(names)
        self._public = "\n".join(public).casefold()
        self._finder = finder
        self._places: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._written: set[str] = set()

    @property
    def used(self) -> bool:
        """Whether anything was masked."""
        return bool(self._values)

    def mask(self, text: str, *, lasting: bool = False) -> str:
        """The text with placeholders; one that is `lasting` is the same in many requests."""
        # What looks like a placeholder and was written by somebody stands for nothing.
        self._written |= {_key(found) for found in _PLACE.finditer(text)}
        out, at = [], 0
        asked = (text, self._kinds, self._names)
        for span in _found(cast("Hashable", self._finder), *asked) if lasting else self._finder.find(*asked):
            value = text[span.start : span.end]
            if value.casefold() in self._public:
                continue
            out += [text[at : span.start], self._place(span.kind, value)]
            at = span.end
        return "".join((*out, text[at:]))

    def mask_value(self, value: Any) -> Any:
        """The same in every text of a JSON value."""
        match value:
            case str():
                return self.mask(value)
            case dict():
                return {name: self.mask_value(each) for name, each in value.items()}
            case list():
                return [self.mask_value(each) for each in value]
            case int() | float() if not isinstance(value, bool) and (masked := self.mask(str(value))) != str(value):
                return masked
            case _:
                return value

    def unmask(self, text: str, without: Sequence[str] = ()) -> str:
        """The text with the values back in; placeholders that we did not give stay. Of kinds in `without` it only says what
        stood there."""

        def value(found: re.Match[str]) -> str:
            known = self._values.get(_key(found))
            kind = found[1].casefold()
            return found.group() if known is None else LABELS[kind] if kind in without else known

        return _PLACE.sub(value, text)

    def unmask_value(self, value: Any) -> Any:
        """The same in every text of a JSON value."""
        match value:
            case str():
                return self.unmask(value)
            case dict():
                return {name: self.unmask_value(each) for name, each in value.items()}
            case list():
                return [self.unmask_value(each) for each in value]
            case _:
                return value

    def _place(self, kind: str, value: str) -> str:
        known = (kind, " ".join(value.casefold().split()))
        if known not in self._places:
            while True:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                key = f"{kind}{self._counts[kind]}"
                if key not in self._written:
                    break
            self._places[known] = f"[{kind.upper()}_{self._counts[kind]}]"
            self._values[key] = value
        return self._places[known]


class Unmasking:
    """Puts values back into words that come in pieces: what may be the beginning of a placeholder waits for its end."""

    def __init__(self, masker: Masker, without: Sequence[str] = ()) -> None:
        self._masker = masker
        self._without = without
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be said now; perhaps nothing."""
        text = self._held + piece
        at = text.rfind("[")
        whole = at < 0 or "]" in text[at:] or len(text) - at > _LONGEST
        self._held = "" if whole else text[at:]
        return self._masker.unmask(text if whole else text[:at], self._without)

    def end(self) -> str:
        """What was waiting."""
        held, self._held = self._held, ""
        return self._masker.unmask(held, self._without)


def _key(found: re.Match[str]) -> str:
    return f"{found[1].casefold()}{int(found[2])}"
