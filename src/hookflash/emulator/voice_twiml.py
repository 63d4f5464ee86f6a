"""The instructions in an answer to a voice webhook: TwiML as a tree of verbs, and what is not valid in it."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

from hookflash.emulator.twiml import MAX_BYTES, BadTwiml

# Elements with their attributes and children, from Twilio's own library (twilio-python 9.13.0, MIT).
_AMD = (
    *("machineDetection", "amdStatusCallbackMethod", "amdStatusCallback", "machineDetectionTimeout"),
    *("machineDetectionSpeechThreshold", "machineDetectionSpeechEndThreshold", "machineDetectionSilenceTimeout"),
)
_STATUS = ("statusCallbackEvent", "statusCallback", "statusCallbackMethod")
_RECORDED = ("recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent")
_ASR = ("asrSmartFormat", "ttsTextNormalization", "ttsLanguageTextNormalization", "elevenlabsLanguageTextNormalization")
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "Connect": ("action", "method"),
    "Stream": (
        *("name", "connectorName", "url", "track", "statusCallback", "statusCallbackMethod", "audioFormat"),
        "sampleRate",
    ),
    "ConversationRelay": (
        *("url", "language", "ttsLanguage", "transcriptionLanguage", "ttsProvider", "voice", "transcriptionProvider"),
        *("speechModel", "profanityFilter", "dtmfDetection", "welcomeGreeting", "partialPrompts", "interruptible"),
        *("welcomeGreetingInterruptible", "preemptible", "hints", "intelligenceService", "interruptSensitivity"),
        *("reportInputDuringAgentSpeech", "elevenlabsTextNormalization", "debug", "backgroundNoiseReduction"),
        *("speechTimeout", "deepgramSmartFormat", "ignoreBackchannel", "events", "partialPromptOnHangup"),
        *("eagerEotThreshold", "eotThreshold", "includeInPrompt", "customerName", "applicationReconnect"),
        *("echoPromptFiltering", "turnDetection", "conversationConfiguration", "conversationId", *_ASR),
    ),
    "Language": ("code", "ttsProvider", "voice", "transcriptionProvider", "speechModel", "hints", *_ASR[:3]),
    "Parameter": ("name", "value"),
    "Start": ("action", "method"),
    "Stop": (),
    "Gather": (
        *("input", "action", "method", "timeout", "speechTimeout", "maxSpeechTime", "profanityFilter", "finishOnKey"),
        *("numDigits", "partialResultCallback", "partialResultCallbackMethod", "language", "hints", "bargeIn", "debug"),
        *("actionOnEmptyResult", "speechModel", "enhanced"),
    ),
    "Say": ("voice", "loop", "language"),
    "Play": ("loop", "digits"),
    "Pause": ("length",),
    "Dial": (
        *("action", "method", "timeout", "hangupOnStar", "timeLimit", "callerId", "callReason", "record", "trim"),
        *(*_RECORDED, "recordingConfigurationId", "answerOnBridge", "ringTone", "recordingTrack", "sequential"),
        *("referUrl", "referMethod", "events", "passports"),
    ),
    "Number": ("sendDigits", "url", "method", *_STATUS, "byoc", *_AMD),
    "Conference": (
        *("muted", "beep", "startConferenceOnEnter", "endConferenceOnExit", "waitUrl", "waitMethod"),
        *("maxParticipants", "record", "recordingConfigurationId", "region", "coach", "trim", *_STATUS, *_RECORDED),
        *("eventCallbackUrl", "jitterBufferSize", "participantLabel"),
    ),
    "Sip": ("username", "password", "url", "method", *_STATUS, *_AMD),
    "Client": ("url", "method", *_STATUS),
    "Queue": ("url", "method", "reservationSid", "postWorkActivitySid"),
    "Enqueue": ("action", "maxQueueSize", "method", "waitUrl", "waitUrlMethod", "workflowSid"),
    "Task": ("priority", "timeout"),
    "Redirect": ("method",),
    "Refer": ("action", "method"),
    "Record": (
        *("action", "method", "timeout", "finishOnKey", "maxLength", "playBeep", "trim", *_RECORDED, "transcribe"),
        *("transcribeCallback", "recordingConfigurationId"),
    ),
    "Hangup": (),
    "Reject": ("reason",),
    "Leave": (),
}
_PROMPTS = frozenset(("Say", "Play", "Pause"))
CHILDREN: Mapping[str, frozenset[str]] = {
    "Response": frozenset(
        ("Connect", "Start", "Stop", "Gather", "Say", "Play", "Pause", "Dial", "Enqueue", "Redirect", "Refer")
    )
    | frozenset(("Record", "Hangup", "Reject", "Leave")),
    "Connect": frozenset(("Stream", "ConversationRelay")),
    "Stream": frozenset(("Parameter",)),
    "ConversationRelay": frozenset(("Language", "Parameter")),
    "Gather": _PROMPTS,
    "Dial": frozenset(("Number", "Sip", "Client", "Conference", "Queue")),
    "Enqueue": frozenset(("Task",)),
}
# What is inside is not looked at: SSML, and verbs that the emulator passes over.
_OPAQUE = frozenset(("Say", "Start", "Stop", "Refer", "Client", "Sip", "Hangup", "Reject"))


@dataclass(frozen=True, slots=True)
class Verb:
    """One element; `text` is all the text in it, markup left out."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: tuple["Verb", ...] = ()

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        return value.lower() in ("true", "1", "yes") if value else default

    def number(self, name: str, default: float) -> float:
        """The attribute as a number that is not negative, else the default."""
        try:
            value = float(self.get(name))
        except ValueError:
            return default
        return value if 0 <= value < float("inf") else default

    def all(self, name: str) -> list["Verb"]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]


@dataclass(frozen=True, slots=True)
class Document:
    """Verbs to perform in order; `base` is the address that relative ones start from, empty when there is none."""

    verbs: tuple[Verb, ...]
    base: str = ""
    warnings: tuple[str, ...] = field(default=())


def read_document(status: int, content_type: str, body: bytes, base: str) -> Document:
    """Read an answer of status 200 to 299; raises BadTwiml."""
    if status == 204:
        return Document((), base)
    if not body.strip():
        raise BadTwiml(11200, "the answer is empty: a voice webhook must answer TwiML, or 204")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("audio/"):
        return Document((Verb("Play", {}, base),), base)
    if media_type == "text/plain":
        return Document((Verb("Say", {}, body.decode(errors="replace")),), base)
    if media_type not in ("text/xml", "application/xml", "text/html"):
        raise BadTwiml(12300, f"the answer's content type is {media_type or 'missing'}")
    return parse_document(body, base)


def parse_document(xml: bytes, base: str = "") -> Document:
    """Read TwiML; raises BadTwiml. What is not valid in it is left out and warned of."""
    if len(xml) > MAX_BYTES:
        raise BadTwiml(11750)
    try:
        # Entities cannot be declared in TwiML: without a DOCTYPE there is nothing that could expand.
        if b"<!DOCTYPE" in xml:
            raise BadTwiml(12100, "the answer declares a document type")
        root = ET.fromstring(xml.strip())  # noqa: S314
    except ET.ParseError as error:
        raise BadTwiml(12100, f"the answer is not XML: {error}") from None
    if root.tag != "Response":
        raise BadTwiml(12100, "the root element is not Response")
    warnings: list[str] = []
    verbs = _children(root, warnings)
    return Document(verbs, base, tuple(warnings))


def _children(parent: ET.Element, warnings: list[str]) -> tuple[Verb, ...]:
    allowed = CHILDREN.get(parent.tag, frozenset())
    found = []
    for element in parent:
        if element.tag not in allowed:
            warnings.append(f"{parent.tag} knows no element {element.tag}")
            continue
        known = ATTRIBUTES[element.tag]
        warnings += [f"{element.tag} knows no attribute {name}" for name in element.attrib if name not in known]
        attributes = {name: value for name, value in element.attrib.items() if name in known}
        nested = () if element.tag in _OPAQUE else _children(element, warnings)
        found.append(Verb(element.tag, attributes, "".join(element.itertext()).strip(), nested))
    return tuple(found)
