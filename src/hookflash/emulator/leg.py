"""One leg of a call while it lives: its time, its webhooks, and what the person says and hears, tick by tick."""

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from math import ceil
from urllib.parse import urljoin

import anyio
import httpx2

from hookflash.base.errors import HookflashError, Invalid
from hookflash.emulator.calls import EVENT_OF, Call, Callback, call_params
from hookflash.emulator.cloud import Cloud
from hookflash.emulator.courier import Courier, Failure, Params
from hookflash.emulator.faults import FaultKind
from hookflash.emulator.form import is_web_address
from hookflash.emulator.person import Moment, Person, Script
from hookflash.emulator.recordings import FINISHED, Recording, RecordingWish, recording_params
from hookflash.emulator.sound import FRAME_SECONDS, RATE, SILENCE, Toneless, Voice, is_audible, read_wav
from hookflash.emulator.twiml import BadTwiml
from hookflash.emulator.under_way import UnderWay
from hookflash.emulator.voice_twiml import Document, read_document


@dataclass(frozen=True, slots=True)
class Ask:
    """Fetch instructions from this address, and say so much more than usual in the request."""

    url: str
    method: str = "POST"
    extra: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """Follow these instructions."""

    document: Document


Program = Ask | Given


@dataclass(slots=True, eq=False)
class Desk:
    """What every leg works with. `voice` says what the bot's TwiML says, `toneless` takes the time of talk without it."""

    cloud: Cloud
    courier: Courier
    client: httpx2.AsyncClient
    under_way: UnderWay
    voice: Voice
    toneless: Toneless
    pace: float
    legs: dict[str, "Leg"] = field(default_factory=dict)


class Leg:
    """`at` is the time of the last tick in seconds since the call was answered."""

    def __init__(self, desk: Desk, call: Call, script: Script, *, fallback: Ask | None = None, extra: Params) -> None:
        self.desk = desk
        self.call = call
        self.record = call.record
        self.ear = call.record.ear
        self.script = script
        self.person = Person(script, desk.toneless)
        self.fallback = fallback
        self.extra = extra
        self.base = ""
        self.at = 0.0
        self.final = "completed"
        self.recording_wish: RecordingWish | None = None
        self.over = False
        self.next: Program | None = None
        self.farewell: Callable[[], Ask | None] | None = None  # what is asked when the call ends here
        self.left_queue: str | None = None
        self.mouth: Callable[[bytes], None] | None = None
        self.hears_itself = True  # whether ticks put the person's sound into the record
        self.ended = anyio.Event()
        self.failure: HookflashError | None = None
        self._scope: anyio.CancelScope | None = None
        self._zero = desk.cloud.clock.monotonic()
        desk.cloud.calls[call.sid] = call
        desk.legs[call.sid] = self

    # --- time -----------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the call was answered, or since it began while it has not been."""
        return self.desk.cloud.clock.monotonic() - self._zero

    def resume(self) -> None:
        """Ticks go on from now: nothing of the time in which nobody listened is made up for."""
        self.at = max(self.at, self.now())

    async def tick(self) -> Moment:
        """Wait for the next twenty milliseconds of the person."""
        self.at += FRAME_SECONDS
        clock = self.desk.cloud.clock
        await clock.sleep(self._zero + self.at - clock.monotonic())
        moment = self.person.tick(self.at, self.ear)
        if moment.frame is not SILENCE:
            if self.hears_itself:
                self.record.caller.add(self.at, moment.frame)
            if self.mouth:
                self.mouth(moment.frame)
        if moment.began:
            self.note("speaks", text=moment.began.text)
        if moment.ended:
            self.note("spoke", text=moment.ended.text)
        if moment.digit:
            self.note("presses", digit=moment.digit)
        if moment.hung_up:
            self.note("hangs_up")
            self.hang_up()
        return moment

    def note(self, kind: str, **data: object) -> None:
        self.record.note(self.now(), kind, **data)

    # --- the course of the call -----------------------------------------------------------------------------------

    def follow(self, scope: anyio.CancelScope) -> None:
        """From now on the call's doings are inside of this scope."""
        self._scope = scope
        if self.over:
            scope.cancel()

    def hang_up(self, final: str = "completed") -> None:
        """End the call, whoever does it; `final` is its last status."""
        if not self.over:
            self.over, self.final = True, final
            if self._scope:
                self._scope.cancel()

    def redirect(self, program: Program) -> None:
        """Leave what is being done and follow this."""
        self.next = program
        # A phone that still rings goes on ringing: the program is for when it is answered.
        if self._scope and (self.call.started or self.call.direction == "inbound"):
            self._scope.cancel()

    def answer(self) -> None:
        """Let the call be answered, unless it is already."""
        if self.call.started is None:
            self.call.started = self.desk.cloud.clock.now()
            self.record.begin(self.now())
            self._zero = self.desk.cloud.clock.monotonic()
            self.at = 0.0
            self.advance("in-progress")
            if wish := self.recording_wish:
                self.start_recording("OutboundAPI", wish.channels, wish.track, wish.callback)

    def advance(self, status: str) -> None:
        """Enter a status and report it."""
        call, cloud = self.call, self.desk.cloud
        call.status, call.updated = status, cloud.clock.now()
        self.note("status", status=status)
        data = {"sid": call.sid, "from": call.sender, "to": call.to, "direction": call.direction, "status": status}
        cloud.events.add("call", call.updated, data)
        self.report(status)

    def finish(self) -> None:
        """The call is over: close its recordings, report its end."""
        if self.ended.is_set():
            return
        self.over = True
        self.ear.clear(self.now())
        for recording in self.desk.cloud.recordings.values():
            if recording.call is self.call and recording.status not in FINISHED:
                self.finish_recording(recording)
        self.call.ended = self.desk.cloud.clock.now()
        self.advance(self.final)
        self.desk.legs.pop(self.call.sid, None)
        self.ended.set()

    def report(self, status: str) -> None:
        """Post a status callback, if somebody wants this one."""
        call, callback = self.call, self.call.callback
        if callback is None or EVENT_OF[status] not in callback.events:
            return
        params = call_params(self.desk.cloud.account_sid, call) | {
            "CallStatus": status,
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(call.sequence),
            "Timestamp": format_datetime(self.desk.cloud.clock.now()),
        }
        call.sequence += 1
        if call.duration is not None:
            params |= {"CallDuration": str(call.duration), "Duration": str(ceil(call.duration / 60))}
            params["SipResponseCode"] = {"busy": "486", "no-answer": "487", "failed": "404"}.get(status, "200")
            done = [r for r in self.desk.cloud.recordings.values() if r.call is call and r.status == "completed"]
            if done:
                told = recording_params(self.desk.cloud.base_url, self.desk.cloud.account_sid, done[-1])
                params |= {name: told[name] for name in ("RecordingUrl", "RecordingSid", "RecordingDuration")}
        self.post(callback, params)

    def post(self, callback: Callback, params: Params) -> None:
        """Send a callback in the background, as often as the faults want it; its answer is ignored."""
        fault = self.desk.cloud.faults.take(FaultKind.LOSE_STATUS, FaultKind.DUPLICATE_STATUS)
        copies = 1 if fault is None else fault.copies if fault.kind is FaultKind.DUPLICATE_STATUS else 0
        for _ in range(copies):
            self.desk.under_way.start(self._post, callback, params)

    async def _post(self, callback: Callback, params: Params) -> None:
        await self.desk.courier.ask(callback.url, callback.method, params, self.desk.cloud.new_token())

    # --- webhooks -------------------------------------------------------------------------------------------------

    def address(self, relative: str) -> str:
        """An address in the document that is being followed, made absolute."""
        return urljoin(self.base, relative.strip()) if self.base else relative.strip()

    async def fetch(self, ask: Ask) -> Document | Failure:
        """Ask for instructions."""
        cloud = self.desk.cloud
        if not is_web_address(ask.url):
            cloud.problem(11200, url=ask.url, sid=self.call.sid, detail="HTTP retrieval failure: not an absolute URL")
            return Failure(11200, ask.url, "not an absolute URL")
        if delay := cloud.faults.take(FaultKind.DELAY_WEBHOOK):
            await cloud.clock.sleep(delay.seconds)
        params = call_params(cloud.account_sid, self.call) | self.extra | ask.extra
        outcome = await self.desk.courier.ask(ask.url, ask.method, params, cloud.new_token())
        self.note("webhook", url=outcome.url, status=outcome.status)
        if isinstance(outcome, Failure):
            return outcome
        try:
            # Relative addresses start from the address without its fragment.
            return read_document(outcome.status, outcome.content_type, outcome.body, outcome.url)
        except BadTwiml as error:
            cloud.problem(error.code, url=outcome.url, sid=self.call.sid, detail=str(error))
            return Failure(error.code, outcome.url, str(error), outcome.status)

    # --- what the person hears ------------------------------------------------------------------------------------

    async def speech(self, text: str, language: str | None) -> bytes:
        """The sound of a text of the bot."""
        self.note("say", text=text)
        return await self.desk.voice.say(text, language)

    async def sound_at(self, url: str) -> bytes:
        """The sound of a file: a WAV as it is, one silent second for anything else."""
        self.note("play", url=url)
        try:
            answer = await self.desk.client.get(url)
            if answer.is_success:
                return read_wav(answer.content)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
            answer = None
        except Invalid:
            return SILENCE * 50
        self.desk.cloud.problem(11200, url=url, sid=self.call.sid)
        return b""

    def play(self, audio: bytes) -> None:
        """Queue sound for the person's ear. It counts as speech even when it is a toneless voice's."""
        start = self.at + self.ear.queued(self.at)
        self.ear.play(audio, self.at)
        if audio and not is_audible(audio):
            self.ear.sound(start, start + len(audio) / RATE)

    async def listen(self, audio: bytes) -> None:
        """Let the person hear all of it."""
        self.resume()
        self.play(audio)
        while self.ear.queued(self.at) > 0:
            await self.tick()

    async def overhear(self, url: str, method: str) -> None:
        """Let the person hear what the TwiML of an address says, beside whatever else goes on (announcements, hold)."""
        document = await self.fetch(Ask(url, method))
        if isinstance(document, Failure):
            return
        for verb in document.verbs:
            if verb.name == "Say":
                self.play(await self.speech(verb.text, verb.get("language") or None))
            elif verb.name == "Play" and verb.text:
                self.play(await self.sound_at(urljoin(document.base, verb.text)))

    # --- recordings -----------------------------------------------------------------------------------------------

    def start_recording(self, source: str, channels: int, track: str, callback: Callback | None) -> Recording:
        """Record from now on."""
        cloud = self.desk.cloud
        recording = Recording(
            cloud.new_sid("RE"),
            cloud.next_serial(),
            self.call,
            source,
            channels,
            track,
            cloud.clock.now(),
            callback,
        )
        recording.resume(self.now())
        cloud.recordings[recording.sid] = recording
        self._tell_recording(recording)
        return recording

    def finish_recording(self, recording: Recording) -> None:
        recording.finish(self.now())
        recording.updated = self.desk.cloud.clock.now()
        self._tell_recording(recording)

    def _tell_recording(self, recording: Recording) -> None:
        callback, cloud = recording.callback, self.desk.cloud
        if callback and recording.status in callback.events:
            self.post(callback, recording_params(cloud.base_url, cloud.account_sid, recording))
