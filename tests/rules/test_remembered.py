"""What is kept instead of being computed again: short texts by what they say, other things by which they are."""

from dataclasses import dataclass

from hookflash.base.remembered import Remembered, short_texts


def test_of_short_texts_the_last_are_kept_and_of_long_ones_none() -> None:
    computed: list[tuple[str, int]] = []

    @short_texts(5, most=2)
    def told(text: str, times: int = 1) -> str:
        computed.append((text, times))
        return text * times

    assert [told("short"), told("short"), told("short", 2)] == ["short", "short", "shortshort"]
    assert [told("longer"), told("longer")] == ["longer", "longer"]
    assert computed == [("short", 1), ("short", 2), ("longer", 1), ("longer", 1)]
    told("other")
    told("short")
    assert computed[4:] == [("other", 1), ("short", 1)]


@dataclass(frozen=True, slots=True)
class Thing:
    number: int


def test_things_are_told_apart_by_which_they_are() -> None:
    made: list[int] = []

    def number(thing: Thing) -> int:
        made.append(thing.number)
        return thing.number

    remembered = Remembered(number, most=2)
    one, same = Thing(1), Thing(1)
    assert [remembered(one), remembered(one), remembered(same)] == [1, 1, 1]
    assert made == [1, 1]
    assert remembered(Thing(2)) == 2
    assert remembered(one) == 1
    assert made == [1, 1, 2, 1]
