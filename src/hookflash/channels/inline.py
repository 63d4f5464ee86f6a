"""Answers that ride in the webhook's own response, when they are ready before its budget is over."""

from collections.abc import Awaitable, Callable

import anyio

from hookflash.channels.integration import Integration
from hookflash.conversation.lane import Leaving

TakeRows = Callable[[Integration, str], Awaitable[list[Leaving]]]


class Inline:
    """Webhooks that wait for their answer, by the id of the inbound message."""

    def __init__(self, take: TakeRows) -> None:
        self._take = take
        self._waiting: dict[str, anyio.Event] = {}

    async def answer(self, integration: Integration, message_id: str, seconds: float) -> list[Leaving]:
        """The answer's messages, now marked as posted by this response; none when it is not ready within `seconds`."""
        # Listened for before it is looked for: an answer that is committed in between is not missed.
        event = self._waiting.setdefault(message_id, anyio.Event())
        try:
            rows = await self._take(integration, message_id)
            if not rows:
                with anyio.move_on_after(seconds):
                    await event.wait()
                rows = await self._take(integration, message_id)
            return rows
        finally:
            self._waiting.pop(message_id, None)

    def told(self, message_ids: str) -> None:
        """Of a notification: the answers to these messages (ids with spaces between) are committed."""
        for message_id in message_ids.split():
            event = self._waiting.get(message_id)
            if event is not None:
                event.set()
