"""The box from another process: a phone of a running emulator, over its `/_emulator` addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from hookflash.base.errors import Invalid, Unavailable

_LONGEST_WAIT = 20.0


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the box, as `emulator.events.Event`."""

    seq: int
    kind: str
    data: dict[str, Any]


class RemoteEmulator:
    """A running emulator. Everything raises Unavailable when it does not answer."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncIterator["RemoteEmulator"]:
        """The one that listens at this address."""
        async with httpx2.AsyncClient(base_url=url, timeout=_LONGEST_WAIT + 10, trust_env=False) as client:
            yield cls(client, url)

    async def text(self, sender: str, to: str, body: str) -> str:
        """Send a text from a handset; its MessageSid. Raises Invalid when the box does not take it."""
        path = f"/_emulator/handsets/{quote(sender, safe='')}/texts"
        return str((await self._ask("POST", path, json={"to": to, "body": body}))["sid"])

    async def last_event(self) -> int:
        """The number of the newest event."""
        return int((await self._ask("GET", "/_emulator/state"))["last_event"])

    async def events(self, after: int, wait: float = 0.0) -> list[Happened]:
        """Events newer than `after`; waits up to `wait` seconds (at most 20) for one."""
        told = await self._ask("GET", "/_emulator/events", params={"after": after, "wait": min(wait, _LONGEST_WAIT)})
        return [Happened(each["seq"], each["kind"], each["data"]) for each in told["events"]]

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **options)
        except httpx2.HTTPError:
            raise Unavailable(
                f"The emulator at {self._url} does not answer.", hint="is hookflash up running?"
            ) from None
        told = answer.json()
        if answer.is_error:
            raise Invalid(f"The emulator refuses: {told.get('message', answer.status_code)}.")
        return told
