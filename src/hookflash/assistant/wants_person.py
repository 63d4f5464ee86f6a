"""Does somebody ask for a person? Whoever does is not answered from the documents."""

import re

_PERSON = (
    r"(?:(?:an?|the|your|some|any|one of your)\s+)?(?:(?:real|actual|live|human)\s+)?"
    r"(?:person|human(?: being)?|agent|representative|rep|operator|someone|somebody|colleague|manager|supervisor|"
    r"customer (?:service|support|care)|support(?: agent)?|staff(?: member)?|receptionist)\b"
)
_ASKED = re.compile(
    rf"\b(?:speak|talk|chat)\s+(?:to|with)\s+{_PERSON}"
    rf"|\b(?:connect|transfer|put|pass|switch)\s+me\s+(?:over\s+|through\s+)?(?:to|with)\s+{_PERSON}"
    rf"|\b(?:get|give|find)\s+me\s+{_PERSON}"
    rf"|\b(?:want|need)\s+{_PERSON}(?=\W*(?:$|[.,;!?]|please|now|to (?:talk|speak|chat|help|call|answer)\b))"
    rf"|^\W*{_PERSON}(?:[\s,]+please)?\W*$"
    r"|\b(?:hablar|comun[ií]\w+|p[aá]s[ae]\w*|transf\w+|con[eé]ct\w+)\b.{0,12}\bcon (?:una?|el|la|alg[uú]n)?\s*"
    r"(?:persona|humano|agente|representante|operadora?|alguien|encargad[oa]|asesora?)\b"
    r"|\b(?:parler|passer|passez|transf[ée]r\w+)\b.{0,16}\b(?:à|a|avec|au|un|une)\s+(?:(?:un|une|la|le)\s+)?(?:vraie?\s+)?"
    r"(?:personne|humain|conseill[eè]re?|agent|op[ée]rat\w+|responsable|quelqu.un)\b"
    r"|\bmit\s+(?:einem|einer|jemandem?|dem|der)\s*(?:echten\s+)?(?:menschen|mitarbeiter\w*|person|berater\w*)?\s*"
    r"(?:sprechen|reden|verbinden|verbunden)\b"
    r"|\b(?:falar|transferir|passar)\b.{0,8}\bcom (?:uma?\s+)?(?:pessoa|humano|atendente|algu[eé]m|operadora?)\b"
    r"|\bkisi\s+(?:\w+\s+)?se\s+baat\b|किसी\s+(?:\S+\s+)?से\s+बात|(?:एजेंट|इंसान|व्यक्ति)\s+से\s+बात",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:don.t|do not|not|never|without|didn.t|no quiero|nicht)\b", re.IGNORECASE)


def wants_person(said: str) -> bool:
    """Whether these words ask for a person, here and now."""
    found = _ASKED.search(said)
    return found is not None and _NOT.search(said[: found.start()]) is None
