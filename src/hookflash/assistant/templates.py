"""Texts that no model writes: what is said when there is nothing to say, by language.

`{company}` may be used in every text, `{first}` and `{second}` in `which`, `{who}` and `{said}` in `whisper`, `{end}` (of
the phone's number) and `{left}` (tries) in those that begin with `code_`, `{code}` in `code_text`.
A language without a text speaks English.
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
        "still_there": "Are you still there?",
        "goodbye_call": "Thank you for calling. Goodbye.",
        "recorded": "This call is recorded.",
        "connecting": "Let me connect you with a colleague.",
        "cut_off": "We were cut off. One moment please.",
        "go_on": "Please go on.",
        "nobody_free": "Sorry, no colleague is free right now. Somebody will get back to you. Can I help you with anything else?",
        "on_hold": "One moment please, I am calling a colleague.",
        "whisper": "A call for you from {who}. {said}",
        "take_it": "Press 1 to take the call, any other key to leave it to the assistant.",
        "joining": "You are being connected.",
        "caller_gone": "The caller has hung up.",
        "code_sent": (
            "To protect your account I have sent a verification code to your phone ending in {end}. Please "
            "tell me the code."
        ),
        "code_sent_again": (
            "I have sent the verification code to your phone ending in {end} again. Please tell me the code."
        ),
        "code_text": "Your verification code is {code}. It is good for 10 minutes. Share it with nobody but us.",
        "code_wrong": "That is not the right verification code. Please try again; tries left: {left}.",
        "code_digits": "The verification code has six digits. Please tell me all six.",
        "code_wait": "The verification code is on its way. Please wait a moment before you ask for another one.",
        "code_no_more": "I cannot send another verification code now. Please tell me the one that you have.",
        "code_expired": (
            "That verification code is no longer good. Please ask again for what you need, and I will send another one."
        ),
        "code_tries": "There were too many wrong codes, so I cannot do this now. Please ask again for what you need.",
        "code_canceled": "All right, I have stopped the verification. How else can I help?",
        "code_away": "I cannot check the verification code right now. Please tell me the code again in a moment.",
        "code_right": "Thank you, you are verified.",
        "code_known": "You are verified already. How can I help?",
        "ask_rating": "How did I do? Please reply with a number from 1 (bad) to 5 (very good).",
        "rating_thanks": "Thank you for your rating!",
        "source": "Source",
        "refused": "Sorry, I cannot help with that here. Please ask me about our products and services.",
        "caring": "I am very sorry to hear this. Please do not stay alone with it: call someone you trust, or the emergency number, now.",
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
        "still_there": "¿Sigue ahí?",
        "goodbye_call": "Gracias por llamar. Adiós.",
        "recorded": "Esta llamada se graba.",
        "connecting": "Le comunico con un compañero.",
        "cut_off": "Se cortó la comunicación. Un momento, por favor.",
        "go_on": "Continúe, por favor.",
        "nobody_free": "Lo siento, ahora no hay ningún compañero libre. Alguien le contestará. ¿Puedo ayudarle en algo más?",
        "on_hold": "Un momento, por favor, estoy llamando a un compañero.",
        "whisper": "Una llamada para usted de {who}. {said}",
        "take_it": "Pulse 1 para atender la llamada, cualquier otra tecla para dejarla al asistente.",
        "joining": "Le estamos conectando.",
        "caller_gone": "La persona ha colgado.",
        "code_sent": (
            "Para proteger su cuenta he enviado un código de verificación a su teléfono terminado en {end}. "
            "Dígame el código, por favor."
        ),
        "code_sent_again": (
            "He enviado de nuevo el código de verificación a su teléfono terminado en {end}. Dígame el "
            "código, por favor."
        ),
        "code_text": "Su código de verificación es {code}. Es válido durante 10 minutos. No lo comparta con nadie más.",
        "code_wrong": "Ese no es el código de verificación correcto. Inténtelo de nuevo; intentos restantes: {left}.",
        "code_digits": "El código de verificación tiene seis cifras. Dígame las seis, por favor.",
        "code_wait": "El código de verificación está en camino. Espere un momento antes de pedir otro.",
        "code_no_more": "Ahora no puedo enviar otro código de verificación. Dígame el que tiene, por favor.",
        "code_expired": "Ese código de verificación ya no es válido. Pida de nuevo lo que necesita y le enviaré otro.",
        "code_tries": "Hubo demasiados códigos incorrectos y ahora no puedo hacerlo. Pida de nuevo lo que necesita.",
        "code_canceled": "De acuerdo, he cancelado la verificación. ¿En qué más puedo ayudarle?",
        "code_away": (
            "Ahora mismo no puedo comprobar el código de verificación. Dígame el código otra vez en un momento."
        ),
        "code_right": "Gracias, está verificado.",
        "code_known": "Ya está verificado. ¿En qué puedo ayudarle?",
        "ask_rating": "¿Qué tal le he atendido? Responda con un número del 1 (mal) al 5 (muy bien).",
        "rating_thanks": "¡Gracias por su valoración!",
        "source": "Fuente",
        "refused": "Lo siento, aquí no puedo ayudarle con eso. Pregúnteme por nuestros productos y servicios.",
        "caring": "Lo siento mucho. No se quede a solas con esto: llame ahora a alguien de confianza o al número de emergencias.",
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
        "still_there": "Êtes-vous toujours là ?",
        "goodbye_call": "Merci de votre appel. Au revoir.",
        "recorded": "Cet appel est enregistré.",
        "connecting": "Je vous mets en relation avec un collègue.",
        "cut_off": "Nous avons été coupés. Un instant, s'il vous plaît.",
        "go_on": "Continuez, je vous prie.",
        "nobody_free": "Désolé, aucun collègue n'est libre pour le moment. Quelqu'un vous répondra. Puis-je vous aider pour autre chose ?",
        "on_hold": "Un instant s'il vous plaît, j'appelle un collègue.",
        "whisper": "Un appel pour vous de {who}. {said}",
        "take_it": "Appuyez sur 1 pour prendre l'appel, sur une autre touche pour le laisser à l'assistant.",
        "joining": "Vous êtes mis en relation.",
        "caller_gone": "La personne a raccroché.",
        "code_sent": (
            "Pour protéger votre compte, j'ai envoyé un code de vérification à votre téléphone finissant "
            "par {end}. Dites-moi ce code."
        ),
        "code_sent_again": (
            "J'ai renvoyé le code de vérification à votre téléphone finissant par {end}. Dites-moi ce code."
        ),
        "code_text": (
            "Votre code de vérification est {code}. Il est valable 10 minutes. Ne le donnez à personne d'autre."
        ),
        "code_wrong": "Ce n'est pas le bon code de vérification. Réessayez ; essais restants : {left}.",
        "code_digits": "Le code de vérification a six chiffres. Dites-les-moi tous.",
        "code_wait": "Le code de vérification est en route. Patientez un instant avant d'en demander un autre.",
        "code_no_more": (
            "Je ne peux pas envoyer d'autre code de vérification pour le moment. Dites-moi celui que vous avez."
        ),
        "code_expired": (
            "Ce code de vérification n'est plus valable. Redemandez ce qu'il vous faut et j'en enverrai un autre."
        ),
        "code_tries": (
            "Il y a eu trop de codes faux, je ne peux pas le faire maintenant. Redemandez ce qu'il vous faut."
        ),
        "code_canceled": "Très bien, j'ai arrêté la vérification. Que puis-je faire d'autre ?",
        "code_away": "Je ne peux pas vérifier ce code pour le moment. Redites-le-moi dans un instant.",
        "code_right": "Merci, vous êtes vérifié.",
        "code_known": "Vous êtes déjà vérifié. Comment puis-je vous aider ?",
        "ask_rating": "Avez-vous été bien servi ? Répondez par un chiffre de 1 (mal) à 5 (très bien).",
        "rating_thanks": "Merci pour votre note !",
        "source": "Source",
        "refused": "Désolé, je ne peux pas vous aider pour cela ici. Posez-moi vos questions sur nos produits et services.",
        "caring": "Je suis vraiment désolé. Ne restez pas seul avec cela : appelez maintenant un proche ou le numéro d'urgence.",
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
        "still_there": "Sind Sie noch da?",
        "goodbye_call": "Danke für Ihren Anruf. Auf Wiederhören.",
        "recorded": "Dieses Gespräch wird aufgezeichnet.",
        "connecting": "Ich verbinde Sie mit einem Kollegen.",
        "cut_off": "Die Verbindung war unterbrochen. Einen Moment bitte.",
        "go_on": "Bitte sprechen Sie weiter.",
        "nobody_free": "Leider ist gerade niemand frei. Jemand aus unserem Team meldet sich bei Ihnen. Kann ich sonst noch helfen?",
        "on_hold": "Einen Moment bitte, ich rufe einen Kollegen an.",
        "whisper": "Ein Anruf für Sie von {who}. {said}",
        "take_it": "Mit der 1 nehmen Sie den Anruf an, mit jeder anderen Taste bleibt er beim Assistenten.",
        "joining": "Sie werden verbunden.",
        "caller_gone": "Der Anrufer hat aufgelegt.",
        "code_sent": (
            "Zum Schutz Ihres Kontos habe ich einen Bestätigungscode an Ihr Telefon mit den Endziffern "
            "{end} gesendet. Bitte nennen Sie mir den Code."
        ),
        "code_sent_again": (
            "Ich habe den Bestätigungscode noch einmal an Ihr Telefon mit den Endziffern {end} gesendet. "
            "Bitte nennen Sie mir den Code."
        ),
        "code_text": "Ihr Bestätigungscode ist {code}. Er gilt 10 Minuten. Geben Sie ihn niemandem außer uns.",
        "code_wrong": (
            "Das ist nicht der richtige Bestätigungscode. Bitte versuchen Sie es noch einmal; verbleibende "
            "Versuche: {left}."
        ),
        "code_digits": "Der Bestätigungscode hat sechs Ziffern. Bitte nennen Sie mir alle sechs.",
        "code_wait": (
            "Der Bestätigungscode ist unterwegs. Bitte warten Sie einen Moment, bevor Sie einen neuen verlangen."
        ),
        "code_no_more": (
            "Ich kann jetzt keinen weiteren Bestätigungscode senden. Bitte nennen Sie mir den, den Sie haben."
        ),
        "code_expired": (
            "Dieser Bestätigungscode gilt nicht mehr. Bitte fragen Sie noch einmal, dann sende ich einen neuen."
        ),
        "code_tries": "Es waren zu viele falsche Codes, deshalb geht das jetzt nicht. Bitte fragen Sie noch einmal.",
        "code_canceled": "Gut, ich habe die Bestätigung abgebrochen. Wie kann ich sonst helfen?",
        "code_away": "Ich kann den Bestätigungscode gerade nicht prüfen. Bitte nennen Sie ihn mir gleich noch einmal.",
        "code_right": "Danke, Sie sind bestätigt.",
        "code_known": "Sie sind schon bestätigt. Wie kann ich helfen?",
        "ask_rating": "Wie war das? Bitte antworten Sie mit einer Zahl von 1 (schlecht) bis 5 (sehr gut).",
        "rating_thanks": "Danke für Ihre Bewertung!",
        "source": "Quelle",
        "refused": "Dabei kann ich Ihnen hier leider nicht helfen. Fragen Sie mich gern nach unseren Produkten und Leistungen.",
        "caring": "Das tut mir sehr leid. Bleiben Sie damit nicht allein: Rufen Sie jetzt jemanden an, dem Sie vertrauen, oder den Notruf.",
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
        "still_there": "Ainda está aí?",
        "goodbye_call": "Obrigado por ligar. Até logo.",
        "recorded": "Esta chamada é gravada.",
        "connecting": "Vou passar você a um colega.",
        "cut_off": "A ligação caiu. Um momento, por favor.",
        "go_on": "Continue, por favor.",
        "nobody_free": "Desculpe, nenhum colega está livre agora. Alguém vai responder. Posso ajudar em mais alguma coisa?",
        "on_hold": "Um momento, por favor, estou ligando para um colega.",
        "whisper": "Uma ligação para você de {who}. {said}",
        "take_it": "Tecle 1 para atender, qualquer outra tecla para deixar com o assistente.",
        "joining": "Você está sendo conectado.",
        "caller_gone": "A pessoa desligou.",
        "code_sent": (
            "Para proteger a sua conta enviei um código de verificação ao seu telefone de final {end}. "
            "Diga-me o código, por favor."
        ),
        "code_sent_again": (
            "Enviei de novo o código de verificação ao seu telefone de final {end}. Diga-me o código, por favor."
        ),
        "code_text": "O seu código de verificação é {code}. Vale por 10 minutos. Não o passe a mais ninguém.",
        "code_wrong": "Esse não é o código de verificação certo. Tente de novo; tentativas restantes: {left}.",
        "code_digits": "O código de verificação tem seis dígitos. Diga-me os seis, por favor.",
        "code_wait": "O código de verificação está a caminho. Espere um momento antes de pedir outro.",
        "code_no_more": "Não posso enviar outro código de verificação agora. Diga-me o que tem, por favor.",
        "code_expired": "Esse código de verificação já não vale. Peça de novo o que precisa e eu envio outro.",
        "code_tries": "Houve códigos errados demais e agora não posso fazer isso. Peça de novo o que precisa.",
        "code_canceled": "Certo, parei a verificação. Em que mais posso ajudar?",
        "code_away": "Não consigo conferir o código de verificação agora. Diga-me o código de novo daqui a pouco.",
        "code_right": "Obrigado, a verificação está feita.",
        "code_known": "A verificação já está feita. Como posso ajudar?",
        "ask_rating": "Como foi o atendimento? Responda com um número de 1 (mau) a 5 (muito bom).",
        "rating_thanks": "Obrigado pela sua avaliação!",
        "source": "Fonte",
        "refused": "Desculpe, não posso ajudar com isso aqui. Pergunte-me sobre os nossos produtos e serviços.",
        "caring": "Lamento muito. Não fique a sós com isto: ligue agora para alguém de confiança ou para o número de emergência.",
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
        "still_there": "क्या आप लाइन पर हैं?",
        "goodbye_call": "फ़ोन करने के लिए धन्यवाद। नमस्ते।",
        "recorded": "यह कॉल रिकॉर्ड की जा रही है।",
        "connecting": "मैं आपको एक सहकर्मी से जोड़ता हूँ।",
        "cut_off": "कॉल कट गई थी। कृपया एक क्षण रुकें।",
        "go_on": "कृपया आगे बोलिए।",
        "nobody_free": "माफ़ कीजिए, अभी कोई सहकर्मी उपलब्ध नहीं है। कोई आपको जवाब देगा। क्या मैं और कुछ मदद करूँ?",
        "on_hold": "कृपया एक क्षण रुकें, मैं एक सहकर्मी को फ़ोन कर रहा हूँ।",
        "whisper": "आपके लिए {who} का कॉल है। {said}",
        "take_it": "कॉल लेने के लिए 1 दबाएँ, सहायक पर छोड़ने के लिए कोई और बटन।",
        "joining": "आपको जोड़ा जा रहा है।",
        "caller_gone": "कॉल करने वाले ने फ़ोन रख दिया है।",
        "code_sent": ("आपके खाते की सुरक्षा के लिए मैंने {end} पर समाप्त होने वाले फ़ोन पर सत्यापन कोड भेजा है। कृपया कोड बताइए।"),
        "code_sent_again": "मैंने {end} पर समाप्त होने वाले फ़ोन पर सत्यापन कोड फिर भेजा है। कृपया कोड बताइए।",
        "code_text": "आपका सत्यापन कोड {code} है। यह 10 मिनट तक मान्य है। इसे हमारे सिवा किसी को न बताएँ।",
        "code_wrong": "यह सही सत्यापन कोड नहीं है। कृपया फिर कोशिश करें; बाकी कोशिशें: {left}।",
        "code_digits": "सत्यापन कोड में छह अंक होते हैं। कृपया सभी छह बताइए।",
        "code_wait": "सत्यापन कोड रास्ते में है। दूसरा माँगने से पहले कृपया थोड़ा रुकिए।",
        "code_no_more": "अभी दूसरा सत्यापन कोड नहीं भेज सकता। कृपया जो आपके पास है वह बताइए।",
        "code_expired": "यह सत्यापन कोड अब मान्य नहीं है। कृपया अपनी बात फिर कहिए, मैं नया भेजूँगा।",
        "code_tries": "बहुत बार गलत कोड आया, इसलिए अभी यह नहीं हो सकता। कृपया अपनी बात फिर कहिए।",
        "code_canceled": "ठीक है, सत्यापन रोक दिया है। और क्या मदद करूँ?",
        "code_away": "अभी सत्यापन कोड की जाँच नहीं हो पा रही। कृपया थोड़ी देर में कोड फिर बताइए।",
        "code_right": "धन्यवाद, आपका सत्यापन हो गया।",
        "code_known": "आपका सत्यापन पहले ही हो चुका है। मैं क्या मदद करूँ?",
        "ask_rating": "आपको यह सेवा कैसी लगी? कृपया 1 (खराब) से 5 (बहुत अच्छी) तक का अंक भेजें।",
        "rating_thanks": "आपकी रेटिंग के लिए धन्यवाद!",
        "source": "स्रोत",
        "refused": "माफ़ कीजिए, यहाँ मैं इसमें मदद नहीं कर सकता। कृपया हमारे उत्पादों और सेवाओं के बारे में पूछिए।",
        "caring": "मुझे बहुत दुख है। कृपया अकेले न रहें: अभी किसी अपने को या आपातकालीन नंबर पर फ़ोन कीजिए।",
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
        "still_there": "Kya aap line par hain?",
        "goodbye_call": "Call karne ke liye dhanyavaad. Namaste.",
        "recorded": "Yeh call record ho rahi hai.",
        "connecting": "Main aapko ek saathi se jodta hoon.",
        "cut_off": "Call kat gayi thi. Ek pal rukiye.",
        "go_on": "Kripya aage boliye.",
        "nobody_free": "Maaf kijiye, abhi koi saathi free nahi hai. Koi aapko jawab dega. Kya main aur kuch madad karun?",
        "on_hold": "Ek pal rukiye, main ek saathi ko call kar raha hoon.",
        "whisper": "Aapke liye {who} ka call hai. {said}",
        "take_it": "Call lene ke liye 1 dabaiye, assistant par chhodne ke liye koi aur button.",
        "joining": "Aapko joda ja raha hai.",
        "caller_gone": "Caller ne phone rakh diya hai.",
        "code_sent": (
            "Aapke account ki suraksha ke liye maine {end} par khatam hone wale phone par verification code "
            "bheja hai. Kripya code bataiye."
        ),
        "code_sent_again": (
            "Maine {end} par khatam hone wale phone par verification code phir bheja hai. Kripya code bataiye."
        ),
        "code_text": (
            "Aapka verification code {code} hai. Yeh 10 minute tak chalega. Ise hamare siva kisi ko na bataiye."
        ),
        "code_wrong": "Yeh sahi verification code nahi hai. Kripya phir koshish kijiye; baaki koshishein: {left}.",
        "code_digits": "Verification code mein chhe digit hote hain. Kripya saare chhe bataiye.",
        "code_wait": "Verification code raaste mein hai. Doosra maangne se pehle thoda rukiye.",
        "code_no_more": "Abhi doosra verification code nahi bhej sakta. Kripya jo aapke paas hai woh bataiye.",
        "code_expired": "Yeh verification code ab nahi chalega. Kripya apni baat phir kahiye, main naya bhejunga.",
        "code_tries": "Bahut baar galat code aaya, isliye abhi yeh nahi ho sakta. Kripya apni baat phir kahiye.",
        "code_canceled": "Theek hai, verification rok diya hai. Aur kya madad karun?",
        "code_away": "Abhi verification code check nahi ho pa raha. Kripya thodi der mein code phir bataiye.",
        "code_right": "Dhanyavaad, aap verified hain.",
        "code_known": "Aap pehle se verified hain. Main kya madad karun?",
        "ask_rating": "Aapko yah seva kaisi lagi? Kripya 1 (kharab) se 5 (bahut achchhi) tak ka ank bhejiye.",
        "rating_thanks": "Aapki rating ke liye dhanyavaad!",
        "source": "Source",
        "refused": "Maaf kijiye, yahan main isme madad nahi kar sakta. Kripya hamare products aur services ke baare mein puchiye.",
        "caring": "Mujhe bahut dukh hai. Kripya akele na rahein: abhi kisi apne ko ya emergency number par phone kijiye.",
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
