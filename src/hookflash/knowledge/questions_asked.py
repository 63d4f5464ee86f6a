"""Knows several questions in one sentence, such as "when do you open, and do you ship to Canada?"."""

import re

_FIRST = (
    r"(?:how|what|when|where|which|who|why|do|does|did|can|could|is|are|will|would|may|should"
    r"|cu[aá]nt[oa]s?|qu[eé]|cu[aá]ndo|d[oó]nde|c[oó]mo|cu[aá]l|hay|tienen|hacen|puedo|combien|quand|où|peut-on"
    r"|wie|wann|wo|was|kann|gibt|kya|kab|kitn[aei]|kahan|kaise)"
)
# How a question begins, in several languages.
ASKS = re.compile(rf"\W*{_FIRST}\b", re.IGNORECASE)
_JOINED = re.compile(rf"[\s,;]+(?:and|also|plus|y|et|und|aur)\s+(?=(?:also\s+|también\s+)?{_FIRST}\b)", re.IGNORECASE)
_LEAST_WORDS = 3


def questions_of(sentence: str) -> list[str]:
    """The questions that a sentence joins by "and"; the sentence alone if it joins none."""
    parts = _JOINED.split(sentence)
    if len(parts) < 2 or not ASKS.match(parts[0]) or min(len(part.split()) for part in parts) < _LEAST_WORDS:
        return [sentence]
    return parts
