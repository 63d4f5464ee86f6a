"""Follow-ups: what "and for shoes?" asks, given what was said before; by rules, so that it needs no model."""

import re

from hookflash.conversation.turn import Exchange

# How far back a chain of follow-ups ("and for boots?", "and in Canada?") is followed.
DEPTH = 5
SHORT = 7


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that carry no subject: articles, question words, auxiliaries, pronouns, courtesies (en, es, hi-Latn, some others).
EMPTY = _set(
    """
    a an the my your our their his her its this that these those some any all it they them he she one ones there
    here i you we me us u ur is are was were be am do does did don't doesn't can could will would should may
    might have has had how what when where which who why whats hows much many long far soon fast often late old
    take takes cost costs price time get got it's that's they're of to for in on at by with from and or but so
    if then too also as well ok okay please thanks thank hi hello hey yes no not only still now more else about
    same exactly really work works mean up out un una unos unas el la los las lo le les mi mis su sus tu que qué
    cual cuál cuales como cómo cuando cuándo donde dónde cuanto cuánto cuanta cuánta cuantos cuántos es son esta
    está estan están hay puedo puede pueden tiene tienen tengo cuesta cuestan tarda tardan vale hora tiempo y o
    pero si sí de del al en para por con sin se eso esto ese esa hacen hago gracias hola ser también tambien kya
    hai hain ho ka ki ke ko mein main mai mera meri mere aap aapka kab kaise kitna kitne kitni kahan kaun kyu
    kyun aur ya par bhi toh ye yeh wo woh iska iski iske uska uski uske isko usko isme hoga lagega lagta lagenge
    sakta sakte sakti kar karna karte hu hun haan nahi ji liye wala wale din paisa der die das ein eine und für
    ist sind wie wann kostet dauert une et pour est combien quand où ça os um uma e é quanto custa il gli per
    costa
    """
)
# What a question is about rather than the thing that it asks it of; a fragment does not take its place.
TOPIC = _set(
    """
    warranty warranties guarantee shipping delivery return returns refund refunds exchange exchanges hours
    opening price prices cost costs fee fees policy discount discounts parking tracking address phone number
    email stock deposit payment rental repair repairs pickup order orders invoice newsletter size sizes shipment
    garantía garantia envío envio envíos envios devolución devolucion devoluciones horario horarios precio
    descuento
    """
)
DAYS = re.compile(
    r"\b(?:on |at |los |el )?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|weekends?|weekdays?|(?:public )?holidays?|christmas"
    r"(?: eve| day)?|new year'?s?(?: eve| day)?|easter(?: sunday)?|thanksgiving|today|tomorrow|tonight|lunes|martes|miércoles"
    r"|miercoles|jueves|viernes|sábados?|sabados?|domingos?|festivos|somwar|mangalwar|budhwar|shaniwar|raviwar|itwar)\b",
    re.IGNORECASE,
)
PLACES = re.compile(
    r"\b(?:canada|mexico|méxico|hawaii|alaska|usa|us|the us|the united states|united states|uk|the uk|united kingdom|england|europe"
    r"|the eu|european union|germany|france|spain|italy|japan|china|india|australia|new zealand|brazil|brasil|argentina|españa"
    r"|alemania|francia|puerto rico|ireland|portugal|netherlands|switzerland|austria|sweden|norway|denmark|poland|texas|california"
    r"|new york|oregon|washington|florida)\b",
    re.IGNORECASE,
)
# What a fragment begins with: "and", "what about", with or without a preposition.
CUE = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|and|so|then|but|also|or|hm+|ah|y|e|o|et|und|en|aur|और|pero)[\s,]+)*"
    r"(?P<about>(?:what|how) (?:about|if it'?s|if they'?re)|same (?:for|with|thing for)|(?:is it )?the same for|qué tal|que tal"
    r"|qué pasa con|que pasa con|was ist mit|qu'en est-il|e quanto a"
    r"|(?:(?:no|sorry|oops|actually)[\s,.]+)*(?:i mean(?:t)?|make that|(?:quise|quiero) decir|me refer[íi]a a))?\s*",
    re.IGNORECASE,
)
LED = re.compile(r"^\W*(?:and|so|or|but|y|e|et|und|en|aur|और|pero|ok(?:ay)?)\b", re.IGNORECASE)
TAIL = re.compile(
    r"(?:\s+(?:too|as well|then|though|instead|please|pls|también|tambien|ka kya(?: hai)?|ke liye|ka|ke|ki|ko|का क्या))*\W*$",
    re.IGNORECASE,
)
TOLD_OF = re.compile(r"\b(?:ka|ki|ke) kya(?: hai)?\W*$|का क्या\W*$", re.IGNORECASE)
PREPOSITION = re.compile(
    r"^(?P<word>for|in|on|to|at|with|from|by|after|before|during|without|over|under|para|en|a|por|con|de|desde|los|für|nach"
    r"|pour|per|voor)\s+(?P<rest>.+)$",
    re.IGNORECASE,
)
CLAUSE = re.compile(
    r"^(?:(?:how|what|when|where|which|who|why|can|could|may|do|does|did|is|are|was|will|would|should|i|we|my|there|cómo|como|cuándo"
    r"|cuando|cuánto|cuanto|cuánta|cuántos|dónde|donde|qué|que|cuál|puedo|puede|hay|tienen|se|es|son|hacen|kya|kab|kaise|kitn[aei]"
    r"|kahan|kaun|wie|was|wann|wo|kann|combien|quand|où|quanto|quando)\b)",
    re.IGNORECASE,
)
PRONOUN = re.compile(
    r"\b(?:it|it's|its|they|them|their|that|those|this|these|the same|that one|this one|ones?|there|eso|esto|esa|ese|ellos|ellas|lo|iska"
    r"|iski|iske|uska|uski|uske|isko|usko|isme|ye|yeh|wo|woh|इसका|इसकी|इसे|यह|ये|es|ihn|ça)\b",
    re.IGNORECASE,
)
# "it" that stands for nothing: "is it possible to", "it takes", "how long does it take to".
HOLLOW = re.compile(
    r"\bit (?:possible|ok|okay|true|take|takes|cost|costs|required|necessary)\b|\bes posible\b", re.IGNORECASE
)
# A thing with its article, at the end or before what is added to it.
THING = re.compile(
    r"\b(?:a|an|the|my|some|these|those|this|un|una|unos|unas|el|los|las|mi|mis)\s+(?P<thing>[^\s?!.,]+(?:\s+[^\s?!.,]+){0,3}?)"
    r"(?=\s+(?:in|on|to|at|from|for|with|after|before|if|that|when|and|or|back|cost|costs|take|takes|have|has|come|comes|in stock"
    r"|waterproof|en|de|para|por)\b|\W*$)",
    re.IGNORECASE,
)
MODIFIER = re.compile(r"\b(?P<thing>[a-z]+) (?:" + "|".join(sorted(TOPIC)) + r")\b")
HAVER = re.compile(r"\bdo(?:es)? (?P<thing>[\w-]+) (?:have|cost|come|take|need|get)\b", re.IGNORECASE)
ENDING = re.compile(
    r"\b(?:on|for|of|with|return|exchange|rent|repair|wash|cancel|para|de|devolver)\s+(?P<thing>[^\s?!.,]+)\W*$",
    re.IGNORECASE,
)
# How a question begins; what follows is what it is about.
OPENER = re.compile(
    r"^\W*(?:(?:hi|hello|hey|hola|please|and|so|ok|y)\b[\s,!]*)*"
    r"(?:how (?:long|much|many|soon|fast|do|can|does|is|are)|what(?:'s| is| are| do| does| time)?|when|where|which|who|why"
    r"|cu[aá]nt[oa]s?(?: tiempo| cuesta| tarda| vale)?|c[oó]mo|cu[aá]ndo|d[oó]nde|qu[eé]|kya|kitn[aei]|kab)\b\s*"
    r"(?:(?:is|are|was|do|does|did|can|could|will|would|may|should|have|has|i|you|we|it|the|a|an|there|tengo|es|son|el|la"
    r"|los|puedo|para)\b\s*)*"
    r"|^\W*(?:(?:can|could|do|does|did|is|are|will|would|may|i|you|we|there|puedo|tienen|hacen|hay|se puede)\b\s*)+",
    re.IGNORECASE,
)
# A name in the middle of a sentence, or after its first "The".
NAME = re.compile(r"(?:(?<=[a-z,] )|(?<=The ))[A-Z][a-z'-]+(?: (?:[A-Z][a-z'-]+|\d+))*")
# The thing comes first where the verb comes last: "jacket kitne din me return kar sakte hai".
FIRST = re.compile(r"(?P<thing>[\w-]+)\s+(?=kitn|kab\b|kaise|k[aio]\b|ke\b|return|exchange|wapas)", re.IGNORECASE)
WORD = re.compile(r"[\w'’-]+")
CONSENT = re.compile(
    r"^\W*(?:yes|yep|yeah|sure|ok(?:ay)?|please|yes please|s[ií]|claro|haan|ji|ha|ja|oui|sim)\W*$", re.IGNORECASE
)


def resolve(question: str, history: tuple[Exchange, ...]) -> str:
    """The question as it would have been asked by itself; one that is complete comes back as it is.

    `history` is oldest first. A part that is asked anew ("and for shoes?") takes the place of its like in the question
    before; where none is recognised, both are joined, so that a search finds what they ask together.
    """
    asked = question.strip()
    past = [exchange for exchange in history if _content(exchange.said)]
    if not past or not WORD.search(asked):
        return question
    last = history[-1]
    if last.answered.rstrip().endswith("?") and last is past[-1] and len(WORD.findall(asked)) <= SHORT:
        offer = last.answered.strip() if CONSENT.match(asked) else asked
        if CONSENT.match(asked) or not _complete(asked):
            return f"{_bare(_before(past))} {offer}"
    kind = _kind(asked)
    if kind is None:
        return question
    before = _bare(_before(past))
    return _with_part(before, asked) if kind == "part" else _with_subject(asked, before, past[-1].answered)


def _before(past: list[Exchange]) -> str:
    """The last question that was asked, itself made complete."""
    return resolve(past[-1].said, tuple(past[max(0, len(past) - DEPTH) : -1]))


def _bare(text: str) -> str:
    return text.strip().rstrip("?!. ")


def _content(text: str) -> list[str]:
    return [word for word in WORD.findall(text.lower().replace("’", "'")) if word not in EMPTY and not word.isdigit()]


def _complete(text: str) -> bool:
    return CLAUSE.match(text) is not None and len(_content(text)) > 0 and not PRONOUN.search(text)


def _kind(asked: str) -> str | None:
    """ "part": a fragment that takes the place of a part; "open": a clause whose subject was said before; None: complete."""
    words = WORD.findall(asked)
    rest = CUE.sub("", asked, count=1)
    content = _content(rest)
    about = CUE.match(asked)
    if (about and about["about"]) or TOLD_OF.search(asked):
        return "part"
    if CLAUSE.match(rest):
        if not content and len(words) <= SHORT:
            return "open"
        spoken_of = PRONOUN.search(HOLLOW.sub("", rest))
        return "open" if spoken_of and len(content) <= 2 and len(words) <= SHORT + 2 else None
    if not content:
        return "open" if len(words) <= SHORT and re.search(r"\?|\b(?:much|long|kab|kitn[aei])\b", asked) else None
    if len(words) > SHORT:
        return None
    if LED.match(asked) or PREPOSITION.match(rest):
        return "part"
    if PRONOUN.search(rest) and len(content) <= 2:
        return "open"
    # "shoes?" asks the same of shoes, "warranty?" asks anew.
    alone = len(words) <= 2 and asked.endswith("?") and not TOPIC & set(content)
    return "part" if alone else None


def _with_part(before: str, asked: str) -> str:
    """The question before with its like part replaced by the fragment."""
    part = TAIL.sub("", CUE.sub("", asked, count=1))
    preposition = PREPOSITION.match(part)
    rest = preposition["rest"] if preposition else part
    for like in (DAYS, PLACES):
        if like.search(part):
            said = like.search(before)
            if said is None:
                return f"{before} {part}?"
            new = part if like is DAYS else rest
            return f"{before[: said.start()]}{new}{before[said.end() :]}?"
    slot = None if TOPIC & set(_content(rest)) else _slot(before, rest, preposition is not None)
    if slot is None:
        return f"{before} {part}?"
    return f"{before[: slot[0]]}{rest}{before[slot[1] :]}?"


def _slot(before: str, new: str, placed: bool) -> tuple[int, int] | None:
    """Where in the question before the thing stands that `new` is asked of instead."""
    things = _things(before)
    if things:
        return things[-1].span()
    others = [*ENDING.finditer(before), *HAVER.finditer(before)]
    if not placed and " " not in new and new.islower():
        others += MODIFIER.finditer(before)
    others += filter(None, [FIRST.match(before)])
    told = [other for other in others if _is_thing(other["thing"])]
    return told[0].span("thing") if told else None


def _things(text: str) -> list[re.Match[str]]:
    return [thing for thing in THING.finditer(text) if _is_thing(thing["thing"])]


def _is_thing(text: str) -> bool:
    content = _content(text)
    return bool(content) and not TOPIC & set(content) and not DAYS.search(text)


def _with_subject(asked: str, before: str, answered: str) -> str:
    """The open clause with what it speaks of: in the place of its pronoun where that is a thing, else after it."""
    clause = _bare(re.sub(LED, "", asked, count=1).strip(" ,"))
    things = _things(before)
    pronoun = re.search(
        r"\b(?:it|they|them|this one|that one|this|that)\b",
        HOLLOW.sub(lambda found: "#" * len(found[0]), clause),
        re.IGNORECASE,
    )
    if things and pronoun:
        return f"{clause[: pronoun.start()]}{things[-1][0]}{clause[pronoun.end() :]}?"
    subject = OPENER.sub("", before, count=1).strip() or before
    names = {name for name in NAME.findall(answered) if name.lower() not in before.lower() and not DAYS.search(name)}
    if pronoun and len(names) == 1:
        subject = f"{subject} {names.pop()}"
    return f"{clause}: {subject}?"
