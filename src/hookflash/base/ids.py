"""Identifiers: a readable prefix and 128 bits that sort by time (UUIDv7 in Crockford base 32)."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """A new identifier such as `msg_06bq3v0d...` (26 characters after the prefix), later ones sort after earlier ones."""
    bits = ((time.time_ns() // 1_000_000) << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[(bits >> shift) & 31] for shift in range(125, -5, -5))
