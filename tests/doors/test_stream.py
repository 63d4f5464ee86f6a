"""Media Streams: a call whose sound is heard and made by us, over a real socket with real voice activity."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts
from hookflash.testing.speech import Listening, Said, ScriptedStt, ScriptedTts
from hookflash.testing.wait import until
from tests.doors.test_relay import SID, answered, socket
from tests.doors.textline import TextLine, text_line

FRAME = 160
SPEECH = (Path(__file__).parent.parent / "data" / "question1.ulaw").read_bytes()
SILENCE = b"\xff" * FRAME


@dataclass
class Studio:
    """The vendors of a test."""

    stt: Stt
    tts: Tts

    def ears(self, names: tuple[str, ...]) -> Stt:
        return self.stt

    def mouth(self, names: tuple[str, ...]) -> Tts:
        return self.tts


@dataclass
class Caller:
    """Twilio's end of a stream: sends frames in real time, plays what it gets, gives marks back."""

    ws: ClientConnection
    sent: int = 0
    audio: bytearray = field(default_factory=bytearray)
    clears: int = 0
    unplayed: int = 0

    async def start(self, token: str, **media_format: Any) -> None:
        await self.send(event="connected", protocol="Call", version="1.0.0")
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1} | media_format
        body = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": "MZ1",
            "callSid": SID,
            "tracks": ["inbound"],
            "mediaFormat": form,
            "customParameters": {"token": token},
        }
        await self.send(event="start", sequenceNumber="1", streamSid="MZ1", start=body)

    async def send(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    async def speak(self, sound: bytes, pace: float = 0.02) -> None:
        for at in range(0, len(sound), FRAME):
            frame = sound[at : at + FRAME].ljust(FRAME, b"\xff")
            self.sent += 1
            media = {
                "track": "inbound",
                "chunk": str(self.sent),
                "timestamp": str(100 + self.sent * 20),
                "payload": b64encode(frame).decode(),
            }
            await self.send(event="media", sequenceNumber=str(self.sent + 1), streamSid="MZ1", media=media)
            await anyio.sleep(pace)

    async def listen(self) -> None:
        """Play at the speed of sound; marks come back when what was before them has been played."""
        until_ = anyio.current_time()
        async with anyio.create_task_group() as tasks:

            async def give_back(name: str, at: float) -> None:
                await anyio.sleep(max(0.0, at - anyio.current_time()))
                await self.send(event="mark", sequenceNumber="1", streamSid="MZ1", mark={"name": name})

            try:
                while True:
                    message = json.loads(await self.ws.recv())
                    now = anyio.current_time()
                    match message["event"]:
                        case "media":
                            sound = b64decode(message["media"]["payload"])
                            self.audio += sound
                            until_ = max(until_, now) + len(sound) / 8000
                        case "mark":
                            tasks.start_soon(give_back, message["mark"]["name"], until_)
                        case "clear":
                            self.clears += 1
                            until_ = now
            except ConnectionClosed:
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def calling(line: TextLine, **media_format: Any) -> AsyncIterator[Caller]:
    async with line.core.db.tenant(line.account_id) as conn:
        config = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig(way="stream", greeting="Hello."))
        await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
    url, token = await answered(line)
    async with socket(line, url) as ws, anyio.create_task_group() as tasks:
        caller = Caller(ws)
        await caller.start(token, **media_format)
        tasks.start_soon(caller.listen)
        yield caller
        tasks.cancel_scope.cancel()


def studio(*said: Said) -> Studio:
    clock = SystemClock()
    return Studio(ScriptedStt(clock, default=Listening(said=said)), ScriptedTts(clock))


async def test_a_spoken_question_is_heard_answered_and_kept(database_url: str, fresh_directory: Path) -> None:
    asked = Said("How long do I have to return a jacket?", start=1.5, end=1.5 + len(SPEECH) / 8000)
    async with (
        text_line(database_url, fresh_directory, studio=studio(asked)) as line,
        calling(line) as caller,
    ):
        await caller.speak(SILENCE * 70)
        await caller.speak(SPEECH)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.speak, SILENCE * 400)
            await until(lambda: line.rows("select 1 from turns"))
            tasks.cancel_scope.cancel()
        await caller.send(event="stop", sequenceNumber="9", streamSid="MZ1", stop={"callSid": SID})
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        rows = await line.rows("select direction, body from messages order by seq")
        assert [(r["direction"], r["body"]) for r in rows] == [
            ("in", "How long do I have to return a jacket?"),
            ("out", "You said: How long do I have to return a jacket?"),
        ]
        (turn,) = await line.rows("select record from turns")
        measures = turn["record"]["measures"]
        assert measures["first_sound"] is not None
        assert measures["first_played"] is not None
        (call,) = await line.rows("select measures from calls")
        assert call["measures"]["turns"] == 1
        assert call["measures"]["jitter"]["received"] > 100


@pytest.mark.parametrize(
    "media_format", [{"sampleRate": 16000}, {"encoding": "audio/l16"}, {"channels": 2}], ids=["rate", "encoding", "channels"]
)
async def test_a_stream_of_another_format_is_refused(
    database_url: str, fresh_directory: Path, media_format: dict[str, Any]
) -> None:
    async with text_line(database_url, fresh_directory, studio=studio()) as line, calling(line, **media_format) as caller:
        with pytest.raises(ConnectionClosed):
            await caller.ws.wait_closed()
            await caller.ws.recv()
        assert not caller.audio


async def test_nonsense_on_the_socket_closes_it_and_no_other_call_notices(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, studio=studio()) as line, calling(line) as caller:
        for n in range(60):
            await caller.ws.send(("{" * n) if n % 2 else json.dumps({"event": "media", "media": {"payload": "!" * n}}))
        with pytest.raises(ConnectionClosed):
            while True:
                await caller.send(event="mark", streamSid="MZ1", mark={"name": "x"})
                await anyio.sleep(0.01)
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
