"""Speech to speech: the socket of a call whose sound goes to a vendor that hears, thinks and speaks by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import anyio
import structlog
from fastapi import APIRouter, WebSocket

from hookflash.assistant.realtime import offered
from hookflash.assistant.tool import Tool, Toolbox
from hookflash.base.clock import Clock
from hookflash.base.errors import Misconfigured
from hookflash.base.tasks import bare_error
from hookflash.channels import realtime
from hookflash.channels import voice as door
from hookflash.channels.integration import Integration
from hookflash.channels.media_routes import MediaSocket
from hookflash.channels.recorder import Recorder
from hookflash.channels.voice_jobs import Talk
from hookflash.channels.voice_routes import Voices, handshake
from hookflash.conversation.turn import Answerer, Turn
from hookflash.speech.events import Marked, Pressed
from hookflash.speech.run_call import FAILED
from hookflash.speech.run_realtime import RealtimeDevices, RealtimeShell
from hookflash.speech.sts import Sts

log = structlog.get_logger()
router = APIRouter(prefix="/twilio", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Dialogues:
    """What the calls of speech to speech of a process share; it lies in `app.state.dialogues`.

    `vendor` gives one by its name or raises Misconfigured; `usual` is the one of assistants that name none. `lookup` answers a
    question with the passages that bear on it. `toolbox` has the tools of the assistants, `verified` knows who has
    proven to hold their phone, `memory` what is known of the customer when the call begins.
    """

    vendor: Callable[[str], Sts]
    usual: str
    lookup: Answerer
    toolbox: Toolbox
    verified: Callable[[Turn], Awaitable[bool]]
    memory: Callable[[Turn], Awaitable[tuple[str, ...]]]
    clock: Clock


@router.websocket("/{integration_id}/realtime")
async def realtime_socket(socket: WebSocket, integration_id: str) -> None:
    """A call's sound, both ways."""
    integration = await handshake(socket, integration_id)
    if integration is None:
        return
    voices: Voices = socket.app.state.voices
    dialogues: Dialogues = socket.app.state.dialogues
    await socket.accept()
    voices.live += 1
    try:
        await _run(socket, integration, voices, dialogues)
    finally:
        voices.live -= 1


async def _run(socket: WebSocket, integration: Integration, voices: Voices, dialogues: Dialogues) -> None:
    """Until the stream stops or the call is over."""
    line = MediaSocket(socket, integration, voices.switchboard, dialogues.clock)
    talk = await line.open()
    if talk is None:
        await line.hang_up(1008)
        return
    voices.arrived(talk.call.call_sid)
    recorder = voices.recorder(integration, talk.call.call_sid, voices.base(socket), begin=not line.again)
    first = voices.switchboard.turn(talk, "", talk.voice.language)
    tools = offered(await dialogues.toolbox.tools(first))
    about = await dialogues.memory(first)
    try:
        shell = RealtimeShell(_devices(line, talk, integration, voices, dialogues, recorder, tools, about))
    except Misconfigured as error:
        log.warning("call cannot be heard or answered", integration=integration.id, reason=error.message)
        await voices.switchboard.end(talk, f"{FAILED}{error.message}")
        await line.hang_up()
        return
    try:
        with bare_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(line.write)
                tasks.start_soon(recorder.run)
                tasks.start_soon(_read, line, shell, recorder)
                await shell.run()
                await line.drain()
                tasks.cancel_scope.cancel()
    finally:
        line.leave()
        with anyio.CancelScope(shield=True), anyio.move_on_after(5.0):
            counts = asdict(shell.counts)
            del counts["why"]
            measures = {**counts, "jitter": asdict(line.jitter.counts), "malformed": line.malformed}
            await voices.switchboard.end(talk, shell.counts.why, measures)
            await line.hang_up()


async def _read(line: MediaSocket, shell: RealtimeShell, recorder: Recorder) -> None:
    def pressed(digit: str) -> None:
        recorder.pressed()
        shell.post(Pressed(digit))

    await line.read(
        heard=shell.hear,
        marked=lambda name: shell.post(Marked(name)),
        pressed=pressed,
        gone=shell.hang_up,
    )


def _devices(
    line: MediaSocket,
    talk: Talk,
    integration: Integration,
    voices: Voices,
    dialogues: Dialogues,
    recorder: Recorder,
    tools: tuple[Tool, ...],
    about: tuple[str, ...],
) -> RealtimeDevices:
    vendor = dialogues.vendor(talk.voice.realtime or dialogues.usual)
    mind = realtime.RealtimeMind(
        voices.switchboard, dialogues.lookup, talk, vendor.name, recorder, dialogues.toolbox, dialogues.verified, tools
    )
    phrases = door.Phrases(integration, talk.voice.language.partition("-")[0])
    return RealtimeDevices(
        line=line,
        vendor=vendor,
        opening=realtime.opening(talk, tools, about),
        mind=mind,
        clock=dialogues.clock,
        rules=door.realtime_rules(talk.voice, phrases, again=bool(line.again)),
    )
