"""Texts as Twilio's webhooks bring them, from many people, and a light fake of the API that takes the answers.

Raw protocols, so that they take little of the machine that is measured.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, quote_plus, urlsplit

from hookflash.base.secret import Secret
from hookflash.twilio.signature import sign

OURS = "+15550100200"
ACCOUNT_SID = "AC" + "1" * 32
AUTH_TOKEN = "2" * 32


class _Connection(asyncio.Protocol):
    """One kept-alive connection to the web role; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def request(self, data: bytes) -> "asyncio.Future[int]":
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._read = b""
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head) and self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the web role closed the connection"))


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class Crowd:
    """Texts our number in Twilio's name: `text` sends one signed webhook and gives the status it was answered with."""

    def __init__(self, hook: str) -> None:
        parts = urlsplit(hook)
        self._hook = hook
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._free: list[_Connection] = []
        self._texts = 0
        self._token = Secret(AUTH_TOKEN)

    async def text(self, person: int, body: str) -> int:
        self._texts += 1
        return await self._post(self._hook, self._path, _inbound(number(person), body, f"SM{self._texts:032x}"))

    async def status(self, callback: str, form: Sequence[tuple[str, str]]) -> int:
        parts = urlsplit(callback)
        return await self._post(callback, f"{parts.path}?{parts.query}", form)

    async def _post(self, url: str, path: str, form: Sequence[tuple[str, str]]) -> int:
        body = "&".join(f"{name}={quote_plus(value)}" for name, value in form).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        lines.append("Content-Type: application/x-www-form-urlencoded; charset=utf-8")
        lines += [f"{name}: {value}" for name, value in sign(url, self._token, form=form).items()]
        lines += ["User-Agent: TwilioProxy/1.1", f"I-Twilio-Idempotency-Token: {self._texts:x}", "Accept: */*"]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        while True:
            connection = await self._connection()
            try:
                status = await connection.request(request)
            except ConnectionError:
                continue  # It was idle for long, and the server closed it as the request left.
            self._free.append(connection)
            return status

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection


def number(person: int) -> str:
    return f"+1{2_062_000_000 + person}"


def _inbound(sender: str, body: str, sid: str) -> list[tuple[str, str]]:
    return [
        ("ToCountry", "US"), ("ToState", "WA"), ("SmsMessageSid", sid), ("NumMedia", "0"), ("ToCity", "SEATTLE"),
        ("FromZip", "98101"), ("SmsSid", sid), ("FromState", "WA"), ("SmsStatus", "received"), ("FromCity", "SEATTLE"),
        ("Body", body), ("FromCountry", "US"), ("To", OURS), ("ToZip", "98101"), ("NumSegments", "1"),
        ("MessageSid", sid), ("AccountSid", ACCOUNT_SID), ("From", sender), ("ApiVersion", "2010-04-01"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that our side asked Twilio to send."""

    sid: str
    to: str
    body: str
    callback: str


@dataclass(slots=True)
class FakeTwilio:
    """Twilio's Messages API as far as sending needs it: every message is taken at once, the list is empty."""

    told: Callable[[Sent], None]
    url: str = ""
    messages: int = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeTwilio"]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Line(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def answer(self, head: bytes, body: bytes) -> bytes:
        if not head.startswith(b"POST"):
            return _http(200, b'{"messages": [], "next_page_uri": null, "uri": "/"}')
        form = dict(parse_qsl(body.decode()))
        self.messages += 1
        sent = Sent(f"SMa{self.messages:031x}", form["To"], form["Body"], form.get("StatusCallback", ""))
        self.told(sent)
        fields: dict[str, Any] = {
            "sid": sent.sid, "account_sid": ACCOUNT_SID, "status": "queued", "direction": "outbound-api",
            "from": form.get("From"), "to": sent.to, "body": sent.body, "num_segments": "1", "num_media": "0",
            "error_code": None, "error_message": None, "messaging_service_sid": None, "api_version": "2010-04-01",
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": None,
            "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000", "price": None, "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sent.sid}.json", "subresource_uris": {},
        }  # fmt: skip
        return _http(201, json.dumps(fields).encode())


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Line(asyncio.Protocol):
    """One kept-alive connection to the fake."""

    def __init__(self, fake: FakeTwilio) -> None:
        self._fake = fake
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while self._transport is not None:
            head, blank, rest = self._read.partition(b"\r\n\r\n")
            length = _length(head)
            if not blank or len(rest) < length:
                return
            self._read = rest[length:]
            self._transport.write(self._fake.answer(head, rest[:length]))
