"""Everything that the box remembers: the account, its lines, its messages and calls. In memory, lost at the end."""

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from hookflash.base.clock import Clock
from hookflash.base.secret import Secret
from hookflash.emulator.calls import Call
from hookflash.emulator.conferences import Conference
from hookflash.emulator.enqueued import EnqueuedTask
from hookflash.emulator.events import Events
from hookflash.emulator.faults import Faults
from hookflash.emulator.handset import Handset, Received
from hookflash.emulator.message import Media, Message
from hookflash.emulator.recordings import Recording
from hookflash.emulator.refusal import SENTENCES


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that signs webhooks in place of the Auth Token; `algorithm` is HMAC_SHA1 or HMAC_SHA256."""

    id: str
    secret: Secret
    algorithm: str = "HMAC_SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What clients present and what signs webhooks; `api_keys` maps an API key's sid to its secret."""

    account_sid: str
    auth_token: Secret
    api_keys: Mapping[str, Secret] = field(default_factory=dict)
    shared_key: SharedKey | None = None


@dataclass(slots=True, eq=False)
class Number:
    """A phone number; `resource` is what the API shows of it."""

    sid: str
    serial: int
    address: str
    resource: dict[str, Any]
    service_sid: str | None = None
    service_since: datetime | None = None


@dataclass(slots=True, eq=False)
class Sender:
    """A WhatsApp sender; `address` begins with `whatsapp:`, `resource` is what the API shows of it."""

    sid: str
    serial: int
    address: str
    resource: dict[str, Any]
    service_sid: str | None = None


Line = Number | Sender


@dataclass(slots=True, eq=False)
class Service:
    """A Messaging Service; `resource` is what the API shows of it."""

    sid: str
    serial: int
    resource: dict[str, Any]
    advanced_opt_out: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry of the debugger: what Twilio would tell the account's owner went wrong. `url` is the address asked."""

    code: int
    message: str
    at: datetime
    url: str | None
    sid: str | None


class Cloud:
    """The state. Lines, services and templates are equipment and survive `forget_traffic`; all else is traffic."""

    def __init__(self, credentials: Credentials, clock: Clock, rng: Random) -> None:
        self.credentials = credentials
        self.clock = clock
        self.rng = rng
        self.base_url = ""
        self.created = clock.now()
        self.faults = Faults(rng)
        self.events = Events()
        self.numbers: dict[str, Number] = {}
        self.senders: dict[str, Sender] = {}
        self.services: dict[str, Service] = {}
        self.templates: dict[str, str] = {}
        self._lines: dict[str, Line] = {}
        self._serial = 0
        self.forget_traffic()

    @property
    def account_sid(self) -> str:
        return self.credentials.account_sid

    def forget_traffic(self) -> None:
        """Back to an unused account with the same equipment: no messages, calls, handsets, opt-outs, faults or logs."""
        self.messages: dict[str, Message] = {}
        self.received_by: defaultdict[str, list[Message]] = defaultdict(list)
        self.handsets: dict[str, Handset] = {}
        self.opted_out: set[tuple[str, str]] = set()
        self.last_heard: dict[tuple[str, str], datetime] = {}
        self.usual_sender: dict[tuple[str, str], str] = {}
        self.media_tickets: dict[str, tuple[str, str]] = {}
        self.calls: dict[str, Call] = {}
        self.recordings: dict[str, Recording] = {}
        self.conferences: dict[str, Conference] = {}
        self.tasks: list[EnqueuedTask] = []
        self.problems: list[Problem] = []
        self.leaked_credentials = 0
        self.faults.clear()
        self.events.clear()

    def new_sid(self, prefix: str) -> str:
        return f"{prefix}{self.rng.getrandbits(128):032x}"

    def new_token(self) -> str:
        """A webhook's idempotency token."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def new_media(self, content_type: str, content: bytes) -> Media:
        return Media(self.new_sid("ME"), self.next_serial(), content_type, content, self.clock.now())

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def line(self, address: str) -> Line | None:
        """The number or WhatsApp sender of this address, if it is ours."""
        return self._lines.get(address)

    def install(self, line: Line) -> None:
        if isinstance(line, Number):
            self.numbers[line.sid] = line
        else:
            self.senders[line.sid] = line
        self._lines[line.address] = line

    def remove(self, line: Line) -> None:
        self.numbers.pop(line.sid, None)
        self.senders.pop(line.sid, None)
        del self._lines[line.address]

    def lines_of(self, service: Service, *, whatsapp: bool) -> list[Line]:
        lines: Mapping[str, Line] = self.senders if whatsapp else self.numbers
        return [line for line in lines.values() if line.service_sid == service.sid]

    def service_of(self, line: Line) -> Service | None:
        return self.services.get(line.service_sid) if line.service_sid else None

    def handset(self, address: str) -> Handset:
        """The handset that owns an address, with or without its channel's prefix."""
        value = address.removeprefix("whatsapp:")
        if value not in self.handsets:
            self.handsets[value] = Handset(value)
        return self.handsets[value]

    def reach(self, received: Received) -> None:
        """Put a message onto its handset."""
        self.handset(received.to).receive(received)
        data = {"from": received.sender, "to": received.to, "body": received.body, "message_sid": received.sid}
        self.events.add("handset", received.at, data | {"num_media": len(received.media)})

    def keep(self, message: Message) -> None:
        self.messages[message.sid] = message
        self.received_by[message.to].append(message)

    def drop(self, message: Message) -> None:
        del self.messages[message.sid]
        self.received_by[message.to].remove(message)

    def block_key(self, line: Line, person: str) -> tuple[str, str]:
        """Where an opt-out counts: for the whole service of the line, or for the line alone."""
        return (line.service_sid or line.address, person)

    def minds_opt_out(self, line: Line) -> bool:
        """Whether Twilio watches for opt-out words on the line: always for SMS, for WhatsApp by Advanced Opt-Out."""
        service = self.service_of(line)
        return isinstance(line, Number) or (service is not None and service.advanced_opt_out)

    def is_blocked(self, line: Line, person: str) -> bool:
        return self.minds_opt_out(line) and self.block_key(line, person) in self.opted_out

    def problem(self, code: int, *, url: str | None = None, sid: str | None = None, detail: str | None = None) -> None:
        """Enter something into the debugger."""
        problem = Problem(code, detail or SENTENCES[code], self.clock.now(), url, sid)
        self.problems.append(problem)
        about = "call_sid" if sid and sid.startswith("CA") else "message_sid"
        self.events.add("problem", problem.at, {"code": code, "message": problem.message, "url": url, about: sid})
