"""Messaging Services as resources, and which numbers belong to them."""

from datetime import datetime
from typing import Any

from hookflash.base.phone import Address
from hookflash.emulator.cloud import Cloud, Number, Service
from hookflash.emulator.form import Form, snake
from hookflash.emulator.lines import read_webhooks
from hookflash.emulator.refusal import Refusal

_URLS = ("InboundRequestUrl", "FallbackUrl", "StatusCallback")
_METHODS = ("InboundMethod", "FallbackMethod")
_FLAGS = (
    *("StickySender", "MmsConverter", "SmartEncoding", "FallbackToLongCode", "AreaCodeGeomatch"),
    *("SynchronousValidation", "UseInboundWebhookOnNumber"),
)
_TEXTS = ("FriendlyName", "ScanMessageContent", "Usecase")


def stamp(moment: datetime) -> str:
    """An instant as the v1 and v2 APIs write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def create_service(cloud: Cloud, form: Form) -> Service:
    """Raises Refusal 20001 without a FriendlyName, 21402 and 21403 for bad webhooks."""
    if not form.get("FriendlyName"):
        raise Refusal(20001, "FriendlyName is required")
    sid = cloud.new_sid("MG")
    now = stamp(cloud.clock.now())
    url = f"{cloud.base_url}/v1/Services/{sid}"
    links = (
        "phone_numbers",
        "short_codes",
        "alpha_senders",
        "messages",
        "us_app_to_person",
        "us_app_to_person_usecases",
    )
    paths = {"us_app_to_person": "Compliance/Usa2p", "us_app_to_person_usecases": "Compliance/Usa2p/Usecases"}
    resource: dict[str, Any] = {
        "sid": sid,
        "account_sid": cloud.account_sid,
        "friendly_name": form.get("FriendlyName"),
        "date_created": now,
        "date_updated": now,
        "inbound_request_url": None,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "status_callback": None,
        "sticky_sender": True,
        "mms_converter": True,
        "smart_encoding": True,
        "scan_message_content": "inherit",
        "fallback_to_long_code": True,
        "area_code_geomatch": True,
        "synchronous_validation": False,
        "validity_period": 36000,
        "url": url,
        "links": {name: f"{url}/{paths.get(name, name.title().replace('_', ''))}" for name in links},
        "usecase": "undeclared",
        "us_app_to_person_registered": False,
        "use_inbound_webhook_on_number": False,
    }
    resource |= _changes(form)
    service = Service(sid, cloud.next_serial(), resource)
    cloud.services[sid] = service
    return service


def update_service(cloud: Cloud, service: Service, form: Form) -> None:
    """Change what the form names; raises Refusal, and then nothing has changed."""
    service.resource |= _changes(form) | {"date_updated": stamp(cloud.clock.now())}


def _changes(form: Form) -> dict[str, Any]:
    changes: dict[str, Any] = {snake(name): form.get(name) for name in _TEXTS if form.get(name)}
    changes |= {snake(name): form.flag(name) for name in _FLAGS if name in form}
    changes |= {name: value or None for name, value in read_webhooks(form, _URLS, _METHODS).items()}
    if form.get("ValidityPeriod"):
        changes["validity_period"] = form.number("ValidityPeriod")
        if not 1 <= changes["validity_period"] <= 36000:
            raise Refusal(20001, "ValidityPeriod must be between 1 and 36000")
    return changes


def join_service(cloud: Cloud, service: Service, number_sid: str) -> Number:
    """Put a number into a service; raises Refusal 20404, 21710 (in it already) or 21712 (in another)."""
    number = cloud.numbers.get(number_sid)
    if number is None:
        raise Refusal(20404, f"The requested resource /PhoneNumbers/{number_sid} was not found")
    if number.service_sid:
        raise Refusal(21710 if number.service_sid == service.sid else 21712)
    number.service_sid = service.sid
    number.service_since = cloud.clock.now()
    return number


def render_membership(cloud: Cloud, number: Number) -> dict[str, Any]:
    """A number as a member of its service."""
    since = stamp(number.service_since or cloud.created)
    capabilities = {"sms": "SMS", "mms": "MMS", "voice": "Voice"}
    return {
        "sid": number.sid,
        "account_sid": cloud.account_sid,
        "service_sid": number.service_sid,
        "date_created": since,
        "date_updated": since,
        "phone_number": number.address,
        "country_code": Address.parse(number.address).country,
        "capabilities": [name for key, name in capabilities.items() if number.resource["capabilities"][key]],
        "url": f"{cloud.base_url}/v1/Services/{number.service_sid}/PhoneNumbers/{number.sid}",
    }
