"""A server that is to stop: calls that are on go on, also those that are between two requests, and no new one is taken."""

import socket as sockets
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx2

from hookflash.channels.voice_routes import Voices
from hookflash.cli.roles import port_of, web
from tests.doors.test_relay import answered, ring, say, set_up, socket, utterance
from tests.doors.textline import text_line


async def test_a_call_whose_socket_is_not_open_yet_is_waited_for(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        base = urlsplit(str(line.core.settings.public_url))
        told, ended = anyio.Event(), anyio.Event()

        async def serve(listener: sockets.socket, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with web(line.core, listener, drain=30):
                task_status.started()
                await told.wait()
            ended.set()

        async with anyio.create_task_group() as tasks, httpx2.AsyncClient() as client:
            with port_of("127.0.0.1", int(base.port or 0), "") as listener:
                await tasks.start(serve, listener)
                url, token = await answered(line)
                told.set()
                ready = await client.get(f"{base.geturl()}/readyz")
                assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
                assert '<Reject reason="busy"/>' in (await ring(line, CallSid="CA" + "8" * 32)).text
                assert not ended.is_set()
                async with socket(line, url) as ws:
                    await set_up(ws, token)
                    await say(ws, type="prompt", voicePrompt="when do you open", last=True)
                    assert await utterance(ws) == "You said: when do you open"
                    assert not ended.is_set()
                # A call that is on already may come back: it is not a new one.
                again = await ring(line, "/voice?again=go_on")
                assert "Please go on." in again.text
                await ring(line, "/voice/status", CallStatus="completed", CallDuration="5")
                await ended.wait()


async def test_what_never_comes_is_not_waited_for_beyond_its_time(database_url: str, fresh_directory: Path) -> None:
    async with text_line(database_url, fresh_directory, workers=0, web=False) as line:
        core = line.core
        voices = Voices(core.webhooks(), core.switchboard(), core.twilio)
        voices.expect("CA1", 0.2)
        assert await voices.drain(core.clock, 30) == 0
        voices.expect("CA2", 60)
        voices.live += 1
        assert await voices.drain(core.clock, 0.2) == 2
        voices.arrived("CA2")
        assert await voices.drain(core.clock, 0) == 1
