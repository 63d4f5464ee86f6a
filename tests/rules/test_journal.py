"""The journal's arithmetic: an untouched journal is sound, and whatever is touched is named."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookflash.conversation.journal import GENESIS, Broken, Entry, Seal, Verifier, entry_hash, seal

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = "acc_1"


@dataclass
class Book:
    """A journal as it lies in the database."""

    entries: dict[int, Entry]
    seals: list[Seal]

    def verify(self) -> Broken | None:
        verifier = Verifier(ACCOUNT)
        for each in self.seals:
            broken = verifier.check(each, self.entries)
            if broken:
                return broken
        return None


def book(*batches: list[int]) -> Book:
    """Entries with these ids, a seal for each batch."""
    entries = {}
    for number in (n for batch in batches for n in batch):
        at, body = AT + timedelta(seconds=number), f'{{"n":{number}}}'
        digest = entry_hash(ACCOUNT, at, "turn", f"turn_{number}", body)
        entries[number] = Entry(number, ACCOUNT, at, "turn", f"turn_{number}", body, digest)
    seals: list[Seal] = []
    for n, batch in enumerate(batches, 1):
        previous = seals[-1].hash if seals else GENESIS
        seals.append(seal(ACCOUNT, n, AT, [(i, entries[i].hash) for i in batch], previous))
    return Book(entries, seals)


def test_an_untouched_journal_is_sound_also_where_entries_were_sealed_late() -> None:
    assert book([1, 2], [3], [5, 6, 9], [4, 7]).verify() is None
    assert book().verify() is None


@given(st.lists(st.lists(st.integers(1, 10_000), min_size=1, max_size=5), max_size=5))
def test_a_seal_lists_what_it_was_made_of(batches: list[list[int]]) -> None:
    made = book(*batches)
    assert made.verify() is None
    for each, batch in zip(made.seals, batches, strict=True):
        assert each.listed() == [(n, made.entries[n].hash) for n in batch]


ALTERATIONS: dict[str, Callable[[Entry], Entry]] = {
    "body": lambda e: replace(e, body='{"n":0}'),
    "time": lambda e: replace(e, at=e.at + timedelta(microseconds=1)),
    "kind": lambda e: replace(e, kind="note"),
    "subject": lambda e: replace(e, subject="turn_9"),
    "account": lambda e: replace(e, account_id="acc_2"),
    "hash": lambda e: replace(e, hash=bytes(32)),
    "body and hash": lambda e: replace(e, body="{}", hash=entry_hash(e.account_id, e.at, e.kind, e.subject, "{}")),
}


@pytest.mark.parametrize("what", ALTERATIONS)
@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_altered_entry_is_named(what: str, number: int) -> None:
    made = book([1, 2], [3, 4])
    made.entries[number] = ALTERATIONS[what](made.entries[number])
    broken = made.verify()
    assert broken is not None
    assert broken.what == "altered"
    assert broken.record.startswith(f"journal entry {number} ")


def test_a_missing_entry_is_named() -> None:
    made = book([1, 2], [3, 4])
    del made.entries[3]
    assert made.verify() == Broken("missing", "journal entry 3")


def test_entries_that_changed_places_are_named() -> None:
    made = book([1, 2, 3])
    two, three = made.entries[2], made.entries[3]
    made.entries |= {2: replace(three, id=2), 3: replace(two, id=3)}
    assert made.verify() == Broken("reordered", "journal entry 2 (turn of turn_3)")


@pytest.mark.parametrize("field", ["entries", "at", "hash"])
def test_an_altered_seal_is_named(field: str) -> None:
    made = book([1, 2], [3], [4])
    second = made.seals[1]
    changed = {"entries": second.entries[:-1] + b"\0", "at": AT + timedelta(days=1), "hash": bytes(32)}[field]
    made.seals[1] = replace(second, **{field: changed})  # type: ignore[arg-type]
    assert made.verify() == Broken("altered", "seal 2")


def test_a_seal_that_was_made_again_to_fit_an_altered_entry_breaks_the_chain() -> None:
    made, forged = book([1, 2], [3], [4]), book([1, 2], [3], [4])
    entry = replace(made.entries[3], body="{}", hash=entry_hash(ACCOUNT, made.entries[3].at, "turn", "turn_3", "{}"))
    made.entries[3] = entry
    made.seals[1] = seal(ACCOUNT, 2, AT, [(3, entry.hash)], forged.seals[0].hash)
    assert made.verify() == Broken("reordered", "seal 3")


def test_a_missing_seal_is_named() -> None:
    made = book([1, 2], [3], [4])
    del made.seals[1]
    assert made.verify() == Broken("missing", "seal 2")
    first = book([1], [2])
    del first.seals[0]
    assert first.verify() == Broken("missing", "seal 1")


def test_seals_that_changed_places_are_named() -> None:
    made = book([1, 2], [3], [4])
    made.seals[1], made.seals[2] = replace(made.seals[2], seq=2), replace(made.seals[1], seq=3)
    assert made.verify() == Broken("reordered", "seal 2")


def test_a_seal_of_another_account_does_not_fit() -> None:
    made = book([1])
    assert Verifier("acc_2").check(made.seals[0], made.entries) == Broken("altered", "seal 1")
