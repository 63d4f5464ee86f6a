"""ConversationRelay: the socket of a call whose words come and go, while Twilio hears and speaks."""

import anyio
import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from hookflash.assistant import speech_cost
from hookflash.base.errors import Forbidden, HookflashError
from hookflash.base.tasks import bare_error
from hookflash.channels import relay
from hookflash.channels.integration import Integration
from hookflash.channels.recorder import Recorder
from hookflash.channels.transfer import summary
from hookflash.channels.voice import opening
from hookflash.channels.voice_jobs import DEAREST, LONGEST, SILENT, Talk
from hookflash.channels.voice_routes import Voices, handshake, phrases_in
from hookflash.conversation.segment import Segment
from hookflash.knowledge.language import detect
from hookflash.speech.tongue import Tongue
from hookflash.twilio import relay as wire

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False)

DIGITS_PAUSE = 2.0
# A slow voice, in characters.
SPOKEN_PER_SECOND = 12.0
SETTLING = 0.5
# Nobody tells that the caller has begun to speak, so a silence here takes so many times as long as elsewhere.
UNSEEN = 2.0
LOOK_EVERY = 0.5


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
            except (WebSocketDisconnect, RuntimeError):
                log.info("relay socket was gone", integration=integration_id)


class _RelaySession:
    """The thin shell around a relay machine: it reads, thinks, writes, and keeps."""

    def __init__(self, socket: WebSocket, integration: Integration, voices: Voices) -> None:
        self._socket = socket
        self._integration = integration
        self._voices = voices
        self._switchboard = voices.switchboard
        voice = integration.assistant.voice
        self._language = voice.language
        tongue = Tongue((voice.language, *voice.languages), detect) if voice.languages else None
        self._machine = relay.RelayMachine(tongue)
        self._talk: Talk | None = None
        self._recorder: Recorder | None = None
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._closing = False
        # Since when neither side has said anything, as far as we know; how often it was asked whether anybody is there.
        self._quiet: float | None = None
        self._asked = 0
        self._why: str | None = None

    async def run(self) -> None:
        with bare_error():
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                try:
                    while not self._closing:
                        message = wire.decode(await self._socket.receive_text())
                        self._stirs(message)
                        await self._perform(self._machine.receive(message))
                except (WebSocketDisconnect, KeyError, RuntimeError):
                    log.info("relay socket closed", integration=self._integration.id)
                finally:
                    tasks.cancel_scope.cancel()
                    with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                        await self._perform(self._machine.closed())
                        if self._talk is not None and self._why is None:
                            await self._switchboard.end(self._talk, None)

    async def _perform(self, effects: list[relay.RelayEffect]) -> None:
        for effect in effects:
            match effect:
                case relay.Open():
                    await self._open(effect)
                case relay.Pressed():
                    if self._recorder is not None:
                        self._recorder.pressed()
                    self._tasks.start_soon(self._keys_over, effect)
                case relay.Begin(turn=turn, said=said, language=language):
                    if self._talk is not None:
                        self._tasks.start_soon(self._think, self._talk, turn, said, language)
                case relay.ChangeLanguage(language=language):
                    self._language = language
                    await self._socket.send_text(wire.language(tts=language))
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
                    if self._recorder is not None:
                        self._recorder.settled(effect.whole)
                case relay.Refuse(why=why):
                    log.warning("relay session refused", integration=self._integration.id, reason=why)
                    self._closing = True

    async def _keys_over(self, pressed: relay.Pressed) -> None:
        """Keys that are followed by no other for a while are all there."""
        await self._voices.webhooks.clock.sleep(DIGITS_PAUSE)
        await self._perform(self._machine.keys_over(pressed.count))

    async def _open(self, opened: relay.Open) -> None:
        call_sid, voices = opened.call_sid, self._voices
        try:
            self._talk = await self._switchboard.open(self._integration, call_sid, opened.token)
        except Forbidden:
            log.warning("relay token refused", integration=self._integration.id)
            self._closing = True
            return
        voices.arrived(call_sid)
        base = voices.base(self._socket)
        self._recorder = voices.recorder(self._integration, call_sid, base, begin=not opened.again)
        self._tasks.start_soon(self._recorder.run)
        self._tasks.start_soon(self._watch, self._talk, opened.again)

    async def _watch(self, talk: Talk, again: bool) -> None:
        """A silent caller is asked, then the call ends; so does one that is as long as a call may be."""
        clock, voice = self._voices.webhooks.clock, talk.voice
        phrases = phrases_in(self._integration, voice.language)
        longest = clock.monotonic() + voice.max_minutes * 60
        self._quiet = clock.monotonic() + _spoken_seconds(phrases["go_on"] if again else opening(voice, phrases))
        while self._why is None:
            await clock.sleep(LOOK_EVERY)
            now = clock.monotonic()
            if now >= longest:
                await self._goodbye(talk, LONGEST)
                return
            if self._quiet is None or now < self._quiet + UNSEEN * voice.reprompt_after_ms / 1000:
                continue
            if self._asked >= voice.reprompts:
                await self._goodbye(talk, SILENT)
                continue
            self._asked += 1
            words = phrases_in(self._integration, self._language)["still_there"]
            await self._socket.send_text(wire.text(words, last=True))
            self._quiet = now + _spoken_seconds(words)

    def _stirs(self, message: wire.RelayMessage) -> None:
        """A sign of the caller: what they say is answered, after which it is our turn to wait; a sound alone is not."""
        if isinstance(message, wire.Prompt | wire.Digit | wire.Interrupt):
            self._asked = 0
            sound = isinstance(message, wire.Interrupt)
            self._quiet = self._voices.webhooks.clock.monotonic() if sound else None

    async def _goodbye(self, talk: Talk, why: str) -> None:
        """End the call with a word."""
        await self._perform(self._machine.closed())
        words = phrases_in(self._integration, self._language)["goodbye_call"]
        await self._socket.send_text(wire.text(words, last=True))
        await self._voices.webhooks.clock.sleep(_spoken_seconds(words))
        if why == SILENT and self._quiet is None:
            # There they are.
            return
        # Kept before Twilio asks what comes after it.
        self._why = why
        await self._switchboard.end(talk, why)
        await self._socket.send_text(wire.end())

    async def _fill(self, turn: int, seconds: float) -> None:
        """A word when thinking takes long; it is in no record."""
        await self._voices.webhooks.clock.sleep(seconds)
        words = phrases_in(self._integration, self._language)["acknowledge"]
        await self._perform(self._machine.fill(turn, words))

    async def _think(self, talk: Talk, turn: int, said: str, language: str | None) -> None:
        seconds = (self._voices.webhooks.clock.now() - talk.call.started_at).total_seconds()
        talk.cost_is("telephony", speech_cost.telephony("relay", talk.call.direction, seconds).micros)
        if talk.too_dear:
            await self._goodbye(talk, DEAREST)
            return
        if talk.voice.filler_after_ms:
            self._tasks.start_soon(self._fill, turn, talk.voice.filler_after_ms / 1000)
        spoken: list[str] = []
        hand_off: str | None = None

        async def say(segment: Segment) -> None:
            spoken.append(segment.text)
            if self._recorder is not None:
                self._recorder.replying("".join(spoken))
            await self._perform(self._machine.reply(turn, segment.text, last=segment.last))

        with anyio.CancelScope() as scope:
            self._scopes[turn] = scope
            try:
                record = await self._switchboard.think(talk, turn, said, say, language, leads=True)
            except HookflashError as error:
                log.warning("a spoken turn failed", call=talk.call.id, reason=error.message)
                failed = phrases_in(self._integration, self._language)["failed"]
                await self._perform(self._machine.reply(turn, failed, last=True))
            else:
                await self._perform(self._machine.reply(turn, "", last=True))
                hand_off = record.hand_off
        self._scopes.pop(turn, None)
        # Nobody tells when the words have been said. They are kept before the next, for nobody knows what comes then.
        await self._voices.webhooks.clock.sleep(_spoken_seconds("".join(spoken)))
        settled = self._machine.said(turn)
        if settled:
            self._quiet = self._voices.webhooks.clock.monotonic()
        await self._perform(settled)
        if hand_off and talk.voice.transfer_to:
            # The end of a session cuts off what is being said; who takes over reads what was kept.
            await self._perform(self._machine.closed())
            await self._socket.send_text(wire.end({"reason": hand_off, "summary": summary(talk)}))


def _spoken_seconds(words: str) -> float:
    """How long these words take to be heard."""
    return len(words) / SPOKEN_PER_SECOND + SETTLING
