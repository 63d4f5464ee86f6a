"""Media Streams: the socket of a call whose sound we hear and make ourselves."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Protocol

import anyio
import anyio.to_thread
import structlog
from fastapi import APIRouter, WebSocket

from hookflash.assistant import speech_cost
from hookflash.base.clock import Clock
from hookflash.base.errors import Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.media_routes import MediaSocket
from hookflash.channels.recorder import Recorder
from hookflash.channels.voice_jobs import TRANSFERRED, Talk
from hookflash.channels.voice_routes import Voices, handshake, phrases_in
from hookflash.conversation.segment import Segment
from hookflash.knowledge.language import detect
from hookflash.speech.audio import FRAME_SECONDS
from hookflash.speech.devices import OtherLanguage, TurnModel
from hookflash.speech.events import EndCall, Heard, Marked, Measured, Pressed, TransferTo
from hookflash.speech.run_call import FAILED, CallShell, Devices, Phrases, Say
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts
from hookflash.speech.vad import Ear, GatedScorer, VadBatcher

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False)

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
    """One call: what comes by its line goes to its shell. It is the call's mind."""

    def __init__(self, socket: WebSocket, integration: Integration, voices: Voices, sound: Sound) -> None:
        self._socket = socket
        self._integration = integration
        self._voices = voices
        self._switchboard = voices.switchboard
        self._sound = sound
        self._line = MediaSocket(socket, integration, voices.switchboard, sound.clock)
        self._talk: Talk | None = None
        self._again = ""
        self._recorder: Recorder | None = None
        # So many words the last search ahead was for.
        self._searched = 0
        self._shell: CallShell | None = None

    async def run(self) -> None:
        """Until the stream stops or the call is over."""
        line = self._line
        talk = self._talk = await line.open()
        if talk is None:
            await line.hang_up(1008)
            return
        self._again = line.again if line.again in door.AGAIN else ""
        self._voices.arrived(talk.call.call_sid)
        try:
            devices = self._devices(talk)
            if talk.voice.turn_model:
                devices = replace(devices, turn_model=await self._sound.turn_model())
        except Misconfigured as error:
            log.warning("stream cannot be heard or answered", integration=self._integration.id, reason=error.message)
            await self._switchboard.end(talk, f"{FAILED}{error.message}")
            await line.hang_up()
            return
        base = self._voices.base(self._socket)
        recorder = self._voices.recorder(self._integration, talk.call.call_sid, base, begin=not self._again)
        self._recorder = recorder
        shell = self._shell = CallShell(devices)
        ear = (await self._sound.vad()).join(shell.score)
        try:
            with bare_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(line.write)
                    tasks.start_soon(recorder.run)
                    tasks.start_soon(self._read, shell, ear)
                    await shell.run()
                    await line.drain()
                    tasks.cancel_scope.cancel()
        finally:
            line.leave()
            ear.leave()
            with anyio.CancelScope(shield=True), anyio.move_on_after(5.0):
                counts = asdict(shell.counts)
                # Why it ended stands with the call.
                del counts["why"]
                measures = {**counts, "jitter": asdict(line.jitter.counts), "malformed": line.malformed}
                self._charge(talk, shell)
                await self._switchboard.end(talk, shell.counts.why, measures)
                await line.hang_up()
            # The call and its shell know each other; without this they would stay until all garbage is looked for.
            self._shell = None

    def _devices(self, talk: Talk) -> Devices:
        voice = talk.voice
        language = voice.language
        phrases = phrases_in(self._integration, language)
        rules = door.rules(voice, phrases)
        if self._again:
            rules = replace(rules, greeting=phrases[self._again])
        return Devices(
            line=self._line,
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

    async def _read(self, shell: CallShell, ear: Ear) -> None:
        def heard(frame: bytes) -> None:
            ear.feed(frame)
            shell.hear(frame)

        def pressed(digit: str) -> None:
            if self._recorder is not None:
                self._recorder.pressed()
            shell.post(Pressed(digit))

        await self._line.read(
            heard=heard, marked=lambda name: shell.post(Marked(name)), pressed=pressed, gone=shell.hang_up
        )

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
        record = await self._switchboard.think(talk, turn, said, spoken, language, leads=True)
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
