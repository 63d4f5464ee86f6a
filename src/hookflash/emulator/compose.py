"""Creating a message through the API: what Twilio checks before it says yes, in its order."""

import re
from datetime import timedelta

import msgspec

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.emulator.cloud import Cloud, Line, Number, Service
from hookflash.emulator.form import Form, instant, is_web_address
from hookflash.emulator.message import Message
from hookflash.emulator.refusal import Refusal
from hookflash.twilio.segments import count, utf16_length

MAX_BODY = 1600  # 16-bit units
MAX_MEDIA = 10


def compose(cloud: Cloud, form: Form) -> Message:
    """The message that a create request asks for, not yet kept; raises Refusal."""
    to, sender, service_sid = form.get("To").strip(), form.get("From").strip(), form.get("MessagingServiceSid")
    if not to:
        raise Refusal(21604)
    if not sender and not service_sid:
        raise Refusal(21603)
    body, sources = _content(cloud, form)
    kind = _recipient(to)
    service = _service(cloud, service_sid) if service_sid else None
    line = _sender(cloud, sender, to, kind, service) if sender else None
    if service and not line and not cloud.lines_of(service, whatsapp=kind is Kind.WHATSAPP):
        raise Refusal(21703)
    callback = form.get("StatusCallback")
    if callback and not is_web_address(callback):
        raise Refusal(21609)
    anyone = line or (cloud.lines_of(service, whatsapp=kind is Kind.WHATSAPP)[0] if service else None)
    if anyone and cloud.is_blocked(anyone, to):
        raise Refusal(21610)
    message = Message(
        sid=cloud.new_sid("MM" if sources else "SM"),
        serial=cloud.next_serial(),
        direction="outbound-api",
        sender=line.address if line else None,
        to=to,
        body=body,
        status="accepted" if service else "queued",
        created=cloud.clock.now(),
        segments=count(body).number if line else 0,
        service_sid=service.sid if service else None,
        status_callback=callback or None,
        template=bool(form.get("ContentSid")),
        sources=sources,
    )
    _schedule(message, form)
    return message


def choose_sender(cloud: Cloud, service: Service, message: Message) -> Line | None:
    """The line from which a service sends: the one that the person knows, else any."""
    lines = cloud.lines_of(service, whatsapp=message.on_whatsapp)
    usual = cloud.usual_sender.get((service.sid, message.to))
    return next((line for line in lines if line.address == usual), None) or (cloud.rng.choice(lines) if lines else None)


def _content(cloud: Cloud, form: Form) -> tuple[str, tuple[str, ...]]:
    body, sources, template = form.get("Body"), tuple(form.all("MediaUrl")), form.get("ContentSid")
    if not (body or sources or template):
        raise Refusal(21619)
    if template:
        body = _fill_template(cloud, template, form.get("ContentVariables"))
    if utf16_length(body) > MAX_BODY:
        raise Refusal(21617)
    if len(sources) > MAX_MEDIA:
        raise Refusal(21623)
    if not all(map(is_web_address, sources)):
        raise Refusal(21620)
    return body, sources


def _fill_template(cloud: Cloud, sid: str, variables: str) -> str:
    if sid not in cloud.templates:
        raise Refusal(21655)
    try:
        values = msgspec.json.decode(variables or "{}", type=dict[str, str])
    except msgspec.DecodeError:
        raise Refusal(21656) from None
    return re.sub(r"\{\{(\w+)\}\}", lambda m: values.get(m[1], m[0]), cloud.templates[sid])


def _recipient(to: str) -> Kind:
    try:
        address = Address.parse(to)
    except Invalid:
        address = None
    if address is None or (address.kind is Kind.SMS and not address.is_number):
        raise Refusal(21211, f"Invalid 'To' Phone Number: {to}")
    return address.kind


def _service(cloud: Cloud, sid: str) -> Service:
    service = cloud.services.get(sid)
    if service is None:
        raise Refusal(21701)
    return service


def _sender(cloud: Cloud, sender: str, to: str, kind: Kind, service: Service | None) -> Line:
    try:
        own_kind = Address.parse(sender).kind
    except Invalid:
        raise Refusal(21212, f"Invalid 'From' Number: {sender}") from None
    if sender == to:
        raise Refusal(21266)
    if own_kind is not kind:
        raise Refusal(21910)
    line = cloud.line(sender)
    if line is None:
        raise Refusal(63007 if kind is Kind.WHATSAPP else 21659)
    if isinstance(line, Number) and not line.resource["capabilities"]["sms"]:
        raise Refusal(21606)
    if service and line.service_sid != service.sid:
        raise Refusal(21711)
    return line


def _schedule(message: Message, form: Form) -> None:
    if not form.get("ScheduleType") and not form.get("SendAt"):
        return
    if not form.get("SendAt"):
        raise Refusal(35111)
    if not message.service_sid:
        raise Refusal(35118)
    try:
        message.send_at = instant(form.get("SendAt"))
    except ValueError:
        raise Refusal(35114) from None
    if not timedelta(minutes=15) <= message.send_at - message.created <= timedelta(days=35):
        raise Refusal(35114)
    message.status = "scheduled"
