"""A person takes over: whichever way the call came in, the caller waits, the person hears what it is about, and takes it or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hookflash.base.clock import SystemClock
from hookflash.emulator.call_handle import CallHandle
from hookflash.emulator.calls import Call
from hookflash.emulator.person import AfterBot, At, Callee, HangUp, OverBot, Press, Say, Script, Sound, Then
from hookflash.testing.speech import Listening, Said, ScriptedStt, ScriptedTts
from hookflash.testing.wait import until
from tests.doors.test_calls import ASKS, COLLEAGUE, LEAVES, PERSON, calling_line
from tests.doors.test_stream import SPEECH, Studio, studio
from tests.doors.textline import OURS, TextLine

WAYS = ("relay", "gather", "stream")
ASKED = "can a person help me"
WHISPER = f"A call for you from {PERSON}. {ASKED}"
KEY = "Press 1 to take the call, any other key to leave it to the assistant."
FREE = "Sorry, no colleague is free right now. Somebody will get back to you. Can I help you with anything else?"
HEARD = Said(ASKED, start=1.6, end=1.6 + len(SPEECH) / 8000)


@asynccontextmanager
async def transferring(
    database_url: str,
    directory: Path,
    way: str,
    *,
    transfer: str = "warm",
    vendors: Studio | None = None,
    **voice: Any,
) -> AsyncIterator[tuple[TextLine, httpx2.AsyncClient]]:
    """A line whose assistant passes calls on to the colleague."""
    config: dict[str, Any] = {"way": way, "transfer": transfer, "transfer_to": COLLEAGUE, "greeting": "Hello."}
    async with calling_line(database_url, directory, studio=vendors or studio(HEARD), **config | voice) as both:
        line, client = both
        yield line, client


def ask(line: TextLine, way: str) -> CallHandle:
    """Somebody calls and asks for a person."""
    said = Sound(SPEECH, ASKED, At(1.5)) if way == "stream" else Say(ASKED, AfterBot(0.2))
    return line.phone(PERSON).call(OURS, Script((said,)))


async def transfers(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    (call,) = (await client.get("/v1/calls")).json()["items"]
    found: list[dict[str, Any]] = call["transfers"]
    return found


def calls_to_colleague(line: TextLine) -> list[Call]:
    return [each for each in line.emulator.calls if each.to == COLLEAGUE]


@pytest.mark.parametrize("way", WAYS)
async def test_a_person_hears_what_it_is_about_and_then_takes_the_call(
    database_url: str, fresh_directory: Path, way: str
) -> None:
    async with transferring(database_url, fresh_directory, way) as (line, client):
        script = Script((Press("1", OverBot(0.3)), HangUp(AfterBot(0.6))))
        line.phone(COLLEAGUE).answer_calls(Callee(rings=6, script=script))
        call = ask(line, way)
        await call.ended()
        (colleague,) = calls_to_colleague(line)
        assert colleague.record.said[:2] == [WHISPER, KEY]
        assert colleague.record.said[-1] == "You are being connected."
        assert "Let me connect you with a colleague." in call.record.said
        assert "One moment please, I am calling a colleague." in call.record.said
        # Both were in one room.
        (waited,), (came,) = call.record.of("conference"), colleague.record.of("conference")
        assert waited.data == came.data
        (taken,) = await transfers(client)
        assert (taken["target"], taken["state"]) == (COLLEAGUE, "joined")
        # The answer before it was said, and is kept as it was.
        (turn,) = await line.rows("select said, answered from turns")
        assert turn == {"said": ASKED, "answered": f"You said: {ASKED}"}


@pytest.mark.parametrize("way", WAYS)
async def test_a_caller_whom_nobody_takes_comes_back_to_the_assistant(
    database_url: str, fresh_directory: Path, way: str
) -> None:
    async with transferring(database_url, fresh_directory, way) as (line, client):
        line.phone(COLLEAGUE).answer_calls(Callee(outcome="busy", rings=0.3))
        call = ask(line, way)
        if way == "stream":
            await until(
                lambda: line.rows(
                    "select 1 from calls where state = 'live' and exists (select from transfers)"
                    " and exists (select from turns)"
                )
            )
            call.hang_up()
        else:
            await call.record.until(lambda record: FREE in record.said, 30)
            await call.act(ASKS, LEAVES)
        await call.ended()
        (missed,) = await transfers(client)
        assert missed["state"] == "busy"
        await until(lambda: line.rows("select 1 from calls where state = 'ended'"))
        turns = await line.rows("select said from turns order by at")
        assert [turn["said"] for turn in turns] == [ASKED, *([] if way == "stream" else ["when do you open"])]


async def test_a_stream_that_comes_back_begins_with_what_became_of_it(database_url: str, fresh_directory: Path) -> None:
    clock = SystemClock()
    voice = ScriptedTts(clock)
    vendors = Studio(ScriptedStt(clock, default=Listening(said=(HEARD,))), voice)
    async with transferring(database_url, fresh_directory, "stream", vendors=vendors) as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(outcome="no-answer"))
        call = ask(line, "stream")
        await until(lambda: any("no colleague is free" in one.text for one in voice.spoken))
        call.hang_up()
        await call.ended()
        assert [one.text for one in voice.spoken].count("Hello.") == 1


@pytest.mark.parametrize(
    "acts", [(Press("2", OverBot(0.3)),), (HangUp(OverBot(0.3)),)], ids=["another key", "puts the receiver down"]
)
async def test_a_person_may_leave_a_call_to_the_assistant(
    database_url: str, fresh_directory: Path, acts: tuple[Any, ...]
) -> None:
    async with transferring(database_url, fresh_directory, "relay") as (line, client):
        line.phone(COLLEAGUE).answer_calls(Callee(script=Script(acts)))
        call = ask(line, "relay")
        await call.record.until(lambda record: FREE in record.said, 30)
        await call.act(ASKS, LEAVES)
        await call.ended()
        assert (await transfers(client))[0]["state"] == "declined"
        assert call.record.said[-1] == "You said: when do you open"


async def test_a_person_who_takes_the_call_and_is_gone_at_once_leaves_nobody_waiting(
    database_url: str, fresh_directory: Path
) -> None:
    async with transferring(database_url, fresh_directory, "gather") as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(script=Script((Press("1", OverBot(0.3)), HangUp(Then(0.2))))))
        call = ask(line, "gather")
        await call.record.until(lambda record: FREE in record.said, 30)
        call.hang_up()
        await call.ended()


async def test_a_person_is_not_rung_any_more_when_the_caller_hangs_up(database_url: str, fresh_directory: Path) -> None:
    async with transferring(database_url, fresh_directory, "relay") as (line, client):
        line.phone(COLLEAGUE).answer_calls(Callee(rings=20))
        call = ask(line, "relay")
        await call.record.until(lambda record: bool(record.of("conference")))
        call.hang_up()
        await call.ended()
        await until(lambda: all(each.is_over for each in calls_to_colleague(line)))
        assert [each.status for each in calls_to_colleague(line)] == ["canceled"]
        assert (await transfers(client))[0]["state"] == "abandoned"


async def test_who_answers_when_the_caller_is_gone_is_told_so(database_url: str, fresh_directory: Path) -> None:
    async with transferring(database_url, fresh_directory, "relay") as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(rings=20))
        call = ask(line, "relay")
        await call.record.until(lambda record: bool(record.of("conference")))
        call.hang_up()
        await call.ended()
        await until(lambda: line.rows("select 1 from transfers where state = 'abandoned'"))
        (transfer,) = await line.rows("select id from transfers")
        form = {"CallSid": "CA" + "8" * 32, "From": OURS, "To": COLLEAGUE, "Digits": "1"}
        for path in ("/voice/person", "/voice/person/answer"):
            answer = await line.signed(f"{path}?transfer={transfer['id']}", form)
            assert "The caller has hung up." in answer.text
        # And a caller who is sent back although their call is over is no error.
        await line.rows("update transfers set state = 'ringing' returning 1")
        told = await line.signed(f"/voice/person/status?transfer={transfer['id']}", form | {"CallStatus": "busy"})
        assert told.status_code == 204


async def test_a_person_who_cannot_be_rung_is_not_waited_for(database_url: str, fresh_directory: Path) -> None:
    async with transferring(database_url, fresh_directory, "relay", transfer_to="+1") as (line, client):
        call = ask(line, "relay")
        await call.record.until(lambda record: FREE in record.said, 30)
        call.hang_up()
        await call.ended()
        assert (await transfers(client))[0]["state"] == "failed"
        assert not call.record.of("conference")


async def test_a_plain_transfer_that_nobody_answers_comes_back_too(database_url: str, fresh_directory: Path) -> None:
    async with transferring(database_url, fresh_directory, "gather", transfer="plain") as (line, client):
        line.phone(COLLEAGUE).answer_calls(Callee(outcome="no-answer"))
        call = ask(line, "gather")
        await call.record.until(lambda record: FREE in record.said, 30)
        await call.act(ASKS, LEAVES)
        await call.ended()
        assert await transfers(client) == []
        assert call.record.said[-1] == "You said: when do you open"


async def test_a_plain_transfer_of_a_stream_joins_the_colleague(database_url: str, fresh_directory: Path) -> None:
    async with transferring(database_url, fresh_directory, "stream", transfer="plain") as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(script=Script((HangUp(AfterBot(0.5)),))))
        call = ask(line, "stream")
        await call.ended()
        assert call.record.said == ["Let me connect you with a colleague."]
        (colleague,) = calls_to_colleague(line)
        assert colleague.record.said == [WHISPER]


async def test_music_is_what_a_waiting_caller_hears_if_there_is_some(database_url: str, fresh_directory: Path) -> None:
    music = "http://127.0.0.1:9/hold.mp3"
    async with transferring(database_url, fresh_directory, "relay", hold_music=music) as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(rings=20))
        call = ask(line, "relay")
        await call.record.until(lambda record: any(each.data["url"] == music for each in record.of("play")))
        call.hang_up()
        await call.ended()
