"""A small ERP on this machine: orders, resets of passwords, behind OAuth 2, and every way in which such a server misbehaves.

`python -m hookflash.testing.erp_server` serves it on port 8787.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from hookflash.base.clock import Clock, SystemClock
from hookflash.testing.vendor import HangUp, Receive, Request, Scope, Send, lifespan, read, send_json

ORDERS: dict[str, dict[str, str]] = {
    "A-1001": {"state": "shipped", "carrier": "DHL", "arrives": "2026-12-02", "for": "phone:+15550111222"},
    "A-1002": {"state": "being packed", "arrives": "2026-12-05", "for": "phone:+15550111333"},
}


@dataclass
class ErpServer:
    """An ASGI application. Whatever is asked needs a token of `POST /oauth/token` (password grant).

    `POST /orders` and `GET /orders` tell where an order is. `POST /password-resets` begins one for whoever `X-Identity` is and
    changes nothing, `POST /password-resets/confirm` with its `reset_id` does it, once.

    What was asked is kept in `requests`. Paths that begin with /bad misbehave: /bad/html, /bad/huge, /bad/away (a redirect
    to the cloud's metadata), /bad/json, /bad/silent, /bad/drop, /bad/flaky (503, then good).
    """

    clock: Clock
    username: str = "hookflash"
    password: str = "s3cret"  # noqa: S105
    token_seconds: float = 60.0
    orders: dict[str, dict[str, str]] = field(
        default_factory=lambda: {number: {**one} for number, one in ORDERS.items()}
    )
    requests: list[Request] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    resets: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        self.requests.append(request)
        match request.path:
            case "/oauth/token":
                await self._token(request, send)
            case "/orders":
                await self._orders(scope, request, send)
            case "/password-resets" | "/password-resets/confirm":
                await self._reset(request, send)
            case _:
                await self._bad(request, send)

    async def _token(self, request: Request, send: Send) -> None:
        form = {name: values[0] for name, values in parse_qs(request.raw.decode()).items()}
        if form.get("grant_type") not in ("password", "client_credentials"):
            await send_json(send, 400, {"error": "unsupported_grant_type"})
        elif form["grant_type"] == "password" and (form.get("username"), form.get("password")) != (
            self.username,
            self.password,
        ):
            await send_json(send, 400, {"error": "invalid_grant"})
        else:
            self.tokens.append(f"token-{len(self.tokens) + 1}")
            answer = {"access_token": self.tokens[-1], "token_type": "bearer", "expires_in": self.token_seconds}
            await send_json(send, 200, answer)

    async def _let_in(self, request: Request, send: Send) -> bool:
        if self.tokens and request.headers.get("authorization") == f"Bearer {self.tokens[-1]}":
            return True
        await send_json(send, 401, {"error": "the token is not valid"})
        return False

    async def _reset(self, request: Request, send: Send) -> None:
        if not await self._let_in(request, send):
            return
        who = request.headers.get("x-identity", "")
        if request.path == "/password-resets":
            reset_id = f"R-{len(self.resets) + 1}"
            self.resets[reset_id] = who
            answer = {"reset_id": reset_id, "next": "Ask whether the password shall really be reset, then confirm."}
            await send_json(send, 200, answer)
            return
        reset_id = str(request.body.get("reset_id"))
        if self.resets.pop(reset_id, None) != who:
            await send_json(send, 404, {"error": "there is no such reset of this customer"})
            return
        self.done.append(who)
        await send_json(send, 200, {"state": "A link to set a new password was sent by e-mail."})

    async def _orders(self, scope: Scope, request: Request, send: Send) -> None:
        if not await self._let_in(request, send):
            return
        query = parse_qs(scope["query_string"].decode())
        asked: dict[str, Any] = request.body if request.method == "POST" else {n: v[0] for n, v in query.items()}
        order = self.orders.get(str(asked.get("order_id")))
        if order is None or order["for"] != request.headers.get("x-identity"):
            await send_json(send, 404, {"error": "there is no such order of this customer"})
            return
        await send_json(send, 200, {name: value for name, value in order.items() if name != "for"})

    async def _bad(self, request: Request, send: Send) -> None:
        flaky = sum(earlier.path == request.path for earlier in self.requests) > 1
        match request.path:
            case "/bad/silent":
                await self.clock.sleep(3_600)
            case "/bad/drop":
                headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b"{", "more_body": True})
                raise HangUp
            case "/bad/html":
                await _answer(send, 200, b"<h1>It works!</h1>", "text/html; charset=utf-8")
            case "/bad/huge":
                await _answer(send, 200, json.dumps("x" * 10_000_000).encode(), "application/json")
            case "/bad/away":
                await _answer(send, 302, b"", "text/plain", location="http://169.254.169.254/latest/meta-data")
            case "/bad/json":
                await _answer(send, 200, b"{'state': shipped}", "application/json")
            case "/bad/flaky" if not flaky:
                await _answer(send, 503, b"busy", "text/plain")
            case "/bad/flaky":
                await _answer(send, 200, b'{"state": "shipped"}', "application/json")
            case _:
                await _answer(send, 404, b"nothing here", "text/plain")


async def _answer(send: Send, status: int, body: bytes, kind: str, *, location: str = "") -> None:
    headers = [(b"content-type", kind.encode())] + ([(b"location", location.encode())] if location else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(ErpServer(SystemClock()), host="127.0.0.1", port=8787, lifespan="off")
