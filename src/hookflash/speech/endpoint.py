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
# Words that end a sentence now and then: they only count without a mark behind them.
_LEANING = """
    that which who whose then for without from in on by about at these those this is are was were am be can could would
    should will do does did have has not well like also he she they it's que sin en la es son para por hai to तो है
"""
# Words before which or with which something is still to come as a rule, in a question too.
_BEFORE_ANOTHER = """
    for without from in on at by about into onto near after before during under over since through against around off
    per as that which whose what how where is are was were am be been being can could would should will did has had
    not very really too quite rather still already even just only almost
    some any no each both all several many much few more most other another same own next last first second new old big
    small little large long short good bad best better right wrong whole full free different certain two three four five
    six seven eight nine ten
    get gets got send put leave give make makes keep find tell show bring buy bought want need needs let lets use used
    using return exchange order call ask try see look contain include offer offers sell sells ship ships fix repair book
    and or you
"""
# Words with which a sentence ends as a rule.
_CLOSING = """
    please today tomorrow tonight now yet again instead too though anymore anyway there here me us them mine yours thanks
    soon either bye myself yourself himself herself
"""
_OPEN_WORDS = frozenset(_OPEN.split())
_LEANING_WORDS = frozenset(_LEANING.split())
_BEFORE_WORDS = frozenset(_BEFORE_ANOTHER.split())
_CLOSING_WORDS = frozenset(_CLOSING.split())
_QUESTION = re.compile(
    r"^(what|when|where|who|why|how|which|can|could|do|does|did|is|are|will|would|should|may|have|has|"
    r"qué|que|cuándo|cuando|dónde|donde|cómo|como|cuánto|cuanto|puedo|tienen|hay|"
    r"kya|kab|kahan|kaise|kitna|kaun|kyun|क्या|कब|कहाँ|कैसे|कितना)\b",
    re.IGNORECASE,
)
_SHORT = "yes no yeah nope yep sure okay ok thanks bye stop please correct right exactly sí si gracias haan nahi nahin हाँ नहीं"
_SHORT_ANSWERS = frozenset(_SHORT.split())
_BESIDE = "thank you that's it is fine good great very much sir madam"
_WITH_SHORT = _SHORT_ANSWERS.union(_BESIDE.split())
_DIGITS = re.compile(
    r"(\d|\b(zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple)\b)[\s,.-]*$", re.IGNORECASE
)
_ASKS_NUMBER = re.compile(r"\b(number|code|zip|phone|order|card|numero|número|nambar)\b", re.IGNORECASE)

# Seconds of silence. LIKELY outlasts a short breath, and is still answered in seven tenths of a second.
SURE = 0.35
LIKELY = 0.53
# A transcriber that is asked in mid-sentence often sets a full stop too.
STOPPED = 0.7
USUAL = 0.9
UNSURE = 1.3
# A model that hears the sound is heeded when it is so sure that they have not finished. Its yes shortens nothing: heeded too,
# it cut five times as many turns (benchmarks/bench_turn_end.py).
UNFINISHED = 0.3
# Where a voice may just be beginning again, the end is not decided for so long.
HOLD = 0.08


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


def is_certain(said: str) -> bool:
    """Whether the words are all, as far as words can tell: a question with its mark, or a short answer."""
    text = said.strip()
    words = re.findall(r"[\w']+", text.casefold())
    if not words or is_open(text):
        return False
    return text.endswith("?") or (words[0] in _SHORT_ANSWERS and _WITH_SHORT.issuperset(words))


def is_complete(said: str) -> bool:
    """Whether the words may well be all: a whole question or sentence, though it could go on."""
    return is_likely(said) or (_stopped(said) and not is_open(said))


def is_likely(said: str) -> bool:
    """Whether the words are a whole question, or end as sentences do, whatever the marks say."""
    words = re.findall(r"[\w']+", said.casefold())
    if not words or is_open(said):
        return False
    if is_certain(said):
        return True
    if len(words) < 4 or words[-1] in _BEFORE_WORDS:
        return False
    return words[-1] in _CLOSING_WORDS or _QUESTION.match(said.strip()) is not None


def _stopped(said: str) -> bool:
    return said.rstrip().endswith((".", "!", "।")) and len(said.split()) >= 3


def pause(said: str, *, patience: float = 1.0, vendor_says_over: bool = False, judged: float | None = None) -> float:
    """Seconds of silence after which the turn is the assistant's. `patience` stretches it (1.0 is usual).

    `judged` is how sure a model is, from the sound, that they have finished; it counts where the words do not tell.
    """
    if not said.strip() or is_open(said) or number_half_read(said):
        return UNSURE * patience
    if vendor_says_over:
        return 0.1 * patience
    if is_certain(said):
        return SURE * patience
    if is_likely(said):
        return LIKELY * patience
    if judged is not None and judged <= UNFINISHED:
        return UNSURE * patience
    return (STOPPED if _stopped(said) else USUAL) * patience
