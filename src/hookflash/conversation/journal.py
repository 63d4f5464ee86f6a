"""The journal's arithmetic: hashes of entries, seals that chain them, and the search for the first one that is wrong."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

GENESIS = bytes(32)
_ENTRY = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `body` is the exact JSON text that was stored."""

    id: int
    account_id: str
    at: datetime
    kind: str
    subject: str
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """A batch of entries in order (`entries`: 8 bytes of id and 32 of hash each), chained to the seal before it."""

    seq: int
    at: datetime
    entries: bytes
    previous: bytes
    hash: bytes

    def listed(self) -> list[tuple[int, bytes]]:
        return [
            (int.from_bytes(self.entries[i : i + 8], "big"), self.entries[i + 8 : i + _ENTRY])
            for i in range(0, len(self.entries), _ENTRY)
        ]


def entry_hash(account_id: str, at: datetime, kind: str, subject: str, body: str) -> bytes:
    """SHA-256 over everything that an entry says."""
    return hashlib.sha256(msgspec.json.encode([account_id, at.timestamp(), kind, subject, body])).digest()


def seal(account_id: str, seq: int, at: datetime, entries: Iterable[tuple[int, bytes]], previous: bytes) -> Seal:
    """Chain these entries (id, hash) after the seal whose hash is `previous`."""
    packed = b"".join(number.to_bytes(8, "big") + digest for number, digest in entries)
    return Seal(seq, at, packed, previous, _seal_hash(account_id, seq, at, packed, previous))


def _seal_hash(account_id: str, seq: int, at: datetime, packed: bytes, previous: bytes) -> bytes:
    head = msgspec.json.encode([account_id, seq, at.timestamp()])
    return hashlib.sha256(previous + head + packed).digest()


@dataclass(frozen=True, slots=True)
class Sound:
    """The journal is as it was written: how many entries and seals were checked, how many wait for their seal."""

    entries: int
    seals: int
    unsealed: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The first thing that is wrong: what (`altered`, `missing`, `reordered`, `unlisted`), and which record."""

    what: str
    record: str


class Verifier:
    """Reads seals in order, with the entries that each lists, and stops at the first that does not agree."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._previous = GENESIS
        self._seq = 0
        self.entries = 0

    def check(self, found: Seal, stored: dict[int, Entry]) -> Broken | None:
        """Check the next seal against the entries found in the database, by id."""
        self._seq += 1
        if found.seq != self._seq:
            return Broken("missing", f"seal {self._seq}")
        if found.previous != self._previous:
            return Broken("reordered", f"seal {found.seq}")
        whole = _seal_hash(self._account_id, found.seq, found.at, found.entries, found.previous)
        if not hmac.compare_digest(whole, found.hash):
            return Broken("altered", f"seal {found.seq}")
        for number, digest in found.listed():
            entry = stored.get(number)
            if entry is None:
                return Broken("missing", f"journal entry {number}")
            content = entry_hash(entry.account_id, entry.at, entry.kind, entry.subject, entry.body)
            if content != digest or entry.hash != digest:
                moved = content != digest and content in {other for _, other in found.listed()}
                what = "reordered" if moved else "altered"
                return Broken(what, f"journal entry {number} ({entry.kind} of {entry.subject})")
            self.entries += 1
        self._previous = found.hash
        return None

    @property
    def seals(self) -> int:
        return self._seq
