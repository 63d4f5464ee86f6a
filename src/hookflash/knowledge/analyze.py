"""Knows how text becomes index terms: folded, cut into words and numbers, without stop words, stemmed by language."""

import re
import threading
import unicodedata
from functools import cache, lru_cache

import Stemmer

_STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}

# Only words without any meaning of their own: what is merely frequent, the weight by rarity takes care of.
_STOP = {
    "en": """a an and are as at be been but by can could did do does for from had has have he her him his i if in into
        is it its just ll me my no not of on or our re s she should so some t than that the their them then there these
        they this those to too us ve was we were what when where which who will with would you your""",
    "es": """a al algo como con cual cuando de del donde e el ella ellos en era es esa ese eso esta este esto fue ha han
        hay he la las le les lo los mas me mi mis muy no nos o para pero por que quien se ser si sin sobre son su sus te
        tu un una uno unos y ya yo""",
    "fr": """a ai au aux avec c ce ces cette d dans de des du elle en est et eu il ils j je l la le les leur lui m ma mais
        me mes mon n ne nos notre nous on ou par pas pour qu que qui s sa se ses si son sont sur t ta te tes toi ton tu
        un une vos votre vous y""",
    "de": """aber als am an auch auf aus bei bin bis da das dass dem den der des die doch du ein eine einem einen einer
        er es fur hat habe ich ihr im in ins ist ja kann man mein meine mich mir mit nach nicht noch nur oder sie sich
        sind so um und uns unser vom von vor war was wenn wer wie wir wird wo zu zum zur uber""",
    "it": """a ad al alla anche c che chi ci col come con d da dal dei del della delle di e ed gli ha ho i il in io l la
        le lo ma mi mia mio ne nel nella no noi non o per piu quando se si sono su sul tra un una uno vi voi""",
    "pt": """a ao aos as com como da das de do dos e ela ele em era essa esse esta este eu foi ha isso ja la lhe mais mas
        me meu minha na nao nas no nos o os ou para pela pelo por qual quando que quem se sem ser seu sua so tem um uma
        voce""",
    "nl": """aan als bij dat de den der deze die dit door een en er had heb heeft het hij hoe ik in is je kan maar me met
        mij mijn naar niet nog nu of om onze ons ook op over te tot u uit van voor was wat we wel wie wij ze zich zij
        zijn""",
    "hi": """और एक इस इसे उस उसे एवं ओर कर करना करने का कि की के को कोई क्या गया जो तक तो था थी थे ने पर भी मुझे में मेरा
        मेरी मेरे मैं यह या ये यहाँ वह वे से हम ही हुआ हुई हुए हूँ है हैं हो होता""",
    "hi-Latn": """a aap aapka aapke aapki aur bhi hai hain hi hoon hota hum is isko ka kar ke ki ko koi kya main mai me
        mein mera mere meri mujhe na ne par pe se tak the thi to toh tha us usko woh wo ya ye yeh""",
}

_MARKS = dict.fromkeys(range(0x300, 0x370))
_FOLD: dict[int, int | str | None] = {
    0x2019: "'",
    0x00AD: None,
    0x200B: None,
    0x200D: None,
    # Writers use the one nasal sign or the other in the same word.
    0x0901: 0x0902,
    **{0x0966 + digit: str(digit) for digit in range(10)},
}

# Devanagari vowels are marks, which \w leaves out. A separator joins only between letters or digits, as in WX-200.
_LETTERS = r"[\w\u0300-\u036f\u0900-\u0963\u0980-\u0dff]+"
_TOKEN = re.compile(rf"{_LETTERS}(?:[-./:,&@]{_LETTERS})*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)+")
_PARTS = re.compile(r"\d+|[^\d_./:,&@-]+")
_HYPHENATED = re.compile(r"[^./:,@]+")

_lock = threading.Lock()


def terms(text: str, language: str) -> list[str]:
    """The index terms of `text` in their order, repeated as often as they occur.

    `language` is ISO 639-1 (`pt-BR` counts as `pt`, `hi-Latn` is romanised Hindi); one that is not known is not stemmed.
    What has digits inside stays whole and is also given in parts: `WX-200` is `wx200`, `wx`, `200`. Prices are numbers:
    `$1,299.00` is `1299`, `49,90` is `49.9`.
    """
    found: list[str] = []
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold().translate(_FOLD)
    language = language if language in _STOP else language[:2]
    for token in _TOKEN.findall(folded):
        found.extend(_terms_of(token, language))
    return found


@lru_cache(maxsize=100_000)
def _terms_of(token: str, language: str) -> tuple[str, ...]:
    if token.isalpha():
        return _stemmed(token, language)
    if _NUMBER.fullmatch(token):
        return (_number(token),)
    parts = _PARTS.findall(token)
    if len(parts) < 2:
        return _stemmed(parts[0], language) if parts else ()
    single = tuple(term for part in parts if len(part) > 1 or part.isdigit() for term in _stemmed(part, language))
    has_digits = any(part.isdigit() for part in parts)
    return (_folded("".join(parts)), *single) if has_digits or _HYPHENATED.fullmatch(token) else single


def _stemmed(word: str, language: str) -> tuple[str, ...]:
    plain = _folded(word)
    if not plain or plain in _stop_words(language):
        return ()
    name = _STEMMERS.get(language)
    if name is None or word.isdigit():
        return (plain,)
    with _lock:  # a stemmer keeps state while it works
        # Other stemmers know the accents of their language and need them.
        return (_folded(_stemmer(name).stemWord(plain if language == "en" else word)),)


def _folded(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFD", word).translate(_MARKS)


def _number(token: str) -> str:
    """The value without grouping: whichever sign comes last groups if three digits follow it, else it is decimal."""
    *groups, last = re.split(r"[.,]", token)
    whole = "".join(groups)
    if len(last) == 3 and token[-4] == ",":
        return whole + last
    if len(last) == 3 and len(groups) > 1:
        return whole + last
    fraction = last.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


@cache
def _stemmer(name: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(name, 0)


@cache
def _stop_words(language: str) -> frozenset[str]:
    return frozenset(_folded(word.translate(_FOLD)) for word in _STOP.get(language, "").split())
