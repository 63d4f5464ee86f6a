"""When has the caller finished? The pause, weighed by what was said so far."""

import re

# Words that want another one behind them, whatever a transcriber's punctuation says.
_OPEN = """
    and but or so because if when while the a an my your our their his her i i'm i'd i'll we um uh er erm hmm plus between
    until every to with of than
    y pero o porque si cuando el los las un una mi su con de
    aur lekin ya kyunki agar jab ki ka ke mera meri mere
    और लेकिन या क्योंकि अगर जब कि का के की मेरा मेरी
"""
# Words that often end a sentence too: they only count without a mark behind them.
_LEANING = """
    that which who whose then for without from in on at by about these those this is are was were am be can could would
    should will do does did have has not well like also he she they it's que sin en la es son para por hai to तो है
"""
_OPEN_WORDS = frozenset(_OPEN.split())
_LEANING_WORDS = frozenset(_LEANING.split())
_QUESTION = re.compile(
    r"^(what|when|where|who|why|how|which|can|could|do|does|did|is|are|will|would|should|may|have|has|"
    r"qué|que|cuándo|cuando|dónde|donde|cómo|como|cuánto|cuanto|puedo|tienen|hay|"
    r"kya|kab|kahan|kaise|kitna|kaun|kyun|क्या|कब|कहाँ|कैसे|कितना)\b",
    re.IGNORECASE,
)
_SHORT = "yes no yeah nope yep sure okay ok thanks bye stop please correct right exactly sí si gracias haan nahi nahin हाँ नहीं"
_SHORT_ANSWERS = frozenset(_SHORT.split())
_DIGITS = re.compile(
    r"(\d|\b(zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple)\b)[\s,.-]*$", re.IGNORECASE
)
_ASKS_NUMBER = re.compile(r"\b(number|code|zip|phone|order|card|numero|número|nambar)\b", re.IGNORECASE)

SURE = 0.35
USUAL = 0.65
UNSURE = 1.3


def is_open(said: str) -> bool:
    """Whether the words cannot be all: they end in a word that wants another, or in the middle of a number."""
    text = said.rstrip()
    words = re.findall(r"[\w']+", text.casefold())
    if not words or text.endswith("?"):
        return False
    if text.endswith((",", "-", "–", "—", "...", "…")) or words[-1] in _OPEN_WORDS:
        return True
    return words[-1] in _LEANING_WORDS and not text.endswith((".", "!", "।")) and _QUESTION.match(text) is None


def number_half_read(said: str) -> bool:
    """Digits at the end that are too few for what is usually read out."""
    if not _DIGITS.search(said):
        return False
    digits = re.findall(r"\d|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)\b", said, re.IGNORECASE)
    spelled = len(digits) - len(re.findall(r"\b\d{1,3}\b (?:days?|euros?|dollars?|percent)", said))
    return 2 <= spelled < 10 and (_ASKS_NUMBER.search(said) is not None or spelled >= 3)


def is_complete(said: str) -> bool:
    """Whether the words are a whole question, a whole sentence, or a short answer."""
    text = said.strip()
    words = re.findall(r"[\w']+", text.casefold())
    if not words or is_open(text):
        return False
    if text.endswith("?") or (len(words) <= 3 and words[0] in _SHORT_ANSWERS):
        return True
    if text.endswith((".", "!", "।")) and len(words) >= 3:
        return True
    return len(words) >= 4 and _QUESTION.match(text) is not None


def pause(said: str, *, patience: float = 1.0, vendor_says_over: bool = False) -> float:
    """Seconds of silence after which the turn is the assistant's. `patience` stretches it (1.0 is usual)."""
    if not said.strip():
        return UNSURE * patience
    if is_open(said) or number_half_read(said):
        return UNSURE * patience
    if vendor_says_over:
        return 0.1 * patience
    return (SURE if is_complete(said) else USUAL) * patience
