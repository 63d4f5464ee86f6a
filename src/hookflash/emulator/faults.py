"""Faults on demand: what shall go wrong, how often, and whether it is this request's turn."""

from enum import StrEnum
from random import Random
from typing import Annotated

import msgspec


class FaultKind(StrEnum):
    """What can go wrong. The first seven happen to requests of clients (to the creation of messages unless
    `any_request`), the next three to webhooks about inbound messages, the last four to outbound messages.

    create_then_drop   the message is created, the connection breaks without an answer
    create_then_500    the message is created, the answer is 500
    create_then_hang   the message is created, no answer ever comes
    error_500          nothing is created, the answer is 500
    drop               nothing is created, the connection breaks without an answer
    hang               nothing is created, no answer ever comes
    rate_limit         nothing is created, the answer is 429 (20429)
    duplicate_webhook  the webhook is delivered `copies` times at once, some without the idempotency token
    lose_webhook       the webhook is never delivered; the message is in the list
    delay_webhook      the webhook starts `seconds` later
    shuffle_status     the status callbacks of a message come at its end, in random order
    duplicate_status   a status callback comes `copies` times
    lose_status        a status callback never comes
    undeliver          the message ends as undelivered with error `code`
    """

    CREATE_THEN_DROP = "create_then_drop"
    CREATE_THEN_500 = "create_then_500"
    CREATE_THEN_HANG = "create_then_hang"
    ERROR_500 = "error_500"
    DROP = "drop"
    HANG = "hang"
    RATE_LIMIT = "rate_limit"
    DUPLICATE_WEBHOOK = "duplicate_webhook"
    LOSE_WEBHOOK = "lose_webhook"
    DELAY_WEBHOOK = "delay_webhook"
    SHUFFLE_STATUS = "shuffle_status"
    DUPLICATE_STATUS = "duplicate_status"
    LOSE_STATUS = "lose_status"
    UNDELIVER = "undeliver"


CREATED_FIRST = (FaultKind.CREATE_THEN_DROP, FaultKind.CREATE_THEN_500, FaultKind.CREATE_THEN_HANG)
NOT_CREATED = (FaultKind.ERROR_500, FaultKind.DROP, FaultKind.HANG, FaultKind.RATE_LIMIT)


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault: for the `next` n occasions, or with a `probability` on each (both: on at most n)."""

    kind: FaultKind
    next: Annotated[int, msgspec.Meta(ge=1)] | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    copies: Annotated[int, msgspec.Meta(ge=1, le=5)] = 2
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    code: int = 30003
    any_request: bool = False


class Faults:
    """The faults in force, asked in the order in which they were added."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self.active.append(fault)

    def clear(self) -> None:
        self.active.clear()

    def take(self, *kinds: FaultKind, creating: bool = True) -> Fault | None:
        """The fault that strikes now, if any; it is counted. `creating`: whether a message is being created."""
        for fault in self.active:
            if fault.kind not in kinds or not (creating or fault.any_request):
                continue
            if fault.probability < 1 and self._rng.random() >= fault.probability:
                continue
            if fault.next is not None:
                fault.next -= 1
                if not fault.next:
                    self.active.remove(fault)
            return fault
        return None
