"""The words by which a person stops, starts again, or asks for help, as Twilio and the carriers define them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"})
START = frozenset({"START", "UNSTOP"})
START_WHEN_OUT = frozenset({"YES"})
HELP = frozenset({"HELP", "INFO"})

_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def classify(
    text: str,
    opt_out_type: str | None = None,
    *,
    opted_out: bool = False,
    own: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """`stop`, `start`, `help`, or None. Only a whole message counts, in any case, with space or punctuation around it.

    `opt_out_type` is Twilio's own verdict (Advanced Opt-Out) and wins; `own` adds the company's words, by kind.
    YES starts again only a person who is opted out: to everybody else it is an answer.
    """
    if opt_out_type and opt_out_type.upper() in ("STOP", "START", "HELP"):
        return opt_out_type.lower()
    word = _EDGES.sub("", unicodedata.normalize("NFKC", text)).upper()
    if not word or len(word) > 40:
        return None
    for kind, words in (("stop", STOP), ("start", START), ("help", HELP)):
        if word in words or any(word == w.strip().upper() for w in (own or {}).get(kind, ())):
            return kind
    if opted_out and word in START_WHEN_OUT:
        return "start"
    return None
