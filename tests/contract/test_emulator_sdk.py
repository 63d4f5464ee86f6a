"""The official Twilio SDK, pointed at the emulator, works and understands what it is told."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from anyio import to_thread
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from hookflash.base.secret import Secret
from hookflash.emulator.server import Emulator

# Field names of the answers, from Twilio's OpenAPI files (github.com/twilio/twilio-oai 2.6.7, MIT).
MESSAGE = {
    *("account_sid", "api_version", "body", "date_created", "date_sent", "date_updated", "direction", "error_code"),
    *("error_message", "from", "messaging_service_sid", "num_media", "num_segments", "price", "price_unit", "sid"),
    *("status", "subresource_uris", "to", "uri"),
}
MEDIA = {"account_sid", "content_type", "date_created", "date_updated", "parent_sid", "sid", "uri"}
NUMBER = {
    *("account_sid", "address_sid", "address_requirements", "api_version", "beta", "capabilities", "date_created"),
    *("date_updated", "friendly_name", "identity_sid", "phone_number", "origin", "sid", "sms_application_sid"),
    *("sms_fallback_method", "sms_fallback_url", "sms_method", "sms_url", "status_callback", "status_callback_method"),
    *("trunk_sid", "uri", "voice_receive_mode", "voice_application_sid", "voice_caller_id_lookup"),
    *("voice_fallback_method", "voice_fallback_url", "voice_method", "voice_url", "emergency_status"),
    *("emergency_address_sid", "emergency_address_status", "bundle_sid", "status", "type"),
}
SERVICE = {
    *("sid", "account_sid", "friendly_name", "date_created", "date_updated", "inbound_request_url", "inbound_method"),
    *("fallback_url", "fallback_method", "status_callback", "sticky_sender", "mms_converter", "smart_encoding"),
    *("scan_message_content", "fallback_to_long_code", "area_code_geomatch", "synchronous_validation"),
    *("validity_period", "url", "links", "usecase", "us_app_to_person_registered", "use_inbound_webhook_on_number"),
}
MEMBER = {
    *("sid", "account_sid", "service_sid", "date_created", "date_updated", "phone_number", "country_code"),
    *("capabilities", "url"),
}
ACCOUNT = {
    *("auth_token", "date_created", "date_updated", "friendly_name", "owner_account_sid", "sid", "status"),
    *("subresource_uris", "type", "uri"),
}
SENDER = {
    *(
        "sid",
        "status",
        "sender_id",
        "configuration",
        "webhook",
        "profile",
        "properties",
        "offline_reasons",
        "compliance",
    ),
    "url",
}
PAGE = {"start", "end", "page", "page_size", "uri", "first_page_uri", "next_page_uri", "previous_page_uri"}
META = {"page", "page_size", "first_page_url", "previous_page_url", "url", "next_page_url", "key"}

OURS, CUSTOMER = "+15550100001", "+15550199001"


class RedirectedClient(TwilioHttpClient):
    """The SDK's own transport, to another host; keeps the last answer's JSON."""

    def __init__(self, base: str) -> None:
        super().__init__(timeout=10)
        assert self.session is not None
        self.session.trust_env = False
        self._base = base
        self.last: Any = None

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        parts = urlsplit(url)
        target = self._base + parts.path + (f"?{parts.query}" if parts.query else "")
        response = super().request(method, target, *args, **kwargs)
        self.last = None if response.status_code == 204 else json.loads(response.text)
        return response


class Sdk:
    def __init__(self, emulator: Emulator, user: str, password: str) -> None:
        self.transport = RedirectedClient(emulator.url)
        self.client = Client(user, password, account_sid=emulator.account_sid, http_client=self.transport)  # type: ignore[no-untyped-call]

    async def do(self, call: Callable[[Any], Any]) -> Any:
        """Run a call of the blocking SDK next to the emulator's loop."""
        return await to_thread.run_sync(call, self.client)

    async def refused(self, call: Callable[[Any], Any]) -> tuple[int, int | None]:
        """The HTTP status and Twilio's code of a call that must fail."""
        with pytest.raises(TwilioRestException) as caught:
            await self.do(call)
        assert set(self.transport.last) == {"code", "message", "more_info", "status"}
        assert self.transport.last["more_info"].endswith(f"/{caught.value.code}")
        return caught.value.status, caught.value.code


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    keys = {"SK" + "0" * 32: Secret("key-secret")}
    async with Emulator.serve(seed=1, pace=0, api_keys=keys) as emulator:
        emulator.add_number(OURS)
        yield emulator


@pytest.fixture
def sdk(emulator: Emulator) -> Sdk:
    return Sdk(emulator, emulator.account_sid, emulator.auth_token.get_secret_value())


def send(client: Any, body: str) -> None:
    client.messages.create(to=CUSTOMER, from_=OURS, body=body)


def make_service(client: Any, name: str) -> None:
    client.messaging.v1.services.create(friendly_name=name)


async def test_a_message_is_created_and_delivered(emulator: Emulator, sdk: Sdk) -> None:
    sent = await sdk.do(lambda c: c.messages.create(to=CUSTOMER, from_=OURS, body="Hello 👋"))
    assert set(sdk.transport.last) == MESSAGE
    assert (sent.status, sent.direction, sent.num_segments, sent.num_media) == ("queued", "outbound-api", "1", "0")
    await emulator.idle()
    got = await sdk.do(lambda c: c.messages(sent.sid).fetch())
    assert (got.status, got.body, got.from_, got.to) == ("delivered", "Hello 👋", OURS, CUSTOMER)
    assert got.date_sent is not None
    assert [r.body for r in emulator.handset(CUSTOMER).inbox] == ["Hello 👋"]


async def test_the_list_is_newest_first_filtered_and_paged(emulator: Emulator, sdk: Sdk) -> None:
    for n in range(7):
        await sdk.do(partial(send, body=f"m{n}"))
    await sdk.do(lambda c: c.messages.create(to="+15550199002", from_=OURS, body="other"))
    await emulator.idle()
    everything = await sdk.do(lambda c: c.messages.list(to=CUSTOMER, from_=OURS, page_size=3))
    assert [m.body for m in everything] == [f"m{n}" for n in reversed(range(7))]
    assert set(sdk.transport.last) == PAGE | {"messages"}

    first = await sdk.do(lambda c: c.messages.page(to=CUSTOMER, page_size=3))
    await sdk.do(lambda c: c.messages.create(to=CUSTOMER, from_=OURS, body="arrived meanwhile"))
    second = await sdk.do(lambda c: first.next_page())
    assert [m.body for m in second] == ["m3", "m2", "m1"]
    third = await sdk.do(lambda c: second.next_page())
    assert [m.body for m in third] == ["m0"]
    assert third.next_page_url is None
    back = await sdk.do(lambda c: third.previous_page())
    assert [m.body for m in back] == ["m3", "m2", "m1"]


async def test_the_list_is_filtered_by_date(emulator: Emulator, sdk: Sdk) -> None:
    await sdk.do(lambda c: c.messages.create(to=CUSTOMER, from_=OURS, body="today"))
    await emulator.idle()
    now = datetime.now(UTC)  # noqa: TID251 - the SDK and the emulator's system clock share it
    assert await sdk.do(lambda c: len(c.messages.list(date_sent_after=now - timedelta(minutes=5)))) == 1
    assert await sdk.do(lambda c: len(c.messages.list(date_sent_after=now + timedelta(minutes=5)))) == 0
    assert await sdk.do(lambda c: len(c.messages.list(date_sent_before=now + timedelta(minutes=5)))) == 1
    assert await sdk.do(lambda c: len(c.messages.list(date_sent_before=now - timedelta(days=1)))) == 0
    assert await sdk.do(lambda c: len(c.messages.list(date_sent=(now - timedelta(days=3)).date()))) == 0


async def test_a_message_is_redacted_and_deleted(emulator: Emulator, sdk: Sdk) -> None:
    sent = await sdk.do(lambda c: c.messages.create(to=CUSTOMER, from_=OURS, body="secret"))
    await emulator.idle()
    assert (await sdk.do(lambda c: c.messages(sent.sid).update(body=""))).body == ""
    assert await sdk.refused(lambda c: c.messages(sent.sid).update(body="other")) == (400, 20001)
    assert await sdk.refused(lambda c: c.messages(sent.sid).update(status="canceled")) == (400, 30409)
    assert await sdk.do(lambda c: c.messages(sent.sid).delete())
    assert await sdk.refused(lambda c: c.messages(sent.sid).fetch()) == (404, 20404)
    assert await sdk.do(lambda c: c.messages.list()) == []


async def test_media_is_listed_fetched_and_deleted(emulator: Emulator, sdk: Sdk) -> None:
    message = emulator.handset(CUSTOMER).text(OURS, "look", media=[("image/png", b"png"), ("audio/ogg", b"ogg")])
    assert message.sid.startswith("MM")
    media = await sdk.do(lambda c: c.messages(message.sid).media.list())
    assert {m.content_type for m in media} == {"image/png", "audio/ogg"}
    one = await sdk.do(lambda c: c.messages(message.sid).media(media[0].sid).fetch())
    assert set(sdk.transport.last) == MEDIA
    assert one.parent_sid == message.sid
    await sdk.do(lambda c: c.messages(message.sid).media(one.sid).delete())
    assert [m.sid for m in await sdk.do(lambda c: c.messages(message.sid).media.list())] == [media[1].sid]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"to": "", "from_": OURS, "body": "x"}, 21604),
        ({"to": "12", "from_": OURS, "body": "x"}, 21211),
        ({"to": CUSTOMER, "body": "x"}, 21603),
        ({"to": CUSTOMER, "from_": "+1", "body": "x"}, 21212),
        ({"to": CUSTOMER, "from_": "+15550100777", "body": "x"}, 21659),
        ({"to": OURS, "from_": OURS, "body": "x"}, 21266),
        ({"to": CUSTOMER, "from_": OURS}, 21619),
        ({"to": CUSTOMER, "from_": OURS, "body": "x" * 1601}, 21617),
        ({"to": CUSTOMER, "from_": OURS, "media_url": ["not a url"]}, 21620),
        ({"to": CUSTOMER, "from_": OURS, "media_url": ["https://example.com/a.png"] * 11}, 21623),
        ({"to": CUSTOMER, "from_": OURS, "body": "x", "status_callback": "nowhere"}, 21609),
        ({"to": CUSTOMER, "messaging_service_sid": "MG" + "0" * 32, "body": "x"}, 21701),
        ({"to": f"whatsapp:{CUSTOMER}", "from_": OURS, "body": "x"}, 21910),
        ({"to": f"whatsapp:{CUSTOMER}", "from_": f"whatsapp:{OURS}", "body": "x"}, 63007),
        ({"to": CUSTOMER, "from_": OURS, "content_sid": "HX" + "0" * 32}, 21655),
        ({"to": CUSTOMER, "from_": OURS, "body": "x", "schedule_type": "fixed"}, 35111),
    ],
)
async def test_bad_messages_are_refused(emulator: Emulator, sdk: Sdk, asked: dict[str, Any], code: int) -> None:
    assert await sdk.refused(lambda c: c.messages.create(**asked)) == (400, code)
    assert emulator.messages == []


async def test_a_line_that_cannot_text_is_refused(emulator: Emulator, sdk: Sdk) -> None:
    emulator.add_number("+15550100002").resource["capabilities"]["sms"] = False
    assert await sdk.refused(lambda c: c.messages.create(to=CUSTOMER, from_="+15550100002", body="x")) == (400, 21606)


async def test_credentials(emulator: Emulator, sdk: Sdk) -> None:
    wrong = Sdk(emulator, emulator.account_sid, "wrong")
    assert await wrong.refused(lambda c: c.messages("SM" + "0" * 32).fetch()) == (401, 20003)
    key = Sdk(emulator, "SK" + "0" * 32, "key-secret")
    assert await key.do(lambda c: c.messages.list()) == []
    assert await sdk.refused(lambda c: c.api.v2010.accounts("AC" + "0" * 32).fetch()) == (404, 20404)


async def test_the_account(emulator: Emulator, sdk: Sdk) -> None:
    account = await sdk.do(lambda c: c.api.v2010.accounts(emulator.account_sid).fetch())
    assert set(sdk.transport.last) == ACCOUNT
    assert (account.status, account.type) == ("active", "Full")


async def test_numbers(sdk: Sdk) -> None:
    [known] = await sdk.do(lambda c: c.incoming_phone_numbers.list(phone_number=OURS))
    assert set(sdk.transport.last) == PAGE | {"incoming_phone_numbers"}
    changed = await sdk.do(
        lambda c: c.incoming_phone_numbers(known.sid).update(
            sms_url="https://example.com/in#rc=5&rp=all", sms_method="POST"
        )
    )
    assert changed.sms_url == "https://example.com/in#rc=5&rp=all"
    assert (await sdk.do(lambda c: c.incoming_phone_numbers(known.sid).fetch())).sms_url == changed.sms_url
    assert await sdk.refused(lambda c: c.incoming_phone_numbers(known.sid).update(sms_url="nowhere")) == (400, 21402)
    assert await sdk.refused(lambda c: c.incoming_phone_numbers(known.sid).update(sms_method="PUT")) == (400, 21403)
    bought = await sdk.do(lambda c: c.incoming_phone_numbers.create(phone_number="+15550100009", friendly_name="Desk"))
    assert set(sdk.transport.last) == NUMBER
    assert bought.friendly_name == "Desk"
    assert await sdk.refused(lambda c: c.incoming_phone_numbers.create(phone_number=OURS)) == (400, 21422)
    assert await sdk.refused(lambda c: c.incoming_phone_numbers.create(phone_number="abc:")) == (400, 21421)


async def test_messaging_services(emulator: Emulator, sdk: Sdk) -> None:
    made = await sdk.do(
        lambda c: c.messaging.v1.services.create(friendly_name="Desk", inbound_request_url="https://example.com/in")
    )
    assert set(sdk.transport.last) == SERVICE
    assert await sdk.refused(lambda c: c.messages.create(to=CUSTOMER, messaging_service_sid=made.sid, body="x")) == (
        400,
        21703,
    )
    [number] = await sdk.do(lambda c: c.incoming_phone_numbers.list())
    await sdk.do(lambda c: c.messaging.v1.services(made.sid).phone_numbers.create(phone_number_sid=number.sid))
    assert set(sdk.transport.last) == MEMBER
    assert await sdk.refused(
        lambda c: c.messaging.v1.services(made.sid).phone_numbers.create(phone_number_sid=number.sid)
    ) == (409, 21710)
    [member] = await sdk.do(lambda c: c.messaging.v1.services(made.sid).phone_numbers.list())
    assert set(sdk.transport.last) == {"phone_numbers", "meta"}
    assert set(sdk.transport.last["meta"]) == META
    assert (member.phone_number, member.capabilities) == (OURS, ["SMS", "MMS", "Voice"])
    changed = await sdk.do(
        lambda c: c.messaging.v1.services(made.sid).update(use_inbound_webhook_on_number=True, fallback_url="")
    )
    assert changed.use_inbound_webhook_on_number is True
    fetched = await sdk.do(lambda c: c.messaging.v1.services(made.sid).fetch())
    assert fetched.inbound_request_url == "https://example.com/in"
    assert [s.sid for s in await sdk.do(lambda c: c.messaging.v1.services.list())] == [made.sid]

    sent = await sdk.do(lambda c: c.messages.create(to=CUSTOMER, messaging_service_sid=made.sid, body="from the pool"))
    assert (sent.status, sent.from_, sent.num_segments) == ("accepted", None, "0")
    await emulator.idle()
    got = await sdk.do(lambda c: c.messages(sent.sid).fetch())
    assert (got.status, got.from_, got.num_segments) == ("delivered", OURS, "1")


async def test_lists_of_services_are_paged(sdk: Sdk) -> None:
    for n in range(5):
        await sdk.do(partial(make_service, name=f"s{n}"))
    names = [s.friendly_name for s in await sdk.do(lambda c: c.messaging.v1.services.list(page_size=2))]
    assert names == ["s4", "s3", "s2", "s1", "s0"]


async def test_scheduled_messages_are_canceled(emulator: Emulator, sdk: Sdk) -> None:
    service = emulator.add_service("Desk")
    emulator.add_number("+15550100003", service=service.sid)
    now = datetime.now(UTC)  # noqa: TID251
    later = {"schedule_type": "fixed", "send_at": now + timedelta(hours=1), "body": "later"}
    asked = {**later, "to": CUSTOMER, "messaging_service_sid": service.sid}
    waiting = await sdk.do(lambda c: c.messages.create(**asked))
    await emulator.idle()
    assert waiting.status == emulator.messages[0].status == "scheduled"
    assert (await sdk.do(lambda c: c.messages(waiting.sid).update(status="canceled"))).status == "canceled"
    soon = {**asked, "send_at": now + timedelta(minutes=1)}
    assert await sdk.refused(lambda c: c.messages.create(**soon)) == (400, 35114)
    assert await sdk.refused(lambda c: c.messages.create(to=CUSTOMER, from_=OURS, **later)) == (400, 35118)


async def test_whatsapp_senders_and_typing(emulator: Emulator, sdk: Sdk) -> None:
    sender = emulator.add_whatsapp_sender("+15550100004")
    fetched = await sdk.do(lambda c: c.messaging.v2.channels_senders(sender.sid).fetch())
    assert set(sdk.transport.last) == SENDER
    assert fetched.sender_id == "whatsapp:+15550100004"
    api = await sdk.do(lambda c: c.messaging.v2.channels_senders)
    webhook = api.MessagingV2ChannelsSenderWebhook(
        {"callback_url": "https://example.com/wa", "callback_method": "POST"}
    )
    update = api.MessagingV2ChannelsSenderRequestsUpdate({"webhook": webhook})
    await sdk.do(lambda c: c.messaging.v2.channels_senders(sender.sid).update(update))
    assert sender.resource["webhook"]["callback_url"] == "https://example.com/wa"
    assert [s.sid for s in await sdk.do(lambda c: c.messaging.v2.channels_senders.list("whatsapp"))] == [sender.sid]

    heard = emulator.handset(CUSTOMER).text("whatsapp:+15550100004", "hi")
    typing = await sdk.do(lambda c: c.messaging.v2.typing_indicator.create(channel="whatsapp", message_id=heard.sid))
    assert typing.success is True
    assert emulator.handset(CUSTOMER).handset.typing == 1
    unknown = "SM" + "0" * 32
    assert await sdk.refused(
        lambda c: c.messaging.v2.typing_indicator.create(channel="whatsapp", message_id=unknown)
    ) == (404, 20404)


async def test_unknown_resources_are_told_so(emulator: Emulator, sdk: Sdk) -> None:
    assert await sdk.refused(lambda c: c.calls("CA" + "0" * 32).fetch()) == (404, 20404)
