"""Who a person is, in one line of text: `phone:+1...`, `whatsapp:+1...`, `email:...`, `user_id:...`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from hookflash.base.errors import Invalid
from hookflash.base.phone import E164, OPAQUE, Address, Kind

_EMAIL = re.compile(r"[^\s@<>\"',;:\\()\[\]]{1,64}@[^\s@<>\"',;:\\()\[\]]{1,180}\.[^\s@<>\"',;:\\()\[\].\d]{2,60}")


class IdentityKind(StrEnum):
    """What an identity is told by."""

    PHONE = "phone"
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    USER_ID = "user_id"


@dataclass(frozen=True, slots=True)
class Identity:
    """`value` is E.164 of a phone, E.164 or WhatsApp's own id of a WhatsApp user, a mail address in small letters, or whatever
    the company calls the person.
    """

    kind: IdentityKind
    value: str

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """Raises Invalid when it is none of the four."""
        prefix, colon, value = text.strip().partition(":")
        kind = next((kind for kind in IdentityKind if colon and kind == prefix), None)
        value = value.strip()
        match kind:
            case IdentityKind.PHONE if E164.fullmatch(value):
                return cls(kind, value)
            case IdentityKind.WHATSAPP if E164.fullmatch(value) or (
                OPAQUE.fullmatch(value) and not value.startswith("+")
            ):
                return cls(kind, value)
            case IdentityKind.EMAIL if _EMAIL.fullmatch(value):
                # Domains never tell capitals from small letters, and hardly any mailbox does.
                return cls(kind, value.lower())
            case IdentityKind.USER_ID if OPAQUE.fullmatch(value):
                return cls(kind, value)
            case _:
                raise Invalid(
                    "not an identity: phone:+15550111222, whatsapp:+15550111222, email:ada@example.com or user_id:1234",
                    field="identity",
                )

    @classmethod
    def of(cls, address: Address) -> "Identity":
        """Who writes from this address."""
        if address.kind is Kind.WHATSAPP:
            return cls(IdentityKind.WHATSAPP, address.value)
        return cls(IdentityKind.PHONE if address.is_number else IdentityKind.USER_ID, address.value)

    @property
    def address(self) -> Address | None:
        """The address by which messages come from such a person, where the identity is one."""
        match self.kind:
            case IdentityKind.PHONE:
                return Address(Kind.SMS, self.value)
            case IdentityKind.WHATSAPP:
                return Address(Kind.WHATSAPP, self.value)
            case _:
                return None

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"
