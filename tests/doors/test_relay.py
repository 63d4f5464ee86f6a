"""ConversationRelay: a call whose words come and go over a socket, in the same session as the person's texts."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.testing.wait import until
from hookflash.twilio.signature import sign
from tests.doors.textline import OURS, TextLine, text_line

CALLER = "+15550111222"
SID = "CA" + "1" * 32


async def ring(line: TextLine, path: str = "/voice", **more: str) -> httpx2.Response:
    url = f"{line.core.settings.public_url}/twilio/{line.integration.id}{path}"
    form = {"CallSid": SID, "From": CALLER, "To": OURS, "CallStatus": "ringing", "Direction": "inbound"} | more
    headers = sign(url, line.emulator.auth_token, form=form.items())
    async with httpx2.AsyncClient() as client:
        return await client.post(url, data=form, headers=headers)


async def answered(line: TextLine, **more: str) -> tuple[str, str]:
    """The address of the socket and the token that the TwiML names."""
    twiml = (await ring(line, **more)).text
    url = re.search(r'url="([^"]+)"', twiml)
    token = re.search(r'name="token" value="([^"]+)"', twiml)
    assert url, twiml
    assert token, twiml
    return url.group(1), token.group(1)


def socket(line: TextLine, url: str) -> connect:
    return connect(url, additional_headers=sign(url, line.emulator.auth_token))


async def say(ws: ClientConnection, **message: Any) -> None:
    await ws.send(json.dumps(message))


async def utterance(ws: ClientConnection) -> str:
    """What we are told to speak, up to its end."""
    said = ""
    while True:
        message: dict[str, str] = json.loads(await ws.recv())
        assert message["type"] == "text"
        said += message["token"]
        if message["last"]:
            return said


async def set_up(ws: ClientConnection, token: str) -> None:
    await say(ws, type="setup", sessionId="VX1", callSid=SID, customParameters={"token": token}, **{"from": CALLER})


async def test_a_question_by_telephone_is_answered_and_kept(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="when do you open", lang="en-US", last=True)
            assert await utterance(ws) == "You said: when do you open"
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        rows = await line.rows("select direction, kind, body from messages order by seq")
        assert [(r["direction"], r["kind"], r["body"]) for r in rows] == [
            ("in", "speech", "when do you open"),
            ("out", "speech", "You said: when do you open"),
        ]
        (call,) = await line.rows("select summary, address from calls")
        assert call["address"] == CALLER
        assert "when do you open" in call["summary"]


async def test_the_voice_goes_over_to_the_language_of_the_caller(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            config = AssistantConfig(
                name="Test", company="Acme", voice=VoiceConfig(way="relay", languages={"es-MX": ""})
            )
            await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="¿a qué hora abren los domingos?", lang="es", last=True)
            assert json.loads(await ws.recv()) == {"type": "language", "ttsLanguage": "es-MX"}
            assert await utterance(ws) == "You said: ¿a qué hora abren los domingos?"


async def test_a_call_and_a_text_share_one_session(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        phone = line.phone(CALLER)
        phone.text(OURS, "I texted you about it")
        await phone.wait_reply()
        await line.at_rest()
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="hello again", last=True)
            await utterance(ws)
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        assert len(await line.rows("select 1 from sessions")) == 1
        turns = await line.rows("select said from turns order by at")
        assert [t["said"] for t in turns] == ["I texted you about it", "hello again"]


async def test_an_interruption_keeps_what_was_heard(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="one two three four", last=True)
            await utterance(ws)
            await say(ws, type="interrupt", utteranceUntilInterrupt="You said: one", durationUntilInterruptMs="460")
            await say(ws, type="prompt", voicePrompt="my card is 4111 1111 1111 1111", last=True)
            await utterance(ws)
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        rows = await line.rows("select body from messages order by seq")
        assert [r["body"] for r in rows] == [
            "one two three four",
            "You said: one",
            "my card is [card number]",
            "You said: my card is [card number]",
        ]


async def test_a_token_opens_one_socket_of_its_own_call(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        url, token = await answered(line)
        for given in ("wrong", ""):
            async with socket(line, url) as ws:
                await set_up(ws, given)
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="hi", last=True)
            await utterance(ws)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            with pytest.raises(ConnectionClosed):
                await ws.recv()


async def test_an_unsigned_socket_and_an_unsigned_call_are_refused(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        url, _ = await answered(line)
        with pytest.raises(InvalidStatus):
            async with connect(url):
                pass
        base = f"{line.core.settings.public_url}/twilio/{line.integration.id}"
        async with httpx2.AsyncClient() as client:
            for path in ("/voice", "/voice/after", "/voice/status", "/voice/gather", "/voice/whisper"):
                assert (await client.post(base + path, data={"CallSid": SID})).status_code == 403


class HurriedClock(SystemClock):
    """Twenty seconds in one."""

    def monotonic(self) -> float:
        return super().monotonic() * 20

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 20)


def speaking(**voice: Any) -> AssistantConfig:
    return AssistantConfig(name="Test", company="Acme", voice=VoiceConfig.model_validate(voice))


@pytest.mark.parametrize(
    ("voice", "said", "why"),
    [
        ({"reprompts": 1}, ["Are you still there?", "Thank you for calling. Goodbye."], "the caller is silent"),
        (
            {"max_minutes": 1, "reprompt_after_ms": 60_000},
            ["Thank you for calling. Goodbye."],
            "the call is at its longest",
        ),
    ],
    ids=["silence", "length"],
)
async def test_a_silent_call_and_a_long_one_end_with_a_word(
    database_url: str, fresh_directory: Path, voice: dict[str, Any], said: list[str], why: str
) -> None:
    async with text_line(
        database_url, fresh_directory, clock=HurriedClock(), assistant_config=speaking(**voice), workers=0
    ) as line:
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            assert [await utterance(ws) for _ in said] == said
            assert json.loads(await ws.recv()) == {"type": "end"}
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        assert await line.rows("select why from calls") == [{"why": why}]
        ended = await ring(line, "/voice/after", CallStatus="in-progress", SessionStatus="ended")
        assert "<Hangup/>" in ended.text


@pytest.mark.parametrize("way", ["relay", "gather"])
async def test_a_call_that_is_too_dear_ends_with_a_word(database_url: str, fresh_directory: Path, way: str) -> None:
    config = speaking(way=way, max_call_usd=0.000001)
    async with text_line(
        database_url, fresh_directory, clock=HurriedClock(), assistant_config=config, workers=0
    ) as line:
        if way == "relay":
            url, token = await answered(line)
            async with socket(line, url) as ws:
                await set_up(ws, token)
                await say(ws, type="prompt", voicePrompt="when do you open", last=True)
                assert await utterance(ws) == "Thank you for calling. Goodbye."
                assert json.loads(await ws.recv()) == {"type": "end"}
        else:
            await ring(line)
            answer = (await ring(line, "/voice/gather", SpeechResult="when do you open")).text
            assert "Thank you for calling. Goodbye." in answer
            assert "<Hangup/>" in answer
        assert await line.rows("select why from calls") == [{"why": "the call is at its dearest"}]


async def test_a_call_has_the_present_voice_though_its_session_began_before(
    database_url: str, fresh_directory: Path
) -> None:
    async with text_line(database_url, fresh_directory, workers=1) as line:
        phone = line.phone(CALLER)
        phone.text(OURS, "hello")
        await phone.wait_reply()
        async with line.core.db.tenant(line.account_id) as conn:
            config = speaking(transfer_to="+12125550177")
            await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            await say(ws, type="prompt", voicePrompt="let me speak to a person", last=True)
            await utterance(ws)
            assert json.loads(await ws.recv())["type"] == "end"
        assert len(await line.rows("select 1 from sessions")) == 1


async def test_ten_malformed_messages_end_the_session(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        url, token = await answered(line)
        async with socket(line, url) as ws:
            await set_up(ws, token)
            for _ in range(10):
                await ws.send("{nonsense")
            with pytest.raises(ConnectionClosed):
                await ws.recv()


async def test_gather_goes_turn_by_turn_and_ends_after_silence(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            config = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig(way="gather"))
            await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
        first = await ring(line)
        assert "<Gather" in first.text
        answer = await ring(line, "/voice/gather", SpeechResult="what is a tent", Confidence="0.9")
        assert "You said: what is a tent" in answer.text
        keyed = await ring(line, "/voice/gather", Digits="42")
        assert "You said: 42" in keyed.text
        silent = await ring(line, "/voice/gather?silent=1")
        assert "silent=2" in silent.text
        over = (await ring(line, "/voice/gather?silent=2")).text
        assert '<Say language="en-US">Thank you for calling. Goodbye.</Say><Hangup/>' in over
        (call,) = await line.rows("select why, summary from calls")
        assert call["why"] == "the caller is silent"
        assert call["summary"].startswith("2 questions by telephone:")


async def test_too_many_calls_of_one_number_are_refused(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        for n in range(2):
            assert "ConversationRelay" in (await ring(line, CallSid="CA" + str(n) * 32)).text
        refused = await ring(line, CallSid="CA" + "9" * 32)
        assert '<Reject reason="busy"/>' in refused.text
        (row,) = await line.rows("select why from calls where state = 'refused'")
        assert "at once" in row["why"]


async def test_a_socket_that_broke_is_opened_again_then_the_call_ends(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory) as line:
        await answered(line)
        for _ in range(2):
            assert (
                "<Redirect" in (await ring(line, "/voice/after", CallStatus="in-progress", SessionStatus="failed")).text
            )
        assert "<Hangup/>" in (await ring(line, "/voice/after", CallStatus="in-progress", SessionStatus="failed")).text
