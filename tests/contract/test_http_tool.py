"""Tools over HTTP: what is sent, who we say we are, and what becomes of everything that a server may do."""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool, ToolAnswer, ToolFailed, ToolOutcome, signing_secret
from hookflash.assistant.tool_auth import READ, Basic, Bearer, HeaderAuth, OAuthClient, OAuthPassword, ToolAuth
from hookflash.base.clock import SystemClock
from hookflash.providers.guarded import guarded_client
from hookflash.providers.http_tool import TRIES, HttpTools
from hookflash.providers.tool_credentials import Credentials
from hookflash.testing.clock import VirtualClock
from hookflash.testing.erp_server import ErpServer
from hookflash.testing.vendor import serve

SIGNING = b"signing key"
DOCS = Path(__file__).parents[2] / "docs" / "tools.md"


@dataclass
class Line:
    """An ERP, and tools that reach it."""

    erp: ErpServer
    base: str
    tools: HttpTools

    def tool(self, path: str = "/orders", **config: Any) -> Tool:
        about = {"method": "POST", "url": self.base + path} | config
        return Tool("tool_1", "order_status", "d", read("{ order_id: string }"), "http", about)

    def password(self, **changes: str) -> OAuthPassword:
        about = {
            "type": "oauth_password",
            "token_url": f"{self.base}/oauth/token",
            "username": self.erp.username,
            "password": self.erp.password,
        }
        return OAuthPassword.model_validate(about | changes)

    async def call(self, tool: Tool, auth: ToolAuth | None = None, order: str = "A-1001") -> ToolOutcome:
        return await self.tools.call(
            tool, {"order_id": order}, session_id="sess_1", identity="phone:+15550111222", key="k1", auth=auth
        )


@asynccontextmanager
async def line(*, allow: bool = True) -> AsyncIterator[Line]:
    erp = ErpServer(SystemClock())
    async with serve(erp) as base:
        hosts = frozenset({base.removeprefix("http://")}) if allow else frozenset()
        async with guarded_client(allow=hosts, timeout=httpx2.Timeout(5.0)) as client:
            yield Line(erp, base, HttpTools(client, SystemClock(), SIGNING))


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_order_is_found_for_the_person_who_asks(method: str) -> None:
    async with line() as here:
        outcome = await here.call(here.tool(method=method), here.password())
        assert isinstance(outcome, ToolAnswer), outcome
        assert '"arrives":"2026-12-02"' in outcome.text.replace(" ", "")
        assert "+1555" not in outcome.text
        asked = here.erp.requests[-1]
        assert asked.method == method
        assert asked.headers["x-session-id"] == "sess_1"
        assert asked.headers["x-identity"] == "phone:+15550111222"
        assert asked.headers["idempotency-key"] == "k1"
        url = here.base + "/orders" + ("?order_id=A-1001" if method == "GET" else "")
        body = b"" if method == "GET" else b'{"order_id":"A-1001"}'
        said = [asked.headers["x-hookflash-timestamp"], method, url, "sess_1", "phone:+15550111222", "k1"]
        text = "\n".join(said).encode() + b"\n" + body
        secret = signing_secret(SIGNING, "tool_1").encode()
        assert asked.headers["x-hookflash-signature"] == hmac.new(secret, text, hashlib.sha256).hexdigest()
        assert secret.decode() != signing_secret(SIGNING, "tool_2")


async def test_somebody_elses_order_is_not_told() -> None:
    async with line() as here:
        outcome = await here.call(here.tool(), here.password(), order="A-1002")
        assert outcome == ToolFailed('its server answered 404: {"error":"there is no such order of this customer"}')


async def test_a_token_is_kept_and_renewed() -> None:
    async with line() as here:
        for _ in range(3):
            assert isinstance(await here.call(here.tool(), here.password()), ToolAnswer)
        assert len(here.erp.tokens) == 1
        here.erp.tokens.append("another")
        assert isinstance(await here.call(here.tool(), here.password()), ToolAnswer), "a 401 gets a new token, once"
        assert len(here.erp.tokens) == 3
        wrong = await here.call(
            here.tool("/orders"), here.password(password="no", token_url=f"{here.base}/oauth/token?x")
        )
        assert isinstance(wrong, ToolFailed)
        assert wrong.why == "its token server refused our credentials (400, invalid_grant)"
        client = OAuthClient(
            type="oauth_client",
            token_url=f"{here.base}/oauth/token?client",
            client_id="me",
            client_secret="x",
        )
        assert isinstance(await here.call(here.tool(), client), ToolAnswer)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (Bearer(type="bearer", token="t1"), "authorization", "Bearer t1"),
        (Basic(type="basic", username="u", password="p"), "authorization", "Basic dTpw"),
        (HeaderAuth(type="header", name="X-Api-Key", value="k"), "x-api-key", "k"),
    ],
)
async def test_other_ways_to_say_who_we_are(auth: ToolAuth, header: str, value: str) -> None:
    async with line() as here:
        await here.call(here.tool(), auth)
        assert here.erp.requests[-1].headers[header] == value


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/bad/html", "its answer is of the type text/html, where JSON or plain text is expected"),
        ("/bad/huge", "its answer has more than 1 MB"),
        ("/bad/away", "its server sends us on to 169.254.169.254, and tools are not followed elsewhere"),
        ("/bad/json", "its answer says that it is JSON, and is none"),
        ("/bad/nowhere", "its server answered 404: nothing here"),
    ],
)
async def test_what_a_server_may_do_is_a_sentence(path: str, why: str) -> None:
    async with line() as here:
        assert await here.call(here.tool(path)) == ToolFailed(why)
        assert len(here.erp.requests) == 1


async def test_passing_trouble_is_tried_again_with_the_same_key() -> None:
    async with line() as here:
        assert await here.call(here.tool("/bad/flaky")) == ToolAnswer('{"state": "shipped"}')
        assert [asked.headers["idempotency-key"] for asked in here.erp.requests] == ["k1", "k1"]
        here.erp.requests.clear()
        assert await here.call(here.tool("/bad/drop", method="GET")) == ToolFailed("its server broke off, 3 times")
        assert len(here.erp.requests) == TRIES == 3


async def test_what_may_have_been_done_is_not_done_again() -> None:
    async with line() as here:
        why = "its server broke off, so nobody knows whether it was done"
        assert await here.call(here.tool("/bad/drop")) == ToolFailed(why)
        assert len(here.erp.requests) == 1
        away = here.tool(url="http://127.0.0.1:1/")
    async with guarded_client(allow=frozenset({"127.0.0.1:1"})) as client:
        outcome = await Line(here.erp, here.base, HttpTools(client, SystemClock(), SIGNING)).call(away)
        assert outcome == ToolFailed("its server could not be reached, 3 times"), "nothing was sent"


@pytest.mark.parametrize(
    ("token_url", "why"),
    [
        ("{base}/bad/html", "its token server answered something that is no token"),
        ("{base}/bad/huge", "its token server answered something that is no token"),
        ("{base}/bad/away", "its token server answered something that is no token"),
        ("{base}/bad/flaky", "its token server answered 503"),
        ("{base}/bad/drop", "its token server cannot be reached"),
        ("http://169.254.169.254/token", "169.254.169.254 may not be reached: its address is link-local"),
    ],
)
async def test_what_a_token_server_may_do_is_a_sentence_too(token_url: str, why: str) -> None:
    async with line() as here:
        auth = here.password(token_url=token_url.format(base=here.base))
        assert await here.call(here.tool(), auth) == ToolFailed(why)
        assert "/orders" not in [asked.path for asked in here.erp.requests]


async def test_a_token_is_renewed_before_it_expires_and_another_secret_gets_its_own() -> None:
    clock = VirtualClock()
    erp = ErpServer(clock, token_seconds=60.0)
    async with serve(erp) as base, guarded_client(allow=frozenset({base.removeprefix("http://")})) as client:
        credentials = Credentials(client, clock)
        about = {"type": "oauth_password", "token_url": f"{base}/oauth/token", "username": erp.username}
        auth = OAuthPassword.model_validate(about | {"password": erp.password})
        first = await credentials.headers("tool_1", auth)
        assert await credentials.headers("tool_1", auth) == first
        await clock.advance(31.0)
        assert await credentials.headers("tool_1", auth) != first
        assert len(erp.tokens) == 2
        scoped = OAuthPassword.model_validate(about | {"password": erp.password, "scope": "orders"})
        await credentials.headers("tool_1", scoped)
        assert len(erp.tokens) == 3


async def test_the_documented_check_of_the_signature_believes_us_and_nobody_else() -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    exec(next(block for block in blocks if "def is_hookflash" in block), found)
    secret = signing_secret(SIGNING, "tool_1")
    async with line() as here:
        await here.call(here.tool(), here.password())
        asked = here.erp.requests[-1]
    url, now = f"{here.base}/orders", SystemClock().now().timestamp()
    good = (secret, "POST", url, asked.headers, asked.raw, now)
    assert found["is_hookflash"](*good)
    forged = asked.headers | {"x-identity": "phone:+15550111333"}
    assert not found["is_hookflash"](secret, "POST", url, forged, asked.raw, now)
    assert not found["is_hookflash"](secret, "POST", url, asked.headers, asked.raw + b" ", now)
    assert not found["is_hookflash"](secret, "POST", url, asked.headers, asked.raw, now + 301)
    assert not found["is_hookflash"](signing_secret(SIGNING, "tool_2"), *good[1:])


async def test_identities_that_a_header_cannot_carry_are_encoded() -> None:
    async with line() as here:
        await here.tools.call(
            here.tool(), {"order_id": "x"}, session_id="s", identity="user_id:Zoë\r\nX-Admin: 1", key="k", auth=None
        )
        assert here.erp.requests[-1].headers["x-identity"] == "user_id:Zo%C3%AB%0D%0AX-Admin:%201"


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "header", "name": "X-Identity", "value": "phone:+1"},
        {"type": "header", "name": "host", "value": "x"},
        {"type": "header", "name": "X-Hookflash-Signature", "value": "x"},
        {"type": "header", "name": "X-Key", "value": "a\r\nb"},
        {"type": "bearer", "token": "a\nb"},
        {"type": "oauth_password", "token_url": "ftp://x/", "username": "u", "password": "p"},
        {"type": "oauth_password", "token_url": "http://u:p@x/", "username": "u", "password": "p"},
    ],
)
def test_what_proves_who_we_are_cannot_change_what_is_ours_to_say(auth: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        READ.validate_python(auth)


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    async with line() as here:
        outcome = await here.call(here.tool("/bad/silent", timeout_seconds=0.5))
        assert outcome == ToolFailed("it did not answer within 0.5 seconds")


async def test_addresses_of_the_inner_network_are_not_reached() -> None:
    async with line(allow=False) as here:
        outcome = await here.call(here.tool())
        assert isinstance(outcome, ToolFailed)
        assert "may not be reached" in outcome.why
        metadata = await here.call(here.tool(url="http://169.254.169.254/latest"))
        assert isinstance(metadata, ToolFailed)
        assert "link-local" in metadata.why
        assert here.erp.requests == []
