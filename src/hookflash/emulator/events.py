"""What happened in the box, in order, for whoever wants to watch."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio


@dataclass(frozen=True, slots=True)
class Event:
    """One occurrence: `seq` counts from 1. `kind` is one of
    text (a handset sent), message (a client or an answer created one), status, handset (a handset received),
    webhook (a request to a customer's server ended), typing, call (its status changed), task (a call was put into a
    queue), problem (an entry of the debugger).
    """

    seq: int
    kind: str
    at: datetime
    data: dict[str, Any]


class Events:
    """The last 10,000 events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=10_000)
        self._seq = 0
        self._more = anyio.Event()
        self._closed = False

    @property
    def last(self) -> int:
        """The number of the newest event, 0 when there is none."""
        return self._seq

    def add(self, kind: str, at: datetime, data: dict[str, Any]) -> None:
        self._seq += 1
        self._events.append(Event(self._seq, kind, at, data))
        more, self._more = self._more, anyio.Event()
        more.set()

    def after(self, seq: int) -> list[Event]:
        """Those that are newer than number `seq` and still kept."""
        newer: list[Event] = []
        for event in reversed(self._events):
            if event.seq <= seq:
                break
            newer.append(event)
        return newer[::-1]

    async def wait(self, seq: int, timeout: float) -> list[Event]:
        """Those newer than `seq`; when there is none, wait up to `timeout` seconds for one."""
        with anyio.move_on_after(timeout):
            while self._seq <= seq and not self._closed:
                await self._more.wait()
        return self.after(seq)

    def clear(self) -> None:
        """Forget them; the numbers go on."""
        self._events.clear()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True
        self._more.set()
