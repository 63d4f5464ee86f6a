"""A message from a handset: the webhook's fields, and the addresses that Twilio asks about it."""

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from hookflash.base.phone import Address
from hookflash.emulator.cloud import Cloud, Line, Number
from hookflash.emulator.courier import Params
from hookflash.emulator.handset import Handset
from hookflash.emulator.message import API_VERSION, Message, uri
from hookflash.emulator.optout import OptOut


@dataclass(frozen=True, slots=True)
class Button:
    """A button of a template that a WhatsApp user pressed."""

    text: str
    payload: str


@dataclass(frozen=True, slots=True)
class Route:
    """Who is asked about an inbound message; empty addresses ask nobody."""

    url: str
    method: str
    fallback_url: str
    fallback_method: str


def find_route(cloud: Cloud, line: Line) -> Route:
    """A service's own webhook goes before that of the line, unless the service says otherwise."""
    service = cloud.service_of(line)
    if service and not service.resource["use_inbound_webhook_on_number"]:
        r = service.resource
        url, fallback = r["inbound_request_url"] or "", r["fallback_url"] or ""
        return Route(url, r["inbound_method"], fallback, r["fallback_method"])
    if isinstance(line, Number):
        r = line.resource
        return Route(r["sms_url"], r["sms_method"], r["sms_fallback_url"], r["sms_fallback_method"])
    r = line.resource["webhook"]
    return Route(
        r["callback_url"] or "", r["callback_method"] or "POST", r["fallback_url"] or "", r["fallback_method"] or "POST"
    )


def webhook_params(
    cloud: Cloud, message: Message, handset: Handset, *, button: Button | None, opt_out: OptOut | None
) -> Params:
    """The form that a customer's server gets about an inbound message."""
    sender = message.sender or ""
    params = {
        "AccountSid": cloud.account_sid,
        "ApiVersion": API_VERSION,
        "Body": message.body,
        "From": sender,
        "MessageSid": message.sid,
        "NumMedia": str(len(message.media)),
        "NumSegments": str(message.segments),
        "ReferralNumMedia": "0",
        "SmsMessageSid": message.sid,
        "SmsSid": message.sid,
        "SmsStatus": "received",
        "To": message.to,
    }
    if message.service_sid:
        params["MessagingServiceSid"] = message.service_sid
    for index, media in enumerate(message.media):
        params[f"MediaContentType{index}"] = media.content_type
        params[f"MediaUrl{index}"] = f"{cloud.base_url}{uri(cloud.account_sid, message)}/Media/{media.sid}"
    if message.on_whatsapp:
        params |= _whatsapp_params(cloud, message, handset, button)
    else:
        for end, address in (("From", sender), ("To", message.to)):
            params |= {f"{end}City": "", f"{end}State": "", f"{end}Zip": ""}
            params[f"{end}Country"] = _country(address)
    if opt_out:
        params["OptOutType"] = opt_out.value
    return params


@lru_cache(4096)
def _country(address: str) -> str:
    return Address.parse(address).country or ""


def _whatsapp_params(cloud: Cloud, message: Message, handset: Handset, button: Button | None) -> Params:
    params = {"MessageType": _message_type(message, button)}
    context: Params = {}
    if handset.profile_name:
        context["ProfileName"] = handset.profile_name
    if handset.number.startswith("+"):
        context["WaId"] = handset.number[1:]
        if handset.external_user_id:
            params["ExternalUserId"] = f"whatsapp:{handset.external_user_id}"
    else:
        params["ExternalUserId"] = message.sender or ""
    if button:
        context |= {"ButtonText": button.text, "Forwarded": "false", "FrequentlyForwarded": "false"}
        params["ButtonPayload"] = button.payload
        asked = next((r for r in reversed(handset.inbox) if r.sender == message.to and r.sid), None)
        if asked and asked.sid:
            params |= {"OriginalRepliedMessageSid": asked.sid, "OriginalRepliedMessageSender": asked.sender}
    metadata = {"type": "whatsapp", "data": {"context": context}}
    return params | context | {"ChannelMetadata": msgspec.json.encode(metadata).decode()}


def _message_type(message: Message, button: Button | None) -> str:
    if button:
        return "interactive"
    if not message.media:
        return "text"
    family = message.media[0].content_type.partition("/")[0]
    return family if family in ("image", "audio", "video") else "document"
