"""The server of the voice benchmarks: the program as it is served, on one core, with vendors that take no time.

    python benchmarks/voice_server.py hookflash|bare     # started by the benchmarks

Final words come at once when they are asked for, the first words of an answer after 50 ms, all of its sound at once.
`bare` is the reference: a WebSocket under uvicorn that reads JSON and asks silero in place, call by call, frame by frame.
At SIGUSR1 a line of JSON tells what lives in the process.
"""

import asyncio
import gc
import json
import os
import signal
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import numpy as np
import uvicorn
import uvloop

from hookflash.cli.logs import configure_logs
from hookflash.cli.roles import port_of, until_told_to_stop, web
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Ending, Say, Turn
from hookflash.providers.silero import Silero, package_model
from hookflash.settings import Settings
from hookflash.speech.audio import FLOATS
from hookflash.speech.endpoint import SURE
from hookflash.speech.hysteresis import Hysteresis, SpeechStart
from hookflash.speech.stt import Heard, Stt, SttStream, SttTraits, Transcript
from hookflash.speech.tts import Sound, Tts, TtsTraits, TtsVoice
from hookflash.speech.vad import CHUNK, CONTEXT
from hookflash.wiring import open_core

MULAW = (("mulaw", 8000),)
QUESTION = "How long do I have to return a jacket?"
ANSWER = ("You may bring it back within thirty days. ", "Please keep the receipt, and leave the labels on.")
FIRST_TOKEN = 0.05
# The pause that ends such a question.
WAIT = SURE
# Of each sentence: three pieces of half a second.
PIECE, PIECES = bytes(range(60, 140)) * 50, 3


class Ears:
    """A transcriber that knows what was said as soon as it is asked."""

    traits = SttTraits("fake", MULAW)

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        yield _Listening(heard)


class _Listening:
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    async def feed(self, audio: bytes) -> None:
        pass

    async def finalize(self) -> None:
        await self._heard(Transcript(QUESTION, final=True))


class Mouth:
    """A voice that has all of the sound at once."""

    traits = TtsTraits("fake", MULAW)

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        yield _Speaking()


class _Speaking:
    async def speak(self, text: str, sound: Sound) -> None:
        for _ in range(PIECES):
            await sound(PIECE)


class Vendors:
    """Everybody hears and speaks alike."""

    def ears(self, names: tuple[str, ...]) -> Stt:
        return Ears()

    def mouth(self, names: tuple[str, ...]) -> Tts:
        return Mouth()


async def answer(turn: Turn, say: Say) -> Ending:
    await anyio.sleep(FIRST_TOKEN)
    for number, sentence in enumerate(ANSWER, 1):
        await say(Segment(sentence, last=number == len(ANSWER)))
    return Ending("answered", "".join(ANSWER), turn.words, 0.9, (), "scripted", "bench", "en")


async def hookflash() -> None:
    settings = Settings.load(os.environ)
    configure_logs(settings.log_level, settings.log_format)
    with port_of(settings.host, settings.port, "") as listener:
        async with open_core(settings, answer=answer, studio=Vendors()) as core, web(core, listener):
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
            print("ready", flush=True)
            await until_told_to_stop()


def tell() -> None:
    gc.collect()
    kinds = Counter(type(one).__name__ for one in gc.get_objects())
    coroutines = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    calls = kinds["StreamSession"]
    figures = {
        "calls": calls,
        "tasks": len(asyncio.all_tasks()),
        "objects": sum(kinds.values()),
        "kinds": dict(kinds.most_common(40)),
    }
    print(json.dumps(figures | {"coroutines": dict(coroutines.most_common(20))}), flush=True)


# The reference

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Bare:
    """An ASGI application that answers whoever stops speaking, after the wait that ours has for such a question."""

    def __init__(self) -> None:
        self._silero = Silero(package_model())
        self._row = np.array([0])
        self._rows = 0
        payload = b64encode(PIECE * PIECES * len(ANSWER)).decode()
        self._answer = f'{{"event":"media","streamSid":"x","media":{{"payload":"{payload}"}}}}'

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        row, self._rows = np.array([self._rows]), self._rows + 1
        self._silero.reset(row)
        hysteresis, sound, due = Hysteresis(), b"\xff" * CONTEXT, float("inf")
        loop = asyncio.get_running_loop()
        while (message := await receive())["type"] == "websocket.receive":
            event = json.loads(message["text"])
            if event["event"] == "stop":
                break
            if event["event"] != "media":
                continue
            sound += b64decode(event["media"]["payload"])
            while len(sound) >= CONTEXT + CHUNK:
                samples = FLOATS.take(np.frombuffer(sound[: CONTEXT + CHUNK], np.uint8))[None]
                found = hysteresis.push(float(self._silero.score(row, samples)[0]))
                sound = sound[CHUNK:]
                if isinstance(found, SpeechStart):
                    await send({"type": "websocket.send", "text": '{"event":"clear","streamSid":"x"}'})
                elif found is not None:
                    due = loop.time() + max(0.0, WAIT - (hysteresis.heard_seconds - found.at))
            if loop.time() >= due:
                due = float("inf")
                await send({"type": "websocket.send", "text": self._answer})


async def bare() -> None:
    config = uvicorn.Config(
        Bare(),
        host="127.0.0.1",
        port=int(os.environ["HOOKFLASH_PORT"]),
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, lambda: print("ready", flush=True))
    await server.serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run({"hookflash": hookflash, "bare": bare}[sys.argv[1]]())
