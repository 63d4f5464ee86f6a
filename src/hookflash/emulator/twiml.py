"""The instructions in an answer to a messaging webhook: what TwiML asks Twilio to do."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from hookflash.emulator.refusal import SENTENCES

MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message; `to` and `sender` default to the two ends of the conversation, addresses may be relative."""

    body: str
    media_urls: tuple[str, ...] = ()
    status_callback: str | None = None
    to: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Ask another address for instructions; nothing after it is performed."""

    url: str
    method: str = "POST"


Instruction = Send | Redirect


class BadTwiml(Exception):
    """The answer cannot be followed; `code` is Twilio's error code for why."""

    def __init__(self, code: int, detail: str | None = None) -> None:
        super().__init__(detail or SENTENCES[code])
        self.code = code


def read_instructions(status: int, content_type: str, body: bytes) -> list[Instruction]:
    """Read an answer of status 200 to 299; raises BadTwiml."""
    if status == 204:
        return []
    if not body.strip():
        raise BadTwiml(11200, "the answer is empty: a messaging webhook must answer TwiML, or 204")
    if len(body) > MAX_BYTES:
        raise BadTwiml(11750)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "text/plain":
        return [Send(body.decode(errors="replace"))]
    if media_type not in ("text/xml", "application/xml", "text/html"):
        raise BadTwiml(12300, f"the answer's content type is {media_type or 'missing'}")
    try:
        # Entities cannot be declared in TwiML: without a DOCTYPE there is nothing that could expand.
        if b"<!DOCTYPE" in body:
            raise BadTwiml(12100, "the answer declares a document type")
        root = ET.fromstring(body)  # noqa: S314
    except ET.ParseError as error:
        raise BadTwiml(12100, f"the answer is not XML: {error}") from None
    if root.tag != "Response":
        raise BadTwiml(12100, "the root element is not Response")
    instructions: list[Instruction] = []
    for element in root:
        match element.tag:
            case "Message" | "Sms":
                instructions.append(_read_message(element))
            case "Redirect":
                method = element.get("method", "POST").upper()
                instructions.append(Redirect((element.text or "").strip(), method))
                break
            case other:
                raise BadTwiml(12200, f"a messaging answer knows no {other} element")
    return instructions


def _read_message(element: ET.Element) -> Send:
    bodies = [b.text or "" for b in element.findall("Body")]
    return Send(
        body="".join(bodies) if bodies else (element.text or "").strip(),
        media_urls=tuple((m.text or "").strip() for m in element.findall("Media")),
        status_callback=element.get("statusCallback") or element.get("action"),
        to=element.get("to"),
        sender=element.get("from"),
    )
