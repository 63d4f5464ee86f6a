"""A call as Vapi conducts it: all of the conversation with each request, an answer cut off where the caller spoke on."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer as it came: its pieces, the functions that were called (name, arguments), and why it ended."""

    pieces: tuple[str, ...]
    functions: tuple[tuple[str, dict[str, Any]], ...]
    finish: str | None

    @property
    def words(self) -> str:
        return "".join(self.pieces)


@dataclass
class VapiCall:
    """One call. `url` is the assistant's `model.url`, `server` its `server.url`; `tools` are the functions it has."""

    http: httpx2.AsyncClient
    url: str
    key: str
    id: str
    number: str | None = None
    tools: tuple[str, ...] = ()
    server: str = ""
    outbound: bool = False
    messages: list[dict[str, Any]] = field(default_factory=lambda: [{"role": "system", "content": "You are kind."}])

    async def says(self, text: str, *, hears: str | None = None) -> Spoken:
        """The caller says this, and hears the answer: all of it, or no more than `hears`, its beginning."""
        last = self.messages[-1]
        if last["role"] == "user":
            last["content"] += f" {text}"
        else:
            self.messages.append({"role": "user", "content": text})
        spoken = await self.asks()
        heard = spoken.words if hears is None else hears
        if heard:
            self.messages.append({"role": "assistant", "content": heard})
        return spoken

    async def asks(self) -> Spoken:
        """Ask for the next words, whatever the last ones were."""
        pieces, functions, finish = [], [], None
        async with self.http.stream(
            "POST", f"{self.url}/chat/completions", json=self.body(), headers=self._headers()
        ) as response:
            await self._accepted(response)
            assert response.headers["content-type"].startswith("text/event-stream")
            done = False
            async for line in response.aiter_lines():
                if not line:
                    continue
                assert not done, line
                assert line.startswith("data: "), line
                if line == "data: [DONE]":
                    done = True
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                # Vapi fails with "chunk.choices is not iterable" where there are none.
                for choice in chunk["choices"]:
                    delta = choice["delta"]
                    pieces += [delta["content"]] if delta.get("content") else []
                    for called in delta.get("tool_calls", ()):
                        function = called["function"]
                        functions.append((function["name"], json.loads(function["arguments"])))
                    finish = choice["finish_reason"] or finish
            assert done
        return Spoken(tuple(pieces), tuple(functions), finish)

    async def ends(self, reason: str, seconds: float, cost: float) -> None:
        """The two messages that tell of the end."""
        call = {"id": self.id, "type": "inboundPhoneCall"}
        await self.tells({"type": "status-update", "status": "ended", "endedReason": reason, "call": call})
        kept = [
            {"role": "bot" if m["role"] == "assistant" else m["role"], "message": m["content"]} for m in self.messages
        ]
        report = {
            "type": "end-of-call-report",
            "endedReason": reason,
            "call": call,
            "durationSeconds": seconds,
            "cost": cost,
            "artifact": {"messages": kept},
        }
        await self.tells(report)

    async def tells(self, message: dict[str, Any]) -> Any:
        """Send a server message; what is answered."""
        response = await self.http.post(
            self.server or f"{self.url}/events", json={"message": message}, headers={"X-Vapi-Secret": self.key}
        )
        await self._accepted(response)
        return response.json() if response.content else None

    def body(self) -> dict[str, Any]:
        """A request, with `metadataSendMode` as it usually is."""
        kind = "outboundPhoneCall" if self.outbound else "inboundPhoneCall"
        body: dict[str, Any] = {
            "model": "hookflash",
            "messages": self.messages,
            "temperature": 0.5,
            "max_tokens": 250,
            "stream": True,
            "metadata": {},
            "call": {"id": self.id, "orgId": "org", "type": kind if self.number else "webCall"},
            "phoneNumber": {"number": "+15550100777"},
            "customer": {"number": self.number} if self.number else {},
        }
        if self.tools:
            body["tools"] = [{"type": "function", "function": {"name": name}} for name in self.tools]
        return body

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @staticmethod
    async def _accepted(response: httpx2.Response) -> None:
        if response.status_code >= 400:
            await response.aread()
            raise AssertionError(f"{response.status_code}: {response.text}")
