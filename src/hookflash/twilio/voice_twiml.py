"""TwiML for calls: how a call reaches our ears and voice, or a person."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

from hookflash.twilio.webhooks import INSISTENT

_SSML = frozenset({"break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"})
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def response(*verbs: str) -> bytes:
    """A document of these verbs."""
    return f"{_HEAD}<Response>{''.join(verbs)}</Response>".encode()


def element(name: str, attributes: Mapping[str, str | int | bool | None], *children: str) -> str:
    """One element; attributes that are None or empty are left out, the children are markup."""
    pairs = "".join(
        f" {key}={quoteattr(str(value).lower() if isinstance(value, bool) else str(value))}"
        for key, value in attributes.items()
        if value not in (None, "")
    )
    inner = "".join(children)
    return f"<{name}{pairs}>{inner}</{name}>" if inner else f"<{name}{pairs}/>"


def say(text: str, *, voice: str | None = None, language: str | None = None) -> str:
    """Say a text; well-formed SSML in it is left to Twilio's voice (Polly and Google understand it)."""
    return element("Say", {"voice": voice, "language": language}, _markup(text)) if text else ""


def _markup(text: str) -> str:
    """SSML as it stands; in any other text every sign stands for itself."""
    if "<" in text:
        try:
            # A part of a document: it can declare nothing that would expand.
            root = ET.fromstring(f"<Say>{text}</Say>")  # noqa: S314
        except ET.ParseError:
            return escape(text)
        tags = {each.tag for each in root.iter() if each is not root}
        if tags and tags <= _SSML:
            return text
    return escape(text)


def parameters(values: Mapping[str, str]) -> Iterable[str]:
    return [element("Parameter", {"name": name, "value": value}) for name, value in values.items()]


def connect_stream(url: str, action: str, values: Mapping[str, str]) -> str:
    """Both ways of sound over a socket; afterwards Twilio asks `action` what to do."""
    return element("Connect", {"action": action + INSISTENT}, element("Stream", {"url": url}, *parameters(values)))


def connect_relay(
    url: str,
    action: str,
    attributes: Mapping[str, str | bool | None],
    values: Mapping[str, str],
    languages: Iterable[Mapping[str, str | bool | None]] = (),
) -> str:
    """Words both ways over a socket; Twilio hears and speaks. `languages` are those that it may be told to change to."""
    prepared = [element("Language", language) for language in languages]
    relay = element("ConversationRelay", {"url": url, **attributes}, *prepared, *parameters(values))
    return element("Connect", {"action": action + INSISTENT}, relay)


def gather(
    action: str, *prompts: str, language: str, hints: str = "", partial: str | None = None, timeout: int = 5
) -> str:
    """Listen for speech or keys; also nothing heard is told to `action`."""
    return element(
        "Gather",
        {
            "input": "speech dtmf",
            "action": action,
            "method": "POST",
            "language": language,
            "timeout": timeout,
            "speechTimeout": "auto",
            "speechModel": "experimental_conversations",
            "hints": hints,
            "actionOnEmptyResult": True,
            "partialResultCallback": partial,
        },
        *prompts,
    )


def redirect(url: str) -> str:
    """Go on with what `url` says; asked again should it fail, as every address here but those that take an answer."""
    return element("Redirect", {"method": "POST"}, escape(url + INSISTENT))


def hang_up() -> str:
    return "<Hangup/>"


def reject(reason: str = "rejected") -> str:
    return element("Reject", {"reason": reason})


def dial(target: str, *, action: str, caller_id: str | None = None, whisper: str | None = None) -> str:
    """Ring a person by number or SIP address; `whisper` is the address of what they alone hear first."""
    if target.startswith("sip:"):
        noun = element("Sip", {"url": whisper}, escape(target))
    else:
        noun = element("Number", {"url": whisper}, escape(target))
    return element("Dial", {"action": action + INSISTENT, "callerId": caller_id, "answerOnBridge": True}, noun)


def play(url: str) -> str:
    return element("Play", {}, escape(url)) if url else ""


def pause(seconds: int) -> str:
    return element("Pause", {"length": seconds})


def press(action: str, *prompts: str, timeout: int = 5) -> str:
    """Listen for one key; when none is pressed, the verb that follows is next."""
    attributes: dict[str, str | int | bool | None] = {
        "input": "dtmf",
        "numDigits": 1,
        "timeout": timeout,
        "action": action,
        "method": "POST",
    }
    return element("Gather", attributes, *prompts)


def wait_in_room(room: str, *, action: str, hold: str) -> str:
    """Wait in a conference that begins when somebody else comes; meanwhile `hold` says what is heard."""
    noun = element(
        "Conference",
        {
            "startConferenceOnEnter": False,
            "endConferenceOnExit": True,
            "beep": False,
            "waitUrl": hold,
            "waitMethod": "POST",
        },
        escape(room),
    )
    return element("Dial", {"action": action + INSISTENT}, noun)


def join_room(room: str) -> str:
    """Come to whoever waits in a conference."""
    noun = element(
        "Conference", {"startConferenceOnEnter": True, "endConferenceOnExit": True, "beep": False}, escape(room)
    )
    return element("Dial", {}, noun)


def enqueue(workflow_sid: str, task_json: str, *, action: str) -> str:
    """A TaskRouter task, for Flex or another desk; its attributes carry the conversation's summary."""
    return element(
        "Enqueue", {"workflowSid": workflow_sid, "action": action + INSISTENT}, element("Task", {}, escape(task_json))
    )
