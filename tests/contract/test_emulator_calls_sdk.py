"""The official Twilio SDK, pointed at the emulator: calls, their recordings, conferences and participants."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.listener import listen, serve_http
from hookflash.emulator.person import At, Callee, HangUp, Script, Sound, Then
from hookflash.emulator.server import Emulator

# Field names of the answers, from Twilio's OpenAPI files (github.com/twilio/twilio-oai 2.6.7, MIT).
CALL = {
    *("sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted", "from"),
    *("from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration", "price", "price_unit"),
    *("direction", "answered_by", "api_version", "forwarded_from", "group_sid", "caller_name", "queue_time"),
    *("trunk_sid", "uri", "subresource_uris"),
}
RECORDING = {
    *("account_sid", "api_version", "call_sid", "conference_sid", "date_created", "date_updated", "start_time"),
    *("duration", "sid", "price", "uri", "encryption_details", "price_unit", "status", "channels", "source"),
    *("error_code", "track"),
}
CONFERENCE = {
    *("account_sid", "date_created", "date_updated", "api_version", "friendly_name", "region", "sid", "status", "uri"),
    *("subresource_uris", "reason_conference_ended", "call_sid_ending_conference"),
}
PARTICIPANT = {
    *("account_sid", "call_sid", "label", "call_sid_to_coach", "coaching", "conference_sid", "date_created"),
    *("date_updated", "end_conference_on_exit", "muted", "hold", "start_conference_on_enter", "status", "queue_time"),
    "uri",
}
OURS, PERSON, COLLEAGUE = "+15550100001", "+15550199001", "+15550177001"
WAIT = "<Response><Pause length='60'/></Response>"
TONE = b"\x10\x90" * 80


@dataclass
class Customer:
    """The customer's server: TwiML by path, 204 for everything else."""

    url: str = ""
    hooks: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    twiml: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        path = request.url.path
        self.hooks.append((path, str(request.url), form, request.headers["x-twilio-signature"]))
        if path not in self.twiml:
            return Response(status_code=204)
        return Response(f"<Response>{self.twiml[path]}</Response>", media_type="text/xml")

    def at(self, path: str) -> list[dict[str, str]]:
        return [form for asked, _, form, _ in self.hooks if asked == path]


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = Starlette(routes=[Route("/{path:path}", customer.answer, methods=["GET", "POST"])])
    with listen("127.0.0.1", 0) as listener:
        customer.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serve_http(app, listener):
            yield customer


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
    def __init__(self, emulator: Emulator) -> None:
        self.transport = RedirectedClient(emulator.url)
        token = emulator.auth_token.get_secret_value()
        self.client = Client(emulator.account_sid, token, http_client=self.transport)  # type: ignore[no-untyped-call]

    async def do(self, work: Callable[[Any], Any]) -> Any:
        """Run a call of the blocking SDK next to the emulator's loop."""
        return await to_thread.run_sync(work, self.client)

    async def refused(self, work: Callable[[Any], Any]) -> tuple[int, int | None]:
        """The HTTP status and Twilio's code of a call that must fail."""
        with pytest.raises(TwilioRestException) as caught:
            await self.do(work)
        return caught.value.status, caught.value.code


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator.serve(seed=1, pace=0, talk_rate=300) as emulator:
        emulator.add_number(OURS)
        yield emulator


@pytest.fixture
def sdk(emulator: Emulator) -> Sdk:
    return Sdk(emulator)


def detect(client: Any, **asked: Any) -> Any:
    return client.calls.create(to=PERSON, from_=OURS, **asked)


async def answered(emulator: Emulator, sid: str) -> CallHandle:
    """The live call, in progress."""
    handle = emulator.call_handle(sid)
    assert handle
    await handle.record.until(lambda record: any(e.data["status"] == "in-progress" for e in record.of("status")))
    return handle


async def test_a_call_is_created_followed_and_reported(emulator: Emulator, sdk: Sdk, customer: Customer) -> None:
    customer.twiml["/answered"] = "<Say>Your order is ready</Say>"
    events = ["initiated", "ringing", "answered", "completed"]
    made = await sdk.do(
        lambda c: c.calls.create(
            to=PERSON,
            from_=OURS,
            url=f"{customer.url}/answered",
            status_callback=f"{customer.url}/status",
            status_callback_event=events,
        )
    )
    assert set(sdk.transport.last) >= CALL
    shown = sdk.transport.last
    assert (made.status, made.direction, made.to, shown["from"]) == ("queued", "outbound-api", PERSON, OURS)
    await emulator.idle()
    got = await sdk.do(lambda c: c.calls(made.sid).fetch())
    assert (got.status, got.duration) == ("completed", "0")
    assert got.start_time is not None
    [asked] = customer.at("/answered")
    assert (asked["CallStatus"], asked["Direction"], asked["To"]) == ("in-progress", "outbound-api", PERSON)
    told = sorted(customer.at("/status"), key=lambda form: int(form["SequenceNumber"]))
    assert [form["SequenceNumber"] for form in told] == ["0", "1", "2", "3"]
    assert [form["CallStatus"] for form in told] == ["initiated", "ringing", "in-progress", "completed"]
    assert "CallDuration" in told[-1]
    assert "CallDuration" not in told[-2]
    validator: Any = RequestValidator
    for _, url, form, signature in customer.hooks:
        assert validator(emulator.auth_token.get_secret_value()).validate(url, form, signature)
    assert [c.sid for c in await sdk.do(lambda c: c.calls.list(to=PERSON, status="completed"))] == [made.sid]
    assert await sdk.do(lambda c: c.calls.list(to=COLLEAGUE)) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"to": ""}, 21201),
        ({"to": "nobody"}, 21211),
        ({"from_": ""}, 21213),
        ({"from_": "+15550100099"}, 21210),
        ({"twiml": ""}, 21205),
        ({"url": "nowhere"}, 21205),
        ({"twiml": "<Say>"}, 12100),
        ({"timeout": 601}, 20001),
        ({"machine_detection": "Maybe"}, 20001),
    ],
)
async def test_calls_are_refused_with_twilios_codes(sdk: Sdk, asked: dict[str, Any], code: int) -> None:
    wanted = {"to": PERSON, "from_": OURS, "twiml": WAIT} | asked
    assert await sdk.refused(lambda c: c.calls.create(**wanted)) == (400, code)


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_a_call_that_is_not_answered_says_so(emulator: Emulator, sdk: Sdk, outcome: Any) -> None:
    emulator.handset(PERSON).answer_calls(Callee(outcome))
    made = await sdk.do(lambda c: c.calls.create(to=PERSON, from_=OURS, twiml=WAIT))
    await emulator.idle()
    assert (await sdk.do(lambda c: c.calls(made.sid).fetch())).status == outcome


async def test_a_live_call_is_redirected_and_ended(emulator: Emulator, sdk: Sdk, customer: Customer) -> None:
    customer.twiml["/elsewhere"] = "<Say>Elsewhere</Say><Pause length='60'/>"
    made = await sdk.do(lambda c: c.calls.create(to=PERSON, from_=OURS, twiml=WAIT))
    handle = await answered(emulator, made.sid)
    assert await sdk.refused(lambda c: c.calls(made.sid).update(status="canceled")) == (400, 21220)
    assert await sdk.refused(lambda c: c.calls(made.sid).update(url="nowhere")) == (400, 21205)
    await sdk.do(lambda c: c.calls(made.sid).update(url=f"{customer.url}/elsewhere"))
    await handle.record.until(lambda record: record.said == ["Elsewhere"])
    ended = await sdk.do(lambda c: c.calls(made.sid).update(status="completed"))
    assert ended.status == "completed"
    await emulator.idle()
    assert await sdk.refused(lambda c: c.calls(made.sid).update(status="completed")) == (400, 21220)
    assert await sdk.refused(lambda c: c.calls("CA" + "0" * 32).update(status="completed")) == (404, 20404)
    assert await sdk.refused(lambda c: c.calls("CA" + "0" * 32).fetch()) == (404, 20404)
    assert await sdk.do(lambda c: c.calls(made.sid).delete())
    assert await sdk.do(lambda c: c.calls.list()) == []


async def test_a_call_that_still_rings_can_be_canceled(emulator: Emulator, sdk: Sdk) -> None:
    emulator.handset(PERSON).answer_calls(Callee(rings=30))
    made = await sdk.do(lambda c: c.calls.create(to=PERSON, from_=OURS, twiml=WAIT))
    assert (await sdk.do(lambda c: c.calls(made.sid).update(status="canceled"))).status == "canceled"
    await emulator.idle()
    assert (await sdk.do(lambda c: c.calls(made.sid).fetch())).status == "canceled"


async def test_a_machine_is_detected_before_the_twiml_or_beside_it(
    emulator: Emulator, sdk: Sdk, customer: Customer
) -> None:
    customer.twiml["/answered"] = "<Pause length='0.3'/>"
    emulator.handset(PERSON).answer_calls(Callee(answered_by="machine_end_beep", detection=0.1))
    url = f"{customer.url}/answered"
    for mode, verdict in (("Enable", "machine_start"), ("DetectMessageEnd", "machine_end_beep")):
        made = await sdk.do(partial(detect, url=url, machine_detection=mode))
        await emulator.idle()
        assert customer.at("/answered")[-1]["AnsweredBy"] == verdict
        assert emulator.calls[-1].sid == made.sid
        assert emulator.calls[-1].answered_by == verdict
    made = await sdk.do(
        lambda c: c.calls.create(
            to=PERSON,
            from_=OURS,
            url=url,
            machine_detection="DetectMessageEnd",
            async_amd="true",
            async_amd_status_callback=f"{customer.url}/amd",
        )
    )
    await emulator.idle()
    assert "AnsweredBy" not in customer.at("/answered")[-1]
    assert customer.at("/amd") == [
        {
            "AccountSid": emulator.account_sid,
            "CallSid": made.sid,
            "AnsweredBy": "machine_end_beep",
            "MachineDetectionDuration": "100",
        }
    ]


async def test_a_recording_is_started_paused_and_finished(emulator: Emulator, sdk: Sdk, customer: Customer) -> None:
    emulator.handset(PERSON).answer_calls(Callee(script=Script((Sound(TONE * 100, when=At(0)),))))
    made = await sdk.do(lambda c: c.calls.create(to=PERSON, from_=OURS, twiml=WAIT))
    await answered(emulator, made.sid)
    recording = await sdk.do(
        lambda c: c.calls(made.sid).recordings.create(
            recording_channels="dual",
            recording_status_callback=f"{customer.url}/recorded",
            recording_status_callback_event=["in-progress", "completed"],
        )
    )
    assert set(sdk.transport.last) == RECORDING
    assert (recording.status, recording.channels, recording.source) == ("in-progress", 2, "StartCallRecordingAPI")
    current = await sdk.do(
        lambda c: c.calls(made.sid).recordings("Twilio.CURRENT").update(status="paused", pause_behavior="skip")
    )
    assert (current.sid, current.status) == (recording.sid, "paused")
    resumed = await sdk.do(lambda c: c.calls(made.sid).recordings(recording.sid).update(status="in-progress"))
    assert resumed.status == "in-progress"
    await sdk.do(lambda c: c.calls(made.sid).update(status="completed"))
    await emulator.idle()
    told = customer.at("/recorded")
    assert sorted(form["RecordingStatus"] for form in told) == ["completed", "in-progress"]
    assert {form["RecordingSid"] for form in told} == {recording.sid}
    assert (await sdk.do(lambda c: c.calls(made.sid).recordings.list()))[0].status == "completed"
    assert await sdk.refused(lambda c: c.calls(made.sid).recordings(recording.sid).update(status="stopped")) == (
        400,
        21220,
    )
    session = sdk.transport.session
    assert session is not None
    token = emulator.auth_token.get_secret_value()
    sound = await to_thread.run_sync(lambda: session.get(told[0]["RecordingUrl"], auth=(emulator.account_sid, token)))
    assert sound.content[:4] == b"RIFF"


async def test_a_caller_is_handed_to_a_colleague_in_a_conference(
    emulator: Emulator, sdk: Sdk, customer: Customer
) -> None:
    customer.twiml["/voice"] = "<Say>Hello</Say><Pause length='60'/>"
    customer.twiml["/hold"] = "<Say>One moment</Say>"
    customer.twiml["/summary"] = "<Say>It is about a refund</Say>"
    emulator.add_number("+15550100002", voice_url=f"{customer.url}/voice")
    caller = emulator.handset(PERSON).call("+15550100002")
    await answered(emulator, caller.sid)
    room = (
        "<Response><Dial><Conference endConferenceOnExit='true' statusCallbackEvent='start end join leave' "
        f"statusCallback='{customer.url}/room'>help-1</Conference></Dial></Response>"
    )
    await sdk.do(lambda c: c.calls(caller.sid).update(twiml=room))
    await caller.record.until(lambda record: bool(record.of("conference")))
    [conference] = await sdk.do(lambda c: c.conferences.list(friendly_name="help-1"))
    assert set(sdk.transport.last["conferences"][0]) == CONFERENCE
    assert conference.status == "in-progress"

    held = await sdk.do(
        lambda c: (
            c.conferences(conference.sid).participants(caller.sid).update(hold=True, hold_url=f"{customer.url}/hold")
        )
    )
    assert (held.hold, held.status) == (True, "connected")
    added = await sdk.do(
        lambda c: c.conferences("help-1").participants.create(from_=OURS, to=COLLEAGUE, label="colleague")
    )
    assert set(sdk.transport.last) == PARTICIPANT
    colleague = await answered(emulator, added.call_sid)
    await colleague.record.until(lambda record: bool(record.of("conference")))
    people = await sdk.do(lambda c: c.conferences(conference.sid).participants.list())
    assert {p.call_sid for p in people} == {caller.sid, added.call_sid}
    await sdk.do(
        lambda c: c.conferences(conference.sid).participants("colleague").update(announce_url=f"{customer.url}/summary")
    )
    await sdk.do(lambda c: c.conferences(conference.sid).participants(caller.sid).update(hold=False))
    await colleague.record.until(lambda record: record.said == ["It is about a refund"])
    await colleague.act(Sound(TONE * 5, when=Then(0)), HangUp(Then(0.2)))
    await colleague.ended()
    assert caller.record.said == ["Hello", "One moment"]
    assert TONE in b"".join(bytes(audio) for _, audio in caller.record.ear.heard.pieces)
    caller.hang_up()
    await emulator.idle()
    over = await sdk.do(lambda c: c.conferences(conference.sid).fetch())
    assert (over.status, over.reason_conference_ended) == ("completed", "participant-with-end-conference-on-exit-left")
    told = sorted(customer.at("/room"), key=lambda form: int(form["SequenceNumber"]))
    assert [form["StatusCallbackEvent"] for form in told] == [
        "conference-start",
        "participant-join",
        "participant-join",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ]
    assert await sdk.refused(lambda c: c.conferences(conference.sid).update(status="completed")) == (400, 21220)


async def test_a_call_is_created_although_the_answer_is_lost(emulator: Emulator, sdk: Sdk) -> None:
    emulator.fault("create_then_500", next=1)
    assert await sdk.refused(lambda c: c.calls.create(to=PERSON, from_=OURS, twiml="<Response/>")) == (500, 20500)
    await emulator.idle()
    assert [call.status for call in emulator.calls] == ["completed"]


async def test_a_number_learns_where_its_calls_go(sdk: Sdk, customer: Customer) -> None:
    [number] = await sdk.do(lambda c: c.incoming_phone_numbers.list(phone_number=OURS))
    changed = await sdk.do(
        lambda c: c.incoming_phone_numbers(number.sid).update(
            voice_url=f"{customer.url}/voice", voice_fallback_url=f"{customer.url}/fallback"
        )
    )
    assert (changed.voice_url, changed.voice_fallback_url) == (f"{customer.url}/voice", f"{customer.url}/fallback")
