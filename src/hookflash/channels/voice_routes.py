"""The addresses that Twilio calls about calls: TwiML, turn-by-turn speech, and what became of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import anyio
import structlog
from fastapi import APIRouter, Depends, Request, Response, WebSocket

from hookflash.assistant import speech_cost
from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.base.phone import Address, Kind
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.recorder import Recorder
from hookflash.channels.routes import REFUSED, Webhooks
from hookflash.channels.text import account_of
from hookflash.channels.transfer import Handover
from hookflash.channels.voice_jobs import DEAREST, LONGEST, SILENT, TRANSFERRED, Switchboard, Talk
from hookflash.conversation.call import CallArrival
from hookflash.conversation.segment import Segment
from hookflash.rest.storable import StorableRoute, is_storable
from hookflash.speech.run_call import FAILED
from hookflash.twilio import twiml as messages
from hookflash.twilio import voice_twiml as twiml
from hookflash.twilio.client import TwilioClient
from hookflash.twilio.signature import Refused, WebhookKeys, verify

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False, route_class=StorableRoute)

GATHER_SECONDS = 11.0
RECONNECTS = 2
# Twilio opens a socket as soon as it has our TwiML, and comes back to a call without one when the caller has spoken.
SOCKET_SECONDS = 15.0
TURN_SECONDS = 45.0


@dataclass(slots=True)
class Voices:
    """What the routes of calls need; it lies in `app.state.voices`. `draining`: no new call is taken.

    `live` counts sockets; `expected` are calls that were admitted and whose next sign is awaited, until when.
    """

    webhooks: Webhooks
    switchboard: Switchboard
    twilio: TwilioClient
    draining: bool = False
    live: int = 0
    expected: dict[str, float] = field(default_factory=dict)

    @property
    def handover(self) -> Handover:
        return Handover(self.switchboard, self.twilio)

    def expect(self, call_sid: str, seconds: float) -> None:
        """A call goes on here, though it has no socket now: its next sign comes within so many seconds, or never."""
        now = self.webhooks.clock.monotonic()
        for gone in [sid for sid, until in self.expected.items() if until <= now]:
            del self.expected[gone]
        self.expected[call_sid] = now + seconds

    def arrived(self, call_sid: str) -> None:
        """The socket of a call is open, or the call is over."""
        self.expected.pop(call_sid, None)

    def busy(self) -> int:
        """How many calls are on here."""
        now = self.webhooks.clock.monotonic()
        return self.live + sum(until > now for until in self.expected.values())

    async def drain(self, clock: Clock, seconds: float) -> int:
        """Take no new call, and let those that are on end; how many there still are after so many seconds."""
        self.draining = True
        until = clock.monotonic() + seconds
        while self.busy() and clock.monotonic() < until:
            await clock.sleep(0.1)
        return self.busy()

    def recorder(self, integration: Integration, call_sid: str, base: str, *, begin: bool = True) -> Recorder:
        """What keeps the recording of a call, if the assistant wants one."""
        account = None
        if integration.assistant.voice.record:
            try:
                account = account_of(self.twilio, integration)
            except HookflashError as error:
                log.warning("call is not recorded", integration=integration.id, reason=error.message)
        callback = f"{base}/twilio/{integration.id}/voice/recording"
        return Recorder(account, call_sid, callback, self.webhooks.clock, begin=begin)

    def base(self, request: Request | WebSocket) -> str:
        configured = self.webhooks.public_url
        return configured or f"{request.url.scheme.replace('ws', 'http', 1)}://{request.headers.get('host', '')}"


async def _voices(request: Request) -> Voices:
    voices: Voices = request.app.state.voices
    return voices


Here = Annotated[Voices, Depends(_voices)]


def spoken(body: bytes) -> Response:
    return Response(body, media_type=messages.CONTENT_TYPE)


def one(form: dict[str, list[str]], name: str) -> str:
    values = form.get(name)
    return values[0].strip() if values else ""


def _notation(address: str) -> str:
    """A caller as we keep them: the number, or what stands in its place (`anonymous`, a SIP address)."""
    try:
        return str(Address.parse(address, Kind.VOICE))
    except HookflashError:
        return f"web:{address.replace('sip:', '')[:100]}"


async def _made(request: Request, here: Voices, account_id: str, call_sid: str) -> None:
    """An attempt of ours names itself in its addresses: now its sid is known, whoever is told of it first."""
    attempt_id = request.query_params.get("try")
    if attempt_id:
        await here.switchboard.rang(account_id, attempt_id, call_sid)


@router.post("/{integration_id}/voice")
async def voice(integration_id: str, request: Request, here: Here) -> Response:
    """A call rings, or one of ours was answered: how it comes in."""
    integration, form = await here.webhooks.admit(request, integration_id)
    config = integration.assistant.voice
    outbound = one(form, "Direction").startswith("outbound")
    theirs, ours = ("To", "From") if outbound else ("From", "To")
    again = request.query_params.get("again", "")
    again = again if again in door.AGAIN else ""
    if here.draining and not again and not outbound:
        return spoken(twiml.response(twiml.reject("busy")))
    arrival = CallArrival(
        account_id=integration.account_id,
        integration_id=integration.id,
        call_sid=one(form, "CallSid"),
        direction="out" if outbound else "in",
        way=config.way,
        address=_notation(one(form, theirs)),
        sender=_notation(one(form, ours)),
        name=one(form, "CallerName") or None,
        attestation=one(form, "StirVerstat") or None,
    )
    await _made(request, here, integration.account_id, arrival.call_sid)
    _, token, why = await here.switchboard.admit(integration, arrival)
    phrases = phrases_of(integration)
    if why is not None and again:
        # It was answered long ago, so it cannot be rejected.
        words = twiml.say(phrases["failed"], language=config.language)
        return spoken(twiml.response(words, twiml.hang_up()))
    if why is not None:
        return spoken(door.refuse(why))
    here.expect(arrival.call_sid, TURN_SECONDS if config.way == "gather" else SOCKET_SECONDS)
    return spoken(door.answer(integration, config, phrases, here.base(request), token, again))


def phrases_of(integration: Integration) -> door.Phrases:
    return phrases_in(integration, integration.assistant.voice.language)


def phrases_in(integration: Integration, tag: str) -> door.Phrases:
    """The fixed phrases in the language of a tag."""
    return door.Phrases(integration, tag.partition("-")[0])


@router.post("/{integration_id}/voice/fallback")
async def fallback(integration_id: str, request: Request, here: Here) -> Response:
    """An address of ours has failed in a call: better our words than Twilio's, and texts still reach us."""
    integration, _ = await here.webhooks.admit(request, integration_id)
    words = twiml.say(phrases_of(integration)["failed"], language=integration.assistant.voice.language)
    return spoken(twiml.response(words, twiml.hang_up()))


@router.post("/{integration_id}/voice/after")
async def after(integration_id: str, request: Request, here: Here) -> Response:
    """The socket of a call is closed: a person takes over, the call ends, or a socket that broke is opened again."""
    integration, form = await here.webhooks.admit(request, integration_id)
    call_sid = one(form, "CallSid")
    talk = await here.switchboard.resume(integration, call_sid)
    if talk is None:
        return spoken(twiml.response(twiml.hang_up()))
    over = one(form, "CallStatus") in ("completed", "canceled") or one(form, "SessionStatus") == "completed"
    how = await here.switchboard.how_it_ended(integration.account_id, call_sid, not over)
    if one(form, "HandoffData") or (how and how.why == TRANSFERRED):
        return spoken(await here.handover.begin(integration, talk, here.base(request)))
    phrases = phrases_of(integration)
    if how and how.why and how.why.startswith(FAILED):
        return spoken(twiml.response(twiml.say(phrases["failed"], language=talk.voice.language), twiml.hang_up()))
    if over or how is None or how.why is not None:
        return spoken(twiml.response(twiml.hang_up()))
    if how.lost > RECONNECTS:
        words = twiml.say(phrases["goodbye_call"], language=talk.voice.language)
        return spoken(twiml.response(words, twiml.hang_up()))
    again = twiml.redirect(f"{here.base(request)}/twilio/{integration.id}/voice?again=go_on")
    return spoken(twiml.response(twiml.say(phrases["cut_off"], language=talk.voice.language), again))


@router.post("/{integration_id}/voice/status")
async def status(integration_id: str, request: Request, here: Here) -> Response:
    """How a call fares."""
    integration, form = await here.webhooks.admit(request, integration_id)
    state, call_sid = one(form, "CallStatus"), one(form, "CallSid")
    if state in ("completed", "busy", "failed", "no-answer", "canceled"):
        await _made(request, here, integration.account_id, call_sid)
        seconds = one(form, "CallDuration")
        here.arrived(call_sid)
        rung = await here.switchboard.finished(
            integration.account_id, call_sid, state, int(seconds) if seconds.isdecimal() and len(seconds) < 9 else 0
        )
        await here.handover.hang_up(integration, rung)
    return Response(status_code=204)


@router.post("/{integration_id}/voice/machine")
async def machine(integration_id: str, request: Request, here: Here) -> Response:
    """Who answered a call of ours. A machine gets the message that is meant for it; a person never notices."""
    integration, form = await here.webhooks.admit(request, integration_id)
    who, call_sid = one(form, "AnsweredBy"), one(form, "CallSid")
    await _made(request, here, integration.account_id, call_sid)
    await here.switchboard.answered_by(integration.account_id, call_sid, who)
    if who.startswith("machine_end") or who == "fax":
        voicemail = integration.assistant.voice.voicemail
        words = twiml.say(voicemail, language=integration.assistant.voice.language) if who != "fax" else ""
        document = twiml.response(words, twiml.hang_up()).decode()
        await account_of(here.twilio, integration).redirect_call(call_sid, document)
    return Response(status_code=204)


@router.post("/{integration_id}/voice/recording")
async def recording(integration_id: str, request: Request, here: Here) -> Response:
    """A recording is ready."""
    integration, form = await here.webhooks.admit(request, integration_id)
    kept = {
        key: one(form, name)
        for key, name in (
            ("sid", "RecordingSid"),
            ("url", "RecordingUrl"),
            ("status", "RecordingStatus"),
            ("seconds", "RecordingDuration"),
        )
    }
    await here.switchboard.recorded(integration.account_id, one(form, "CallSid"), kept)
    return Response(status_code=204)


@router.post("/{integration_id}/voice/gather/partial")
async def partial(integration_id: str, request: Request, here: Here) -> Response:
    """Words on the way; the whole comes later."""
    await here.webhooks.admit(request, integration_id)
    return Response(status_code=204)


@router.post("/{integration_id}/voice/gather")
async def gather(integration_id: str, request: Request, here: Here) -> Response:
    """A turn of a call without a socket: what was heard comes in, what we say goes out, and we listen again."""
    integration, form = await here.webhooks.admit(request, integration_id)
    call_sid = one(form, "CallSid")
    talk = await here.switchboard.resume(integration, call_sid)
    if talk is None:
        return spoken(twiml.response(twiml.hang_up()))
    phrases = phrases_of(integration)
    at_an_end = _at_an_end(talk, here.webhooks.clock.now())
    if at_an_end:
        return await _goodbye(here, talk, phrases, at_an_end)
    here.expect(call_sid, TURN_SECONDS)
    base = here.base(request)
    recorder = here.recorder(integration, call_sid, base)
    if request.query_params.get("first"):
        await recorder.begin()
    said = one(form, "SpeechResult") or one(form, "Digits")
    given = request.query_params.get("silent", "0")
    silent = int(given) if given.isdecimal() and len(given) < 3 else 0
    if not said:
        if silent >= talk.voice.reprompts:
            return await _goodbye(here, talk, phrases, SILENT)
        return spoken(door.listen(integration, talk.voice, base, phrases["still_there"], silent + 1))
    was_private = talk.private
    pieces: list[str] = []

    async def say(segment: Segment) -> None:
        pieces.append(segment.text)

    hand_off = False
    with anyio.move_on_after(GATHER_SECONDS) as scope:
        record = await here.switchboard.think(talk, 1, said, say, talk.voice.language, leads=True)
        hand_off = bool(record.hand_off and talk.voice.transfer_to)
    whole = phrases["failed"] if scope.cancelled_caught else "".join(pieces).strip()
    await here.switchboard.settle(talk, 1, said=said, heard=whole, whole=whole, interrupted=False)
    # Twilio's ears and voice are paid by the turn.
    talk.cost_is("stt", speech_cost.GATHERED)
    talk.cost_is("tts", speech_cost.SAID_CHARACTER * len(whole))
    await here.switchboard.spend(talk)
    if talk.private != was_private:
        await recorder.once(silent=talk.private)
    if hand_off:
        return spoken(await here.handover.begin(integration, talk, base, whole))
    return spoken(door.listen(integration, talk.voice, base, whole, 0))


def _at_an_end(talk: Talk, now: datetime) -> str:
    """Why a call turn by turn is over: it is as long, or as dear, as a call may be."""
    seconds = (now - talk.call.started_at).total_seconds()
    if seconds >= talk.voice.max_minutes * 60:
        return LONGEST
    talk.add_cost("telephony", speech_cost.telephony("gather", talk.call.direction, seconds).micros)
    return DEAREST if talk.too_dear else ""


async def _goodbye(here: Voices, talk: Talk, phrases: door.Phrases, why: str) -> Response:
    """The end of a call turn by turn."""
    here.arrived(talk.call.call_sid)
    await here.switchboard.end(talk, why)
    words = twiml.say(phrases["goodbye_call"], voice=talk.voice.voice or None, language=talk.voice.language)
    return spoken(twiml.response(words, twiml.hang_up()))


async def handshake(socket: WebSocket, integration_id: str) -> Integration | None:
    """The integration of a socket whose upgrade Twilio signed; every other is refused before it is accepted."""
    voices: Voices = socket.app.state.voices
    webhooks = voices.webhooks
    integration = None
    if is_storable(integration_id):
        integration = await webhooks.integrations.find(webhooks.db, integration_id)
    if integration is None:
        await socket.close(1008)
        return None
    keys = WebhookKeys(integration.auth_tokens, integration.shared_keys)
    url = webhooks.url_of(socket)
    outcome = verify(method="GET", url=url, headers=socket.headers, body=b"", keys=keys)
    if isinstance(outcome, Refused):
        REFUSED.labels(outcome.why.name.lower()).inc()
        log.warning(
            "socket refused",
            integration=integration_id,
            reason=outcome.why.value,
            checked_url=url.partition("?")[0],
        )
        await socket.close(1008)
        return None
    return integration
