"""ConversationRelay: the socket of a call whose words come and go, while Twilio hears and speaks."""

import anyio
import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from hookflash.base.errors import Forbidden, HookflashError
from hookflash.base.tasks import bare_error
from hookflash.channels import relay
from hookflash.channels.integration import Integration
from hookflash.channels.recorder import Recorder
from hookflash.channels.transfer import summary
from hookflash.channels.voice_jobs import Talk
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
            self._talk = await self._switchboard.open(self._integration.account_id, call_sid, opened.token)
        except Forbidden:
            log.warning("relay token refused", integration=self._integration.id)
            self._closing = True
            return
        voices.arrived(call_sid)
        base = voices.base(self._socket)
        self._recorder = voices.recorder(self._integration, call_sid, base, begin=not opened.again)
        self._tasks.start_soon(self._recorder.run)

    async def _think(self, talk: Talk, turn: int, said: str, language: str | None) -> None:
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
                record = await self._switchboard.think(talk, turn, said, say, language)
            except HookflashError as error:
                log.warning("a spoken turn failed", call=talk.call.id, reason=error.message)
                failed = phrases_in(self._integration, self._language)["failed"]
                await self._perform(self._machine.reply(turn, failed, last=True))
            else:
                await self._perform(self._machine.reply(turn, "", last=True))
                hand_off = record.hand_off
        self._scopes.pop(turn, None)
        # Nobody tells when the words have been said. They are kept before the next, for nobody knows what comes then.
        await self._voices.webhooks.clock.sleep(len("".join(spoken)) / SPOKEN_PER_SECOND + SETTLING)
        await self._perform(self._machine.said(turn))
        if hand_off and talk.voice.transfer_to:
            # The end of a session cuts off what is being said; who takes over reads what was kept.
            await self._perform(self._machine.closed())
            await self._socket.send_text(wire.end({"reason": hand_off, "summary": summary(talk)}))
