"""The emulator's other side: webhooks, status callbacks, opt-outs, WhatsApp, media and faults, over real sockets."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from twilio.request_validator import RequestValidator

from hookflash.base.errors import Invalid, Misconfigured, NotFound
from hookflash.base.secret import Secret
from hookflash.emulator.cloud import SharedKey
from hookflash.emulator.inbound import Button
from hookflash.emulator.listener import listen, serve_http
from hookflash.emulator.server import Emulator
from hookflash.emulator.severed import sever, stay_silent
from hookflash.testing.clock import VirtualClock, settle

OURS, CUSTOMER = "+15550100001", "+15550199001"
OUR_WHATSAPP = f"whatsapp:{OURS}"


@dataclass(frozen=True)
class Asked:
    path: str
    method: str
    url: str
    form: dict[str, str]
    headers: dict[str, str]


def say(*bodies: str, attributes: str = "") -> Response:
    said = "".join(f"<Message{attributes}>{body}</Message>" for body in bodies)
    return Response(f"<Response>{said}</Response>", media_type="text/xml")


@dataclass
class Customer:
    """The customer's server: keeps what it was asked, answers what the test says (by path), else nothing to say."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, Callable[[int], ASGIApp]] = field(default_factory=dict)

    async def answer(self, request: Request) -> ASGIApp:
        path = request.url.path
        form = {k: str(v) for k, v in (await request.form()).items()} if request.method == "POST" else {}
        self.asked.append(Asked(path, request.method, str(request.url), form, dict(request.headers)))
        times = sum(a.path == path for a in self.asked)
        return self.answers[path](times) if path in self.answers else say()

    def at(self, path: str) -> list[Asked]:
        return [a for a in self.asked if a.path == path]


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = Starlette(routes=[Route("/{path:path}", customer.answer, methods=["GET", "POST"])])
    with listen("127.0.0.1", 0) as listener:
        customer.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serve_http(app, listener):
            yield customer


@pytest.fixture
async def emulator(customer: Customer) -> AsyncIterator[Emulator]:
    async with Emulator.serve(seed=1, pace=0) as emulator:
        emulator.add_number(OURS, sms_url=f"{customer.url}/in")
        yield emulator


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[httpx2.AsyncClient]:
    credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
    async with httpx2.AsyncClient(base_url=emulator.url, auth=credentials, trust_env=False) as client:
        yield client


async def create(api: httpx2.AsyncClient, emulator: Emulator, **form: str) -> httpx2.Response:
    asked = {"To": CUSTOMER, "From": OURS, "Body": "hello"} | form
    return await api.post(f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json", data=asked)


def signed(asked: Asked, secret: Secret) -> bool:
    form = asked.form if asked.method == "POST" else {}
    algorithm = asked.headers.get("x-twilio-webhooks-signature-settings", "").rpartition("algorithm=")[2] or None
    validator: Any = RequestValidator
    given = asked.headers["x-twilio-signature"]
    return bool(validator(secret.get_secret_value()).validate(asked.url, form, given, algorithm))


def codes(emulator: Emulator) -> list[int]:
    return [p.code for p in emulator.problems]


# --- webhooks ---------------------------------------------------------------------------------------------------


async def test_a_text_is_reported_with_twilios_fields_and_signature(emulator: Emulator, customer: Customer) -> None:
    message = emulator.handset(CUSTOMER).text(OURS, "It's working!!!")
    await emulator.idle()
    [asked] = customer.asked
    # The fields of a captured inbound SMS.
    assert asked.form == {
        "ToCountry": "",
        "ToState": "",
        "SmsMessageSid": message.sid,
        "NumMedia": "0",
        "ToCity": "",
        "FromZip": "",
        "SmsSid": message.sid,
        "FromState": "",
        "SmsStatus": "received",
        "FromCity": "",
        "Body": "It's working!!!",
        "FromCountry": "",
        "To": OURS,
        "ToZip": "",
        "NumSegments": "1",
        "ReferralNumMedia": "0",
        "MessageSid": message.sid,
        "AccountSid": emulator.account_sid,
        "From": CUSTOMER,
        "ApiVersion": "2010-04-01",
    }
    assert signed(asked, emulator.auth_token)
    assert asked.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert asked.headers["i-twilio-idempotency-token"]


async def test_a_shared_key_signs_instead_of_the_auth_token(customer: Customer) -> None:
    key = SharedKey("webhooks_sharedkey_1", Secret("shared"))
    async with Emulator.serve(seed=1, pace=0, shared_key=key) as emulator:
        emulator.add_number(OURS, sms_url=f"{customer.url}/in")
        emulator.handset(CUSTOMER).text(OURS, "hi")
        await emulator.idle()
    [asked] = customer.asked
    assert asked.headers["x-twilio-webhooks-signature-settings"] == "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    assert signed(asked, key.secret)


async def test_a_get_webhook_carries_and_signs_its_fields_in_the_address(
    emulator: Emulator, customer: Customer
) -> None:
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/in?shop=1").resource["sms_method"] = "GET"
    emulator.handset(CUSTOMER).text("+15550100002", "a b&c")
    await emulator.idle()
    [asked] = customer.asked
    assert asked.method == "GET"
    assert "shop=1&" in asked.url
    assert "Body=a%20b%26c" in asked.url
    assert signed(asked, emulator.auth_token)


async def test_an_answer_in_twiml_reaches_the_handset(emulator: Emulator, customer: Customer) -> None:
    replies = ("plain", "<Body>with a body</Body>")
    customer.answers["/in"] = lambda _: say(*replies, attributes=' statusCallback="/status?x=1"')
    phone = emulator.handset(CUSTOMER)
    phone.text(OURS, "hi")
    assert {(await phone.wait_reply()).body, (await phone.wait_reply()).body} == {"plain", "with a body"}
    await emulator.idle()
    assert [m.direction for m in emulator.messages] == ["inbound", "outbound-reply", "outbound-reply"]
    statuses = [a.form["MessageStatus"] for a in customer.at("/status")]
    assert sorted(statuses) == sorted(["sending", "sent", "delivered"] * 2)
    assert all(signed(a, emulator.auth_token) for a in customer.at("/status"))


async def test_a_redirect_asks_again_elsewhere(emulator: Emulator, customer: Customer) -> None:
    twiml = "<Response><Redirect>/second</Redirect><Message>never</Message></Response>"
    customer.answers["/in"] = lambda _: Response(twiml, media_type="application/xml")
    customer.answers["/second"] = lambda _: say("from the second")
    emulator.handset(CUSTOMER).text(OURS, "hi")
    await emulator.idle()
    assert customer.asked[1].form == customer.asked[0].form
    assert [r.body for r in emulator.handset(CUSTOMER).inbox] == ["from the second"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response("", 200), 11200),
        (Response("{}", 200, media_type="application/json"), 12300),
        (Response("<Response>", 200, media_type="text/xml"), 12100),
        (Response("<Other/>", 200, media_type="text/xml"), 12100),
        (Response("<Response><Say>x</Say></Response>", 200, media_type="text/xml"), 12200),
        (Response("<Response><Message/></Response>", 200, media_type="text/xml"), 14103),
        (Response("<Response>" + " " * 70_000 + "</Response>", 200, media_type="text/xml"), 11750),
        (Response("no", 500), 11200),
        (Response("", 302, {"Location": "/in"}), 11215),
    ],
)
async def test_bad_answers_are_in_the_debugger(
    emulator: Emulator, customer: Customer, answer: Response, code: int
) -> None:
    customer.answers["/in"] = lambda _: answer
    emulator.handset(CUSTOMER).text(OURS, "hi")
    await emulator.idle()
    assert codes(emulator) == [code]
    assert emulator.handset(CUSTOMER).inbox == []


async def test_plain_text_is_a_message_and_204_is_nothing(emulator: Emulator, customer: Customer) -> None:
    customer.answers["/in"] = lambda n: (
        Response("plainly", media_type="text/plain") if n == 1 else Response(status_code=204)
    )
    for _ in range(2):
        emulator.handset(CUSTOMER).text(OURS, "hi")
        await emulator.idle()
    assert [r.body for r in emulator.handset(CUSTOMER).inbox] == ["plainly"]
    assert codes(emulator) == []


async def test_retries_follow_the_fragment_and_share_a_token(emulator: Emulator, customer: Customer) -> None:
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/again#rc=3&rp=5xx")
    customer.answers["/again"] = lambda n: Response(status_code=503) if n < 3 else say("at last")
    phone = emulator.handset(CUSTOMER)
    phone.text("+15550100002", "hi")
    assert (await phone.wait_reply()).body == "at last"
    asked = customer.at("/again")
    assert len(asked) == 3
    assert len({a.headers["i-twilio-idempotency-token"] for a in asked}) == 1
    assert all("#" not in a.url and signed(a, emulator.auth_token) for a in asked)


@pytest.mark.parametrize(
    ("fragment", "tries"), [("", 1), ("#rc=2&rp=4xx", 1), ("#rc=2&rp=5xx", 3), ("#rc=1&rp=all", 2), ("#rc=0&rp=all", 1)]
)
async def test_only_what_the_policy_names_is_tried_again(
    emulator: Emulator, customer: Customer, fragment: str, tries: int
) -> None:
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/down{fragment}")
    customer.answers["/down"] = lambda _: Response(status_code=500)
    emulator.handset(CUSTOMER).text("+15550100002", "hi")
    await emulator.idle()
    assert len(customer.at("/down")) == tries


@pytest.mark.parametrize("fragment", ["rc=6", "rp=sometimes", "ct=5", "rt=x", "tt=15001"])
async def test_a_bad_policy_is_11243(emulator: Emulator, customer: Customer, fragment: str) -> None:
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/in#{fragment}")
    emulator.handset(CUSTOMER).text("+15550100002", "hi")
    await emulator.idle()
    assert codes(emulator) == [11243]
    assert customer.asked == []


async def test_the_fallback_is_asked_and_told_why(emulator: Emulator, customer: Customer) -> None:
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/in", sms_fallback_url=f"{customer.url}/fallback")
    customer.answers["/in"] = lambda _: Response(status_code=500)
    customer.answers["/fallback"] = lambda _: say("from the fallback")
    emulator.handset(CUSTOMER).text("+15550100002", "hi")
    await emulator.idle()
    [first], [second] = customer.at("/in"), customer.at("/fallback")
    assert second.form == first.form | {"ErrorCode": "11200", "ErrorUrl": f"{customer.url}/in"}
    assert [r.body for r in emulator.handset(CUSTOMER).inbox] == ["from the fallback"]


async def test_nobody_listens(emulator: Emulator, customer: Customer) -> None:
    with listen("127.0.0.1", 0) as reserved:
        # Bound but not listening: a connection is refused.
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/in"
        emulator.add_number("+15550100002", sms_url=url, sms_fallback_url=f"{customer.url}/fallback")
        emulator.handset(CUSTOMER).text("+15550100002", "hi")
        await emulator.idle()
    assert codes(emulator) == [11205]
    assert [a.form["ErrorCode"] for a in customer.at("/fallback")] == ["11205"]


@pytest.mark.parametrize("silence", [stay_silent, sever])
async def test_a_server_that_does_not_answer(emulator: Emulator, customer: Customer, silence: ASGIApp) -> None:
    url = f"{customer.url}/silent#rt=100&tt=100&rc=1&rp=rt"
    emulator.add_number("+15550100002", sms_url=url, sms_fallback_url=f"{customer.url}/fallback")
    customer.answers["/silent"] = lambda _: silence
    emulator.handset(CUSTOMER).text("+15550100002", "hi")
    await emulator.idle()
    assert (len(customer.at("/silent")), len(customer.at("/fallback"))) == (2, 1)
    assert codes(emulator) == [11200]


async def test_a_service_decides_whose_webhook_is_asked(emulator: Emulator, customer: Customer) -> None:
    mine = emulator.add_service("mine", inbound_request_url=f"{customer.url}/service")
    numbers = emulator.add_service("numbers", use_inbound_webhook_on_number=True)
    emulator.add_number("+15550100002", sms_url=f"{customer.url}/number", service=mine.sid)
    emulator.add_number("+15550100003", sms_url=f"{customer.url}/number", service=numbers.sid)
    emulator.handset(CUSTOMER).text("+15550100002", "to the service")
    emulator.handset(CUSTOMER).text("+15550100003", "to the number")
    await emulator.idle()
    assert {(a.path, a.form["Body"], a.form["MessagingServiceSid"]) for a in customer.asked} == {
        ("/service", "to the service", mine.sid),
        ("/number", "to the number", numbers.sid),
    }


async def test_unknown_lines_and_impossible_texts(emulator: Emulator) -> None:
    with pytest.raises(NotFound):
        emulator.handset(CUSTOMER).text("+15550100777", "hi")
    with pytest.raises(Invalid):
        emulator.handset("US.1234").text(OURS, "hi")


# --- outbound ---------------------------------------------------------------------------------------------------


async def test_status_callbacks(emulator: Emulator, customer: Customer, api: httpx2.AsyncClient) -> None:
    sid = (await create(api, emulator, StatusCallback=f"{customer.url}/status")).json()["sid"]
    await emulator.idle()
    assert sorted(a.form["MessageStatus"] for a in customer.asked) == ["delivered", "sending", "sent"]
    delivered = next(a.form for a in customer.asked if a.form["MessageStatus"] == "delivered")
    assert delivered.pop("RawDlrDoneDate").isdigit()
    assert delivered == {
        "AccountSid": emulator.account_sid,
        "ApiVersion": "2010-04-01",
        "From": OURS,
        "MessageSid": sid,
        "MessageStatus": "delivered",
        "SmsSid": sid,
        "SmsStatus": "delivered",
        "To": CUSTOMER,
    }


async def test_a_services_status_callback_gives_way_to_the_messages_own(
    emulator: Emulator, customer: Customer, api: httpx2.AsyncClient
) -> None:
    service = emulator.add_service("s", status_callback=f"{customer.url}/service")
    emulator.add_number("+15550100002", service=service.sid)
    form = {"From": "", "MessagingServiceSid": service.sid}
    await create(api, emulator, **form)
    await create(api, emulator, **form, StatusCallback=f"{customer.url}/own")
    await emulator.idle()
    assert sorted(a.form["MessageStatus"] for a in customer.at("/service")) == [
        "delivered",
        "queued",
        "sending",
        "sent",
    ]
    assert len(customer.at("/own")) == 4


async def test_undelivered(emulator: Emulator, customer: Customer, api: httpx2.AsyncClient) -> None:
    emulator.fault("undeliver", next=1, code=30005)
    await create(api, emulator, StatusCallback=f"{customer.url}/status")
    await emulator.idle()
    [failed] = [a.form for a in customer.asked if a.form["MessageStatus"] == "undelivered"]
    assert failed["ErrorCode"] == "30005"
    assert emulator.messages[0].error_code == 30005
    assert emulator.handset(CUSTOMER).inbox == []


async def test_outgoing_media_is_fetched(emulator: Emulator, customer: Customer, api: httpx2.AsyncClient) -> None:
    customer.answers["/a.png"] = lambda _: Response(b"png", media_type="image/png")
    customer.answers["/gone.png"] = lambda _: Response(status_code=404)
    await create(api, emulator, Body="", MediaUrl=f"{customer.url}/a.png")
    await emulator.idle()
    await create(api, emulator, Body="", MediaUrl=f"{customer.url}/gone.png")
    await emulator.idle()
    [received] = emulator.handset(CUSTOMER).inbox
    assert [(m.content_type, m.content) for m in received.media] == [("image/png", b"png")]
    assert [m.status for m in emulator.messages] == ["delivered", "failed"]


async def test_scheduled_messages_leave_on_time(customer: Customer) -> None:
    clock = VirtualClock()
    async with Emulator.serve(seed=1, pace=1, clock=clock) as emulator:
        service = emulator.add_service("s")
        emulator.add_number(OURS, service=service.sid)
        credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
        async with httpx2.AsyncClient(base_url=emulator.url, auth=credentials, trust_env=False) as api:
            at = {"ScheduleType": "fixed", "SendAt": "2025-01-01T01:00:00Z", "MessagingServiceSid": service.sid}
            first = (await create(api, emulator, From="", **at)).json()["sid"]
            second = (await create(api, emulator, From="", **at)).json()["sid"]
            canceled = await api.post(
                f"/2010-04-01/Accounts/{emulator.account_sid}/Messages/{second}.json", data={"Status": "canceled"}
            )
            assert canceled.json()["status"] == "canceled"
            await clock.advance(3590)
            assert {m.sid: m.status for m in emulator.messages} == {first: "scheduled", second: "canceled"}
            await clock.advance(20)
    assert {m.sid: m.status for m in emulator.messages} == {first: "delivered", second: "canceled"}


# --- opt-out ----------------------------------------------------------------------------------------------------


async def test_stop_blocks_until_start(emulator: Emulator, customer: Customer, api: httpx2.AsyncClient) -> None:
    customer.answers["/in"] = lambda _: say("a careless answer")
    phone = emulator.handset(CUSTOMER)
    phone.text(OURS, " stop ")
    await emulator.idle()
    assert "unsubscribed" in (await phone.wait_reply()).body
    assert len(phone.inbox) == 1
    assert codes(emulator) == [21610]
    assert "OptOutType" not in customer.asked[0].form
    refused = await create(api, emulator)
    assert (refused.status_code, refused.json()["code"]) == (400, 21610)

    customer.answers.clear()
    phone.text(OURS, "STOP")
    phone.text(OURS, "HELP")
    phone.text(OURS, "Unstop")
    phone.text(OURS, "yes")
    await emulator.idle()
    assert [r.body[:20] for r in phone.inbox[1:]] == ["Reply STOP to unsubs", "You have successfull"]
    assert (await create(api, emulator)).status_code == 201
    assert len(customer.asked) == 5


async def test_stop_to_one_number_counts_for_its_whole_service(emulator: Emulator, api: httpx2.AsyncClient) -> None:
    service = emulator.add_service("s")
    emulator.add_number("+15550100002", service=service.sid)
    emulator.add_number("+15550100003", service=service.sid)
    emulator.handset(CUSTOMER).text("+15550100002", "stop")
    await emulator.idle()
    assert (await create(api, emulator, From="+15550100003")).json()["code"] == 21610
    assert (await create(api, emulator, From="", MessagingServiceSid=service.sid)).json()["code"] == 21610
    assert (await create(api, emulator)).status_code == 201


async def test_toll_free_knows_fewer_words(emulator: Emulator) -> None:
    emulator.add_number("+18335550100")
    phone = emulator.handset(CUSTOMER)
    phone.text("+18335550100", "HELP")
    phone.text("+18335550100", "QUIT")
    phone.text("+18335550100", "STOP")
    await emulator.idle()
    assert len(phone.inbox) == 1


async def test_advanced_opt_out_tells_and_covers_whatsapp(
    emulator: Emulator, customer: Customer, api: httpx2.AsyncClient
) -> None:
    service = emulator.add_service("s", inbound_request_url=f"{customer.url}/in", advanced_opt_out=True)
    emulator.add_whatsapp_sender("+15550100005", service=service.sid)
    emulator.add_whatsapp_sender("+15550100006", callback_url=f"{customer.url}/in")
    phone = emulator.handset(CUSTOMER)
    phone.text("whatsapp:+15550100005", "stop")
    await emulator.idle()
    phone.text("whatsapp:+15550100006", "stop")
    await emulator.idle()
    assert [a.form.get("OptOutType") for a in customer.asked] == ["STOP", None]
    assert len(phone.inbox) == 1
    to = f"whatsapp:{CUSTOMER}"
    assert (await create(api, emulator, To=to, From="whatsapp:+15550100005")).json()["code"] == 21610
    assert (await create(api, emulator, To=to, From="whatsapp:+15550100006")).status_code == 201


# --- WhatsApp ---------------------------------------------------------------------------------------------------


async def test_whatsapp_fields(emulator: Emulator, customer: Customer, api: httpx2.AsyncClient) -> None:
    emulator.add_whatsapp_sender(OURS, callback_url=f"{customer.url}/wa")
    phone = emulator.handset(CUSTOMER)
    phone.handset.profile_name = "Ana"
    phone.text(OUR_WHATSAPP, "hi")
    await emulator.idle()
    sent = (await create(api, emulator, To=f"whatsapp:{CUSTOMER}", From=OUR_WHATSAPP, Body="press")).json()["sid"]
    await emulator.idle()
    phone.text(OUR_WHATSAPP, button=Button("Yes please", "yes-1"))
    phone.text(OUR_WHATSAPP, media=[("audio/ogg", b"voice")], extra={"Latitude": "1.5", "NewField": "x"})
    emulator.handset("US.1234").text(OUR_WHATSAPP, "numberless")
    await emulator.idle()
    text, *rest = (a.form for a in customer.at("/wa"))
    assert (text["From"], text["WaId"], text["ProfileName"], text["MessageType"]) == (
        f"whatsapp:{CUSTOMER}",
        CUSTOMER[1:],
        "Ana",
        "text",
    )
    assert "FromCity" not in text
    button = next(f for f in rest if f["MessageType"] == "interactive")
    assert (button["Body"], button["ButtonText"], button["ButtonPayload"]) == ("Yes please", "Yes please", "yes-1")
    assert (button["OriginalRepliedMessageSid"], button["OriginalRepliedMessageSender"]) == (sent, OUR_WHATSAPP)
    voice = next(f for f in rest if f["MessageType"] == "audio")
    assert (voice["Body"], voice["NumMedia"], voice["Latitude"], voice["NewField"]) == ("", "1", "1.5", "x")
    numberless = next(f for f in rest if f["Body"] == "numberless")
    assert numberless["ExternalUserId"] == numberless["From"] == "whatsapp:US.1234"
    assert "WaId" not in numberless


async def test_free_text_outside_the_window_fails_and_a_template_does_not(customer: Customer) -> None:
    clock = VirtualClock()
    async with Emulator.serve(seed=1, pace=0, clock=clock) as emulator:
        emulator.add_whatsapp_sender(OURS)
        template = emulator.add_template("Hello {{1}}, order {{order}} {{2}}")
        credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
        async with httpx2.AsyncClient(base_url=emulator.url, auth=credentials, trust_env=False) as api:
            to = {"To": f"whatsapp:{CUSTOMER}", "From": OUR_WHATSAPP, "StatusCallback": f"{customer.url}/status"}
            emulator.handset(CUSTOMER).text(OUR_WHATSAPP, "hi")
            await clock.advance(24 * 3600)
            assert (await create(api, emulator, **to, Body="in time")).status_code == 201
            await emulator.idle()
            await clock.advance(1)
            assert (await create(api, emulator, **to, Body="too late")).status_code == 201
            await emulator.idle()
            form = {"ContentSid": template, "ContentVariables": '{"1": "Ana", "order": "7"}', "Body": ""}
            assert (await create(api, emulator, **to, **form)).status_code == 201
            bad = await create(api, emulator, **to, ContentSid=template, ContentVariables='["x"]')
            assert bad.json()["code"] == 21656
            await emulator.idle()
    outcome = [(m.body, m.status, m.error_code) for m in emulator.messages[1:]]
    assert outcome == [
        ("in time", "read", None),
        ("too late", "failed", 63016),
        ("Hello Ana, order 7 {{2}}", "read", None),
    ]
    [failed] = [a.form for a in customer.asked if a.form["MessageStatus"] == "failed"]
    assert (failed["ErrorCode"], failed["ChannelPrefix"]) == ("63016", "whatsapp")
    assert sum(a.form.get("EventType") == "READ" for a in customer.asked) == 2


# --- media ------------------------------------------------------------------------------------------------------


async def test_media_is_protected_and_lies_at_another_host(
    emulator: Emulator, customer: Customer, api: httpx2.AsyncClient
) -> None:
    emulator.handset(CUSTOMER).text(OURS, media=[("image/jpeg", b"\xff\xd8picture")])
    await emulator.idle()
    [asked] = customer.asked
    assert (asked.form["Body"], asked.form["NumMedia"], asked.form["MediaContentType0"]) == ("", "1", "image/jpeg")
    url = asked.form["MediaUrl0"]
    assert url.startswith(f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}/Messages/MM")
    async with httpx2.AsyncClient(trust_env=False) as stranger:
        assert (await stranger.get(url)).status_code == 401
        redirect = await api.get(url)
        assert redirect.status_code == 307
        there = redirect.headers["location"]
        assert there.startswith("http://localhost:")
        media = await stranger.get(there)
        assert (media.content, media.headers["content-type"]) == (b"\xff\xd8picture", "image/jpeg")
        assert emulator.leaked_credentials == 0
        assert (await stranger.get(there, auth=("x", "y"))).status_code == 400
        assert emulator.leaked_credentials == 1
        assert (await stranger.get(there + "0")).status_code == 403


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "created"), [("create_then_drop", 1), ("drop", 0)])
async def test_a_connection_breaks(emulator: Emulator, api: httpx2.AsyncClient, kind: str, created: int) -> None:
    emulator.fault(kind, next=1)
    with pytest.raises(httpx2.TransportError):
        await create(api, emulator)
    await emulator.idle()
    assert len(emulator.handset(CUSTOMER).inbox) == created
    assert (await create(api, emulator)).status_code == 201


@pytest.mark.parametrize(
    ("kind", "status", "code", "created"),
    [("create_then_500", 500, 20500, 1), ("error_500", 500, 20500, 0), ("rate_limit", 429, 20429, 0)],
)
async def test_an_error_is_answered(
    emulator: Emulator, api: httpx2.AsyncClient, kind: str, status: int, code: int, created: int
) -> None:
    emulator.fault(kind, next=1)
    refused = await create(api, emulator)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    await emulator.idle()
    assert len(emulator.handset(CUSTOMER).inbox) == created


@pytest.mark.parametrize(("kind", "created"), [("create_then_hang", 1), ("hang", 0)])
async def test_no_answer_ever_comes(emulator: Emulator, api: httpx2.AsyncClient, kind: str, created: int) -> None:
    emulator.fault(kind, next=1)
    with pytest.raises(httpx2.ReadTimeout):
        await api.post(
            f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json",
            data={"To": CUSTOMER, "From": OURS, "Body": "x"},
            timeout=0.05,
        )
    await emulator.idle()
    assert len(emulator.messages) == created


async def test_faults_spare_other_requests_unless_told(emulator: Emulator, api: httpx2.AsyncClient) -> None:
    path = f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
    emulator.fault("rate_limit", next=1)
    assert (await api.get(path)).status_code == 200
    emulator.clear_faults()
    emulator.fault("rate_limit", next=1, any_request=True)
    assert (await api.get(path)).status_code == 429


async def test_a_refused_message_uses_up_no_fault(emulator: Emulator, api: httpx2.AsyncClient) -> None:
    emulator.fault("create_then_500", next=1)
    assert (await create(api, emulator, To="")).json()["code"] == 21604
    assert (await create(api, emulator)).status_code == 500


async def test_probabilities_repeat_with_the_seed() -> None:
    async def run() -> list[int]:
        async with Emulator.serve(seed=7, pace=0) as emulator:
            emulator.add_number(OURS)
            emulator.fault("error_500", probability=0.5)
            credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
            async with httpx2.AsyncClient(base_url=emulator.url, auth=credentials, trust_env=False) as api:
                return [(await create(api, emulator)).status_code for _ in range(12)]

    first = await run()
    assert set(first) == {201, 500}
    assert await run() == first


async def test_webhooks_are_duplicated_lost_and_delayed(customer: Customer) -> None:
    clock = VirtualClock()
    async with Emulator.serve(seed=3, pace=0, clock=clock) as emulator:
        emulator.add_number(OURS, sms_url=f"{customer.url}/in")
        phone = emulator.handset(CUSTOMER)
        emulator.fault("duplicate_webhook", next=1, copies=5)
        phone.text(OURS, "five times")
        await emulator.idle()
        assert len({a.form["MessageSid"] for a in customer.asked}) == 1
        tokens = [a.headers.get("i-twilio-idempotency-token") for a in customer.asked]
        assert len(tokens) == 5
        assert len(set(tokens)) == 2
        assert None in tokens

        emulator.fault("lose_webhook", next=1)
        phone.text(OURS, "lost")
        await emulator.idle()
        assert len(customer.asked) == 5
        assert [m.body for m in emulator.messages] == ["five times", "lost"]

        emulator.fault("delay_webhook", next=1, seconds=60)
        phone.text(OURS, "late")
        await clock.advance(59)
        assert len(customer.asked) == 5
        await clock.advance(1)
        await emulator.idle()
        assert customer.asked[-1].form["Body"] == "late"


async def test_status_callbacks_are_shuffled_repeated_and_lost(
    emulator: Emulator, customer: Customer, api: httpx2.AsyncClient
) -> None:
    to = {"StatusCallback": f"{customer.url}/status"}
    emulator.fault("shuffle_status")
    emulator.fault("duplicate_status", copies=3)
    await create(api, emulator, **to)
    await emulator.idle()
    statuses = [a.form["MessageStatus"] for a in customer.asked]
    assert sorted(statuses) == sorted(["sending", "sent", "delivered"] * 3)
    assert statuses != sorted(statuses, key=["sending", "sent", "delivered"].index)
    emulator.clear_faults()
    customer.asked.clear()
    emulator.fault("lose_status", next=2)
    await create(api, emulator, **to)
    await emulator.idle()
    assert [a.form["MessageStatus"] for a in customer.asked] == ["delivered"]


# --- the box from outside ---------------------------------------------------------------------------------------


async def test_phones_faults_and_state_over_http(emulator: Emulator, customer: Customer) -> None:
    customer.answers["/in"] = lambda _: say("hello yourself")
    async with httpx2.AsyncClient(base_url=f"{emulator.url}/_emulator", trust_env=False) as box:
        sent = await box.post(f"/handsets/{CUSTOMER}/texts", json={"to": OURS, "body": "hello"})
        assert sent.status_code == 201
        await emulator.idle()
        picture: dict[str, Any] = {"to": OURS, "media": [{"content_type": "image/png", "content": "cG5n"}]}
        assert (await box.post(f"/handsets/{CUSTOMER}/texts", json=picture)).json()["num_media"] == "1"
        await emulator.idle()
        inbox = (await box.get(f"/handsets/{CUSTOMER}/inbox")).json()
        assert [m["body"] for m in inbox["messages"]] == ["hello yourself"] * 2

        state = (await box.get("/state")).json()
        assert [m["direction"] for m in state["messages"]].count("inbound") == 2
        assert state["problems"] == (await box.get("/problems")).json()["problems"] == []
        assert emulator.auth_token.get_secret_value() not in str(state)

        faults = {"faults": [{"kind": "drop", "next": 2}, {"kind": "hang", "probability": 0.5}]}
        assert (await box.post("/faults", json=faults)).status_code == 201
        assert [f["kind"] for f in (await box.get("/faults")).json()["faults"]] == ["drop", "hang"]
        assert (await box.post("/faults", json={"faults": [{"kind": "fire"}]})).status_code == 422
        assert (await box.post("/faults", content=b"{")).status_code == 400
        assert (await box.post(f"/handsets/{CUSTOMER}/texts", json={"to": "+1555"})).status_code == 404
        assert (await box.delete("/faults")).json() == {"faults": []}

        assert (await box.post("/reset")).status_code == 200
        state = (await box.get("/state")).json()
        assert (state["messages"], state["handsets"]) == ([], {})
        assert [n["phone_number"] for n in state["numbers"]] == [OURS]


async def test_events_are_waited_for(emulator: Emulator, customer: Customer) -> None:
    async with httpx2.AsyncClient(base_url=f"{emulator.url}/_emulator", trust_env=False) as box:
        nothing = (await box.get("/events")).json()
        assert nothing == {"events": [], "last": 0}
        emulator.handset(CUSTOMER).text(OURS, "hello")
        first = (await box.get("/events", params={"after": 0, "wait": 10})).json()
        assert (first["events"][0]["kind"], first["events"][0]["data"]["body"]) == ("text", "hello")
        await emulator.idle()
        rest = (await box.get("/events", params={"after": 1, "wait": 10})).json()
        assert [(e["kind"], e["data"]["status"]) for e in rest["events"]] == [("webhook", 200)]
        assert rest["last"] == 2
        assert (await box.get("/events", params={"after": "x"})).status_code == 422


async def test_a_taken_port_and_the_callers_own_exception() -> None:
    async with Emulator.serve() as emulator:
        port = int(emulator.url.rpartition(":")[2])
        with pytest.raises(Misconfigured, match=str(port)):
            async with Emulator.serve(port=port):
                pass
    with pytest.raises(LookupError):
        async with Emulator.serve():
            raise LookupError


async def test_two_boxes_share_no_sids() -> None:
    async with Emulator.serve() as one, Emulator.serve() as other:
        assert one.account_sid != other.account_sid
        assert one.auth_token != other.auth_token


async def test_the_end_breaks_what_still_waits() -> None:
    ended: list[str] = []

    async def wait(url: str, path: str, credentials: tuple[str, str]) -> None:
        async with httpx2.AsyncClient(base_url=url, auth=credentials, trust_env=False, timeout=None) as client:
            try:
                await client.get(path)
            except httpx2.TransportError:
                pass
            ended.append(path)

    async with anyio.create_task_group() as tasks, Emulator.serve() as emulator:
        emulator.fault("hang", next=1, any_request=True)
        credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
        silent = f"/2010-04-01/Accounts/{emulator.account_sid}/Messages.json"
        tasks.start_soon(wait, emulator.url, silent, credentials)
        async with httpx2.AsyncClient(base_url=emulator.url, trust_env=False) as box:
            while (await box.get("/_emulator/faults")).json()["faults"]:
                pass
        polling = "/_emulator/events?wait=60"
        tasks.start_soon(wait, emulator.url, polling, credentials)
        await settle()
    assert sorted(ended) == sorted([silent, polling])
