"""Texts that no model writes: what is said when there is nothing to say, by language.

`{company}` may be used in every text, `{first}` and `{second}` in `which`. A language without a text speaks English.
"""

import re
from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "unknown": "Sorry, I could not find that in our information.",
        "unknown_handed_over": "Sorry, I could not find that in our information. I have passed your question on to a colleague.",
        "clarify": "Could you tell me a little more about what you need?",
        "which": 'Just to be sure: is it about "{first}" or "{second}"?',
        "acknowledge": "One moment please, I am looking into it.",
        "failed": "Sorry, I cannot answer right now. Please try again a little later.",
        "failed_handed_over": "Sorry, I cannot answer right now. A colleague will get back to you.",
        "handed_over": "I have passed this on to a colleague, who will get back to you here.",
        "attachment": "Thank you. I cannot read this attachment; please tell me in words what you need.",
        "opted_out": "You will receive no more messages from us. Reply START to receive them again.",
        "opted_in": "You will receive our messages again. Reply STOP to end them, HELP for help.",
        "help": "This is the automatic assistant of {company}. Ask your question here. Reply STOP to receive no more messages.",
        "greeting": "Hello! How can I help you?",
        "thanks": "You are welcome!",
        "okay": "All right. Just write if there is anything else.",
        "goodbye": "Goodbye, and thank you for writing!",
        "identity": "I am the automatic assistant of {company}. I answer from our own documents.",
        "source": "Source",
    },
    "es": {
        "unknown": "Lo siento, no encontré eso en nuestra información.",
        "unknown_handed_over": "Lo siento, no encontré eso en nuestra información. He pasado su pregunta a un compañero.",
        "clarify": "¿Podría contarme un poco más sobre lo que necesita?",
        "which": 'Para estar seguro: ¿se trata de "{first}" o de "{second}"?',
        "acknowledge": "Un momento, por favor, lo estoy consultando.",
        "failed": "Lo siento, ahora mismo no puedo responder. Inténtelo de nuevo un poco más tarde.",
        "failed_handed_over": "Lo siento, ahora mismo no puedo responder. Un compañero le contestará.",
        "handed_over": "He pasado esto a un compañero, que le contestará aquí.",
        "attachment": "Gracias. No puedo leer este archivo; dígame con palabras lo que necesita.",
        "opted_out": "Ya no recibirá mensajes nuestros. Responda START para volver a recibirlos.",
        "opted_in": "Volverá a recibir nuestros mensajes. Responda STOP para cancelarlos, HELP para ayuda.",
        "help": "Soy el asistente automático de {company}. Escriba aquí su pregunta. Responda STOP para no recibir más mensajes.",
        "greeting": "¡Hola! ¿En qué puedo ayudarle?",
        "thanks": "¡De nada!",
        "okay": "De acuerdo. Escríbame si necesita algo más.",
        "goodbye": "¡Hasta luego y gracias por escribirnos!",
        "identity": "Soy el asistente automático de {company}. Respondo con nuestros propios documentos.",
        "source": "Fuente",
    },
    "fr": {
        "unknown": "Désolé, je n'ai pas trouvé cela dans nos informations.",
        "unknown_handed_over": "Désolé, je n'ai pas trouvé cela dans nos informations. J'ai transmis votre question à un collègue.",
        "clarify": "Pourriez-vous m'en dire un peu plus sur ce qu'il vous faut ?",
        "which": 'Pour être sûr : s\'agit-il de "{first}" ou de "{second}" ?',
        "acknowledge": "Un instant s'il vous plaît, je me renseigne.",
        "failed": "Désolé, je ne peux pas répondre pour le moment. Réessayez un peu plus tard.",
        "failed_handed_over": "Désolé, je ne peux pas répondre pour le moment. Un collègue vous répondra.",
        "handed_over": "J'ai transmis à un collègue, qui vous répondra ici.",
        "attachment": "Merci. Je ne peux pas lire cette pièce jointe ; dites-moi en quelques mots ce qu'il vous faut.",
        "opted_out": "Vous ne recevrez plus nos messages. Répondez START pour les recevoir à nouveau.",
        "opted_in": "Vous recevrez à nouveau nos messages. Répondez STOP pour les arrêter, HELP pour de l'aide.",
        "help": "Voici l'assistant automatique de {company}. Posez votre question ici. Répondez STOP pour ne plus rien recevoir.",
        "greeting": "Bonjour ! Comment puis-je vous aider ?",
        "thanks": "Avec plaisir !",
        "okay": "Très bien. Écrivez-moi s'il vous faut autre chose.",
        "goodbye": "Au revoir et merci de nous avoir écrit !",
        "identity": "Je suis l'assistant automatique de {company}. Je réponds d'après nos propres documents.",
        "source": "Source",
    },
    "de": {
        "unknown": "Das habe ich in unseren Informationen leider nicht gefunden.",
        "unknown_handed_over": "Das habe ich in unseren Informationen leider nicht gefunden. Ich habe Ihre Frage weitergegeben.",
        "clarify": "Können Sie mir etwas genauer sagen, worum es geht?",
        "which": 'Nur um sicher zu sein: Geht es um "{first}" oder um "{second}"?',
        "acknowledge": "Einen Moment bitte, ich sehe nach.",
        "failed": "Ich kann gerade leider nicht antworten. Bitte versuchen Sie es etwas später noch einmal.",
        "failed_handed_over": "Ich kann gerade leider nicht antworten. Jemand aus unserem Team meldet sich bei Ihnen.",
        "handed_over": "Ich habe das weitergegeben. Jemand aus unserem Team meldet sich hier bei Ihnen.",
        "attachment": "Danke. Diesen Anhang kann ich nicht lesen; bitte schreiben Sie mir, worum es geht.",
        "opted_out": "Sie erhalten keine Nachrichten mehr von uns. Mit START erhalten Sie sie wieder.",
        "opted_in": "Sie erhalten unsere Nachrichten wieder. STOP beendet sie, HELP hilft weiter.",
        "help": "Hier ist der automatische Assistent von {company}. Stellen Sie Ihre Frage. STOP beendet alle Nachrichten.",
        "greeting": "Hallo! Wie kann ich Ihnen helfen?",
        "thanks": "Gern geschehen!",
        "okay": "Alles klar. Schreiben Sie einfach, wenn noch etwas ist.",
        "goodbye": "Auf Wiedersehen und danke für Ihre Nachricht!",
        "identity": "Ich bin der automatische Assistent von {company} und antworte aus unseren eigenen Unterlagen.",
        "source": "Quelle",
    },
    "pt": {
        "unknown": "Desculpe, não encontrei isso nas nossas informações.",
        "unknown_handed_over": "Desculpe, não encontrei isso nas nossas informações. Passei a sua pergunta a um colega.",
        "clarify": "Pode contar um pouco mais sobre o que precisa?",
        "which": 'Só para ter certeza: é sobre "{first}" ou "{second}"?',
        "acknowledge": "Um momento, por favor, estou verificando.",
        "failed": "Desculpe, não consigo responder agora. Tente de novo um pouco mais tarde.",
        "failed_handed_over": "Desculpe, não consigo responder agora. Um colega vai responder.",
        "handed_over": "Passei isto a um colega, que vai responder aqui.",
        "attachment": "Obrigado. Não consigo ler este anexo; diga em palavras o que precisa.",
        "opted_out": "Não vai mais receber mensagens nossas. Responda START para voltar a receber.",
        "opted_in": "Vai voltar a receber nossas mensagens. Responda STOP para parar, HELP para ajuda.",
        "help": "Este é o assistente automático de {company}. Escreva aqui a sua pergunta. Responda STOP para não receber mais nada.",
        "greeting": "Olá! Como posso ajudar?",
        "thanks": "De nada!",
        "okay": "Certo. Escreva se precisar de mais alguma coisa.",
        "goodbye": "Até logo e obrigado por escrever!",
        "identity": "Sou o assistente automático de {company}. Respondo com base nos nossos próprios documentos.",
        "source": "Fonte",
    },
    "hi": {
        "unknown": "माफ़ कीजिए, यह हमारी जानकारी में नहीं मिला।",
        "unknown_handed_over": "माफ़ कीजिए, यह हमारी जानकारी में नहीं मिला। मैंने आपका सवाल एक सहकर्मी को भेज दिया है।",
        "clarify": "कृपया थोड़ा और बताइए कि आपको क्या चाहिए?",
        "which": 'पक्का करने के लिए: क्या बात "{first}" की है या "{second}" की?',
        "acknowledge": "कृपया एक क्षण, मैं देख रहा हूँ।",
        "failed": "माफ़ कीजिए, अभी जवाब नहीं दे सकता। थोड़ी देर बाद फिर लिखें।",
        "failed_handed_over": "माफ़ कीजिए, अभी जवाब नहीं दे सकता। एक सहकर्मी आपको जवाब देंगे।",
        "handed_over": "मैंने इसे एक सहकर्मी को भेज दिया है, वे यहीं जवाब देंगे।",
        "attachment": "धन्यवाद। मैं यह फ़ाइल नहीं पढ़ सकता; कृपया शब्दों में बताइए कि आपको क्या चाहिए।",
        "opted_out": "अब आपको हमारे संदेश नहीं मिलेंगे। फिर से पाने के लिए START लिखें।",
        "opted_in": "अब आपको हमारे संदेश फिर मिलेंगे। रोकने के लिए STOP, मदद के लिए HELP लिखें।",
        "help": "यह {company} का स्वचालित सहायक है। अपना सवाल यहाँ लिखें। संदेश रोकने के लिए STOP लिखें।",
        "greeting": "नमस्ते! मैं आपकी क्या मदद कर सकता हूँ?",
        "thanks": "आपका स्वागत है!",
        "okay": "ठीक है। कुछ और हो तो लिखिए।",
        "goodbye": "नमस्ते, लिखने के लिए धन्यवाद!",
        "identity": "मैं {company} का स्वचालित सहायक हूँ। मैं हमारे अपने दस्तावेज़ों से जवाब देता हूँ।",
        "source": "स्रोत",
    },
    "hi-Latn": {
        "unknown": "Maaf kijiye, yeh hamari jaankari mein nahi mila.",
        "unknown_handed_over": "Maaf kijiye, yeh hamari jaankari mein nahi mila. Maine aapka sawaal ek colleague ko bhej diya hai.",
        "clarify": "Kripya thoda aur bataiye ki aapko kya chahiye?",
        "which": 'Pakka karne ke liye: baat "{first}" ki hai ya "{second}" ki?',
        "acknowledge": "Ek minute, main dekh raha hoon.",
        "failed": "Maaf kijiye, abhi jawab nahi de sakta. Thodi der baad phir likhiye.",
        "failed_handed_over": "Maaf kijiye, abhi jawab nahi de sakta. Ek colleague aapko jawab denge.",
        "handed_over": "Maine ise ek colleague ko bhej diya hai, woh yahin jawab denge.",
        "attachment": "Dhanyavaad. Main yeh file nahi padh sakta; kripya likh kar bataiye ki aapko kya chahiye.",
        "opted_out": "Ab aapko hamare message nahi milenge. Phir se paane ke liye START likhiye.",
        "opted_in": "Ab aapko hamare message phir milenge. Rokne ke liye STOP, madad ke liye HELP likhiye.",
        "help": "Yeh {company} ka automatic assistant hai. Apna sawaal yahan likhiye. Message rokne ke liye STOP likhiye.",
        "greeting": "Namaste! Main aapki kya madad kar sakta hoon?",
        "thanks": "Aapka swagat hai!",
        "okay": "Theek hai. Kuch aur ho to likhiye.",
        "goodbye": "Namaste, likhne ke liye dhanyavaad!",
        "identity": "Main {company} ka automatic assistant hoon. Main hamare apne documents se jawab deta hoon.",
        "source": "Source",
    },
}

KEYS = frozenset(TEXTS["en"])
_PLACE = re.compile(r"\{(\w+)\}")

# Where no company is named: a word that fits behind "the assistant of".
_US = {
    "en": "this number",
    "es": "este número",
    "fr": "ce numéro",
    "de": "dieser Nummer",
    "pt": "este número",
    "hi": "इस नंबर",
    "hi-Latn": "is number",
}


def text(
    key: str,
    language: str,
    *,
    company: str = "",
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    **values: str,
) -> str:
    """The text in the language, the company's own first, English when there is none; KeyError for an unknown key."""
    for own in (overrides or {}, TEXTS):
        for tongue in (language, language.partition("-")[0]) if language != "hi-Latn" else (language,):
            found = own.get(tongue, {}).get(key)
            if found is not None:
                return _filled(found, {"company": company or _US.get(tongue, _US["en"]), **values})
    own_english = (overrides or {}).get("en", {}).get(key)
    return _filled(own_english or TEXTS["en"][key], {"company": company or _US["en"], **values})


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Fill in what is known; braces of a company's own text that mean nothing stay as they are."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)
