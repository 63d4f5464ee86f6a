"""Calls that are not what they should be: forged, stolen, unknown, or without anybody who can hear them."""

import json
from datetime import timedelta
from pathlib import Path

import anyio
import httpx2
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.base.secret import Secret
from hookflash.channels.routes import REFUSED
from hookflash.cli.roles import say_what_calls_lack
from hookflash.emulator.person import Script
from hookflash.testing.speech import Listening, ScriptedStt, ScriptedTts
from hookflash.testing.stream_caller import StreamCaller
from hookflash.twilio.signature import sign
from tests.doors.test_calls import PERSON, calling_line
from tests.doors.test_relay import CALLER, SID, answered, set_up, socket
from tests.doors.test_stream import Studio, studio
from tests.doors.textline import OURS, TextLine, text_line

OTHER = "CA" + "2" * 32
PATHS = (
    *("/voice", "/voice/after", "/voice/status", "/voice/gather", "/voice/gather/partial", "/voice/fallback"),
    *("/voice/whisper", "/voice/ended", "/voice/hold", "/voice/person", "/voice/person/answer", "/voice/person/status"),
    *("/voice/machine", "/voice/recording"),
)
FORM = {"CallSid": SID, "From": CALLER, "To": OURS, "CallStatus": "ringing", "Direction": "inbound"}
FORGED = Secret("0123456789abcdef0123456789abcdef")


async def by_stream(line: TextLine) -> None:
    async with line.core.db.tenant(line.account_id) as conn:
        config = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig(way="stream"))
        await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())


async def test_what_twilio_has_not_signed_does_nothing(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, studio=studio()) as line:
        async with httpx2.AsyncClient() as client:
            for path in PATHS:
                url = line.base + path
                wrong = await client.post(url, data=FORM, headers=sign(url, FORGED, form=FORM.items()))
                assert wrong.status_code == 403, path
                nul = await client.post(line.base[:-1] + "%00" + path, data=FORM)
                assert nul.status_code == 422, path
        assert await line.rows("select 1 from calls") == []
        counted = REFUSED.labels("wrong_signature")
        before = sum(sample.value for sample in next(iter(counted.collect())).samples if sample.name.endswith("_total"))
        for base in (line.base, line.base[:-1] + "%00"):
            for path in ("/relay", "/media", "/realtime"):
                url = (base + path).replace("http", "ws", 1)
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(url, additional_headers=sign(url, FORGED)):
                        pass
                assert refused.value.response.status_code == 403, url
        after = sum(sample.value for sample in next(iter(counted.collect())).samples if sample.name.endswith("_total"))
        assert after == before + 3


async def test_a_stolen_token_opens_no_other_call(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, studio=studio()) as line:
        await by_stream(line)
        url, token = await answered(line)
        await answered(line, CallSid=OTHER, From=PERSON)
        for sid, given in ((OTHER, token), ("CA" + "3" * 32, token), (SID, "x" * 32)):
            async with socket(line, url) as ws:
                await StreamCaller(ws).start(given, sid)
                await ws.wait_closed()
                assert ws.close_code == 1008
        assert not await line.rows("select 1 from calls where state = 'live'")


async def test_an_old_token_opens_nothing(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        url, token = await answered(line)
        await line.rows("update calls set updated_at = updated_at - %s returning 1", timedelta(minutes=3))
        async with socket(line, url) as ws:
            await set_up(ws, token)
            with pytest.raises(ConnectionClosed):
                await ws.recv()


async def test_of_a_call_that_nobody_knows_nothing_is_done(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        for path in ("/voice/after", "/voice/gather", "/voice/gather?silent=999999999&first=1"):
            answer = await line.signed(path, FORM | {"SpeechResult": "hello", "HandoffData": "{}"})
            assert answer.status_code == 200
            assert "<Hangup/>" in answer.text
        for path in ("/voice/status", "/voice/recording", "/voice/machine"):
            told = await line.signed(path, FORM | {"CallStatus": "completed", "CallDuration": "²"})
            assert told.status_code == 204, path
        for path in ("/voice/hold", "/voice/person", "/voice/person/answer", "/voice/person/status"):
            assert (await line.signed(f"{path}?transfer=xfer_unknown&times=x", FORM)).status_code == 404, path
        assert await line.rows("select 1 from calls") == []


async def test_a_text_in_the_place_of_sound_is_counted_and_survived(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, studio=studio()) as line:
        await by_stream(line)
        url, token = await answered(line)
        async with socket(line, url) as ws:
            caller = StreamCaller(ws)
            await caller.start(token, SID)
            for payload in ("How do I return a jacket?", "", "=" * 40):
                media = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": payload}
                await ws.send(json.dumps({"event": "media", "streamSid": "MZ1", "media": media}))
            await caller.speak(b"\xff" * 160)
            await caller.send(event="stop", sequenceNumber="9", streamSid="MZ1", stop={"callSid": SID})
            await ws.wait_closed()
        (call,) = await line.rows("select state, measures from calls")
        assert (call["state"], call["measures"]["malformed"]) == ("ended", 3)


@pytest.mark.parametrize("ear", [True, False], ids=["transcriber", "voice"])
async def test_a_call_whose_vendor_refuses_the_key_ends_with_an_apology(
    database_url: str, fresh_directory: Path, ear: bool
) -> None:
    clock = SystemClock()
    refusing = Listening(refuse=401) if ear else Listening()
    vendors = Studio(ScriptedStt(clock, default=refusing), ScriptedTts(clock, refuse=None if ear else 401))
    async with calling_line(database_url, fresh_directory, studio=vendors, way="stream") as (line, client):
        call = line.phone(PERSON).call(OURS, Script())
        await call.ended()
        assert call.record.said == ["Sorry, I cannot answer right now. Please try again a little later."]
        (row,) = (await client.get("/v1/calls")).json()["items"]
        assert row["state"] == "ended"
        assert "SCRIPTED_API_KEY" in row["why"]


async def test_a_server_says_at_its_start_what_calls_lack(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        with capture_logs() as silent:
            await say_what_calls_lack(line.core)
        assert silent == []
        await by_stream(line)
        with capture_logs() as told:
            await say_what_calls_lack(line.core)
        (lacks,) = told
        assert lacks["event"] == "calls of an integration cannot be answered"
        assert lacks["reason"].startswith("No transcriber is configured")
        assert "DEEPGRAM_API_KEY" in lacks["hint"]


async def test_a_request_that_comes_twice_at_once_begins_one_session(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0) as line:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(answered, line)
        (call,) = await line.rows("select session_id from calls")
        assert await line.rows("select id as session_id from sessions") == [call]
