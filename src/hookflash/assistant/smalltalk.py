"""Small talk: greetings, thanks and the like, which no document answers and which need no model."""

import re
import unicodedata

# Words and short phrases of each kind, in the languages of the templates, folded as `_fold` does.
_PHRASES: dict[str, str] = {
    "greeting": """
        hi|hii|hiii|hello|hey|heya|hey there|hi there|hello there|good morning|good afternoon|good evening|morning|evening|
        howdy|yo|greetings|how are you|whats up|sup|anyone there|is anyone there|are you there|
        hola|buenas|buenos dias|buenas tardes|buenas noches|que tal|
        bonjour|bonsoir|salut|coucou|
        hallo|guten tag|guten morgen|guten abend|moin|servus|gruss gott|gruezi|
        ola|oi|bom dia|boa tarde|boa noite|tudo bem|
        namaste|namaskar|namaskaar|salaam|ram ram|kaise ho|kaise hain|नमस्ते|नमस्कार|हेलो|हैलो|हाय
    """,
    "thanks": """
        thanks|thank you|thank u|thankyou|thx|ty|tysm|thanks a lot|thank you so much|thank you very much|many thanks|
        much appreciated|appreciate it|cheers|thanks so much|great thanks|ok thanks|okay thanks|perfect thanks|
        gracias|muchas gracias|mil gracias|
        merci|merci beaucoup|
        danke|danke schon|vielen dank|danke sehr|
        obrigado|obrigada|muito obrigado|muito obrigada|valeu|
        dhanyavaad|dhanyavad|dhanyawad|shukriya|bahut dhanyavaad|bahut shukriya|धन्यवाद|शुक्रिया|बहुत धन्यवाद
    """,
    "okay": """
        ok|okay|okey|k|kk|okie|oki|alright|all right|got it|great|cool|nice|perfect|good|fine|sure|sounds good|understood|
        i see|yes|yep|yeah|yup|no|nope|no problem|awesome|wonderful|
        vale|de acuerdo|perfecto|bueno|entendido|si|claro|
        daccord|parfait|tres bien|compris|oui|non|
        gut|alles klar|verstanden|super|passt|ja|nein|
        certo|entendi|perfeito|sim|nao|beleza|
        theek hai|thik hai|theek|thik|accha|acha|achha|haan|han|nahi|nahin|samajh gaya|samajh gayi|
        ठीक है|ठीक|अच्छा|हाँ|हां|नहीं
    """,
    "goodbye": """
        bye|bye bye|goodbye|good bye|see you|see ya|cya|take care|have a nice day|good night|
        adios|hasta luego|chao|hasta pronto|
        au revoir|a bientot|bonne journee|
        tschuss|auf wiedersehen|bis bald|ciao|
        tchau|ate logo|ate mais|
        alvida|phir milenge|अलविदा
    """,
    "identity": """
        who are you|what are you|are you a bot|are you a robot|are you human|are you real|am i talking to a bot|
        is this a bot|are you a person|are you an ai|is this ai|
        quien eres|eres un bot|eres un robot|es usted un robot|
        qui es tu|qui etes vous|es tu un robot|etes vous un robot|
        wer bist du|wer sind sie|bist du ein bot|sind sie ein bot|bist du ein roboter|
        quem e voce|voce e um robo|e um robo|
        tum kaun ho|aap kaun ho|aap kaun hain|kya aap robot ho|आप कौन हैं|तुम कौन हो
    """,
}
# Words that may follow or precede any of them without making it a question.
_FILLER_WORDS = """
    again so very much a lot then now sir madam maam bro bhai ji there everyone team guys dear please you
    senor senora amigo monsieur madame liebes alle gente pessoal for your help all the जी
"""
_FILLERS = frozenset(_FILLER_WORDS.split())


def _fold(said: str) -> str:
    """Small letters, no accents on Latin letters, no punctuation, one space between words."""
    folded = (
        said.lower()
        if said.isascii()
        else "".join(
            c for c in unicodedata.normalize("NFKD", said.casefold()) if not "\u0300" <= c <= "\u036f" and c != "\u2019"
        )
    )
    folded = folded.replace("'", "")
    # Devanagari's vowel signs are marks, not letters: kept.
    return " ".join(re.findall(r"[\w\u0900-\u097f]+", folded))


_KIND_OF = {_fold(p): kind for kind, phrases in _PHRASES.items() for p in phrases.split("|") if p.strip()}
_LONGEST = max(len(p.split()) for p in _KIND_OF)
_ORDER = ("identity", "greeting", "okay", "goodbye", "thanks")


def small_talk(said: str, *, asked_back: bool = False) -> str | None:
    """The key of the template that answers it, or None when it is more than small talk.

    `asked_back`: our last text was a question, so a bare "yes" or "no" is its answer and not small talk.
    """
    words = _fold(said).split()
    if not words:
        if "?" in said:
            return "clarify"
        return "okay" if said.strip() and not asked_back else None
    if len(words) > 10:
        return None
    kinds: set[str] = set()
    at = 0
    while at < len(words):
        for size in range(min(_LONGEST, len(words) - at), 0, -1):
            kind = _KIND_OF.get(" ".join(words[at : at + size]))
            if kind is not None:
                kinds.add(kind)
                at += size
                break
        else:
            if words[at] not in _FILLERS:
                return None
            at += 1
    if not kinds or (kinds == {"okay"} and asked_back):
        return None
    # The weightiest of several: "ok thanks bye" is a thank-you, "hi, are you a bot" a question about us.
    if "identity" in kinds:
        return "identity"
    return max(kinds, key=_ORDER.index)
