"""Is it an interruption? What the caller's voice means while we speak."""

import re

# Sounds and words of a listener: they go on listening.
_BACKCHANNEL = re.compile(
    r"^\W*(?:(?:uh|mm+|mhm+|mm+-?hmm+|uh-?huh|hmm+|hm|huh|ah+|oh|aha|ok|okay|yeah|yes|yep|yup|right|sure|i see|got it|good|"
    r"great|fine|cool|nice|perfect|exactly|alright|all right|of course|i understand|understood|"
    r"makes sense|very good|absolutely|definitely|for sure|gotcha|wow|really|interesting|wonderful|lovely|"
    r"that's (?:right|fine|good|great|true)|sounds (?:good|great)|i know|thanks|thank you|"
    r"sí|si|claro|vale|ajá|bueno|entiendo|oui|d'accord|genau|gut|sim|certo|"
    r"haan|han|achha|accha|theek|thik|theek hai|ji|ha|हाँ|अच्छा|ठीक|ठीक है|जी)[\s,.!…-]*){1,4}$",
    re.IGNORECASE,
)
# The first word of a listener's two.
_BEGUN = re.compile(r"(?:^|[\s,.!…-])(?:i|of|all|got|makes|very|for|that's|sounds|thank)$", re.IGNORECASE)
# Words that are meant for us even if we say them too.
_FOR_US = "stop wait no what help hello sorry pardon hold please espera para alto ruko nahin"
_COMMANDS = frozenset(_FOR_US.split())
# A voice of which no words come lasts so long before it counts; less than this is a cough, a laugh, a tune.
WORDLESS_SECONDS = 1.5
SETTLE_SECONDS = 0.6


def is_backchannel(words: str) -> bool:
    """Whether these words only say: I am listening."""
    return _BACKCHANNEL.match(words) is not None


def is_interruption(words: str, *, more: bool = False) -> bool:
    """Whether who has said this so far wants the floor; `more`: words may follow."""
    said = words.strip()
    if not said or is_backchannel(said):
        return False
    before = _BEGUN.sub("", said)
    return not (more and before != said and (not before or is_backchannel(before)))


def is_echo(words: str, saying: str, *, more: bool = False) -> bool:
    """Whether the words are our own, come back through the caller's telephone; `more`: others may follow.

    One word that stays alone is none: whoever is given a choice answers with a word of ours.
    """
    said = re.findall(r"\w+", words.casefold())
    ours = re.findall(r"\w+", saying.casefold())
    if len(said) < (1 if more else 2) or _COMMANDS.intersection(said) or is_backchannel(words):
        return False
    return any(ours[at : at + len(said)] == said for at in range(len(ours) - len(said) + 1))
