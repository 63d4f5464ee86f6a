"""How a form body is read: raw bytes in, names and values out, nothing dropped, trimmed or repaired."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

FORM_TYPE = "application/x-www-form-urlencoded"

Form = Mapping[str, Sequence[str]]


# A request's body is read to check its signature, and then for what it says.
@lru_cache(4)
def form_pairs(raw: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The names and values of a form body in order, decoded to bytes; blank values and repeats are kept."""
    pairs = []
    for piece in raw.replace(b"+", b" ").split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            if b"%" in piece:
                name, value = unquote_to_bytes(name), unquote_to_bytes(value)
            pairs.append((name, value))
    return tuple(pairs)


def parse_form(raw: bytes) -> dict[str, list[str]]:
    """The form as text: every name with its values in order. Bytes that are not UTF-8 become U+FFFD."""
    form: dict[str, list[str]] = {}
    for name, value in form_pairs(raw):
        form.setdefault(name.decode("utf-8", "replace"), []).append(value.decode("utf-8", "replace"))
    return form
