"""What Twilio's AI Assistants API calls the things that are ours: ids are derived from each other, both ways."""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

from hookflash.base.errors import Invalid, NotFound
from hookflash.base.phone import Address, Kind

ASSISTANTS = "/compat/twilio/assistants"
KNOWLEDGE = "/compat/twilio/knowledge"

# What an address of ours can hold as it is.
_PLAIN = re.compile(r"[A-Za-z0-9._:@\-][A-Za-z0-9._:@+\-]{0,119}")
_USER = "user_id:"
_HASHED = "sha256:"


class Thing(Enum):
    """A kind of thing: the beginnings of its ids there, and here."""

    ASSISTANT = ("aia_asst_", "asst_")
    TOOL = ("aia_tool_", "tool_")
    KNOWLEDGE = ("aia_know_", "src_")
    FEEDBACK = ("aia_fdbk_", "fdbk_")
    MESSAGE = ("aia_msg_", "msg_")

    def theirs(self, our_id: str) -> str:
        there, here = self.value
        return there + our_id.removeprefix(here)

    def ours(self, their_id: str) -> str:
        """Raises NotFound for an id that cannot be one."""
        there, here = self.value
        if not their_id.startswith(there) or len(their_id) > 64:
            raise NotFound("There is nothing of that id.")
        return here + their_id.removeprefix(there)


@dataclass(frozen=True, slots=True)
class Here:
    """Whose things they are, and under which address they are found."""

    base: str
    account_id: str

    @property
    def sid(self) -> str:
        return account_sid(self.account_id)

    def url(self, path: str) -> str:
        return self.base + path


def policy_of(our_id: str) -> str:
    """The id of the policy of a tool or a source: each has one at most."""
    kind, _, rest = our_id.partition("_")
    return f"aia_plcy_{kind}_{rest}"


def account_sid(account_id: str) -> str:
    """An account of ours in the form that Twilio's have; the same account always has the same."""
    return "AC" + hashlib.sha256(account_id.encode()).hexdigest()[:32]


def address_of(identity: str) -> Address:
    """The person that an identity means: `phone:+1...` and `whatsapp:+1...` are who texts from there.

    `user_id:x`, `email:x@example.com` and anything else are people of the web. Raises Invalid.
    """
    scheme, colon, rest = identity.partition(":")
    if colon and scheme in ("phone", "sms", "whatsapp"):
        address = Address.parse(rest, Kind.WHATSAPP if scheme == "whatsapp" else Kind.SMS)
        if not address.is_number:
            raise Invalid("A phone number in E.164 form is expected, such as phone:+15551234567.", field="identity")
        return address
    value = identity.removeprefix(_USER)
    if not _PLAIN.fullmatch(value) or value.startswith((_HASHED, "+")):
        value = _HASHED + hashlib.sha256(value.encode()).hexdigest()[:40]
    return Address(Kind.WEB, value)


def identity_of(address: str) -> str:
    """What an address is as an identity, where nobody has said what it is."""
    kind, colon, value = address.partition(":")
    if not colon:
        return f"phone:{address}"
    if kind == "web":
        return value if ":" in value else _USER + value
    return address


def line_of(assistant_id: str, mode: str = "chat") -> str:
    """The sender in whose name an assistant answers through the API; how it speaks there depends on the mode."""
    return f"web:{assistant_id}" if mode == "chat" else f"web:{assistant_id}:{mode}"
