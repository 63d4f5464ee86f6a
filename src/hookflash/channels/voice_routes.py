"""The addresses that Twilio calls about calls: TwiML, turn-by-turn speech, ConversationRelay's socket, what became of it."""

from dataclasses import dataclass
from typing import Annotated

import anyio
import msgspec
import structlog
from fastapi import APIRouter, Depends, Request, Response, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from hookflash.base.clock import Clock
from hookflash.base.errors import Forbidden, HookflashError
from hookflash.base.phone import Address, Kind
from hookflash.base.tasks import bare_error
from hookflash.channels import relay
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.routes import Webhooks
from hookflash.channels.text import account_of
from hookflash.channels.voice_jobs import TRANSFERRED, Switchboard, Talk
from hookflash.conversation.call import CallArrival
from hookflash.conversation.segment import Segment
from hookflash.speech.run_call import FAILED
from hookflash.twilio import relay as wire
from hookflash.twilio import twiml as messages
from hookflash.twilio import voice_twiml as twiml
from hookflash.twilio.client import TwilioClient
from hookflash.twilio.signature import Refused, WebhookKeys, verify

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False)

GATHER_SECONDS = 11.0
SILENCES = 2
RECONNECTS = 2


@dataclass(slots=True)
class Voices:
    """What the routes of calls need; it lies in `app.state.voices`. `draining`: no new call is taken."""

    webhooks: Webhooks
    switchboard: Switchboard
    twilio: TwilioClient
    draining: bool = False
    live: int = 0

    async def drain(self, clock: Clock, seconds: float) -> int:
        """Take no new call, and let those that are live end; how many there still are after so many seconds."""
        self.draining = True
        until = clock.monotonic() + seconds
        while self.live and clock.monotonic() < until:
            await clock.sleep(0.1)
        return self.live

    async def record(self, integration: Integration, call_sid: str, base: str) -> None:
        """Have Twilio record a call that is live, if the assistant wants it; that it cannot does not cost us the call."""
        if not integration.assistant.voice.record:
            return
        callback = f"{base}/twilio/{integration.id}/voice/recording"
        try:
            await account_of(self.twilio, integration).record_call(call_sid, callback)
        except HookflashError as error:
            log.warning("call is not recorded", integration=integration.id, reason=error.message)

    def base(self, request: Request | WebSocket) -> str:
        configured = self.webhooks.public_url
        return configured or f"{request.url.scheme.replace('ws', 'http', 1)}://{request.headers.get('host', '')}"


async def _voices(request: Request) -> Voices:
    voices: Voices = request.app.state.voices
    return voices


Here = Annotated[Voices, Depends(_voices)]


def _twiml(body: bytes) -> Response:
    return Response(body, media_type=messages.CONTENT_TYPE)


def _one(form: dict[str, list[str]], name: str) -> str:
    values = form.get(name)
    return values[0].strip() if values else ""


def _notation(address: str) -> str:
    """A caller as we keep them: the number, or what stands in its place (`anonymous`, a SIP address)."""
    try:
        return str(Address.parse(address, Kind.VOICE))
    except HookflashError:
        return f"web:{address.replace('sip:', '')[:100]}"


async def _made(request: Request, here: Voices, account_id: str, call_sid: str) -> None:
    """A call that we made names itself in its addresses: now its sid is known, whoever is told of it first."""
    call_id = request.query_params.get("call")
    if call_id:
        await here.switchboard.rang(account_id, call_id, call_sid)


@router.post("/{integration_id}/voice")
async def voice(integration_id: str, request: Request, here: Here) -> Response:
    """A call rings, or one of ours was answered: how it comes in."""
    integration, form = await here.webhooks.admit(request, integration_id)
    config = integration.assistant.voice
    outbound = _one(form, "Direction").startswith("outbound")
    theirs, ours = ("To", "From") if outbound else ("From", "To")
    if here.draining:
        return _twiml(twiml.response(twiml.reject("busy")))
    arrival = CallArrival(
        account_id=integration.account_id,
        integration_id=integration.id,
        call_sid=_one(form, "CallSid"),
        direction="out" if outbound else "in",
        way=config.way,
        address=_notation(_one(form, theirs)),
        sender=_notation(_one(form, ours)),
        name=_one(form, "CallerName") or None,
        attestation=_one(form, "StirVerstat") or None,
    )
    await _made(request, here, integration.account_id, arrival.call_sid)
    _, token, why = await here.switchboard.admit(integration, arrival)
    if why is not None:
        return _twiml(door.refuse(why))
    return _twiml(door.answer(integration, config, _phrases(integration), here.base(request), token))


def _phrases(integration: Integration) -> door.Phrases:
    return door.Phrases(integration, integration.assistant.voice.language.partition("-")[0])


@router.post("/{integration_id}/voice/fallback")
async def fallback(integration_id: str, request: Request, here: Here) -> Response:
    """An address of ours has failed in a call: better our words than Twilio's, and texts still reach us."""
    integration, _ = await here.webhooks.admit(request, integration_id)
    spoken = twiml.say(_phrases(integration)["failed"], language=integration.assistant.voice.language)
    return _twiml(twiml.response(spoken, twiml.hang_up()))


@router.post("/{integration_id}/voice/after")
async def after(integration_id: str, request: Request, here: Here) -> Response:
    """The socket of a call is closed: a person takes over, the call ends, or a socket that broke is opened again."""
    integration, form = await here.webhooks.admit(request, integration_id)
    call_sid = _one(form, "CallSid")
    talk = await here.switchboard.resume(integration.account_id, call_sid)
    if talk is None:
        return _twiml(twiml.response(twiml.hang_up()))
    how = await here.switchboard.how_it_ended(integration.account_id, call_sid)
    if _one(form, "HandoffData") or (how and how.why == TRANSFERRED):
        return _twiml(transfer(integration, talk, here.base(request)))
    phrases = _phrases(integration)
    if how and how.why and how.why.startswith(FAILED):
        return _twiml(twiml.response(twiml.say(phrases["failed"], language=talk.voice.language), twiml.hang_up()))
    over = _one(form, "CallStatus") in ("completed", "canceled") or _one(form, "SessionStatus") == "completed"
    if over or how is None or how.why is not None:
        return _twiml(twiml.response(twiml.hang_up()))
    if how.lost > RECONNECTS:
        spoken = twiml.say(phrases["goodbye_call"], language=talk.voice.language)
        return _twiml(twiml.response(spoken, twiml.hang_up()))
    again = twiml.redirect(f"{here.base(request)}/twilio/{integration.id}/voice")
    return _twiml(twiml.response(twiml.say(phrases["cut_off"], language=talk.voice.language), again))


def transfer(integration: Integration, talk: Talk, base: str) -> bytes:
    """A person takes the call: by number, SIP, or as a TaskRouter task that carries the conversation's summary."""
    phrases = _phrases(integration)
    spoken = twiml.say(phrases["connecting"], language=talk.voice.language)
    here = f"{base}/twilio/{integration.id}/voice"
    target = talk.voice.transfer_to
    if target.startswith("WW"):
        task = msgspec.json.encode(
            {
                "name": talk.call.contact.name or talk.call.address,
                "from": talk.call.address,
                "call_sid": talk.call.call_sid,
                "session_id": talk.call.session.id,
                "conversation_summary": summary(talk),
            }
        ).decode()
        return twiml.response(spoken, twiml.enqueue(target, task, action=f"{here}/ended"))
    if target:
        whisper = f"{here}/whisper?call={talk.call.id}"
        return twiml.response(
            spoken, twiml.dial(target, action=f"{here}/ended", caller_id=talk.call.sender, whisper=whisper)
        )
    return twiml.response(twiml.say(phrases["handed_over"], language=talk.voice.language), twiml.hang_up())


def summary(talk: Talk) -> str:
    return "\n".join(f"{e.said} → {e.answered}" for e in talk.history[-6:])


@router.post("/{integration_id}/voice/whisper")
async def whisper(integration_id: str, request: Request, here: Here) -> Response:
    """What the person who takes over hears before the caller does."""
    integration, form = await here.webhooks.admit(request, integration_id)
    talk = await here.switchboard.resume(integration.account_id, _one(form, "ParentCallSid") or _one(form, "CallSid"))
    told = talk.history[-1].said if talk and talk.history else ""
    return _twiml(twiml.response(twiml.say(f"A caller was asking: {told[:300]}" if told else "A caller.")))


@router.post("/{integration_id}/voice/ended")
async def ended(integration_id: str, request: Request, here: Here) -> Response:
    """The conversation with a person is over, or nobody answered."""
    integration, form = await here.webhooks.admit(request, integration_id)
    if _one(form, "DialCallStatus") in ("busy", "no-answer", "failed") or _one(form, "QueueResult") in (
        "error",
        "queue-full",
    ):
        phrases = _phrases(integration)
        return _twiml(twiml.response(twiml.say(phrases["failed_handed_over"]), twiml.hang_up()))
    return _twiml(twiml.response(twiml.hang_up()))


@router.post("/{integration_id}/voice/status")
async def status(integration_id: str, request: Request, here: Here) -> Response:
    """How a call fares."""
    integration, form = await here.webhooks.admit(request, integration_id)
    state, call_sid = _one(form, "CallStatus"), _one(form, "CallSid")
    if state in ("completed", "busy", "failed", "no-answer", "canceled"):
        await _made(request, here, integration.account_id, call_sid)
        seconds = _one(form, "CallDuration")
        await here.switchboard.finished(
            integration.account_id, call_sid, state, int(seconds) if seconds.isdigit() else 0
        )
    return Response(status_code=204)


@router.post("/{integration_id}/voice/machine")
async def machine(integration_id: str, request: Request, here: Here) -> Response:
    """Who answered a call of ours. A machine gets the message that is meant for it; a person never notices."""
    integration, form = await here.webhooks.admit(request, integration_id)
    who, call_sid = _one(form, "AnsweredBy"), _one(form, "CallSid")
    await here.switchboard.answered_by(integration.account_id, call_sid, who)
    if who.startswith("machine_end") or who == "fax":
        voicemail = integration.assistant.voice.voicemail
        spoken = twiml.say(voicemail, language=integration.assistant.voice.language) if who != "fax" else ""
        document = twiml.response(spoken, twiml.hang_up()).decode()
        await account_of(here.twilio, integration).redirect_call(call_sid, document)
    return Response(status_code=204)


@router.post("/{integration_id}/voice/recording")
async def recording(integration_id: str, request: Request, here: Here) -> Response:
    """A recording is ready."""
    integration, form = await here.webhooks.admit(request, integration_id)
    kept = {
        key: _one(form, name)
        for key, name in (
            ("sid", "RecordingSid"),
            ("url", "RecordingUrl"),
            ("status", "RecordingStatus"),
            ("seconds", "RecordingDuration"),
        )
    }
    await here.switchboard.recorded(integration.account_id, _one(form, "CallSid"), kept)
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
    talk = await here.switchboard.resume(integration.account_id, _one(form, "CallSid"))
    if talk is None:
        return _twiml(twiml.response(twiml.hang_up()))
    if not talk.history and talk.voice.record:
        await here.record(integration, talk.call.call_sid, here.base(request))
    phrases = _phrases(integration)
    said = _one(form, "SpeechResult") or _one(form, "Digits")
    base = here.base(request)
    given = request.query_params.get("silent", "0")
    silent = int(given) if given.isdigit() and len(given) < 3 else 0
    if not said:
        if silent >= SILENCES:
            return _twiml(twiml.response(twiml.say(phrases["goodbye_call"]), twiml.hang_up()))
        return _twiml(door.listen(integration, talk.voice, base, phrases["still_there"], silent + 1))
    pieces: list[str] = []

    async def say(segment: Segment) -> None:
        pieces.append(segment.text)

    hand_off = False
    with anyio.move_on_after(GATHER_SECONDS) as scope:
        record = await here.switchboard.think(talk, 1, said, say, talk.voice.language)
        hand_off = bool(record.ending and record.ending.hand_off) and bool(talk.voice.transfer_to)
    whole = phrases["failed"] if scope.cancelled_caught else "".join(pieces).strip()
    await here.switchboard.settle(talk, 1, said=said, heard=whole, whole=whole, interrupted=False)
    if hand_off:
        return _twiml(transfer(integration, talk, base))
    return _twiml(door.listen(integration, talk.voice, base, whole, 0))


async def handshake(socket: WebSocket, integration_id: str) -> Integration | None:
    """The integration of a socket whose upgrade Twilio signed; every other is refused before it is accepted."""
    voices: Voices = socket.app.state.voices
    webhooks = voices.webhooks
    integration = await webhooks.integrations.find(webhooks.db, integration_id)
    if integration is None:
        await socket.close(1008)
        return None
    keys = WebhookKeys(integration.auth_tokens, integration.shared_keys)
    url = webhooks.url_of(socket)
    outcome = verify(method="GET", url=url, headers=socket.headers, body=b"", keys=keys)
    if isinstance(outcome, Refused):
        log.warning("socket refused", integration=integration_id, reason=outcome.why.value)
        await socket.close(1008)
        return None
    return integration


@router.websocket("/{integration_id}/relay")
async def relay_socket(socket: WebSocket, integration_id: str) -> None:
    """ConversationRelay: Twilio's ears and voice, our words."""
    integration = await handshake(socket, integration_id)
    if integration is None:
        return
    voices: Voices = socket.app.state.voices
    await socket.accept()
    session = _RelaySession(socket, integration, voices)
    voices.live += 1
    try:
        await session.run()
    finally:
        voices.live -= 1
        if socket.application_state is not WebSocketState.DISCONNECTED:
            try:
                await socket.close()
            except RuntimeError:
                log.info("relay socket was gone", integration=integration_id)


class _RelaySession:
    """The thin shell around a relay machine: it reads, thinks, writes, and keeps."""

    def __init__(self, socket: WebSocket, integration: Integration, voices: Voices) -> None:
        self._socket = socket
        self._integration = integration
        self._voices = voices
        self._switchboard = voices.switchboard
        self._machine = relay.RelayMachine()
        self._talk: Talk | None = None
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._closing = False

    async def run(self) -> None:
        with bare_error():
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                try:
                    while not self._closing:
                        raw = await self._socket.receive_text()
                        await self._perform(self._machine.receive(wire.decode(raw)))
                except (WebSocketDisconnect, KeyError, RuntimeError):
                    log.info("relay socket closed", integration=self._integration.id)
                finally:
                    tasks.cancel_scope.cancel()
                    with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                        await self._perform(self._machine.closed())
                        if self._talk is not None:
                            await self._switchboard.end(self._talk, None)

    async def _perform(self, effects: list[relay.RelayEffect]) -> None:
        for effect in effects:
            match effect:
                case relay.Open(call_sid=call_sid, token=token):
                    try:
                        self._talk = await self._switchboard.open(self._integration.account_id, call_sid, token)
                        base = self._voices.base(self._socket)
                        self._tasks.start_soon(self._voices.record, self._integration, call_sid, base)
                    except Forbidden:
                        log.warning("relay token refused", integration=self._integration.id)
                        self._closing = True
                case relay.Begin(turn=turn, said=said, language=language):
                    if self._talk is not None:
                        self._tasks.start_soon(self._think, self._talk, turn, said, language)
                case relay.Cancel(turn=turn):
                    scope = self._scopes.pop(turn, None)
                    if scope is not None:
                        scope.cancel()
                case relay.Send(token=token, last=last):
                    await self._socket.send_text(wire.text(token, last=last))
                case relay.Settled():
                    if self._talk is not None:
                        await self._switchboard.settle(
                            self._talk,
                            effect.turn,
                            said=effect.said,
                            heard=effect.heard,
                            whole=effect.whole,
                            interrupted=effect.interrupted,
                        )
                case relay.Refuse(why=why):
                    log.warning("relay session refused", integration=self._integration.id, reason=why)
                    self._closing = True

    async def _think(self, talk: Talk, turn: int, said: str, language: str | None) -> None:
        async def say(segment: Segment) -> None:
            await self._perform(self._machine.reply(turn, segment.text, last=segment.last))

        with anyio.CancelScope() as scope:
            self._scopes[turn] = scope
            try:
                record = await self._switchboard.think(talk, turn, said, say, language)
            except HookflashError as error:
                log.warning("a spoken turn failed", call=talk.call.id, reason=error.message)
                failed = _phrases(self._integration)["failed"]
                await self._perform(self._machine.reply(turn, failed, last=True))
            else:
                await self._perform(self._machine.reply(turn, "", last=True))
                hand_off = record.ending.hand_off if record.ending else None
                if hand_off and talk.voice.transfer_to:
                    # Kept first: who takes over reads it as soon as the session ends.
                    await self._perform(self._machine.closed())
                    await self._socket.send_text(wire.end({"reason": hand_off, "summary": summary(talk)}))
        self._scopes.pop(turn, None)
