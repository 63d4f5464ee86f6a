"""Media Streams: a call whose sound is heard and made by us, over a real socket with real voice activity."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts
from hookflash.testing.speech import Listening, Said, ScriptedStt, ScriptedTts
from hookflash.testing.stream_caller import FRAME, StreamCaller
from hookflash.testing.wait import until
from tests.doors.test_relay import SID, answered, socket
from tests.doors.textline import TextLine, text_line

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


@asynccontextmanager
async def calling(line: TextLine, turn_model: str = "", **media_format: Any) -> AsyncIterator[StreamCaller]:
    async with line.core.db.tenant(line.account_id) as conn:
        voice = VoiceConfig.model_validate({"way": "stream", "greeting": "Hello.", "turn_model": turn_model})
        config = AssistantConfig(name="Test", company="Acme", voice=voice)
        await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
    url, token = await answered(line)
    async with socket(line, url) as ws, anyio.create_task_group() as tasks:
        caller = StreamCaller(ws)
        await caller.start(token, SID, **media_format)
        tasks.start_soon(caller.listen)
        yield caller
        tasks.cancel_scope.cancel()


def studio(*said: Said) -> Studio:
    clock = SystemClock()
    return Studio(ScriptedStt(clock, default=Listening(said=said)), ScriptedTts(clock))


@pytest.mark.parametrize("turn_model", ["", "smart-turn"])
async def test_a_spoken_question_is_heard_answered_and_kept(
    database_url: str, fresh_directory: Path, turn_model: str
) -> None:
    asked = Said("How long do I have to return a jacket?", start=1.5, end=1.5 + len(SPEECH) / 8000)
    async with (
        text_line(database_url, fresh_directory, studio=studio(asked)) as line,
        calling(line, turn_model) as caller,
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
        (call,) = await line.rows("select measures, parts from calls")
        assert call["measures"]["turns"] == 1
        assert call["measures"]["jitter"]["received"] > 100
        assert (call["measures"]["judged"] > 0) is bool(turn_model)
        assert call["parts"]["stt"] > 0
        assert call["parts"]["tts"] > 0


@pytest.mark.parametrize(
    "media_format",
    [{"sampleRate": 16000}, {"encoding": "audio/l16"}, {"channels": 2}],
    ids=["rate", "encoding", "channels"],
)
async def test_a_stream_of_another_format_is_refused(
    database_url: str, fresh_directory: Path, media_format: dict[str, Any]
) -> None:
    async with (
        text_line(database_url, fresh_directory, studio=studio()) as line,
        calling(line, **media_format) as caller,
    ):
        await caller.ws.wait_closed()
        assert not caller.audio


async def test_nonsense_on_the_socket_closes_it_and_no_other_call_notices(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, studio=studio()) as line, calling(line) as caller:
        for n in range(60):
            await caller.ws.send(("{" * n) if n % 2 else json.dumps({"event": "media", "media": {"payload": "!" * n}}))
        await caller.babble()
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
