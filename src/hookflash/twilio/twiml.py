"""TwiML for messages: what we answer a messaging webhook with."""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

CONTENT_TYPE = "text/xml; charset=utf-8"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
_EMPTY = f"{_HEAD}<Response/>".encode()
# Characters that XML 1.0 cannot hold in any form.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def empty() -> bytes:
    """Nothing to say. (An empty body would make Twilio report an error.)"""
    return _EMPTY


def messages(replies: Iterable[tuple[str, str | None]]) -> bytes:
    """One reply for each pair of body and status callback (or None), in order. No replies: the same as `empty`."""
    said = "".join(
        f"<Message{_callback(callback)}><Body>{escape(_ILLEGAL.sub('', body))}</Body></Message>"
        for body, callback in replies
    )
    return f"{_HEAD}<Response>{said}</Response>".encode() if said else _EMPTY


def _callback(url: str | None) -> str:
    return f" statusCallback={quoteattr(_ILLEGAL.sub('', url))}" if url else ""
