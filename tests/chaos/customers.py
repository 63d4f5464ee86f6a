"""Customers who text: each waits until its last message has been taken in, as a thumb is slower than a webhook.

So many talk at a time, and another begins when one has all answers: a slow machine makes them fewer, never a flood.
"""

import re
from dataclasses import dataclass, field
from random import Random

import anyio

from hookflash.emulator.message import Message
from tests.chaos.line import SMS, WHATSAPP, Line

AT_ONCE = 30
_END = re.compile(r"\[/[a-z]+ [0-9]+-[0-9]+\]")


@dataclass(frozen=True, slots=True)
class Said:
    """One text: `pause` is the number of seconds since the one before was taken in."""

    text: str
    pause: float


@dataclass(frozen=True, slots=True)
class Customer:
    """One person with a phone; `to` is the line that it writes to."""

    number: str
    to: str
    says: tuple[Said, ...]

    @property
    def address(self) -> str:
        return f"whatsapp:{self.number}" if self.to == WHATSAPP else self.number


def crowd(rng: Random, messages: int) -> list[Customer]:
    """Customers who say so many things together, in 2 to 6 texts each.

    Half of the texts follow quickly, as parts of a burst; some ask for an answer of several messages.
    """
    made: list[Customer] = []
    left = messages
    while left:
        name, to = len(made), WHATSAPP if rng.random() < 0.3 else SMS
        says: list[Said] = []
        for n in range(min(left, rng.randint(2, 6))):
            # An answer by SMS is shortened to its budget: it is always one message.
            word = "long" if to == WHATSAPP and rng.random() < 0.3 else "text"
            pause = rng.uniform(0, 0.12) if rng.random() < 0.5 else rng.uniform(0.2, 2.0)
            says.append(Said(f"{word} {name}-{n}", pause))
        made.append(Customer(f"+1555{2_000_000 + name}", to, tuple(says)))
        left -= len(says)
    return made


@dataclass(slots=True)
class Postbox:
    """Knows which messages were taken in: Twilio's own word, and for those whose webhook failed, our database's."""

    line: Line
    sent: int = 0
    failed: int = 0
    _waiting: dict[str, anyio.Event] = field(default_factory=dict)
    _unanswered: dict[str, anyio.Event] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set)

    async def send(self, customer: Customer, text: str) -> Message:
        """Text, and wait until it was taken in."""
        message = self.line.emulator.handset(customer.number).text(customer.to, text)
        event = self._waiting[message.sid] = anyio.Event()
        self.sent += 1
        await event.wait()
        return message

    async def answered(self, customer: Customer) -> None:
        """Until the answer to the customer's last text has left."""
        last = customer.says[-1].text
        event = self._unanswered[f"[/{last}]"] = anyio.Event()
        if not any(f"[/{last}]" in received.body for received in self.line.emulator.handset(customer.number).inbox):
            await event.wait()

    async def watch(self) -> None:
        """Until cancelled."""
        seen = self.line.emulator.events.last
        while True:
            for event in await self.line.emulator.events.wait(seen, 0.25):
                seen = event.seq
                if event.kind == "handset":
                    for end in _END.findall(event.data["body"]):
                        self._unanswered.pop(end, anyio.Event()).set()
                if event.kind != "webhook" or event.data["state"] != "received":
                    continue
                sid, status = event.data["message_sid"], event.data["status"]
                if status == 200:
                    self._taken_in(sid)
                elif sid in self._waiting:
                    self.failed += sid not in self._missing
                    self._missing.add(sid)
            if self._missing:
                for sid in self._missing & await self.line.arrived():
                    self._taken_in(sid)

    def _taken_in(self, sid: str) -> None:
        self._missing.discard(sid)
        event = self._waiting.pop(sid, None)
        if event is not None:
            event.set()


async def talk(customers: list[Customer], postbox: Postbox) -> None:
    """Everybody says everything, and has all answers."""
    room = anyio.Semaphore(AT_ONCE)

    async def one(customer: Customer) -> None:
        for said in customer.says:
            await postbox.line.clock.sleep(said.pause)
            await postbox.send(customer, said.text)
        await postbox.answered(customer)
        room.release()

    async with anyio.create_task_group() as tasks:
        for customer in customers:
            await room.acquire()
            tasks.start_soon(one, customer)
