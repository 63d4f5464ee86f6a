"""The emulator's calls over real sockets: webhooks, Media Streams, ConversationRelay, Gather, Dial, Enqueue, AMD."""

import itertools
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as Upgrade
from websockets.http11 import Response as Refused

from hookflash.base.errors import Invalid, Misconfigured, NotFound
from hookflash.base.secret import Secret
from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.cloud import SharedKey
from hookflash.emulator.impairments import Impairments
from hookflash.emulator.listener import listen, serve_http
from hookflash.emulator.person import AfterBot, At, Callee, HangUp, OverBot, Press, Say, Script, Sound, Then
from hookflash.emulator.server import Emulator
from hookflash.emulator.sound import SILENCE, read_wav
from hookflash.testing.clock import VirtualClock
from tests.doors.voices import tone_program

OURS, PERSON, COLLEAGUE = "+15550100001", "+15550199001", "+15550177001"
TONE = b"\x10\x90" * 80  # one loud frame


@dataclass(frozen=True)
class Hook:
    path: str
    url: str
    form: dict[str, str]
    signature: str


@dataclass
class Customer:
    """The customer's server: keeps the webhooks, answers with the TwiML of their path (the last one repeats)."""

    url: str = ""
    hooks: list[Hook] = field(default_factory=list)
    twiml: dict[str, list[str]] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        path = request.url.path
        self.hooks.append(Hook(path, str(request.url), form, request.headers["x-twilio-signature"]))
        said = self.twiml.get(path)
        if said is None:
            return Response("", 404) if path == "/missing" else Response(status_code=204)
        return Response(f"<Response>{said.pop(0) if len(said) > 1 else said[0]}</Response>", media_type="text/xml")

    def at(self, path: str) -> list[dict[str, str]]:
        return [hook.form for hook in self.hooks if hook.path == path]


@dataclass
class Bot:
    """A server of WebSockets: `behave` is told of every message as it comes; all of them are kept."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    upgrades: list[Upgrade] = field(default_factory=list)
    behave: Callable[["Bot", ServerConnection, dict[str, Any]], Awaitable[None]] | None = None
    refuses: bool = False
    close_code: int | None = None

    async def handle(self, socket: ServerConnection) -> None:
        try:
            async for raw in socket:
                message = msgspec.json.decode(raw)
                self.got.append(message)
                if self.behave:
                    await self.behave(self, socket, message)
        except ConnectionClosed:
            pass
        self.close_code = socket.close_code

    def admit(self, socket: ServerConnection, request: Upgrade) -> Refused | None:
        self.upgrades.append(request)
        return socket.respond(403, "no\n") if self.refuses else None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.got if kind in (m.get("event"), m.get("type"))]

    @property
    def stream_sid(self) -> str:
        return str(self.of("start")[0]["streamSid"])

    async def play(self, socket: ServerConnection, frames: int, *, mark: str = "") -> None:
        payload = b64encode(TONE * frames).decode()
        await tell(socket, event="media", streamSid=self.stream_sid, media={"payload": payload})
        if mark:
            await tell(socket, event="mark", streamSid=self.stream_sid, mark={"name": mark})


async def tell(socket: ServerConnection, **message: Any) -> None:
    await socket.send(msgspec.json.encode(message), text=True)


@pytest.fixture
async def customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = Starlette(routes=[Route("/{path:path}", customer.answer, methods=["GET", "POST"])])
    with listen("127.0.0.1", 0) as listener:
        customer.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with serve_http(app, listener):
            yield customer


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    bot = Bot()
    async with serve(bot.handle, "127.0.0.1", 0, process_request=bot.admit, compression=None) as server:
        bot.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield bot


@pytest.fixture
async def emulator(customer: Customer) -> AsyncIterator[Emulator]:
    async with box(customer) as emulator:
        yield emulator


@asynccontextmanager
async def box(customer: Customer, **options: Any) -> AsyncIterator[Emulator]:
    async with Emulator.serve(seed=1, pace=0, talk_rate=300, **options) as emulator:
        emulator.add_number(OURS, voice_url=f"{customer.url}/voice", status_callback=f"{customer.url}/status")
        yield emulator


@pytest.fixture
async def api(emulator: Emulator) -> AsyncIterator[httpx2.AsyncClient]:
    credentials = (emulator.account_sid, emulator.auth_token.get_secret_value())
    base = f"{emulator.url}/2010-04-01/Accounts/{emulator.account_sid}"
    async with httpx2.AsyncClient(base_url=base, auth=credentials, trust_env=False) as client:
        yield client


def call(emulator: Emulator, *acts: Any, **impairments: Any) -> CallHandle:
    return emulator.handset(PERSON).call(OURS, Script(acts, Impairments(**impairments)))


def codes(emulator: Emulator) -> list[int]:
    return [problem.code for problem in emulator.problems]


async def over(emulator: Emulator, handle: CallHandle) -> None:
    await handle.ended()
    await emulator.idle()


# --- webhooks and verbs -------------------------------------------------------------------------------------------


async def test_a_call_is_reported_with_twilios_fields_signed_and_its_end_too(
    emulator: Emulator, customer: Customer
) -> None:
    customer.twiml["/voice"] = ["<Say>Hello there</Say><Pause length='0'/><Play digits='1'/><Hangup/><Say>never</Say>"]
    handle = emulator.handset(PERSON).call(OURS, extra={"StirVerstat": "TN-Validation-Passed-A"})
    await over(emulator, handle)
    [asked], [ended] = customer.at("/voice"), customer.at("/status")
    country = {f"{end}{part}": "" for end in ("From", "Caller", "To", "Called") for part in ("City", "State", "Zip")}
    assert asked == country | {
        "AccountSid": emulator.account_sid,
        "ApiVersion": "2010-04-01",
        "CallSid": handle.sid,
        "CallStatus": "ringing",
        "Called": OURS,
        "CalledCountry": "",
        "Caller": PERSON,
        "CallerCountry": "",
        "Direction": "inbound",
        "From": PERSON,
        "FromCountry": "",
        "StirVerstat": "TN-Validation-Passed-A",
        "To": OURS,
        "ToCountry": "",
    }
    assert (ended["CallStatus"], ended["CallbackSource"], ended["SequenceNumber"]) == (
        "completed",
        "call-progress-events",
        "0",
    )
    assert {"CallDuration", "Duration", "Timestamp"} <= set(ended)
    validator: Any = RequestValidator
    for hook in customer.hooks:
        assert validator(emulator.auth_token.get_secret_value()).validate(hook.url, hook.form, hook.signature)
    assert handle.record.said == ["Hello there"]
    assert handle.status == "completed"
    assert codes(emulator) == []


async def test_the_fallback_is_asked_and_without_one_the_caller_hears_an_apology(
    emulator: Emulator, customer: Customer
) -> None:
    second = "+15550100002"
    emulator.add_number(second, voice_url=f"{customer.url}/missing", voice_fallback_url=f"{customer.url}/fallback")
    customer.twiml["/fallback"] = ["<Say>Still here</Say>"]
    saved = emulator.handset(PERSON).call(second)
    await over(emulator, saved)
    assert saved.record.said == ["Still here"]
    [asked] = customer.at("/fallback")
    assert (asked["ErrorCode"], asked["ErrorUrl"]) == ("11200", f"{customer.url}/missing")
    customer.twiml["/voice"] = ["<Say>"]
    lost = call(emulator)
    await over(emulator, lost)
    assert lost.record.said == ["We are sorry, an application error has occurred. Goodbye."]
    assert codes(emulator) == [11200, 12100]


async def test_what_is_not_valid_is_warned_of_and_left_out(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = [
        "<Sing>la</Sing><Say mood='x'>one</Say><Record/><Redirect>other</Redirect><Say>no</Say>"
    ]
    customer.twiml["/other"] = ["<Say>two</Say>"]
    handle = call(emulator)
    await over(emulator, handle)
    assert handle.record.said == ["one", "two"]
    assert [p.message for p in emulator.problems] == [
        "Response knows no element Sing",
        "Say knows no attribute mood",
    ]
    assert codes(emulator) == [12200, 12200]
    assert [e.data["name"] for e in handle.record.of("skipped")] == ["Record"]


async def test_a_circle_of_redirects_ends(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = ["<Redirect>/voice</Redirect>"]
    await over(emulator, call(emulator))
    assert codes(emulator) == [11215]


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_a_call_is_rejected_unanswered(emulator: Emulator, customer: Customer, reason: str, status: str) -> None:
    customer.twiml["/voice"] = [f'<Reject reason="{reason}"/>']
    handle = call(emulator)
    await over(emulator, handle)
    assert handle.status == status
    assert handle.call.started is None
    assert customer.at("/status")[0]["CallStatus"] == status


async def test_only_numbers_that_answer_calls_can_be_called(emulator: Emulator) -> None:
    with pytest.raises(NotFound):
        emulator.handset(PERSON).call("+15550100009")
    emulator.add_number("+15550100009")
    with pytest.raises(Invalid):
        emulator.handset(PERSON).call("+15550100009")


# --- Gather -------------------------------------------------------------------------------------------------------


async def test_speech_is_gathered_with_partial_results(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = [
        (
            f'<Gather input="speech dtmf" action="heard" speechTimeout="0.1" partialResultCallback="{customer.url}/partial">'
            "<Say>What would you like to know today?</Say></Gather><Say>never</Say>"
        )
    ]
    customer.twiml["/heard"] = ["<Say>Fine</Say>"]
    handle = call(emulator, Say("when do you close on a Sunday evening", AfterBot(0.02)))
    await over(emulator, handle)
    [heard] = customer.at("/heard")
    assert (heard["SpeechResult"], heard["Confidence"]) == ("when do you close on a Sunday evening", "0.93")
    assert heard["CallStatus"] == "in-progress"
    partial = customer.at("/partial")
    assert sorted(int(p["SequenceNumber"]) for p in partial) == list(range(len(partial)))
    assert max(partial, key=lambda p: int(p["SequenceNumber"]))["UnstableSpeechResult"].startswith("when do")
    assert handle.record.said == ["What would you like to know today?", "Fine"]


async def test_keys_cut_the_prompt_and_end_the_gathering(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = [
        '<Gather action="/keys" timeout="3"><Say>' + "very long prompt " * 200 + "</Say></Gather>",
    ]
    customer.twiml["/keys"] = ['<Gather numDigits="2" action="/two"/>']
    handle = call(emulator, Press("12#", OverBot(0.02)), Press("34", Then(0.1)))
    await over(emulator, handle)
    assert customer.at("/keys")[0]["Digits"] == "12"
    assert customer.at("/two")[0]["Digits"] == "34"
    assert handle.record.ear.heard.seconds < 3


async def test_nothing_gathered_falls_through_unless_the_action_wants_to_know(
    emulator: Emulator, customer: Customer
) -> None:
    customer.twiml["/voice"] = [
        (
            '<Gather timeout="0.05" action="/keys"/><Say>Nothing?</Say>'
            '<Gather timeout="0.05" input="speech" action="/speech" actionOnEmptyResult="true"/><Say>never</Say>'
        )
    ]
    handle = call(emulator)
    await over(emulator, handle)
    assert handle.record.said == ["Nothing?"]
    assert customer.at("/keys") == []
    assert customer.at("/speech")[0]["SpeechResult"] == ""


# --- Media Streams ------------------------------------------------------------------------------------------------


def streaming(bot: Bot, after: str = "", attributes: str = "") -> str:
    parameter = '<Parameter name="token" value="t-1"/>'
    return f'<Connect><Stream url="{bot.url}/media?secret=1" {attributes}>{parameter}</Stream></Connect>{after}'


async def test_a_stream_speaks_twilios_language(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [streaming(bot, attributes=f'name="ear" statusCallback="{customer.url}/stream"')]
    acts = (Sound(TONE * 5, when=At(0.1)), Press("7", Then()), HangUp(Then(0.1)))
    handle = call(emulator, *acts)
    await over(emulator, handle)
    connected, start, *rest = bot.got
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    sid = bot.stream_sid
    assert start == {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": emulator.account_sid,
            "streamSid": sid,
            "callSid": handle.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "t-1"},
        },
        "streamSid": sid,
    }
    assert [m["sequenceNumber"] for m in rest] == [str(n) for n in range(2, len(rest) + 2)]
    media = bot.of("media")
    assert media[0].keys() == {"event", "sequenceNumber", "media", "streamSid"}
    assert media[0]["media"].keys() == {"track", "chunk", "timestamp", "payload"}
    assert [m["media"]["chunk"] for m in media] == [str(n) for n in range(1, len(media) + 1)]
    stamps = [int(m["media"]["timestamp"]) for m in media]
    assert stamps[0] > 0
    assert {b - a for a, b in itertools.pairwise(stamps)} == {20}
    frames = [b64decode(m["media"]["payload"]) for m in media]
    assert {len(f) for f in frames} == {160}
    assert frames.count(TONE) == 5
    [dtmf] = bot.of("dtmf")
    assert dtmf["dtmf"] == {"track": "inbound_track", "digit": "7"}
    assert rest[-1]["event"] == "stop"
    assert rest[-1]["stop"] == {"accountSid": emulator.account_sid, "callSid": handle.sid}
    told = sorted(hook["StreamEvent"] for hook in customer.at("/stream"))
    assert told == ["stream-started", "stream-stopped"]
    assert {hook["StreamName"] for hook in customer.at("/stream")} == {"ear"}

    [upgrade] = bot.upgrades
    assert upgrade.path == "/media"
    assert "Origin" not in upgrade.headers
    validator: Any = RequestValidator
    given = upgrade.headers["x-twilio-signature"]
    assert validator(emulator.auth_token.get_secret_value()).validate(f"{bot.url}/media", {}, given)


async def test_marks_come_back_when_what_is_before_them_was_played(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["event"] == "start":
            await tell(socket, event="mark", streamSid=bot.stream_sid, mark={"name": "at once"})
            await bot.play(socket, 6, mark="played")
        elif message.get("mark") == {"name": "played"}:
            await bot.play(socket, 500, mark="never heard")
            await bot.play(socket, 500, mark="nor this")
            await tell(socket, event="clear", streamSid=bot.stream_sid)
            await bot.play(socket, 3, mark="last")
        elif message.get("mark") == {"name": "last"}:
            await socket.close()

    bot.behave = behave
    customer.twiml["/voice"] = [streaming(bot, "<Say>Goodbye</Say>")]
    handle = call(emulator, Sound(TONE * 2, when=At(0)))
    await over(emulator, handle)
    names = [m["mark"]["name"] for m in bot.of("mark")]
    assert names == ["at once", "played", "never heard", "nor this", "last"]
    [(stopped, heard_at)] = handle.record.answers()
    assert heard_at is not None
    assert heard_at >= stopped
    heard = handle.record.ear.heard
    assert b"".join(bytes(audio) for _, audio in heard.pieces).count(TONE) <= 6 + 3 + 2
    echoes = {e.data["name"]: e.at for e in handle.record.of("mark_echo")}
    assert echoes["played"] - echoes["at once"] >= 0.12
    assert echoes["last"] - echoes["nor this"] >= 0.06
    assert handle.record.said == ["Goodbye"]
    assert [e.data for e in handle.record.of("stream_end")] == [{"by": "server", "code": 1000}]
    assert len(read_wav(handle.record.wav())) >= 160 * 9
    assert handle.record.caller.seconds == pytest.approx(0.04)
    assert codes(emulator) == []


async def test_what_twilio_does_not_understand_is_warned_of_once(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["event"] != "start":
            return
        sid, good = bot.stream_sid, {"payload": b64encode(TONE).decode()}
        await tell(socket, event="media", streamSid=sid, media=good | {"track": "outbound"})
        await tell(socket, event="media", streamSid="MZ1", media=good)
        await tell(socket, event="media", streamSid=sid, media={"payload": "not base64!"})
        await tell(socket, event="dance", streamSid=sid)
        await socket.send("{")
        await socket.send(b"binary")
        await socket.send(b"binary")
        await tell(socket, event="media", streamSid=sid, media={"payload": b64encode(SILENCE * 31_000).decode()})
        await bot.play(socket, 1)
        await bot.play(socket, 1)
        await socket.close(4000)

    bot.behave = behave
    customer.twiml["/voice"] = [streaming(bot)]
    handle = call(emulator)
    await over(emulator, handle)
    assert sorted(codes(emulator)) == [31921, 31931, 31950, 31951]
    assert handle.record.ear.heard.seconds < 5


async def test_what_is_meant_for_another_stream_is_not_played(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["event"] == "start":
            await tell(socket, event="media", streamSid="MZ1", media={"payload": b64encode(TONE).decode()})
            await tell(socket, event="mark", streamSid=bot.stream_sid, mark={"name": "end"})
        elif message["event"] == "mark":
            await socket.close()

    bot.behave = behave
    customer.twiml["/voice"] = [streaming(bot)]
    handle = call(emulator)
    await over(emulator, handle)
    assert codes(emulator) == [31951]
    assert handle.record.ear.heard.pieces == []


@pytest.mark.parametrize(
    ("url", "attributes", "code"),
    [
        ("{bot}/media", "", 31920),
        ("ws://127.0.0.1:9/media", "", 31902),
        ("ws://twilio.example/media", "", 31922),
        ("wss://", "", 31923),
        ("{bot}/media", 'track="both_tracks"', 31941),
    ],
)
async def test_a_stream_that_cannot_be_opened_is_reported_and_the_next_verb_runs(
    emulator: Emulator, customer: Customer, bot: Bot, url: str, attributes: str, code: int
) -> None:
    bot.refuses = True
    stream = f'<Stream url="{url.format(bot=bot.url)}" statusCallback="{customer.url}/stream" {attributes}/>'
    customer.twiml["/voice"] = [f"<Connect>{stream}</Connect><Say>Sorry</Say>"]
    handle = call(emulator)
    await over(emulator, handle)
    assert codes(emulator) == [code]
    assert handle.record.said == ["Sorry"]
    assert [hook["StreamEvent"] for hook in customer.at("/stream")] == ["stream-error"]


async def test_a_live_stream_is_stopped_by_new_instructions(
    emulator: Emulator, customer: Customer, bot: Bot, api: httpx2.AsyncClient
) -> None:
    customer.twiml["/voice"] = [streaming(bot, "<Say>never</Say>")]
    handle = call(emulator)
    await handle.record.until(lambda record: bool(record.of("stream")))
    answer = await api.post(f"/Calls/{handle.sid}.json", data={"Twiml": "<Response><Say>A human</Say></Response>"})
    assert answer.status_code == 200
    await over(emulator, handle)
    assert bot.got[-1]["event"] == "stop"
    assert handle.record.said == ["A human"]
    late = await api.post(f"/Calls/{handle.sid}.json", data={"Status": "completed"})
    assert (late.status_code, late.json()["code"]) == (400, 21220)


async def test_a_bad_line_loses_doubles_and_reorders_frames(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [streaming(bot)]
    handle = call(emulator, loss=0.2, duplicates=0.2, jitter=0.1, hang_up_at=1.5)
    await over(emulator, handle)
    media = bot.of("media")
    chunks = [int(m["media"]["chunk"]) for m in media]
    assert chunks != sorted(chunks)
    assert len(set(chunks)) < len(chunks)
    assert set(range(1, max(chunks))) - set(chunks)
    numbers = [int(m["sequenceNumber"]) for m in bot.got[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    by_chunk = {int(m["media"]["chunk"]): int(m["media"]["timestamp"]) for m in media}
    first = min(by_chunk)
    assert all(stamp - by_chunk[first] == 20 * (chunk - first) for chunk, stamp in by_chunk.items())


async def test_a_socket_that_is_cut_leaves_the_call_to_its_next_verb(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    customer.twiml["/voice"] = [streaming(bot, "<Say>Please text us</Say>")]
    handle = call(emulator, cut_at=0.2)
    await over(emulator, handle)
    assert bot.close_code == 1006
    assert bot.of("stop") == []
    assert handle.record.said == ["Please text us"]


async def test_a_server_that_drops_the_socket_is_reported(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        socket.transport.abort()

    bot.behave = behave
    customer.twiml["/voice"] = [streaming(bot, "<Say>Please text us</Say>")]
    handle = call(emulator)
    await over(emulator, handle)
    assert codes(emulator) == [31903]
    assert handle.record.said == ["Please text us"]


async def test_words_are_spoken_by_espeak_and_without_it_the_caller_is_told_how_to_install_it(
    emulator: Emulator, customer: Customer, bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer.twiml["/voice"] = [streaming(bot)]
    monkeypatch.setenv("PATH", str(tmp_path))
    handle = call(emulator, Say("hello", At(0)))
    with pytest.raises(Misconfigured) as caught:
        await handle.ended()
    assert "apt-get install espeak-ng" in (caught.value.hint or "")

    # A program of that name which says a tone of a tenth of a second at 16 kHz, whatever it is asked.
    tone_program(tmp_path / "espeak-ng", tmp_path / "tone.wav")
    handle = call(emulator, Say("hello", At(0)), HangUp(Then(0.05)))
    await over(emulator, handle)
    assert handle.record.caller.seconds == pytest.approx(0.1, abs=0.02)
    frames = [b64decode(m["media"]["payload"]) for m in bot.of("media")]
    assert any(frame != SILENCE for frame in frames)


async def test_an_emulator_that_ends_takes_its_calls_along(customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [streaming(bot)]
    async with box(customer) as emulator:
        handle = call(emulator)
        await handle.record.until(lambda record: bool(record.of("stream")))
    assert handle.status == "completed"
    assert bot.got[-1]["event"] == "stop"


async def test_a_reset_ends_the_calls_and_forgets_them(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [streaming(bot)]
    handle = call(emulator)
    await handle.record.until(lambda record: bool(record.of("stream")))
    emulator.reset()
    await over(emulator, handle)
    assert emulator.calls == []
    assert emulator.problems == []


async def test_a_shared_key_signs_calls_and_handshakes(customer: Customer, bot: Bot) -> None:
    key = SharedKey("WK1", Secret("shared"))
    customer.twiml["/voice"] = [streaming(bot)]
    async with box(customer, shared_key=key) as emulator:
        handle = call(emulator, HangUp(At(0.05)))
        await over(emulator, handle)
    validator: Any = RequestValidator
    headers = bot.upgrades[0].headers
    assert headers["X-Twilio-Webhooks-Signature-Settings"] == "key=WK1,algorithm=HMAC_SHA256"
    assert validator("shared").validate(f"{bot.url}/media", {}, headers["x-twilio-signature"], "HMAC_SHA256")


async def test_a_stream_runs_on_virtual_time(customer: Customer, bot: Bot) -> None:
    clock = VirtualClock()
    customer.twiml["/voice"] = [streaming(bot)]
    async with box(customer, clock=clock) as emulator:
        handle = call(emulator, Sound(TONE * 10, when=At(60)), HangUp(At(100)))
        await handle.record.until(lambda record: bool(record.of("stream")))
        while handle.status == "in-progress":
            await clock.advance(1.0)
        await handle.ended()
        assert handle.call.duration == 100
        [(start, end)] = handle.record.caller.spans
        assert start == pytest.approx(60, abs=0.03)
        assert end - start == pytest.approx(0.2)


# --- ConversationRelay --------------------------------------------------------------------------------------------


def relaying(bot: Bot, attributes: str = "", after: str = "") -> str:
    relay = (
        f'<ConversationRelay url="{bot.url}/relay" {attributes}><Parameter name="token" value="t"/></ConversationRelay>'
    )
    return f'<Connect action="/after">{relay}</Connect>{after}'


async def test_a_relay_turns_speech_into_prompts_and_tokens_into_speech(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "prompt" and message["last"]:
            await tell(socket, type="text", token="We close ", last=False)
            await tell(socket, type="text", token="at nine.", last=True)
        elif message["type"] == "dtmf":
            await tell(socket, type="language", ttsLanguage="hi-IN", transcriptionLanguage="hi-IN")
            await tell(socket, type="sendDigits", digits="1w2")
            await tell(socket, type="end", handoffData='{"why": "asked"}')

    bot.behave = behave
    attributes = 'welcomeGreeting="Hello!" dtmfDetection="true" partialPrompts="true" speechTimeout="60"'
    customer.twiml["/voice"] = [relaying(bot, attributes)]
    customer.twiml["/after"] = ["<Say>A person will answer</Say>"]
    handle = call(emulator, Say("when do you close tonight my friends", AfterBot(0.02)), Press("0", AfterBot(0.02)))
    await over(emulator, handle)
    setup = bot.got[0]
    assert setup["sessionId"].startswith("VX")
    assert {name: setup[name] for name in ("type", "callSid", "from", "to", "callType", "callStatus", "direction")} == {
        "type": "setup",
        "callSid": handle.sid,
        "from": PERSON,
        "to": OURS,
        "callType": "PSTN",
        "callStatus": "RINGING",
        "direction": "inbound",
    }
    assert setup["customParameters"] == {"token": "t"}
    prompts = bot.of("prompt")
    assert prompts[-1] == {
        "type": "prompt",
        "voicePrompt": "when do you close tonight my friends",
        "lang": "en-US",
        "last": True,
    }
    assert len(prompts) > 1
    assert not any(p["last"] for p in prompts[:-1])
    assert bot.of("dtmf") == [{"type": "dtmf", "digit": "0"}]
    assert handle.record.said == ["Hello!", "We close at nine.", "A person will answer"]
    [after] = customer.at("/after")
    assert (after["SessionId"], after["SessionStatus"], after["HandoffData"]) == (
        setup["sessionId"],
        "ended",
        '{"why": "asked"}',
    )
    assert "SessionDuration" in after
    validator: Any = RequestValidator
    given = bot.upgrades[0].headers["x-twilio-signature"]
    assert validator(emulator.auth_token.get_secret_value()).validate(f"{bot.url}/relay", {}, given)


@pytest.mark.parametrize("as_text", [False, True])
async def test_an_interruption_cuts_where_the_words_are(
    emulator: Emulator, customer: Customer, bot: Bot, as_text: bool
) -> None:
    words = "one two three four five six seven eight nine ten " * 20

    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "setup":
            for word in words.split():
                await tell(socket, type="text", token=f"{word} ", last=False)
            await tell(socket, type="text", token="", last=True)

    bot.behave = behave
    customer.twiml["/voice"] = [relaying(bot)]
    script = Script((Say("stop", OverBot(0.3)), HangUp(Then(0.5))), interrupt_as_text=as_text)
    handle = emulator.handset(PERSON).call(OURS, script)
    await over(emulator, handle)
    [interrupt] = bot.of("interrupt")
    heard = interrupt["utteranceUntilInterrupt"]
    assert heard
    assert words.startswith(heard)
    assert words[len(heard)] == " "
    assert 0.2 * 300 < len(heard) < 0.6 * 300
    assert isinstance(interrupt["durationUntilInterruptMs"], str if as_text else int)
    assert int(interrupt["durationUntilInterruptMs"]) >= 300
    assert handle.record.said == [heard]
    assert bot.of("prompt")[-1]["voicePrompt"] == "stop"
    assert customer.at("/after")[0]["SessionStatus"] == "completed"


async def test_what_may_not_interrupt_does_not(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [
        relaying(bot, f'welcomeGreeting="{"long greeting " * 20}" welcomeGreetingInterruptible="none"')
    ]
    handle = call(emulator, Say("stop", OverBot(0.1)), HangUp(AfterBot(0.1)))
    await over(emulator, handle)
    assert handle.record.said == [("long greeting " * 20).strip()]
    assert bot.of("interrupt") == []
    assert bot.of("prompt") == []


async def test_malformed_messages_are_reported_and_ten_in_a_row_end_the_session(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    async def behave(bot: Bot, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "setup":
            await tell(socket, type="text", last=True)  # known, without its token
            for n in range(10):
                await socket.send(["[]", "{", '{"type": "sing"}'][n % 3])

    bot.behave = behave
    customer.twiml["/voice"] = [relaying(bot)]
    handle = call(emulator)
    await over(emulator, handle)
    assert codes(emulator) == [64107] * 11 + [64105]
    assert len(bot.of("error")) == 11
    assert bot.close_code == 1007
    [after] = customer.at("/after")
    assert (after["SessionStatus"], after["ErrorCode"]) == ("failed", "64105")


async def test_a_relay_that_cannot_be_reached_fails_to_its_action(
    emulator: Emulator, customer: Customer, bot: Bot
) -> None:
    bot.refuses = True
    customer.twiml["/voice"] = [relaying(bot)]
    customer.twiml["/after"] = ["<Say>Please hold</Say>"]
    handle = call(emulator)
    await over(emulator, handle)
    assert handle.record.said == ["Please hold"]
    assert (customer.at("/after")[0]["SessionStatus"], customer.at("/after")[0]["ErrorCode"]) == ("failed", "64102")


# --- to others ----------------------------------------------------------------------------------------------------


async def test_a_call_is_dialled_through_and_the_action_learns_how_it_went(
    emulator: Emulator, customer: Customer
) -> None:
    customer.twiml["/voice"] = [
        (
            f'<Dial action="/done"><Number url="/whisper" statusCallback="{customer.url}/leg" '
            f'statusCallbackEvent="initiated ringing answered completed">{COLLEAGUE}</Number></Dial><Say>never</Say>'
        )
    ]
    customer.twiml["/whisper"] = ["<Say>A caller about opening hours</Say>"]
    customer.twiml["/done"] = [f'<Dial timeout="1" action="/busy">{COLLEAGUE}</Dial>']
    customer.twiml["/busy"] = ["<Say>Nobody is free</Say>"]
    greeting = Script((Sound(TONE * 5, when=At(0.6)), HangUp(Then(0.2))))
    emulator.handset(COLLEAGUE).answer_calls(Callee(script=greeting))
    handle = call(emulator)
    await handle.record.until(lambda record: bool(record.of("dial")))
    emulator.handset(COLLEAGUE).answer_calls(Callee("busy"))
    await over(emulator, handle)
    [done] = customer.at("/done")
    assert (done["DialCallStatus"], done["DialBridged"]) == ("completed", "true")
    assert "DialCallDuration" in done
    assert TONE in b"".join(bytes(audio) for _, audio in handle.record.ear.heard.pieces)
    other = next(c for c in emulator.calls if c.sid == done["DialCallSid"])
    assert (other.direction, other.parent_sid, other.to) == ("outbound-dial", handle.sid, COLLEAGUE)
    assert other.record.said == ["A caller about opening hours"]
    legs = sorted(customer.at("/leg"), key=lambda form: int(form["SequenceNumber"]))
    assert [form["CallStatus"] for form in legs] == ["initiated", "ringing", "in-progress", "completed"]
    assert customer.at("/busy")[0]["DialCallStatus"] == "busy"
    assert handle.record.said[-1] == "Nobody is free"


async def test_a_dialled_leg_that_is_sent_elsewhere_lives_on_without_the_caller(
    emulator: Emulator, customer: Customer, api: httpx2.AsyncClient
) -> None:
    customer.twiml["/voice"] = [f"<Dial>{COLLEAGUE}</Dial><Say>They left</Say>"]
    handle = call(emulator)
    await handle.record.until(lambda record: bool(record.of("verb")))
    other = next(c for c in emulator.calls if c.parent_sid == handle.sid)
    await other.record.until(lambda record: any(e.data["status"] == "in-progress" for e in record.of("status")))
    elsewhere = "<Response><Say>Just us two</Say></Response>"
    assert (await api.post(f"/Calls/{other.sid}.json", data={"Twiml": elsewhere})).status_code == 200
    await over(emulator, handle)
    assert handle.record.said == ["They left"]
    assert other.record.said == ["Just us two"]
    assert (handle.status, other.status) == ("completed", "completed")


async def test_a_caller_who_hangs_up_takes_the_dialled_phone_along(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = [f"<Dial>{COLLEAGUE}</Dial>"]
    emulator.handset(COLLEAGUE).answer_calls(Callee(rings=60))
    handle = call(emulator, HangUp(At(0.1)))
    await over(emulator, handle)
    [other] = [c for c in emulator.calls if c.parent_sid == handle.sid]
    assert (handle.status, other.status) == ("completed", "canceled")


async def test_a_queue_keeps_the_task_and_tells_how_it_was_left(emulator: Emulator, customer: Customer) -> None:
    customer.twiml["/voice"] = [
        '<Enqueue workflowSid="WW1" action="/left"><Task priority="5">{"about": "refund"}</Task></Enqueue>'
    ]
    taken = call(emulator)
    await taken.record.until(lambda record: bool(record.of("enqueue")))
    taken.leave_queue()
    await over(emulator, taken)
    gone = call(emulator, HangUp(At(0.1)))
    await over(emulator, gone)
    [task, _] = emulator.tasks
    assert (task.workflow_sid, task.attributes, task.priority, task.call_sid) == (
        "WW1",
        '{"about": "refund"}',
        5,
        taken.sid,
    )
    assert [form["QueueResult"] for form in customer.at("/left")] == ["bridged", "hangup"]


# --- over HTTP ----------------------------------------------------------------------------------------------------


async def test_a_call_is_made_and_watched_over_http(emulator: Emulator, customer: Customer, bot: Bot) -> None:
    customer.twiml["/voice"] = [streaming(bot)]
    async with httpx2.AsyncClient(base_url=f"{emulator.url}/_emulator", trust_env=False) as control:
        script = {
            "acts": [{"do": "sound", "mulaw": b64encode(TONE * 5).decode(), "when": {"kind": "at", "seconds": 0}}]
        }
        made = await control.post(f"/handsets/{PERSON}/calls", json={"to": OURS, "script": script})
        assert made.status_code == 201
        sid = made.json()["sid"]
        more = {"acts": [{"do": "hang_up", "when": {"kind": "then", "pause": 0.1}}]}
        assert (await control.post(f"/calls/{sid}/acts", json=more)).status_code == 201
        await emulator.idle()
        shown = (await control.get(f"/calls/{sid}")).json()
        assert shown["over"]
        assert [e["kind"] for e in shown["timeline"]].count("stream") == 1
        assert len(shown["person_spoke"]) == 1
        sound = await control.get(f"/calls/{sid}/sound.wav")
        assert len(read_wav(sound.content)) >= 800
        assert (await control.post(f"/calls/{sid}/acts", json=more)).status_code == 409
        assert (await control.get("/calls/CA0/sound.wav")).status_code == 404
