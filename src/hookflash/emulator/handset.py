"""A person's phone: what it received, waiting for more, and how it takes a call."""

from dataclasses import dataclass
from datetime import datetime

import anyio

from hookflash.emulator.message import Media
from hookflash.emulator.person import Callee


@dataclass(frozen=True, slots=True)
class Received:
    """A message on a handset. `sid` is None for what Twilio says by itself (opt-out confirmations)."""

    sender: str
    to: str
    body: str
    media: tuple[Media, ...]
    sid: str | None
    at: datetime


class Handset:
    """A phone with one number, for SMS and WhatsApp alike. A `number` without a leading + is a WhatsApp user who shows
    only a business-scoped id such as `US.1234`.
    """

    def __init__(self, number: str) -> None:
        self.number = number
        self.profile_name: str | None = None
        self.external_user_id: str | None = None
        self.reads = True
        self.inbox: list[Received] = []
        self.typing = 0
        self.callee = Callee()
        self._waited_for = 0
        self._arrival = anyio.Event()

    def receive(self, message: Received) -> None:
        self.inbox.append(message)
        arrival, self._arrival = self._arrival, anyio.Event()
        arrival.set()

    async def wait_reply(self, timeout: float = 10.0) -> Received:
        """The next message that no earlier call has returned; raises TimeoutError after `timeout` real seconds."""
        with anyio.fail_after(timeout):
            while self._waited_for >= len(self.inbox):
                await self._arrival.wait()
        self._waited_for += 1
        return self.inbox[self._waited_for - 1]
