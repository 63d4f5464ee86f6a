"""A customer's telephone in the terminal: a text goes out through the emulator, and everything that comes of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from hookflash.cli.turns_store import Fate, Taken, fate_of, headings_of
from hookflash.db.pool import Database
from hookflash.emulator.remote import RemoteEmulator

_FINAL = ("delivered", "read", "undelivered", "failed")
_LOOK_EVERY = 0.25


@dataclass(slots=True)
class Reply:
    """One message that reached the phone; `status` is how far its sender was told that it got."""

    sid: str | None
    body: str
    status: str = "sent"


@dataclass(slots=True)
class Exchange:
    """A text and what came of it. `seconds` is from sending it to the first reply on the phone."""

    sid: str
    replies: list[Reply] = field(default_factory=list)
    seconds: float | None = None
    fate: Fate | None = None
    headings: dict[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def turn(self) -> Taken | None:
        return self.fate.turn if self.fate else None


@dataclass(frozen=True, slots=True)
class PhoneLine:
    """A phone that texts one of our numbers."""

    emulator: RemoteEmulator
    db: Database
    account_id: str
    own: str
    number: str
    monotonic: Callable[[], float]

    async def exchange(
        self, body: str, arrived: Callable[[Reply], Awaitable[None] | None] = lambda reply: None, patience: float = 90.0
    ) -> Exchange:
        """Send a text and stay until all that follows from it has happened, or for `patience` seconds.

        `arrived` is told of each reply when it reaches the phone.
        """
        seen = await self.emulator.last_event()
        began = self.monotonic()
        exchange = Exchange(await self.emulator.text(self.own, self.number, body))
        with anyio.move_on_after(patience):
            while not (exchange.fate and exchange.fate.settled and self._all_told(exchange)):
                for event in await self.emulator.events(seen, _LOOK_EVERY):
                    seen = event.seq
                    if event.kind == "handset" and event.data["to"] == self.own:
                        exchange.seconds = exchange.seconds or self.monotonic() - began
                        reply = Reply(event.data["message_sid"], event.data["body"])
                        exchange.replies.append(reply)
                        told = arrived(reply)
                        if told is not None:
                            await told
                    elif event.kind == "status":
                        for reply in exchange.replies:
                            if reply.sid == event.data["sid"]:
                                reply.status = event.data["status"]
                async with self.db.tenant(self.account_id) as conn:
                    exchange.fate = await fate_of(conn, exchange.sid)
        if exchange.turn:
            chunks = [source["chunk_id"] for source in exchange.turn.record.get("sources", [])]
            async with self.db.tenant(self.account_id) as conn:
                exchange.headings = await headings_of(conn, chunks)
        return exchange

    @staticmethod
    def _all_told(exchange: Exchange) -> bool:
        """Whether every part of the answer has reached the phone, with what left beside it (a code, a link), and its sender knows."""
        parts = len(exchange.turn.record.get("segments", [])) if exchange.turn else 0
        ours = [reply for reply in exchange.replies if reply.sid]
        return len(ours) >= max(parts, exchange.fate.sent if exchange.fate else 0) and all(
            reply.status in _FINAL for reply in ours
        )
