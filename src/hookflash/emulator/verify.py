"""Verify in the box: services, verifications and checks of codes, as Twilio keeps them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.emulator.cloud import Cloud
from hookflash.emulator.form import Form
from hookflash.emulator.handset import Received
from hookflash.emulator.refusal import Refusal
from hookflash.emulator.services import stamp

GOOD_FOR = timedelta(minutes=10)
MOST_CHECKS = 5
MOST_SENDS = 5
CODE_LENGTH = 6
# From what number Verify texts.
SENDER = "+15550109000"


@dataclass(slots=True, eq=False)
class VerifyService:
    """A Verify service."""

    sid: str
    name: str
    created: datetime


@dataclass(slots=True, eq=False)
class Verification:
    """One verification; `sends` are the times at which its code left."""

    sid: str
    service_sid: str
    to: str
    channel: str
    code: str
    created: datetime
    updated: datetime
    status: str = "pending"
    checks: int = 0
    sends: list[datetime] = field(default_factory=list)

    def over(self, now: datetime) -> bool:
        """Whether nobody can find it any more."""
        return self.status != "pending" or now - self.created >= GOOD_FOR


class Verifier:
    """All Verify services of the account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.services: dict[str, VerifyService] = {}
        self.verifications: dict[str, Verification] = {}

    def add_service(self, name: str) -> VerifyService:
        service = VerifyService(self._cloud.new_sid("VA"), name, self._cloud.clock.now())
        self.services[service.sid] = service
        return service

    def start(self, service_sid: str, form: Form) -> Verification:
        """Send a code; to who has one pending the same again. Raises Refusal: 20404, 60200, 60203."""
        self._service(service_sid)
        channel, now = form.get("Channel"), self._cloud.clock.now()
        if channel not in ("sms", "whatsapp", "call", "email", "sna", "auto"):
            raise Refusal(60200, "Invalid parameter `Channel`")
        if channel != "sms":
            raise Refusal(60200, f"The box sends codes by sms only, not by {channel}")
        custom = form.get("CustomCode")
        if custom and not (custom.isdecimal() and 4 <= len(custom) <= 10):
            raise Refusal(60200, "Invalid parameter `CustomCode`")
        to = _number(form.get("To"))
        found = self._pending(service_sid, to)
        if found is None:
            code = custom or f"{self._cloud.rng.randrange(10**CODE_LENGTH):0{CODE_LENGTH}d}"
            found = Verification(self._cloud.new_sid("VE"), service_sid, to, channel, code, now, now)
            self.verifications[found.sid] = found
        if len(found.sends) >= MOST_SENDS:
            raise Refusal(60203)
        found.sends.append(now)
        found.updated = now
        body = f"Your {self.services[service_sid].name} verification code is: {found.code}"
        self._cloud.reach(Received(SENDER, to, body, (), None, now))
        return found

    def check(self, service_sid: str, form: Form) -> Verification:
        """Compare a code. What is approved, too old or was never there is 20404; the sixth look is 60202."""
        self._service(service_sid)
        code, sid, to = form.get("Code"), form.get("VerificationSid"), form.get("To")
        if not code:
            raise Refusal(60200, "Missing required parameter `Code`")
        if not code.isdecimal() or not 4 <= len(code) <= 10:
            raise Refusal(60200, "Invalid parameter: Code")
        if not sid and not to:
            raise Refusal(60200, "Either `To` or `VerificationSid` is required")
        found = self.verifications.get(sid) if sid else self._pending(service_sid, _number(to))
        now = self._cloud.clock.now()
        if found is None or found.service_sid != service_sid or found.over(now):
            raise Refusal(20404, f"The requested resource /Services/{service_sid}/VerificationCheck was not found")
        if found.checks >= MOST_CHECKS:
            raise Refusal(60202)
        found.checks += 1
        found.updated = now
        if found.code == code:
            found.status = "approved"
        return found

    def fetch(self, service_sid: str, sid: str) -> Verification:
        """Raises Refusal 20404."""
        found = self.verifications.get(sid)
        if found is None or found.service_sid != service_sid or found.over(self._cloud.clock.now()):
            raise Refusal(20404)
        return found

    def close(self, service_sid: str, sid: str, form: Form) -> Verification:
        """Set it to canceled or approved from outside."""
        found, status = self.fetch(service_sid, sid), form.get("Status")
        if status not in ("canceled", "approved"):
            raise Refusal(60200, "Invalid parameter `Status`")
        found.status, found.updated = status, self._cloud.clock.now()
        return found

    def render_service(self, service: VerifyService) -> dict[str, Any]:
        """As the API writes it."""
        made = stamp(service.created)
        return {
            "sid": service.sid,
            "account_sid": self._cloud.account_sid,
            "friendly_name": service.name,
            "code_length": CODE_LENGTH,
            "date_created": made,
            "date_updated": made,
            "url": f"{self._cloud.base_url}/v2/Services/{service.sid}",
        }

    def render(self, found: Verification, *, checked: bool = False) -> dict[str, Any]:
        """As the API writes it: what a check answers has less."""
        content: dict[str, Any] = {
            "sid": found.sid,
            "service_sid": found.service_sid,
            "account_sid": self._cloud.account_sid,
            "to": found.to,
            "channel": found.channel,
            "status": found.status,
            "valid": found.status == "approved",
            "amount": None,
            "payee": None,
            "date_created": stamp(found.created),
            "date_updated": stamp(found.updated),
        }
        if checked:
            return content | {"sna_attempts_error_codes": []}
        sends = [{"time": stamp(at), "channel": "SMS", "attempt_sid": f"VL{found.sid[2:]}"} for at in found.sends]
        url = f"{self._cloud.base_url}/v2/Services/{found.service_sid}/Verifications/{found.sid}"
        return content | {"lookup": {}, "send_code_attempts": sends, "sna": None, "url": url}

    def _service(self, sid: str) -> None:
        if sid not in self.services:
            raise Refusal(20404, f"The requested resource /Services/{sid} was not found")

    def _pending(self, service_sid: str, to: str) -> Verification | None:
        now = self._cloud.clock.now()
        mine = (v for v in self.verifications.values() if v.service_sid == service_sid and v.to == to)
        return next((v for v in mine if not v.over(now)), None)


def _number(text: str) -> str:
    try:
        address = Address.parse(text)
    except Invalid:
        address = None
    if address is None or address.kind is not Kind.SMS or not address.is_number:
        raise Refusal(60200, f"Invalid parameter `To`: {text}")
    return address.value
