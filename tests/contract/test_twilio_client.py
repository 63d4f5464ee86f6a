"""The REST client against a small server that answers as Twilio does, and breaks as networks do."""

import base64
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.abc
import msgspec
import pytest

from hookflash.base.errors import Invalid, Misconfigured, TooLarge, TwilioFailed, TwilioUnclear
from hookflash.base.secret import Secret
from hookflash.twilio.account import Account, Credentials
from hookflash.twilio.client import TwilioClient

AC, SUB = "AC" + "0" * 31 + "1", "AC" + "0" * 31 + "2"
SM, ME = "SM" + "0" * 31 + "1", "ME" + "0" * 31 + "1"
MG, PN = "MG" + "0" * 31 + "1", "PN" + "0" * 31 + "1"
CREDENTIALS = Credentials(AC, Secret("token-of-the-account"))

MESSAGE = {
    "sid": SM, "account_sid": AC, "status": "queued", "direction": "outbound-api", "from": "+15550000002",
    "to": "+15550000001", "body": "hello", "num_segments": "1", "num_media": "0", "error_code": None,
    "error_message": None, "messaging_service_sid": None, "date_created": "Fri, 18 Sep 2026 10:00:00 +0000",
    "date_sent": None, "date_updated": None, "price": None, "price_unit": "USD", "api_version": "2010-04-01", "uri": "/x",
}  # fmt: skip
NUMBER = {
    "sid": PN, "phone_number": "+15550000002", "sms_url": "https://old.example/", "sms_method": "POST",
    "sms_fallback_url": "", "sms_fallback_method": "POST", "status_callback": "",
}  # fmt: skip
SERVICE = {
    "sid": MG, "friendly_name": "Shop", "inbound_request_url": "https://in.example/", "inbound_method": "POST",
    "fallback_url": None, "fallback_method": "POST", "status_callback": None, "use_inbound_webhook_on_number": False,
}  # fmt: skip


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: list[tuple[str, str]]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    then: str = "keep"  # drop: the connection is reset instead of an answer; hang: no answer; cut: half of the body


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"Content-Type": "application/json"})


@dataclass
class Server:
    """Answers by "METHOD path"; what was asked is in `seen`."""

    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    url: str = ""

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        try:
            while await self._one(stream):
                pass
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            await anyio.aclose_forcefully(stream)

    async def _one(self, stream: anyio.abc.SocketStream) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += await stream.receive()
        parts = urlsplit(target)
        self.seen.append(
            Request(method, parts.path, dict(parse_qsl(parts.query)), headers, parse_qsl(body.decode(), True))
        )
        answer = self.answers.get(f"{method} {parts.path}", Answer(404, b'{"code": 20404, "message": "none such"}'))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer.then == "drop":
            raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if answer.then == "hang":
            await anyio.sleep_forever()
        lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        sent = answer.body[: len(answer.body) // 2] if answer.then == "cut" else answer.body
        await stream.send("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        return answer.then == "keep"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    found = Server(url=f"http://127.0.0.1:{port}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, found.serve)
        yield found
        tasks.cancel_scope.cancel()


@pytest.fixture
async def account(server: Server) -> AsyncIterator[Account]:
    async with TwilioClient(server.url, read_timeout=0.3) as client:
        yield client.account(CREDENTIALS)


def messages_path(account_sid: str = AC) -> str:
    return f"/2010-04-01/Accounts/{account_sid}/Messages.json"


async def test_sending_a_message(server: Server, account: Account) -> None:
    server.answers[f"POST {messages_path()}"] = as_json(MESSAGE, 201)
    sent = await account.send_message(
        "+15550000001",
        sender="+15550000002",
        body="héllo & 1+1",
        media_urls=("https://m.example/1", "https://m.example/2"),
        status_callback="https://h.example/s?row=1",
    )
    assert (sent.sid, sent.status, sent.sender, sent.num_segments) == (SM, "queued", "+15550000002", 1)
    assert sent.created_at == datetime(2026, 9, 18, 10, tzinfo=UTC)
    assert sent.sent_at is None
    [request] = server.seen
    assert sorted(request.form) == [
        ("Body", "héllo & 1+1"),
        ("From", "+15550000002"),
        ("MediaUrl", "https://m.example/1"),
        ("MediaUrl", "https://m.example/2"),
        ("StatusCallback", "https://h.example/s?row=1"),
        ("To", "+15550000001"),
    ]
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
        == f"{AC}:token-of-the-account".encode()
    )


async def test_sending_a_template_by_a_service(server: Server, account: Account) -> None:
    server.answers[f"POST {messages_path()}"] = as_json(MESSAGE, 201)
    await account.send_message(
        "whatsapp:+1", messaging_service_sid=MG, content_sid="HX1", content_variables={"1": "Ana"}
    )
    assert sorted(server.seen[0].form) == [
        ("ContentSid", "HX1"),
        ("ContentVariables", '{"1":"Ana"}'),
        ("MessagingServiceSid", MG),
        ("To", "whatsapp:+1"),
    ]


async def test_each_account_has_its_own_credentials(server: Server) -> None:
    server.answers[f"POST {messages_path(SUB)}"] = as_json(MESSAGE, 201)
    async with TwilioClient(server.url) as client:
        await client.account(Credentials(SUB, Secret("key-secret"), key_sid="SK1")).send_message("+1", body="x")
    assert base64.b64decode(server.seen[0].headers["authorization"].removeprefix("Basic ")) == b"SK1:key-secret"


async def test_the_process_environment_does_not_reach_the_client(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "elsewhere")
    monkeypatch.setenv("TWILIO_REGION", "zz1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answers[f"GET /2010-04-01/Accounts/{AC}.json"] = as_json(
        {"sid": AC, "friendly_name": "Shop", "status": "active", "type": "Full"}
    )
    async with TwilioClient(server.url) as client:
        info = await client.account(CREDENTIALS).info()
    assert (info.sid, info.friendly_name, info.status, info.kind) == (AC, "Shop", "active", "Full")


async def test_one_message(server: Server, account: Account) -> None:
    failed = MESSAGE | {"status": "undelivered", "error_code": 30003, "date_sent": "Fri, 18 Sep 2026 10:00:01 +0000"}
    server.answers[f"GET /2010-04-01/Accounts/{AC}/Messages/{SM}.json"] = as_json(failed)
    message = await account.message(SM)
    assert (message.status, message.error_code) == ("undelivered", 30003)
    assert message.sent_at == datetime(2026, 9, 18, 10, 0, 1, tzinfo=UTC)


async def test_listing_messages_page_by_page(server: Server, account: Account) -> None:
    first = {"messages": [MESSAGE | {"sid": f"SM{n}"} for n in (1, 2)], "next_page_uri": messages_path() + "?Page=1"}
    server.answers[f"GET {messages_path()}"] = [
        as_json(first),
        as_json({"messages": [MESSAGE | {"sid": "SM3"}], "next_page_uri": None}),
        as_json(first),
    ]
    after = datetime(2026, 9, 18, 9, 0, tzinfo=UTC)
    found = [m.sid async for m in account.messages(to="+15550000002", sender="+15550000001", sent_after=after)]
    assert found == ["SM1", "SM2", "SM3"]
    assert server.seen[0].query == {
        "To": "+15550000002", "From": "+15550000001", "DateSent>": "2026-09-18T09:00:00Z", "PageSize": "200"
    }  # fmt: skip
    assert server.seen[1].query == {"Page": "1"}
    assert [m.sid async for m in account.messages(limit=2)] == ["SM1", "SM2"]
    assert [m.sid async for m in account.messages(limit=0)] == []
    assert len(server.seen) == 3


async def test_a_page_that_leads_elsewhere_does_not_get_the_credentials(server: Server, account: Account) -> None:
    server.answers["GET /v1/Services/" + MG + "/PhoneNumbers"] = as_json(
        {"phone_numbers": [], "meta": {"key": "phone_numbers", "next_page_url": "https://evil.example/v1/x"}}
    )
    with pytest.raises(Invalid):
        await account.service_numbers(MG)


async def test_numbers(server: Server, account: Account) -> None:
    path = f"/2010-04-01/Accounts/{AC}/IncomingPhoneNumbers"
    server.answers[f"GET {path}.json"] = as_json({"incoming_phone_numbers": [NUMBER], "next_page_uri": None})
    server.answers[f"POST {path}/{PN}.json"] = as_json(NUMBER | {"sms_url": "https://new.example/"})
    found = await account.find_number("+15550000002")
    assert found is not None
    assert (found.sid, found.sms_url, found.sms_fallback_url) == (PN, "https://old.example/", None)
    assert server.seen[0].query["PhoneNumber"] == "+15550000002"
    assert await account.find_number("+15550000009") is None
    changed = await account.update_number(PN, sms_url="https://new.example/", sms_method="POST")
    assert changed.sms_url == "https://new.example/"
    assert sorted(server.seen[-1].form) == [("SmsMethod", "POST"), ("SmsUrl", "https://new.example/")]


async def test_messaging_services(server: Server, account: Account) -> None:
    server.answers[f"GET /v1/Services/{MG}"] = as_json(SERVICE)
    server.answers[f"POST /v1/Services/{MG}"] = as_json(SERVICE | {"use_inbound_webhook_on_number": True})
    server.answers[f"GET /v1/Services/{MG}/PhoneNumbers"] = as_json(
        {
            "phone_numbers": [{"sid": PN, "phone_number": "+15550000002"}],
            "meta": {"key": "phone_numbers", "next_page_url": None},
        }
    )
    service = await account.service(MG)
    assert (service.friendly_name, service.inbound_request_url, service.fallback_url) == (
        "Shop",
        "https://in.example/",
        None,
    )
    changed = await account.update_service(MG, use_inbound_webhook_on_number=True)
    assert changed.use_inbound_webhook_on_number
    assert server.seen[-1].form == [("UseInboundWebhookOnNumber", "true")]
    assert await account.service_numbers(MG) == ["+15550000002"]


async def test_typing(server: Server, account: Account) -> None:
    server.answers["POST /v2/Indicators/Typing.json"] = as_json({"success": True})
    await account.show_typing(SM)
    assert sorted(server.seen[0].form) == [("channel", "whatsapp"), ("messageId", SM)]


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (
            400,
            {"code": 21211, "message": "The 'To' number +15550000001 is not a valid phone number.", "status": 400},
            21211,
            False,
        ),
        (400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400}, 21610, False),
        (401, {"code": 20003, "message": "Authenticate", "status": 401}, 20003, False),
        (429, {"code": 20429, "message": "Too Many Requests", "status": 429}, 20429, True),
        (429, None, 20429, True),
        (302, None, 0, False),
    ],
)
async def test_refusals(
    server: Server, account: Account, status: int, body: object, code: int, retryable: bool
) -> None:
    server.answers[f"POST {messages_path()}"] = as_json(body, status)
    with pytest.raises(TwilioFailed) as caught:
        await account.send_message("+15550000001", sender="+15550000002", body="x")
    assert not isinstance(caught.value, TwilioUnclear)
    assert (caught.value.code, caught.value.http_status, caught.value.retryable) == (code, status, retryable)
    assert "5550000001" not in str(caught.value)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"code": 20500, "message": "Internal"}, 500),
        Answer(502, b"<html>"),
        Answer(201, b"<html>"),
        Answer(201, b""),
        as_json({}, 201),
        Answer(then="drop"),
        Answer(then="hang"),
        Answer(201, msgspec.json.encode(MESSAGE), then="cut"),
    ],
    ids=["500", "502", "not json", "empty", "no sid", "dropped", "hung", "cut off"],
)
async def test_a_message_that_may_or_may_not_have_been_taken(server: Server, account: Account, answer: Answer) -> None:
    server.answers[f"POST {messages_path()}"] = answer
    with pytest.raises(TwilioUnclear):
        await account.send_message("+15550000001", sender="+15550000002", body="x")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(then="hang"), Answer(200, b"x")], ids=["500", "hung", "not json"]
)
async def test_a_read_that_fails_is_not_unclear(server: Server, account: Account, answer: Answer) -> None:
    server.answers[f"GET /2010-04-01/Accounts/{AC}.json"] = answer
    with pytest.raises(TwilioFailed) as caught:
        await account.info()
    assert not isinstance(caught.value, TwilioUnclear)
    assert caught.value.retryable


async def test_what_was_never_sent_is_retryable() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    async with TwilioClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(TwilioFailed) as caught:
            await client.account(CREDENTIALS).send_message("+15550000001", sender="+15550000002", body="x")
    assert not isinstance(caught.value, TwilioUnclear)
    assert caught.value.retryable


MEDIA = f"/2010-04-01/Accounts/{AC}/Messages/{SM}/Media/{ME}"


def is_image(content_type: str) -> bool:
    return content_type.startswith("image/")


async def test_listing_and_downloading_media(server: Server, account: Account) -> None:
    server.answers[f"GET /2010-04-01/Accounts/{AC}/Messages/{SM}/Media.json"] = as_json(
        {"media_list": [{"sid": ME, "content_type": "image/png", "uri": MEDIA + ".json"}], "next_page_uri": None}
    )
    server.answers[f"GET {MEDIA}"] = Answer(200, b"\x89PNG", {"Content-Type": "image/png; x=y"})
    [item] = await account.media(SM)
    assert item.url == "https://api.twilio.com" + MEDIA
    got = await account.download(item.url, max_bytes=4, allowed=is_image)
    assert (got.content_type, got.data) == ("image/png", b"\x89PNG")
    assert "authorization" in server.seen[-1].headers


async def test_a_redirect_is_followed_once_and_without_credentials(server: Server, account: Account) -> None:
    server.answers[f"GET {MEDIA}"] = Answer(307, b"", {"Location": server.url + "/signed?s=%2F1"})
    server.answers["GET /signed"] = [
        Answer(200, b"data", {"Content-Type": "image/png"}),
        Answer(302, b"", {"Location": server.url + "/third"}),
    ]
    got = await account.download("https://api.twilio.com" + MEDIA, max_bytes=10, allowed=is_image)
    assert got.data == b"data"
    assert "authorization" in server.seen[0].headers
    assert "authorization" not in server.seen[1].headers
    assert server.seen[1].query == {"s": "/1"}
    with pytest.raises(TwilioFailed):
        await account.download("https://api.twilio.com" + MEDIA, max_bytes=10, allowed=is_image)
    assert [r.path for r in server.seen[2:]] == [MEDIA, "/signed"]


@pytest.mark.parametrize(
    "target",
    [
        "http://example.com/x",
        "https://127.0.0.2/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[64:ff9b::a9fe:a9fe]/x",
        "https://localhost/x",
        "https://0x7f000001/x",
        "file:///etc/passwd",
        "https://",
    ],
)
async def test_a_redirect_into_a_private_place_is_refused(server: Server, account: Account, target: str) -> None:
    server.answers[f"GET {MEDIA}"] = Answer(302, b"", {"Location": target})
    with pytest.raises(Invalid):
        await account.download("https://api.twilio.com" + MEDIA, max_bytes=10, allowed=is_image)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://api.twilio.com.evil.example/x",
        "https://eviltwilio.com/x",
        "http://api.twilio.com/x",
        "https://user@api.twilio.com/x",
        "https://api.twilio.com:8443/x",
        "ftp://api.twilio.com/x",
        "https://[",
        "",
    ],
)
async def test_credentials_go_only_to_twilio(server: Server, account: Account, url: str) -> None:
    with pytest.raises(Invalid):
        await account.download(url, max_bytes=10, allowed=is_image)
    assert server.seen == []


async def test_attachments_that_are_too_large_of_another_kind_or_gone(server: Server, account: Account) -> None:
    url = "https://api.twilio.com" + MEDIA
    server.answers[f"GET {MEDIA}"] = [
        Answer(200, b"12345", {"Content-Type": "image/png"}),
        Answer(200, b"1", {"Content-Type": "text/html"}),
        Answer(404, b"{}"),
        Answer(200, b"12345678", {"Content-Type": "image/png"}, then="cut"),
    ]
    with pytest.raises(TooLarge):
        await account.download(url, max_bytes=4, allowed=is_image)
    with pytest.raises(Invalid):
        await account.download(url, max_bytes=4, allowed=is_image)
    with pytest.raises(TwilioFailed) as gone:
        await account.download(url, max_bytes=4, allowed=is_image)
    assert (gone.value.code, gone.value.retryable) == (20404, False)
    with pytest.raises(TwilioFailed) as cut:
        await account.download(url, max_bytes=9, allowed=is_image)
    assert cut.value.retryable


@pytest.mark.parametrize("base", ["", "ftp://x", "twilio.com", "https://"])
def test_a_base_that_is_no_url(base: str) -> None:
    with pytest.raises(Misconfigured):
        TwilioClient(base)


def test_secrets_do_not_print() -> None:
    client = TwilioClient()
    assert "token-of" not in repr(CREDENTIALS) + repr(client.account(CREDENTIALS)) + repr(client)
