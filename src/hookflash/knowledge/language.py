"""Language: which one a short customer text is written in, romanised Hindi included."""

import math
import re
import unicodedata
from collections import Counter
from functools import cache

from lingua import Language, LanguageDetector, LanguageDetectorBuilder

from hookflash.base.remembered import short_texts

DEFAULT = "en"
ROMANISED_HINDI = "hi-Latn"

# A script that one language of a support line makes it likely enough to be named without looking at the words.
SCRIPTS = {
    "DEVANAGARI": "hi",
    "ARABIC": "ar",
    "CYRILLIC": "ru",
    "HEBREW": "he",
    "GREEK": "el",
    "THAI": "th",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "BENGALI": "bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that people write in any language; alone they say nothing about it.
INTERNATIONAL = _set(
    """
    ok okay okey k kk thanks thx ty thankyou thank yes yep yeah no nope y n hi hello hey hai stop start help
    info please pls plz sure super perfect wow lol haha bye sorry sms whatsapp email sku usd eur inr cod upi app
    online cool good great fine nice me you sir madam mam hmm oh ah
    """
)

# Frequent words of each language (without accents: many people type none), support talk included. A word of several
# languages counts for each of them, less.
WORDS = {
    "en": """
        the a an is name are was were am be been do does did don't doesn't didn't i i'm i've you u your ur my we
        they it its this that these those of to for from with without on at in by and or but not can could will
        would should may have has had how what when where which who why whats there any some get got want need
        ship shipping order orders return returns refund open close today please track tracking still after
        before more much many long late item received help broken broke wrong size kids delivery deliver price
        cost charged hours store call back new never yet if about arrived package parcel between cards gift our
        out up as so just all only buy bought pay paid cancel change exchange warranty discount free repair
        service morning evening afternoon day days week weeks month policy available work take takes lost
        missing damaged worn boots shoes jacket tent stock waterproof sizes one ones he she his her him them
        into over than then very here other another same too because though gave give find talk happy quality
        made make using used use works student students money off expire fix torn guys again also going go see
        know think tell say said let put keep every each most last first next while until since both own during
        under around person someone anyone address number account website phone receipt customs tax human strap
        warmer
    """,
    "es": """
        el la los las un una unos de del que y o en es son esta estan estoy mi mis su sus tu con sin por para
        como cuando donde cuanto cuanta cuantos cuesta cuestan cual quien si no me te se le lo ya hay tienen
        tiene tengo quiero necesito puedo puede pueden hacen hola gracias buenos buenas dias tardes pedido envio
        envios devolver devolucion reembolso tienda abren cierran hora horas horario hoy manana talla pero mas
        muy llega llego llegado ayer ayuda compra comprar cambiar nada precio dinero tarjeta producto paquete
        zapatos hacer descuento garantia al desde hasta a porque aun todavia ha han he fue era ser sido hablar
        persona esto ese esa eso estos aqui alli entre sobre otro otra otros cada todo toda todos todas vez
        tambien solo antes despues estamos vamos voy va quisiera devuelven aceptan factura funciona roto rota
        perdi recibo recoger recogerlo disponible aduana pagar tallas ninos abiertos queda direccion codigo
        domingos lavar maquina nuestro ustedes usted
    """,
    "fr": """
        le la les un une des du de et ou est sont suis je j'ai vous nous tu il elle mon ma mes votre vos notre
        ce cette que qui quoi quel quelle quels quelles quand comment combien pourquoi avec sans pour dans sur
        pas ne puis peux peut c'est est-ce bonjour bonsoir merci commande livraison colis remboursement retour
        retourner magasin ouvert ouverts voudrais veux ai avez recu bien jour heure heures aujourd'hui demain
        taille prix s'il plait au aux y a en jai plus beaucoup si chaussures enfants faut faire livrez article
        mauvais coute sa ses son leur leurs ces cet etre ete fait faites etait sera se s'est l'ai n'ai n'est
        d'une qu'est toujours rien aussi encore apres avant chez entre sous tout tous toute toutes autre meme
        peu trop va vais marche trouve garantie echange reductions ticket perdu cassee disponible acceptez
        acceptez-vous comme mais donc car ni
    """,
    "de": """
        der die das den dem ein eine einen einem ist sind war bin ich du sie wir ihr mein meine meinen ihre euer
        und oder aber nicht kein keine wie wo was wann wer warum welche wieviel kann konnen kannst mochte will
        habe habt haben hat gibt es fur mit ohne von zu zum zur nach bei auf aus im in am an bitte danke guten
        tag hallo bestellung versand lieferung paket ruckgabe zuruck zuruckgeben umtauschen geld offen geoffnet
        sonntags heute morgen noch schon grosse preis kostet lange dauert hilfe brauche vielen dank schuhe jacke
        zelt wird werden angekommen kinder auch mir mich ob er sich des als dann denn doch dort durch einer
        eines hier hatte immer ins ja jetzt mehr nur sehr so um unter uber vom vor welcher wieder worden zwei
        alle alles andere anderen beim bis da damit dass diese dieser dieses etwas falsche produkt bekommen
        macht passt funktioniert garantie laden quittung verloren rabatt kaputt nehmt nehmen bezahlen
    """,
    "pt": """
        o a os as um uma de do da dos das no na nos nas em e ou que eu voce voces vcs vc meu minha meus minhas
        seu sua nao sim com sem por para pra como quando onde quanto quanta quantos custa qual quais quem tem
        tenho quero queria preciso posso pode fazem abrem fecham esta estao ola oi obrigado obrigada bom boa dia
        tarde noite pedido frete entrega entregam devolver devolucao reembolso loja hoje amanha tamanho preco
        dinheiro cartao produto pacote sapatos trocar recebi chegou muito mais mas ja ainda ajuda prazo dias
        horario aceitam isso ao ele ela eles isto esse essa este estou estava foi era ser ter tinha vai vou ate
        entre sobre outro outra cada tudo todo toda todos tambem so antes depois agora aqui ali mim lhe deu
        quebrou perdi recibo falar atendente volta estoque encomenda chega serviu fica garantia domingos domingo
        pelo pela num numa porque aos devo fazer faz
    """,
    "it": """
        il lo la i gli le un uno una di del della dei e o che in nel con senza per da come quando dove dov'e
        quanto quanta quanti costa quale quali chi cosa non si mi ti vi mio mia miei ho hai ha avete vorrei
        voglio posso puo potete siete sono e' c'e ciao buongiorno buonasera grazie mille ordine spedizione
        spedite consegna pacco reso restituire rimborso negozio aperti aperto orari domenica oggi domani taglia
        prezzo soldi carta prodotto scarpe cambiare arrivato bisogno aiuto anche piu ma ancora gia al alla ogni
        giorni lui lei loro questo questa questi quello quella essere stato stata era fare fatto fate faccio sta
        stanno va vado tra fra su sul sulla nella dal dalla degli delle ne ci si' tutto tutti tutta molto poco
        sempre mai perche' qui li altro altra prima dopo hanno abbiamo parlare persona perso scontrino rotta
        rotto sconti accettate trova arriva garanzia dagli cerniera
    """,
    "nl": """
        de het een en of maar is zijn was ik jij je u jullie wij mijn jouw uw ons niet geen wel hoe wat waar
        wanneer wie waarom welke hoeveel kan kunnen kun mag wil heb heeft hebben er voor met zonder van naar bij
        op uit in aan te tot dit dat bestelling verzending verzenden levering pakket retour retourneren terug
        terugsturen geld open geopend zondag vandaag morgen maat prijs kost kosten lang duurt schoenen jas vraag
        hulp goedemorgen goedemiddag hallo bedankt dank alsjeblieft nog al ook als om wordt aangekomen ruilen
        hij ze we haar hem hun dan nu niets iets alle alles andere veel meer weer worden word werd gaan gaat
        doen doet moet moeten zou zal onder over tussen na tegen ben bent kwijt bon kapot krijgen krijg krijgt
        korting voorraad past komt accepteren laat dicht garantie iemand nodig graag maken zo hier daar deze die
        door want omdat toch rits
    """,
}

# Romanised Hindi: words that no other language here has, and words that count only beside one of those.
HINDI_STRONG = _set(
    """
    kya kyaa hain kab kahan kaha kahaan kaise kese kitna kitne kitni aayega ayega aayegi ayegi aaega aya aaya
    aayi nahi nahin nhi nai chahiye chaiye chahie karna karne karni karke karu karun karo kariye kardo krdo krna
    krne kijiye sakta sakte sakti skta raha rahi rahe hua hui mujhe mujhko muje mujh mera meri humko hamara aap
    aapka aapke aapki apko aapko tumhara kaun kon kyu kyun kyon liye wapas vapas paisa paise bhai bhaiya batao
    bataiye bataye milega milegi milta milti mila mili abhi lekin dukan dukaan khulta khulti khula bhejo bhejna
    bhej dijiye dijiyega dena dedo hoga hogi honge karenge karte karta karti lagega lagenge lagta galat koi kuch
    bahut bohot accha acha achha theek thik namaste namaskar shukriya dhanyavad kaunsa kaunsi konsa yeh woh
    jaldi kharab toot tut gaya gayi gaye rehte rehta hota hoti hote chalega sahi chalu rupaye kharidna kar lena
    lene apna apne apni din aaj parso saath bina wala wali wale
    """
)
HINDI_WEAK = _set(
    """
    hai hi ho ka ki ke ko se mein main mai mere aur ya par pe tak toh bhi jo ye do le lo ji na ab band hu hun
    tha thi haan ha han jab tab sab log aa jaa ja kal
    """
)

HINDI_FUTURE = re.compile(r"\w+(?:y|aa)eg[ai]$|\w+(?:ung[ai]|oge|enge)$")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
NOISE = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|#\S+|\b\S*\d\S*")
WORD_WEIGHT = 2.6
FULL_TRUST = 16
LEAST_LIKELY = 1e-3
PREVIOUS_WEIGHT = 1.5
DEFAULT_WEIGHT = 0.6
# A longer text is in the language that it begins in.
ENOUGH = 2_000
# Below this lead over the runner-up, a text of one or two words leaves the conversation in its language.
SHORT_LEAD = 0.9


@short_texts(200, most=4_096)
def detect(text: str, previous: str | None = None) -> str:
    """The language of `text`: ISO 639-1, or `hi-Latn` for romanised Hindi.

    A text that says nothing about its language (a number, an emoji, "ok", a code) keeps `previous`, else `en`.
    """
    bare = NOISE.sub(" ", text[:ENOUGH])
    by_script = _script(bare)
    if by_script is not None:
        return by_script
    words = [_plain(word) for word in WORD.findall(bare)]
    telling = [word for word in words if word not in INTERNATIONAL]
    if not telling:
        return previous or DEFAULT
    if _is_romanised_hindi(words, previous):
        return ROMANISED_HINDI
    scores = _scores(" ".join(WORD.findall(bare)), words, previous)
    (best, lead), (_, second) = scores[:2]
    if len(telling) <= 2 and lead - second < SHORT_LEAD:
        return previous or DEFAULT
    return best


def _script(text: str) -> str | None:
    """The language that the script decides, where most letters are not Latin."""
    if text.isascii():
        return None
    seen: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            seen["LATIN" if letter < "ɐ" else unicodedata.name(letter, "?").split()[0]] += 1
    known = [name for name, _ in seen.most_common() if name in SCRIPTS]
    if not known or seen["LATIN"] > 4 * seen[known[0]]:
        return None
    # Japanese is written with Chinese characters too: the kana decide.
    return "ja" if {"HIRAGANA", "KATAKANA"} & set(known) else SCRIPTS[known[0]]


def _plain(word: str) -> str:
    """Lower case, without accents, with a straight apostrophe."""
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKD", word.lower().replace("’", "'"))
    return "".join(letter for letter in folded if not unicodedata.combining(letter)).replace("ß", "ss")


def _is_romanised_hindi(words: list[str], previous: str | None) -> bool:
    strong = sum(word in HINDI_STRONG or HINDI_FUTURE.match(word) is not None for word in words)
    weak = sum(word in HINDI_WEAK for word in words)
    # "COD available hai?": the copula at the end is Hindi, at the start a greeting.
    strong += words[-1] == "hai" and len(words) > 1
    if strong == 0:
        return previous == ROMANISED_HINDI and weak * 2 >= len(words) and len(words) <= 3
    english = sum(word in _index() and "en" in _index()[word] and word not in HINDI_WEAK for word in words)
    return 2 * strong + weak > english and (2 * strong + weak) * 3 >= len(words)


def _scores(text: str, words: list[str], previous: str | None) -> list[tuple[str, float]]:
    """Languages by log-likelihood, best first: letters (lingua), frequent words, the conversation so far as prior."""
    # The fewer the letters, the less their trigrams prove.
    trust = min(1.0, len(text) / FULL_TRUST)
    scores = dict.fromkeys(WORDS, 0.0)
    for word in words:
        languages = _index().get(word, ())
        for language in languages:
            scores[language] += WORD_WEIGHT / len(languages)
    scores[DEFAULT] += DEFAULT_WEIGHT
    if previous is not None and previous in scores:
        scores[previous] += PREVIOUS_WEIGHT
    second, best = sorted(scores.values())[-2:]
    if best - second < SHORT_LEAD - trust * math.log(LEAST_LIKELY):
        # Only then can the letters change anything.
        for value in _detector().compute_language_confidence_values(text):
            scores[value.language.iso_code_639_1.name.lower()] += trust * math.log(max(value.value, LEAST_LIKELY))
    return sorted(scores.items(), key=lambda item: -item[1])


@cache
def _index() -> dict[str, tuple[str, ...]]:
    languages: dict[str, tuple[str, ...]] = {}
    for language, words in WORDS.items():
        for word in dict.fromkeys(words.split()):
            languages[word] = (*languages.get(word, ()), language)
    return languages


@cache
def _detector() -> LanguageDetector:
    # Trigrams alone: 16 MB and .07 s to load, where all n-grams take 200 MB and 1.8 s. Alone they name .95 of short
    # support texts rightly (all n-grams: all of them); the word lists make up for it.
    languages = (
        Language.ENGLISH,
        Language.SPANISH,
        Language.FRENCH,
        Language.GERMAN,
        Language.PORTUGUESE,
        Language.ITALIAN,
        Language.DUTCH,
    )
    return LanguageDetectorBuilder.from_languages(*languages).with_low_accuracy_mode().build()
