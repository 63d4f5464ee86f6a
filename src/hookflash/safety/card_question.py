"""Whether our own words ask for a number that must not be kept: of a payment card, its code, an Aadhaar, a verification code."""

import re

_SUBJECT = re.compile(
    r"\bcard(?:'s)?\s+(?:number|details?|no\b|ka\s+number)|\b(?:credit|debit|payment|bank)\s+card|\bsecurity\s+code"
    r"|\bcv[vc]2?\b|\bexpir(?:y|ation)\b|\baadhaar|\baadhar|आधार|कार्ड"
    r"|\btarjeta\b|\bc[oó]digo\s+de\s+seguridad|\bcarte\s+(?:bancaire|bleue|de\s+(?:cr[eé]dit|paiement))"
    r"|num[eé]ro\s+de\s+(?:votre\s+|la\s+)?carte|\bcryptogramme|\bkreditkarte|\bkarten-?nummer|\bprüf(?:nummer|ziffer)"
    r"|\bcart[aã]o\b",
    re.IGNORECASE,
)
# Who is told that theirs was sent, or was wrong, is asked for it.
_CODE = re.compile(
    r"\bverification\s+code|\bc[oó]digo\s+de\s+verifica|\bcode\s+de\s+v[eé]rification|\bbestätigungscode|सत्यापन\s+कोड",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\?|？|\b(?:please|tell|give|enter|key\s+in|type|say|read|need|provide|what\s+is|what's)\b"
    r"|\b(?:d[ií]game|indique|introduzca|teclee|diga|necesito|cu[aá]l)\b|\b(?:donnez|indiquez|saisissez|tapez|dites|quel)\b"
    r"|\b(?:bitte|nennen|sagen|geben|tippen|brauche)\b|\b(?:informe|digite|diga|preciso|qual)\b"
    r"|बता|दर्ज|कृपया|दीजिए|\b(?:bata\w*|dijiye|daal\w*|kripya)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?。।？]+[.!?。।？]*")


def asks_for_card(text: str) -> bool:
    """True for a sentence that asks for such a number, or for the keys of it; false for one that only speaks of cards."""
    if _CODE.search(text):
        return True
    return any(_SUBJECT.search(one) and _REQUEST.search(one) for one in _SENTENCE.findall(text))
