"""What a question asks for: its telling words, and the form that its answer must have."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from hookflash.knowledge.analyze import terms
from hookflash.knowledge.questions_asked import ASKS, questions_of
from hookflash.knowledge.sentences import split_sentences

NUMBER = r"(?:\d+(?:[.,]\d+)?|one|two|three|four|five|six|seven|ten|twelve|un|uno|una|dos|tres|ein|eine|zwei|deux|due)"
UNITS = (
    r"(?:minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|minutos?|horas?|días?|dias?|semanas?|mes(?:es)?|años?"
    r"|minuten|stunden?|tagen?|wochen?|monaten?|jahren?|jours?|heures?|semaines?|mois|ans?|giorni|ore|settimane|mesi|anni"
    r"|dagen|uur|weken|maanden|jaar|anos?|दिन|घंटे|हफ्ते|महीने|साल)"
)
DURATION = re.compile(
    rf"{NUMBER}(?:\s*(?:to|or|-|–|a|bis|à)\s*{NUMBER})?[\s-](?:\w+\s){{0,2}}?{UNITS}\b", re.IGNORECASE
)
MONEY = re.compile(
    r"[$€£₹]\s?\d|\d\s?(?:[€£₹%]|usd|eur|gbp|inr|dollars?|dólares|euros?|rupees|rs\b)"
    r"|\b(?:free|no (?:extra )?(?:charge|cost|fee)|gratis|gratuit[oae]s?|kostenlos|gratuito)\b",
    re.IGNORECASE,
)
CLOCK = re.compile(
    r"\b\d{1,2}(?::\d\d)?\s?(?:[ap]\.?\s?m\b|h\b|uhr|horas)|\b\d{1,2}:\d\d\b|\bnoon\b|\bmidnight\b|\bclosed\b|\b24/7\b"
    r"|\bopen (?:every|daily|from)\b|\bde \d{1,2} a \d{1,2}\b|\bcerrad[oa]s?\b|\bgeschlossen\b",
    re.IGNORECASE,
)
WHEN = re.compile(
    rf"{CLOCK.pattern}|{DURATION.pattern}|\b(?:when|once|as soon as|before|after|until|within \d|on the (?:same|next)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august|september|october"
    r"|november|december|every)\b",
    re.IGNORECASE,
)
STREET = re.compile(
    r"\b\d+\s+[A-Z]\w+(?:\s\w+)?\s(?:Street|St|Road|Rd|Avenue|Ave|Lane|Boulevard|Blvd|Drive|Square|Way)\b|\bcalle\b"
    r"|\w+(?:straße|strasse)\b|\brue\b",
    re.IGNORECASE,
)
PLACE = re.compile(
    rf"{STREET.pattern}"
    r"|\bwww\.|https?:|\b(?:find|under|next to|behind|near|opposite|corner|link|located)\b"
    r"|\b(?:in|at|on) (?:your|our|the) (?:\w+ )?(?:account|page|site|website|app|store|shop|stores|shops|box|label|counter)\b",
    re.IGNORECASE,
)
PHONE = re.compile(r"\+?\d[\d ()-]{6,}\d")
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
WEIGHT = re.compile(r"\d\s?(?:g|kg|lb|lbs|oz|pounds?|kilos?|grams?)\b", re.IGNORECASE)
SPAN = re.compile(
    r"\b(?P<low>\d{1,6})(?:\s*(?:to|-|–|bis|a|à)\s*(?P<high>\d{1,6})\b|\s*(?:\+|or more|and more|and up|o más|ou plus|oder mehr))"
)
DIGIT = re.compile(rf"\b{NUMBER}\b", re.IGNORECASE)
PERCENT = re.compile(r"\d\s?%|[$€£₹]\d+ (?:off|voucher)", re.IGNORECASE)
POLICY = re.compile(
    r"\b(?:can|cannot|can't|may|must|yes|no|not|never|only|free|available|included?|allowed|welcome|possible|accept|offer"
    r"|puede|no|sí|aceptamos|kann|können|nicht|nur|ja|nein|possible|pas|oui|non|pode|não|possono|sì)\b",
    re.IGNORECASE,
)
STEPS = re.compile(
    r"\b(?:open|choose|write|send|call|book|enter|bring|print|drop|tell|ask|start|show|look|text|go|click|sign|check|under"
    r"|you can|you become|you get|escrib\w+|llam\w+|pued\w+|please|wash|clean|store|visit|join|verify|use)\b",
    re.IGNORECASE,
)

# What a question asks for, told by its words (several languages), and what a passage must have to give it. First match.
FORMS: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (name, re.compile(cue, re.IGNORECASE), answer)
    for name, cue, answer in (
        ("weight", r"\bhow heavy\b|\bweigh(?:s|t)?\b|\bcuánto pesa\b", WEIGHT),
        (
            "colour",
            r"\bcolou?rs?\b|\b(?:red|blue|green|black|white|orange|yellow|pink|purple|grey|gray|brown)\b|\bcolor(?:es)?\b",
            re.compile(r"\bcolou?rs?\b|\bfarben?\b|\bcouleurs?\b|\bcolor(?:es|i)\b", re.IGNORECASE),
        ),
        ("email", r"\be-?mail\b.*\b(?:address|for)\b|\bcorreo\b", EMAIL),
        ("phone", r"\b(?:phone|telephone)\b.*\bnumber\b|\btel[eé]fono\b", PHONE),
        (
            "address",
            (
                r"^\W*(?:and |so )?(?:what(?:'?s| is| are)?|where(?:'?s| is| are)|d[oó]nde (?:est[aá]n?|queda)) (?:\S+ ){0,3}?"
                r"(?:address|located|location|you|stores?|shops?|tiendas?)\W*$"
            ),
            STREET,
        ),
        (
            "duration",
            (
                r"\bhow (?:long|soon|fast|quick|many (?:days|weeks|months|hours|years))\b|\bcu[aá]nto (?:tarda|tiempo|dura)"
                r"|\bcu[aá]ntos d[ií]as|\bkitne (?:din|time|dino)|\bwie lange\b|\bcombien de temps|\bquanto tempo|\bhoe lang\b"
                r"|\bdelivery time"
            ),
            DURATION,
        ),
        (
            "steps",
            r"\bhow (?:do|can|to|should)\b|\bwhat (?:do|should) i do\b|\bc[oó]mo\b|\bkaise\b|\bwie kann\b",
            STEPS,
        ),
        (
            "price",
            (
                r"\bhow much (?!time)|\bprice\b|\bcosts?\b|\bfees?\b|\bcharges?\b|\bdeposit\b|\bcu[aá]nto (?:cuesta|vale|sale|es)"
                r"|\bprecio\b|\bkitn[aei] ka\b|\bprice kitn|\bcharges? kitn|\bkitna\b|\bwas kostet|\bpreis\b|\bcombien\b|\bprix\b"
                r"|\bquanto costa|\bquanto custa|\bpreço\b|\bprezzo\b|\bwat kost"
            ),
            MONEY,
        ),
        ("percent", r"\bdiscounts?\b|\bdescuento\b|\brabatt\b|\bremise\b|\bsconto\b|\bdesconto\b", PERCENT),
        (
            "clock",
            (
                r"\bwhat time\b|\bhours\b|\b(?:open|close[sd]?|closing|opening)\b|\ba qu[eé] hora|\bhorarios?\b|\babren?\b"
                r"|\bcierran?\b|\bkab (?:khul|band)|\bge[oö]ffnet\b|\bhoraires\b|\bouvert|\borari\b|\bapert[oi]\b"
            ),
            CLOCK,
        ),
        ("when", r"\bwhen\b|\bcu[aá]ndo\b|\bkab\b|\bwann\b|\bquand\b|\bquando\b|\bwanneer\b", WHEN),
        (
            "place",
            r"\bwhere\b|\baddress\b|\blocated\b|\bd[oó]nde\b|\bkahan\b|\bwo ist\b|\boù\b|\bdove\b|\bonde\b",
            PLACE,
        ),
        ("count", r"\bhow many\b|\bmaximum\b|\bminimum\b|\blimit\b|\bcu[aá]ntos\b|\bkitne\b|\bwie ?viele\b", DIGIT),
        (
            "policy",
            (
                r"^\W*(?:can|could|may|do|does|did|is|are|will|would|am|puedo|se puede|hay|tienen|aceptan|hacen|kya|kann|gibt|est-ce"
                r"|puis-je|posso|tem|c'è|kan|is er)\b"
            ),
            POLICY,
        ),
    )
)

# The same thing in other words: each counts as the first of its line. Two words are one where a `_` joins them.
SYNONYMS = """
return send_back sendback give_back bring_back ship_back
refund reimbursement money_back money_return
ship delivery deliver post postage
price cost charge fee pricing
parcel package shipment
zip zipper
colour color
instalment installment
person human representative
talk speak chat
telephone phone
wifi wi-fi wlan
hire hiring job vacancy career position
dog pet
close closed closing
open opening
late delayed delay
damage broken faulty defective broke damaged
united_kingdom uk britain england
united_states usa
voucher coupon
password login
cryptocurrency bitcoin crypto ethereum
parking car_park
weight weigh heavy weighs
gift-wrap gift_wrapping wrapping
shoe sneaker trainer footwear
trousers pants
jacket coat
pack backpack rucksack
litre liter
cancel cancellation
exchange swap
expire expiry
pickup pick_up collect collection
"""

MOST_NEEDS = 3

# Words that a question to any company may have and that the answer need not repeat.
LIGHT = """
get got want need know tell like make take have use give go come back find let look see say think work please thank
hi hello hey help possible allowed available offer provide company shop store product item thing something anything anyone
someone way much many long question info information about still already ever now today also buy sell order your
anymore max maximum minimum any old new time minute hour day week month year cost price whats lot really only
exactly happen soon fast quick whole full per each every pls plz phone telephone number address email mail date
name mean do does how when where who why if quiero necesito tienen tengo hacer puedo puede cuanto cuesta tarda
tiempo hora abre abren llegar policy policies rule rules terms conditions details regarding hola kya kab kitna
kitne kitni chahiye karna sakta sakte mera milega
"""

# Words for what has a form that cannot be mistaken.
NAMING = "phone telephone number email mail address location located tel teléfono correo dirección"

FULL, SLIGHT = 1.0, 0.3
WORD_PAIR = {
    pair.replace("_", " "): line.split()[0].replace("_", "")
    for line in SYNONYMS.strip().splitlines()
    for pair in line.split()
    if "_" in pair
}
PAIRS = re.compile(r"\b(" + "|".join(map(re.escape, sorted(WORD_PAIR, key=len, reverse=True))) + r")\b")


@dataclass(frozen=True, slots=True)
class Question:
    """`weights` are the telling words (stems) and how much each matters; `form` names the kind of answer, "" for any, which
    the words in `naming` ask for: a telephone number need not be called one.

    `fits` tells whether a text has what the form needs.
    """

    text: str
    weights: dict[str, float]
    naming: frozenset[str]
    form: str
    answer: re.Pattern[str] | None

    def fits(self, text: str) -> bool:
        return self.answer is not None and self.answer.search(text) is not None

    def spanned(self, text: str) -> frozenset[str]:
        """Numbers of the question that lie within a span of the text: 30 in "25 to 49"."""
        spans = [(int(span["low"]), int(span["high"] or 10**9)) for span in SPAN.finditer(text)]
        numbers = (word for word in self.weights if word.isdigit() and len(word) < 10)
        return frozenset(word for word in numbers if any(low <= int(word) <= high for low, high in spans))


@lru_cache(maxsize=4096)
def stems(text: str, language: str) -> frozenset[str]:
    """The telling words of a text in the form in which questions and passages are compared."""
    joined = PAIRS.sub(lambda pair: WORD_PAIR[pair[1]], text.lower())
    same = _same()
    return frozenset(same.get(term, term) for term in terms(joined, language))


@lru_cache(maxsize=4096)
def read_question(text: str, language: str) -> Question:
    light = _light()
    # "After 2 years" is compared with what the passage says, not looked for in it.
    light |= {number.group().split()[0] for number in DURATION.finditer(text)}
    weights = {stem: SLIGHT if stem in light else FULL for stem in sorted(stems(text, language))}
    for name, cue, answer in FORMS:
        if cue.search(text):
            naming = (
                stems(NAMING, language) & weights.keys() if name in {"phone", "email", "address"} else frozenset[str]()
            )
            return Question(text, weights, naming, name, answer)
    return Question(text, weights, frozenset(), "", None)


def needs_of(text: str, language: str) -> tuple[str, ...]:
    """The questions that a text asks, each with telling words of its own; one alone where it cannot be taken apart."""
    parts = [part for sentence in split_sentences(text) for part in questions_of(sentence.text)]
    asking = [
        part for part in parts if part.endswith("?") or ASKS.match(part) or any(cue.search(part) for _, cue, _ in FORMS)
    ]
    telling = [part for part in asking if FULL in read_question(part, language).weights.values()]
    return tuple(telling) if len(telling) == len(parts) and 2 <= len(parts) <= MOST_NEEDS else (text,)


@cache
def _same() -> dict[str, str]:
    same: dict[str, str] = {}
    for line in SYNONYMS.strip().splitlines():
        first, *others = [word.replace("_", "") for word in line.split()]
        (canonical, *_) = terms(first, "en")
        for word in (first, *others):
            same.update(dict.fromkeys(terms(word, "en"), canonical))
    return same


@cache
def _light() -> frozenset[str]:
    same = _same()
    words = {term for language in ("en", "es", "hi-Latn") for term in terms(LIGHT, language)}
    return frozenset(words | {same.get(word, word) for word in words}) - {"ship", "return"}
