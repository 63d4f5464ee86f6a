"""A call as Retell conducts it: it opens our socket, asks for words under growing numbers, and drops those of older ones."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


@dataclass(frozen=True, slots=True)
class Response:
    """An answer that came whole: its words, and what is to be done after them."""

    words: str
    end_call: bool
    transfer_number: str | None


@dataclass
class RetellCall:
    """One call. `transcript` is what was really said on it."""

    ws: ClientConnection
    id: str
    number: str | None
    transcript: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, call_id: str, number: str | None = None) -> AsyncIterator["RetellCall"]:
        """Connect to `llm_websocket_url` with the call's id behind it; the socket is closed when the caller hangs up."""
        async with connect(f"{url.rstrip('/')}/{call_id}") as ws:
            yield cls(ws, call_id, number)

    async def begins(self) -> Response:
        """Take our configuration, tell who calls if that is wanted, and wait for the first words."""
        config = json.loads(await self.ws.recv())
        assert config["response_type"] == "config"
        if config["config"].get("call_details"):
            call: dict[str, Any] = {
                "call_type": "phone_call" if self.number else "web_call",
                "call_id": self.id,
                "metadata": {},
            }
            if self.number:
                call |= {"from_number": self.number, "to_number": "+15550100777", "direction": "inbound"}
            await self.send(interaction_type="call_details", call=call)
        return self.plays(await self.answer())

    async def says(self, text: str, *, hears: str | None = None) -> Response:
        """The caller says this, and hears the answer: all of it, or no more than `hears`, its beginning."""
        await self.speaks(text)
        return self.plays(await self.answer(), hears)

    async def speaks(self, text: str, *, wants: str = "response_required") -> None:
        """The caller says this, and words are wanted."""
        if text:
            last = self.transcript[-1] if self.transcript else {"role": "agent"}
            if last["role"] == "user":
                last["content"] += f" {text}"
            else:
                self.transcript.append({"role": "user", "content": text})
        await self.send(interaction_type="update_only", transcript=self.transcript, turntaking="agent_turn")
        self.asked += 1
        await self.send(interaction_type=wants, response_id=self.asked, transcript=self.transcript)

    async def answer(self) -> Response:
        """The answer to what was asked last; words under any other number are dropped."""
        words = ""
        while True:
            message = json.loads(await self.ws.recv())
            if message["response_type"] != "response" or message["response_id"] != self.asked:
                continue
            assert isinstance(message["content"], str)
            assert isinstance(message["content_complete"], bool)
            words += message["content"]
            if message["content_complete"]:
                return Response(words, message.get("end_call", False), message.get("transfer_number"))

    def plays(self, response: Response, hears: str | None = None) -> Response:
        """The caller hears the words, or their beginning."""
        heard = response.words if hears is None else hears
        if heard:
            self.transcript.append({"role": "agent", "content": heard})
        return response

    async def updates(self) -> None:
        """Tell what was said up to now."""
        await self.send(interaction_type="update_only", transcript=self.transcript, turntaking="user_turn")

    async def pings(self, timestamp: int) -> Any:
        """What is given back."""
        await self.send(interaction_type="ping_pong", timestamp=timestamp)
        return json.loads(await self.ws.recv())

    async def send(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))
