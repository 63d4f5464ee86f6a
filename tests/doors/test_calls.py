"""Calls that we make and calls that a person takes over: permission, machines that answer, recordings, transfers, draining."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import anyio
import anyio.abc
import httpx2
import pytest

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.voice import VoiceConfig
from hookflash.base.clock import SystemClock
from hookflash.channels.stream_routes import Studio
from hookflash.cli.roles import port_of, web
from hookflash.conversation.turn import Turn
from hookflash.emulator.person import AfterBot, Callee, HangUp, Say, Script
from hookflash.rest.auth import ADMIN
from hookflash.testing.wait import until
from hookflash.workspace import store as workspace
from tests.doors.textline import OURS, TextLine, echo, text_line

PERSON = "+12125550123"  # in New York
COLLEAGUE = "+12125550177"
ASKS = Say("when do you open", AfterBot(0.2))
LEAVES = HangUp(AfterBot(0.2))


class DaytimeClock(SystemClock):
    """The machine's clock, set to an hour in New York."""

    def __init__(self, hour: int = 12) -> None:
        self._ahead = datetime(2026, 1, 14, hour, tzinfo=ZoneInfo("America/New_York")) - super().now()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def forward(self, time: timedelta) -> None:
        """So much later, at once; nobody's sleep ends for it."""
        self._ahead += time


@asynccontextmanager
async def calling_line(
    database_url: str,
    directory: Path,
    *,
    hour: int = 12,
    studio: Studio | None = None,
    answer: Callable[[Turn], Awaitable[str]] = echo,
    **voice: Any,
) -> AsyncIterator[tuple[TextLine, httpx2.AsyncClient]]:
    """A line whose assistant may speak, and a client of its REST API."""
    config = AssistantConfig(name="Test", company="Acme", voice=VoiceConfig.model_validate(voice))
    async with text_line(
        database_url,
        directory,
        assistant_config=config,
        workers=0,
        clock=DaytimeClock(hour),
        studio=studio,
        answer=answer,
    ) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            key = await workspace.create_key(conn, line.account_id, "test", frozenset({ADMIN}), line.core.clock.now())
        headers = {"Authorization": f"Bearer {key.text.get_secret_value()}"}
        base = str(line.core.settings.public_url)
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
            yield line, client


async def make(client: httpx2.AsyncClient, line: TextLine, retries: int = 0) -> httpx2.Response:
    wanted = {"integration_id": line.integration.id, "to": PERSON, "purpose": "test", "retries": retries}
    return await client.post("/v1/calls", json=wanted)


async def over(line: TextLine) -> dict[str, Any]:
    """The only call, when it is over and nothing more is told of it."""
    await until(lambda: line.rows("select 1 from calls where state = 'ended' and measures ? 'status'"))
    (call,) = await line.rows("select * from calls")
    return call


async def test_a_call_of_ours_is_answered_and_is_one_record(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, greeting="Acme calling.") as (line, client):
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES))))
        made = await make(client, line)
        assert made.status_code == 201, made.text
        call = await over(line)
        assert (call["direction"], call["purpose"], call["address"]) == ("out", "test", PERSON)
        assert call["id"] == made.json()["id"]
        assert call["parts"]["telephony"] > 0
        (there,) = line.emulator.calls
        assert there.sid == call["call_sid"]
        assert there.record.said == ["Acme calling.", "You said: when do you open"]
        (turn,) = await line.rows("select said, answered from turns")
        assert turn == {"said": "when do you open", "answered": "You said: when do you open"}
        shown = (await client.get(f"/v1/calls/{call['id']}")).json()
        assert shown["state"] == "ended"
        assert [(t["said"], t["answered"], t["interrupted"]) for t in shown["turns"]] == [
            ("when do you open", "You said: when do you open", False)
        ]


async def test_a_call_that_nobody_takes_has_its_reason(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        line.phone(PERSON).answer_calls(Callee(outcome="busy"))
        assert (await make(client, line)).status_code == 201
        assert (await over(line))["why"] == "busy"


async def test_who_opted_out_is_not_called(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        line.phone(PERSON).text(OURS, "STOP")
        await line.emulator.idle()
        refused = await make(client, line)
        assert refused.status_code == 403
        assert "opted out" in refused.text
        assert line.emulator.calls == []
        assert await line.rows("select 1 from calls") == []


async def test_what_is_no_telephone_number_is_not_called(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        wanted = {"integration_id": line.integration.id, "to": "banana"}
        refused = await client.post("/v1/calls", json=wanted)
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == ["to"]


async def test_nobody_is_called_at_night(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, hour=22) as (line, client):
        refused = await make(client, line)
        assert refused.status_code == 409
        assert "2026-01-15T13:00:00+00:00" in refused.text
        assert line.emulator.calls == []


async def test_a_call_that_twilio_refuses_is_ended_with_its_reason(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory) as (line, client):
        line.emulator.fault("create_then_500", next=1)
        assert (await make(client, line)).status_code == 503
        (call,) = await line.rows("select state, why from calls where direction = 'out'")
        assert call["state"] == "ended"
        assert "unclear" in call["why"]
        assert len(line.emulator.calls) == 1


async def test_a_machine_gets_the_message_and_no_conversation(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, voicemail="Please call us back.") as (line, client):
        line.phone(PERSON).answer_calls(Callee(answered_by="machine_end_beep", detection=0.4))
        await make(client, line)
        call = await over(line)
        assert call["answered_by"] == "machine_end_beep"
        assert line.emulator.calls[0].record.said[-1] == "Please call us back."
        assert await line.rows("select 1 from turns") == []


async def test_a_person_who_answers_is_not_taken_for_a_machine(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, voicemail="Please call us back.") as (line, client):
        line.phone(PERSON).answer_calls(Callee(script=Script((ASKS, LEAVES)), detection=0.1))
        await make(client, line)
        assert (await over(line))["answered_by"] == "human"
        assert "Please call us back." not in line.emulator.calls[0].record.said


async def test_a_recorded_call_says_so_and_keeps_where_it_is(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, record=True) as (line, _):
        call = line.phone(PERSON).call(OURS, Script((ASKS, LEAVES)))
        await call.ended()
        await until(lambda: line.rows("select 1 from calls where recording_sid is not null"))
        (row,) = await line.rows("select recording from calls")
        assert row["recording"]["status"] == "completed"
        assert "/Recordings/RE" in row["recording"]["url"]
        assert call.record.said[0] == "This call is recorded. Hello! How can I help you?"


async def test_a_colleague_takes_over_and_hears_first_what_it_is_about(
    database_url: str, fresh_directory: Path
) -> None:
    async with calling_line(database_url, fresh_directory, transfer_to=COLLEAGUE) as (line, _):
        line.phone(COLLEAGUE).answer_calls(Callee(script=Script((HangUp(AfterBot(0.5)),))))
        call = line.phone(PERSON).call(OURS, Script((Say("let me speak to a person", AfterBot(0.2)),)))
        await call.ended()
        assert "Let me connect you with a colleague." in call.record.said
        (colleague,) = [each for each in line.emulator.calls if each.to == COLLEAGUE]
        assert colleague.record.said == [f"A call for you from {PERSON}. let me speak to a person"]


async def test_a_desk_gets_a_task_with_what_was_said(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, transfer_to="WW" + "1" * 32) as (line, _):
        call = line.phone(PERSON).call(OURS, Script((Say("I want a person", AfterBot(0.2)),)))
        await until(lambda: line.emulator.tasks)
        (task,) = line.emulator.tasks
        told = json.loads(task.attributes)
        # Who asks for a person hears no answer first.
        assert told["conversation_summary"] == "I want a person"
        assert await line.rows("select reason from tickets") == [{"reason": "the caller asked for a person"}]
        assert told["from"] == PERSON
        call.hang_up()
        await call.ended()


@pytest.mark.parametrize("path", ["/voice?try=try_unknown", "/voice/status?try=try_unknown"])
async def test_a_call_that_we_did_not_make_is_not_taken_for_ours(
    database_url: str, fresh_directory: Path, path: str
) -> None:
    async with calling_line(database_url, fresh_directory) as (line, _):
        form = {"CallSid": "CA" + "7" * 32, "From": OURS, "To": PERSON, "Direction": "outbound-api"}
        answer = await line.signed(path, form | {"CallStatus": "completed"})
        assert answer.status_code == 404
        assert await line.rows("select 1 from calls") == []


async def test_a_stream_without_a_transcriber_says_so_and_is_over(database_url: str, fresh_directory: Path) -> None:
    async with calling_line(database_url, fresh_directory, way="stream") as (line, _):
        call = line.phone(PERSON).call(OURS, Script())
        await call.ended()
        assert call.record.said == ["Sorry, I cannot answer right now. Please try again a little later."]
        (row,) = await line.rows("select state, why from calls")
        assert row == {
            "state": "ended",
            "why": "failed: No transcriber is configured, so calls by Media Streams cannot be heard.",
        }


async def test_a_server_that_is_told_to_stop_lets_its_calls_end(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        base = urlsplit(str(line.core.settings.public_url))
        told, ended = anyio.Event(), anyio.Event()

        async def serve(listener: socket.socket, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with web(line.core, listener, drain=30):
                task_status.started()
                await told.wait()
            ended.set()

        async with anyio.create_task_group() as tasks, httpx2.AsyncClient() as client:
            with port_of("127.0.0.1", int(base.port or 0), "") as listener:
                await tasks.start(serve, listener)
                live = line.phone(PERSON).call(OURS, Script())
                await live.record.until(lambda record: bool(record.of("talk")))
                told.set()
                ready = await client.get(f"{base.geturl()}/readyz")
                assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
                late = line.phone(COLLEAGUE).call(OURS, Script())
                assert (await late.ended()).status == "busy"
                await live.act(ASKS, LEAVES)
                await live.ended()
                assert live.record.said[-1] == "You said: when do you open"
                await ended.wait()
