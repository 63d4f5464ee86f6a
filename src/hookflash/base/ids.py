"""Identifiers: a readable prefix and 128 bits that sort by time (UUIDv7 in Crockford base 32)."""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new_id(prefix: str) -> str:
    """A new identifier such as `msg_06bq3v0d...` (26 characters after the prefix), later ones sort after earlier ones."""
    bits = ((time.time_ns() // 1_000_000) << 80) | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join([_PAIRS[(bits >> shift) & 1023] for shift in range(120, -10, -10)])
