"""The account's lines as resources: phone numbers and WhatsApp senders, made and changed through the API."""

from email.utils import format_datetime
from typing import Any

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.emulator.cloud import Cloud, Number, Sender
from hookflash.emulator.form import Form, is_web_address, snake
from hookflash.emulator.message import API_VERSION
from hookflash.emulator.refusal import Refusal

_URLS = ("SmsUrl", "SmsFallbackUrl", "VoiceUrl", "VoiceFallbackUrl", "StatusCallback")
_METHODS = ("SmsMethod", "SmsFallbackMethod", "VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod")
_TEXTS = (
    *("FriendlyName", "SmsApplicationSid", "VoiceApplicationSid", "TrunkSid", "VoiceReceiveMode", "EmergencyStatus"),
    *("EmergencyAddressSid", "IdentitySid", "AddressSid", "BundleSid"),
)


def create_number(cloud: Cloud, form: Form) -> Number:
    """Buy a number; raises Refusal 21421 for what is none and 21422 for what is taken."""
    wanted = form.get("PhoneNumber").strip()
    if not wanted and form.get("AreaCode"):
        wanted = f"+1{form.get('AreaCode')}{cloud.rng.randrange(2_000_000, 10_000_000)}"
    try:
        address = Address.parse(wanted)
    except Invalid:
        address = None
    if address is None or address.kind is not Kind.SMS:
        raise Refusal(21421, f"PhoneNumber is invalid: {wanted}")
    if cloud.line(address.value):
        raise Refusal(21422)
    sid = cloud.new_sid("PN")
    now = format_datetime(cloud.clock.now())
    resource: dict[str, Any] = {
        "account_sid": cloud.account_sid,
        "address_requirements": "none",
        "address_sid": None,
        "api_version": API_VERSION,
        "beta": False,
        "bundle_sid": None,
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "date_created": now,
        "date_updated": now,
        "emergency_address_sid": None,
        "emergency_address_status": "unregistered",
        "emergency_status": "Inactive",
        "friendly_name": address.value,
        "identity_sid": None,
        "origin": "twilio",
        "phone_number": address.value,
        "sid": sid,
        "sms_application_sid": "",
        "sms_fallback_method": "POST",
        "sms_fallback_url": "",
        "sms_method": "POST",
        "sms_url": "",
        "status": "in-use",
        "status_callback": "",
        "status_callback_method": "POST",
        "trunk_sid": None,
        "type": "local",
        "uri": f"/{API_VERSION}/Accounts/{cloud.account_sid}/IncomingPhoneNumbers/{sid}.json",
        "voice_application_sid": "",
        "voice_caller_id_lookup": False,
        "voice_fallback_method": "POST",
        "voice_fallback_url": "",
        "voice_method": "POST",
        "voice_receive_mode": "voice",
        "voice_url": "",
    }
    resource |= _number_changes(form)
    number = Number(sid, cloud.next_serial(), address.value, resource)
    cloud.install(number)
    return number


def update_number(cloud: Cloud, number: Number, form: Form) -> None:
    """Change what the form names; raises Refusal, and then nothing has changed."""
    number.resource |= _number_changes(form) | {"date_updated": format_datetime(cloud.clock.now())}


def _number_changes(form: Form) -> dict[str, Any]:
    changes: dict[str, Any] = {snake(name): form.get(name) for name in _TEXTS if name in form}
    changes |= read_webhooks(form, _URLS, _METHODS)
    if "VoiceCallerIdLookup" in form:
        changes["voice_caller_id_lookup"] = form.flag("VoiceCallerIdLookup")
    return changes


def read_webhooks(form: Form, urls: tuple[str, ...], methods: tuple[str, ...]) -> dict[str, Any]:
    """The webhook addresses (empty takes one away) and methods that a form sets; raises Refusal 21402 or 21403."""
    changes: dict[str, Any] = {}
    for name in urls:
        if name in form:
            if form.get(name) and not is_web_address(form.get(name)):
                raise Refusal(21402, f"{name} is not a valid URL")
            changes[snake(name)] = form.get(name)
    for name in methods:
        if name in form:
            if form.get(name).upper() not in ("GET", "POST"):
                raise Refusal(21403, f"{name} must be GET or POST")
            changes[snake(name)] = form.get(name).upper()
    return changes


_WEBHOOK = ("callback_url", "callback_method", "fallback_url", "fallback_method", "status_callback_url")
_WEBHOOK_FIELDS = (*_WEBHOOK, "status_callback_method")


def create_sender(cloud: Cloud, asked: dict[str, Any]) -> Sender:
    """Register a WhatsApp sender, online at once; raises Refusal 21421 for a bad or taken `sender_id`."""
    try:
        address = Address.parse(str(asked.get("sender_id", "")))
    except Invalid:
        address = None
    if address is None or address.kind is not Kind.WHATSAPP or not address.is_number:
        raise Refusal(21421, "sender_id must be whatsapp: and a phone number")
    if cloud.line(str(address)):
        raise Refusal(21422)
    sid = cloud.new_sid("XE")
    resource: dict[str, Any] = {
        "sid": sid,
        "sender_id": str(address),
        "status": "ONLINE",
        "configuration": {"waba_id": None, "verification_method": "sms", "verification_code": None}
        | {"voice_application_sid": None},
        "webhook": dict.fromkeys(_WEBHOOK_FIELDS)
        | {"callback_method": "POST", "fallback_method": "POST", "status_callback_method": "POST"},
        "profile": {},
        "properties": {"quality_rating": "HIGH", "messaging_limit": "10K Customers/24hr"},
        "offline_reasons": None,
        "compliance": None,
        "url": f"{cloud.base_url}/v2/Channels/Senders/{sid}",
    }
    sender = Sender(sid, cloud.next_serial(), str(address), resource)
    update_sender(sender, asked)
    cloud.install(sender)
    return sender


def update_sender(sender: Sender, asked: dict[str, Any]) -> None:
    """Change what the request names; raises Refusal 21402 or 21403, and then nothing has changed."""
    webhook = asked.get("webhook") or {}
    for name in ("callback_url", "fallback_url", "status_callback_url"):
        if webhook.get(name) and not is_web_address(webhook[name]):
            raise Refusal(21402, f"webhook.{name} is not a valid URL")
    for name in ("callback_method", "fallback_method"):
        if webhook.get(name) not in (None, "POST", "PUT"):
            raise Refusal(21403, f"webhook.{name} must be POST or PUT")
    sender.resource["webhook"] |= {name: value for name, value in webhook.items() if name in _WEBHOOK_FIELDS}
    for part in ("configuration", "profile"):
        sender.resource[part] |= asked.get(part) or {}
