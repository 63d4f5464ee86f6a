"""ElevenLabs on this machine: `stream-input` as the vendor's contract says, by script."""

from base64 import b64encode
from typing import Any

import anyio

from hookflash.base.clock import Clock
from hookflash.testing.speech import Speaking, pieces_of, sound_of
from hookflash.testing.vendor import HangUp, Receive, Scope, Send, lifespan
from hookflash.testing.vendor_socket import Line, SpeechScript

_FORMATS = {"ulaw_8000": ("mulaw", 8000), "pcm_8000": ("s16le", 8000), "pcm_16000": ("s16le", 16000)}


class ElevenLabsServer:
    """An ASGI application; `script` says what comes. `key` is the only one it accepts, `voices` those it knows."""

    def __init__(
        self, clock: Clock, *, key: str = "el-test", voices: tuple[str, ...] = ("EXAVITQu4vr4xnSDxMaL", "raju")
    ) -> None:
        self.script = SpeechScript(clock)
        self.key = key
        self.voices = voices

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        line = Line(scope, receive, send)
        self.script.connections.append(line.connection)
        head, _, tail = line.connection.path.removeprefix("/v1/text-to-speech/").partition("/")
        kind = _FORMATS.get(line.connection.query.get("output_format", [""])[0])
        status = self.script.next_door()
        if line.connection.headers.get("xi-api-key") != self.key:
            status = 401
        elif tail != "stream-input" or kind is None:
            status = 400
        if status is not None or kind is None:
            await line.refuse(status or 400)
            return
        await line.accept()
        text = ""
        async for message in line.messages():
            if head not in self.voices:
                await line.tell(
                    {"message": "A voice does not exist.", "error": "voice_id_does_not_exist", "code": 1008}
                )
                await line.close(1008)
                return
            text += message["text"]
            # The empty text ends the input.
            if not message["text"]:
                await self._speak(line, text.strip(), kind)
                return

    async def _speak(self, line: Line, text: str, kind: tuple[str, int]) -> None:
        plan = self.script.next_text()
        broken = False
        over = False
        async with anyio.create_task_group() as group:

            async def work() -> None:
                nonlocal broken, over
                broken = await self._sound(line, text, kind, plan)
                over = True
                group.cancel_scope.cancel()

            group.start_soon(work)
            # Whoever closes wants no more of it.
            await line.hang()
            group.cancel_scope.cancel()
        if not over:
            self.script.stopped.append(text)
        elif broken:
            raise HangUp
        else:
            await line.close()

    async def _sound(self, line: Line, text: str, kind: tuple[str, int], plan: Speaking) -> bool:
        """Whether it breaks off."""
        clock = self.script.clock
        await clock.sleep(plan.delay)
        second = kind[1] * (1 if kind[0] == "mulaw" else 2)
        for number, piece in enumerate(pieces_of(sound_of(text, *kind), plan, second)):
            if piece is None:
                if plan.hang is not None:
                    await anyio.sleep_forever()
                if plan.garble is not None:
                    await line.garble()
                return True
            if number:
                await clock.sleep(plan.pause)
            await line.tell(_audio(piece))
        await line.tell({"audio": None, "isFinal": True, "normalizedAlignment": None, "alignment": None})
        return False


def _audio(piece: bytes) -> dict[str, Any]:
    return {"audio": b64encode(piece).decode(), "isFinal": None, "normalizedAlignment": None, "alignment": None}
