"""Media Streams: the socket of a call whose sound we hear and make ourselves."""

from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Protocol

import anyio
import anyio.to_thread
import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from hookflash.assistant import speech_cost
from hookflash.base.clock import Clock
from hookflash.base.errors import Forbidden, Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.recorder import Recorder
from hookflash.channels.voice_jobs import TRANSFERRED, Talk
from hookflash.channels.voice_routes import Voices, handshake, phrases_in
from hookflash.conversation.segment import Segment
from hookflash.knowledge.language import detect
from hookflash.rest.socket import receive, take_over
from hookflash.speech.audio import FRAME_SECONDS
from hookflash.speech.devices import OtherLanguage, TurnModel
from hookflash.speech.events import EndCall, Heard, Marked, Measured, Pressed, TransferTo
from hookflash.speech.jitter import JitterBuffer
from hookflash.speech.run_call import FAILED, CallShell, Devices, Phrases, Say
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts
from hookflash.speech.vad import Ear, GatedScorer, VadBatcher
from hookflash.twilio import media_stream as wire

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False)

START_SECONDS = 10.0
MALFORMED_AT_MOST = 50
QUEUED_AT_MOST = 4_000
SEARCH_WORDS = 3


class Studio(Protocol):
    """Where ears and voices come from, by their configured names; raises Misconfigured."""

    def ears(self, names: tuple[str, ...]) -> Stt: ...
    def mouth(self, names: tuple[str, ...]) -> Tts: ...


class Sound:
    """What the streams of a process share; it lies in `app.state.sound`. The model is loaded with the first call."""

    def __init__(
        self,
        make_scorer: Callable[[], GatedScorer],
        studio: Studio,
        clock: Clock,
        make_turn_model: Callable[[], TurnModel],
    ) -> None:
        self._make_scorer = make_scorer
        self._make_turn_model = make_turn_model
        self._turn_model: TurnModel | None = None
        self.studio = studio
        self.clock = clock
        self.phrases = Phrases()
        self._vad: VadBatcher | None = None
        self._loading = anyio.Lock()
        self._stack = AsyncExitStack()

    async def vad(self) -> VadBatcher:
        """The one batcher of voice activity."""
        async with self._loading:
            if self._vad is None:
                scorer = await anyio.to_thread.run_sync(self._make_scorer)
                self._vad = await self._stack.enter_async_context(VadBatcher(scorer).running())
            return self._vad

    async def turn_model(self) -> TurnModel:
        """What tells whether a caller has finished. Raises Misconfigured where it is not installed."""
        async with self._loading:
            if self._turn_model is None:
                self._turn_model = await anyio.to_thread.run_sync(self._make_turn_model)
            return self._turn_model

    async def aclose(self) -> None:
        await self._stack.aclose()


@router.websocket("/{integration_id}/media")
async def media_socket(socket: WebSocket, integration_id: str) -> None:
    """A call's sound, both ways."""
    integration = await handshake(socket, integration_id)
    if integration is None:
        return
    voices: Voices = socket.app.state.voices
    sound: Sound = socket.app.state.sound
    await socket.accept()
    voices.live += 1
    try:
        await StreamSession(socket, integration, voices, sound).run()
    finally:
        voices.live -= 1


class StreamSession:
    """One socket: what comes goes to the call's shell, what the call says goes out. It is the call's line and its mind."""

    def __init__(self, socket: WebSocket, integration: Integration, voices: Voices, sound: Sound) -> None:
        self._socket = socket
        self._integration = integration
        self._voices = voices
        self._switchboard = voices.switchboard
        self._sound = sound
        self._jitter = JitterBuffer()
        self._sid = ""
        self._out: deque[str] = deque()
        self._sending = False
        self._sendable = anyio.Event()
        self._closed = anyio.Event()
        self._malformed = 0
        self._talk: Talk | None = None
        self._again = ""
        self._recorder: Recorder | None = None
        # So many words the last search ahead was for.
        self._searched = 0
        self._shell: CallShell | None = None
        # The shell for as long as it is to hear what comes, and the call's place in the scoring of speech.
        self._hearing: CallShell | None = None
        self._ear: Ear | None = None

    async def run(self) -> None:
        """Until the stream stops or the call is over."""
        if not await self._begin():
            await self._close_socket(1008)
            return
        assert self._talk is not None
        talk = self._talk
        try:
            devices = self._devices(talk)
            if talk.voice.turn_model:
                devices = replace(devices, turn_model=await self._sound.turn_model())
        except Misconfigured as error:
            log.warning("stream cannot be heard or answered", integration=self._integration.id, reason=error.message)
            await self._switchboard.end(talk, f"{FAILED}{error.message}")
            await self._close_socket()
            return
        base = self._voices.base(self._socket)
        recorder = self._voices.recorder(self._integration, talk.call.call_sid, base, begin=not self._again)
        self._recorder = recorder
        shell = self._shell = self._hearing = CallShell(devices)
        ear = self._ear = (await self._sound.vad()).join(shell.score)
        try:
            with bare_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    tasks.start_soon(recorder.run)
                    tasks.start_soon(self._read)
                    await shell.run()
                    with anyio.move_on_after(2.0):
                        while self._out or self._sending:
                            await self._sound.clock.sleep(0.01)
                    tasks.cancel_scope.cancel()
        finally:
            self._hearing = None
            ear.leave()
            with anyio.CancelScope(shield=True), anyio.move_on_after(5.0):
                counts = asdict(shell.counts)
                measures = {**counts, "jitter": asdict(self._jitter.counts), "malformed": self._malformed}
                self._charge(talk, shell)
                await self._switchboard.end(talk, shell.counts.why, measures)
                await self._close_socket()
            # The call and its shell know each other; without this they would stay until all garbage is looked for.
            self._shell = self._ear = None

    async def _close_socket(self, code: int = 1000) -> None:
        try:
            await self._socket.close(code)
        except (WebSocketDisconnect, RuntimeError):
            log.info("stream socket was gone", integration=self._integration.id)

    async def _begin(self) -> bool:
        """Read up to `start`; whether the call is one that we admitted, in a format that we understand."""
        with anyio.move_on_after(START_SECONDS):
            for _ in range(10):
                text = await receive(self._socket)
                if text is None:
                    return False
                match wire.decode(text):
                    case wire.Start() as start:
                        return await self._open(start)
                    case wire.Connected() | wire.Unknown():
                        continue
                    case _:
                        return False
        return False

    async def _open(self, start: wire.Start) -> bool:
        refused = wire.refuse(start)
        if refused is not None:
            log.warning("stream refused", integration=self._integration.id, reason=refused)
            return False
        body = start.start
        try:
            self._talk = await self._switchboard.open(
                self._integration.account_id, body.call_sid, body.custom_parameters.get("token", "")
            )
        except Forbidden:
            log.warning("stream token refused", integration=self._integration.id)
            return False
        self._sid = body.stream_sid
        again = body.custom_parameters.get("again", "")
        self._again = again if again in door.AGAIN else ""
        self._voices.arrived(body.call_sid)
        return True

    def _devices(self, talk: Talk) -> Devices:
        voice = talk.voice
        language = voice.language
        phrases = phrases_in(self._integration, language)
        rules = door.rules(voice, phrases)
        if self._again:
            rules = replace(rules, greeting=phrases[self._again])
        return Devices(
            line=self,
            ears=self._sound.studio.ears(voice.stt),
            mouth=self._sound.studio.mouth(voice.tts),
            mind=self,
            clock=self._sound.clock,
            rules=rules,
            phrases=self._sound.phrases,
            language=language,
            hints=voice.hints,
            voice=voice.voice or None,
            others={
                tag: OtherLanguage(door.rules(voice, phrases_in(self._integration, tag)), name or None)
                for tag, name in voice.languages.items()
            },
            detect=detect,
        )

    async def _read(self) -> None:
        """Until the socket is gone."""
        take_over(self._socket, self._take)
        try:
            while (text := await receive(self._socket)) is not None:
                self._take(text)
        except RuntimeError:
            pass
        log.info("stream socket closed", integration=self._integration.id)
        self._stop()

    def _take(self, text: bytes) -> None:
        """One message. Many come here: nothing waits, and nothing is done twice."""
        shell, ear = self._hearing, self._ear
        if shell is None or ear is None:
            return
        message = wire.decode(text)
        match message:
            case wire.Media(media=body, stream_sid=self._sid):
                for frame in self._jitter.push(body.timestamp, body.payload, self._sound.clock.monotonic()):
                    ear.feed(frame)
                    shell.hear(frame)
            case wire.Mark(mark=mark, stream_sid=self._sid):
                shell.post(Marked(mark.name))
            case wire.Dtmf(dtmf=dtmf, stream_sid=self._sid):
                if self._recorder is not None:
                    self._recorder.pressed()
                shell.post(Pressed(dtmf.digit))
            case wire.Stop(stream_sid=self._sid):
                self._stop()
            case _:
                self._malformed += 1
                if self._malformed > MALFORMED_AT_MOST:
                    log.warning("stream closed for malformed messages", integration=self._integration.id)
                    self._stop()

    def _stop(self) -> None:
        """The other side has ended it; what it still sends is not for us."""
        shell, self._hearing = self._hearing, None
        if shell is not None:
            shell.hang_up()

    async def _write(self) -> None:
        try:
            while True:
                await self._sendable.wait()
                self._sendable = anyio.Event()
                while self._out:
                    # Taken first: while it leaves, `clear` may put another queue in this one's place.
                    message = self._out.popleft()
                    self._sending = True
                    await self._socket.send_text(message)
                    self._sending = False
        except (WebSocketDisconnect, RuntimeError):
            self._out.clear()
            self._sending = False
            if self._shell is not None:
                self._shell.hang_up()

    # The call's line

    def _send(self, message: str) -> None:
        if len(self._out) < QUEUED_AT_MOST:
            self._out.append(message)
            self._sendable.set()

    def play(self, audio: bytes) -> None:
        self._send(wire.encode_media(self._sid, audio))

    def mark(self, name: str) -> None:
        self._send(wire.encode_mark(self._sid, name))

    def clear(self) -> None:
        # What has not left for Twilio yet is taken back too; its marks come back as Twilio's do.
        self._out = deque(m for m in self._out if '"event":"mark"' in m[:24])
        self._send(wire.encode_clear(self._sid))

    def close(self) -> None:
        self._closed.set()

    # The call's mind

    async def think(self, turn: int, said: str, say: Say, language: str | None) -> None:
        assert self._talk is not None
        assert self._shell is not None
        talk = self._talk
        words: list[str] = []
        self._overheard(said)

        async def spoken(segment: Segment) -> None:
            words.append(segment.text)
            if self._recorder is not None:
                self._recorder.replying("".join(words))
            say(segment.text, segment.last)

        if talk.too_dear:
            self._shell.post(EndCall("the call is at its dearest"))
            return
        record = await self._switchboard.think(talk, turn, said, spoken, language)
        if record.hand_off and talk.voice.transfer_to:
            self._shell.post(TransferTo(talk.voice.transfer_to))

    async def look_up(self, said: str, settled: bool) -> None:
        """What the caller is saying is searched for before it is over."""
        self._overheard(said)
        words = len(said.split())
        # A search for every word that is added would cost more than it saves.
        if self._talk is not None and (settled or not self._searched <= words < self._searched + SEARCH_WORDS):
            self._searched = words
            await self._switchboard.look_up(self._talk, said, None)

    def _overheard(self, said: str) -> None:
        """A number that must not be kept is heard before it is over."""
        if self._recorder is not None:
            self._recorder.heard(said)

    def _charge(self, talk: Talk, shell: CallShell) -> None:
        """What ears, voice and line have cost up to now."""
        seconds = shell.counts.frames * FRAME_SECONDS
        listened = speech_cost.listening(shell.ears, seconds, mixed=shell.mixed)
        talk.cost_is("stt", listened.micros)
        talk.cost_is("tts", speech_cost.speaking(shell.mouth, shell.counts.characters_spoken).micros)
        talk.cost_is("telephony", speech_cost.telephony("stream", talk.call.direction, seconds).micros)

    async def keep(self, heard: Heard, measured: Measured | None) -> None:
        assert self._talk is not None
        if self._shell is not None:
            self._charge(self._talk, self._shell)
        measures = asdict(measured) if measured else {}
        measures.pop("turn", None)
        await self._switchboard.settle(
            self._talk,
            heard.turn,
            said=heard.said,
            heard=heard.heard,
            whole=heard.whole,
            interrupted=heard.interrupted,
            measures=measures,
        )
        if self._recorder is not None:
            self._recorder.settled(heard.whole)

    async def transfer(self, target: str) -> None:
        assert self._shell is not None
        self._shell.counts.why = TRANSFERRED
