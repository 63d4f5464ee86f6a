"""Is it an interruption? What the caller's voice means while we speak."""

import re

# Sounds of a listener: they go on listening.
_BACKCHANNEL = re.compile(
    r"^\W*(?:(?:uh|mm|mhm|mm-?hmm|uh-?huh|hmm+|huh|ah|oh|ok|okay|yeah|yes|yep|right|sure|i see|got it|good|great|"
    r"sí|si|claro|vale|ajá|haan|achha|accha|theek|thik|ji|हाँ|अच्छा|ठीक|जी)[\s,.!-]*){1,3}$",
    re.IGNORECASE,
)
CONFIRM_SECONDS = 0.7
SETTLE_SECONDS = 0.6


def is_backchannel(words: str) -> bool:
    """Whether these words only say: I am listening."""
    return _BACKCHANNEL.match(words) is not None


def is_interruption(words: str, spoken: float) -> bool:
    """Whether a voice that spoke for so long (seconds), and said this so far, wants the floor."""
    if words.strip() and not is_backchannel(words):
        return True
    return spoken >= CONFIRM_SECONDS and not words.strip()


def is_echo(words: str, saying: str) -> bool:
    """Whether the words are our own, come back through the caller's telephone."""
    said = re.findall(r"\w+", words.casefold())
    ours = " ".join(re.findall(r"\w+", saying.casefold()))
    return len(said) >= 2 and " ".join(said) in ours
