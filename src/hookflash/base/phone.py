"""Addresses: a phone number (E.164) or another identity, and the kind of channel that reaches it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers

from hookflash.base.errors import Invalid

E164 = re.compile(r"\+[1-9]\d{6,14}")
_SHORT_CODE = re.compile(r"\d{3,8}")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9 +\-_&.]{1,11}")
OPAQUE = re.compile(r"[A-Za-z0-9._:@+\-]{1,128}")


class Kind(StrEnum):
    """How an address is reached."""

    SMS = "sms"
    WHATSAPP = "whatsapp"
    VOICE = "voice"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Address:
    """One way to reach a person or a line: `value` is E.164 where it is a number, opaque otherwise."""

    kind: Kind
    value: str

    @classmethod
    def parse(cls, text: str, kind: Kind = Kind.SMS) -> "Address":
        """Read Twilio's notation: `+15551234567`, `whatsapp:+15551234567`, `whatsapp:US.1234`, `12345`, `ACME`.

        Raises Invalid when it is none of these.
        """
        text = text.strip()
        prefix, colon, rest = text.partition(":")
        if colon and prefix == "whatsapp":
            kind, value = Kind.WHATSAPP, rest.strip()
        elif colon and prefix == "web":
            kind, value = Kind.WEB, rest.strip()
        else:
            value = text
        if E164.fullmatch(value):
            return cls(kind, value)
        if kind in (Kind.WHATSAPP, Kind.WEB):
            if OPAQUE.fullmatch(value) and not value.startswith("+"):
                return cls(kind, value)
        elif _SHORT_CODE.fullmatch(value) or (_ALPHANUMERIC.fullmatch(value) and not value.startswith("+")):
            return cls(kind, value)
        raise Invalid("not a phone number in E.164 form (+ and 7 to 15 digits) or a known sender", field="address")

    @property
    def is_number(self) -> bool:
        """Whether the value is a telephone number (a WhatsApp user may have none)."""
        return self.value.startswith("+")

    @property
    def country(self) -> str | None:
        """ISO 3166 code of the number's country, or None."""
        return _country(self.value) if self.is_number else None

    def __str__(self) -> str:
        """Twilio's notation."""
        return f"{self.kind}:{self.value}" if self.kind in (Kind.WHATSAPP, Kind.WEB) else self.value

    def masked(self) -> str:
        """For logs and screens: a number is personal data, so only its start and its last two digits show."""
        return f"{self.value[:3]}…{self.value[-2:]}" if len(self.value) > 5 else "…"


@lru_cache(4_096)
def _country(number: str) -> str | None:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
