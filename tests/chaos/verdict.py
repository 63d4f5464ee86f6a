"""What Twilio sent to each customer, held against what each had said: every text answered once, in order."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hookflash.emulator.message import Message
from tests.chaos.customers import Customer

_MARK = re.compile(r"\[(/?)([a-z]+ [0-9]+-[0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Texts whose answer is missing or not whole, answers that left twice, customers whose answers are out of order."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    disordered: tuple[str, ...]

    @property
    def flawless(self) -> bool:
        return not (self.lost or self.doubled or self.disordered)


def judge(customers: Iterable[Customer], messages: Iterable[Message]) -> Verdict:
    """Judge by the marks that the script puts around what it answers; `messages` in the order of their creation."""
    bodies: defaultdict[str, list[str]] = defaultdict(list)
    for message in messages:
        if not message.inbound:
            bodies[message.to].append(message.body)
    lost: list[str] = []
    doubled: list[str] = []
    disordered: list[str] = []
    for customer in customers:
        received = bodies[customer.address]
        marks = [match.groups() for match in _MARK.finditer("\n".join(received))]
        due = [(end, said.text) for said in customer.says for end in ("", "/")]
        count = Counter(marks)
        lost += [f"{end}{text}" for end, text in due if not count[end, text]]
        doubled += [f"{end}{text}" for (end, text), times in count.items() if times > 1]
        doubled += [body[:40] for body, times in Counter(received).items() if times > 1 and not _MARK.search(body)]
        if list(dict.fromkeys(marks)) != [mark for mark in due if mark in count]:
            disordered.append(customer.address)
    return Verdict(tuple(lost), tuple(doubled), tuple(disordered))
