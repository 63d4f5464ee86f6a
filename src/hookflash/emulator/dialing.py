"""Creating a call through the API: what Twilio checks before it says yes, and what the call is to do."""

import re
from dataclasses import dataclass

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.emulator.calls import Call, Callback, Detection
from hookflash.emulator.cloud import Cloud, Number
from hookflash.emulator.form import Form, is_web_address
from hookflash.emulator.leg import Ask, Given, Program
from hookflash.emulator.recordings import RecordingWish
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.twiml import BadTwiml
from hookflash.emulator.voice_twiml import parse_document

MAX_TWIML = 4000
_OTHER_PHONE = re.compile(r"(sip|sips|client):\S+")


@dataclass(frozen=True, slots=True)
class Order:
    """A call that may be made. `timeout` is how many seconds it may ring."""

    call: Call
    program: Program
    fallback: Ask | None
    timeout: float
    detection: Detection | None
    recording: RecordingWish | None


def read_order(cloud: Cloud, form: Form) -> Order:
    """The call that a create request asks for; raises Refusal."""
    call = read_call(cloud, form)
    return Order(
        call,
        read_program(form),
        read_fallback(form),
        _number(form, "Timeout", 60, 1, 600),
        _detection(form),
        read_recording(form) if form.flag("Record") else None,
    )


def read_call(cloud: Cloud, form: Form) -> Call:
    """Who calls whom, and who is told of it; raises Refusal."""
    to, sender = form.get("To").strip(), form.get("From").strip()
    if not to:
        raise Refusal(21201)
    if not sender:
        raise Refusal(21213)
    if not _OTHER_PHONE.fullmatch(to) and not _is_number(to):
        raise Refusal(21211, f"The phone number you are attempting to call, {to}, is not valid.")
    if not _OTHER_PHONE.fullmatch(sender):
        if not _is_number(sender):
            raise Refusal(21212, f"The source phone number provided, {sender}, is not valid.")
        if cloud.line(sender) is None:
            raise Refusal(21210)
    line = cloud.line(sender)
    return Call(
        cloud.new_sid("CA"),
        cloud.next_serial(),
        "outbound-api",
        form.get("CallerId") or sender,
        to,
        cloud.clock.now(),
        number_sid=line.sid if isinstance(line, Number) else "",
        callback=read_callback(form, "StatusCallback"),
    )


def _is_number(text: str) -> bool:
    try:
        address = Address.parse(text)
    except Invalid:
        return False
    return address.kind is Kind.SMS and address.is_number


def read_program(form: Form) -> Program:
    """Url (which wins) or Twiml; raises Refusal 21205 without either, 12100 for what is no TwiML."""
    if form.get("Url") or not form.get("Twiml"):
        return Ask(_web_address(form, "Url"), form.get("Method").upper() or "POST")
    if len(form.get("Twiml")) > MAX_TWIML:
        raise Refusal(20001, f"Twiml must not be longer than {MAX_TWIML} characters")
    try:
        return Given(parse_document(form.get("Twiml").encode()))
    except BadTwiml as error:
        raise Refusal(error.code, str(error)) from None


def read_fallback(form: Form) -> Ask | None:
    """Whom to ask when the first address fails; raises Refusal 21205."""
    if not form.get("FallbackUrl"):
        return None
    return Ask(_web_address(form, "FallbackUrl"), form.get("FallbackMethod").upper() or "POST")


def read_callback(form: Form, name: str, default: str = "completed") -> Callback | None:
    """A callback with its method and events, by the name of its parameter; raises Refusal 21205."""
    if not form.get(name):
        return None
    events = frozenset(" ".join(form.all(f"{name}Event")).replace(",", " ").split()) or frozenset(default.split())
    return Callback(_web_address(form, name), form.get(f"{name}Method").upper() or "POST", events)


def read_recording(form: Form) -> RecordingWish:
    channels = {"mono": 1, "dual": 2, "1": 1, "2": 2}.get(form.get("RecordingChannels") or "mono")
    if channels is None:
        raise Refusal(20001, "RecordingChannels must be mono or dual")
    callback = read_callback(form, "RecordingStatusCallback")
    return RecordingWish(channels, form.get("RecordingTrack") or "both", callback)


def _web_address(form: Form, name: str) -> str:
    if not is_web_address(form.get(name)):
        raise Refusal(21205, f"{name} is not a valid URL: {form.get(name)}")
    return form.get(name)


def _number(form: Form, name: str, default: int, low: int, high: int) -> int:
    value = form.number(name) if form.get(name) else default
    if not low <= value <= high:
        raise Refusal(20001, f"{name} must be between {low} and {high}")
    return value


def _detection(form: Form) -> Detection | None:
    mode = form.get("MachineDetection")
    if not mode:
        return None
    if mode not in ("Enable", "DetectMessageEnd"):
        raise Refusal(20001, "MachineDetection must be Enable or DetectMessageEnd")
    timeout = _number(form, "MachineDetectionTimeout", 30, 3, 59)
    for name, low, high in (("SpeechThreshold", 1000, 6000), ("SpeechEndThreshold", 500, 5000)):
        _number(form, f"MachineDetection{name}", low, low, high)
    _number(form, "MachineDetectionSilenceTimeout", 5000, 2000, 10000)
    if not form.flag("AsyncAmd"):
        return Detection(mode, timeout, False, None)
    return Detection(mode, timeout, True, read_callback(form, "AsyncAmdStatusCallback"))
