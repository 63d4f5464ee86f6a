"""Cartesia on this machine: contexts on a web socket as the vendor's contract says, by script."""

from base64 import b64encode
from typing import Any

import anyio
from anyio.abc import TaskGroup

from hookflash.base.clock import Clock
from hookflash.testing.speech import pieces_of, sound_of
from hookflash.testing.vendor import HangUp, Receive, Scope, Send, lifespan
from hookflash.testing.vendor_socket import Line, SpeechScript

_ENCODINGS = {"pcm_mulaw": "mulaw", "pcm_s16le": "s16le"}


class CartesiaServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts."""

    def __init__(self, clock: Clock, *, key: str = "sk_car_test") -> None:
        self.script = SpeechScript(clock)
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        line = Line(scope, receive, send)
        self.script.connections.append(line.connection)
        headers = line.connection.headers
        status = self.script.next_door()
        if headers.get("authorization") != f"Bearer {self.key}":
            status = 401
        elif line.connection.path != "/tts/websocket" or "cartesia-version" not in headers:
            status = 400
        if status is not None:
            await line.refuse(status)
            return
        await line.accept()
        try:
            async with anyio.create_task_group() as group:
                await self._serve(line, group)
                group.cancel_scope.cancel()
        except* HangUp:
            # Said bare, so that the server breaks the connection and writes nothing about it.
            broken = True
        else:
            broken = False
        if broken:
            raise HangUp

    async def _serve(self, line: Line, group: TaskGroup) -> None:
        speaking: dict[str, anyio.CancelScope] = {}
        async for message in line.messages():
            context = message["context_id"]
            if message.get("cancel"):
                if context in speaking:
                    speaking.pop(context).cancel()
            elif wrong := _wrong(message):
                await line.tell({"type": "error", "done": True, "context_id": context, **wrong})
            else:
                speaking[context] = anyio.CancelScope()
                group.start_soon(self._speak, line, message, speaking[context])

    async def _speak(self, line: Line, message: dict[str, Any], scope: anyio.CancelScope) -> None:
        plan = self.script.next_text()
        form = message["output_format"]
        encoding, rate = _ENCODINGS[form["encoding"]], form["sample_rate"]
        second = rate * (1 if encoding == "mulaw" else 2)
        about = {"context_id": message["context_id"], "status_code": 206}
        over = False
        with scope:
            await self.script.clock.sleep(plan.delay)
            for number, piece in enumerate(pieces_of(sound_of(message["transcript"], encoding, rate), plan, second)):
                if piece is None:
                    if plan.hang is not None:
                        await anyio.sleep_forever()
                    if plan.garble is not None:
                        await line.garble()
                        return
                    raise HangUp
                if number:
                    await self.script.clock.sleep(plan.pause)
                data = b64encode(piece).decode()
                await line.tell({"type": "chunk", "data": data, "done": False, "step_time": 1.0, **about})
            await line.tell({"type": "done", "done": True, **about})
            over = True
        if not over:
            self.script.stopped.append(message["transcript"])


def _wrong(message: dict[str, Any]) -> dict[str, Any] | None:
    missing = [name for name in ("model_id", "transcript", "voice", "output_format") if not message.get(name)]
    if missing:
        return {"status_code": 400, "error_code": "invalid_request", "title": "Bad request", "message": missing[0]}
    if message["output_format"].get("encoding") not in _ENCODINGS:
        return {"status_code": 400, "error_code": "invalid_format", "title": "Bad format", "message": "encoding"}
    if message["voice"].get("id") == "nobody":
        return {"status_code": 404, "error_code": "voice_not_found", "title": "Voice not found", "message": "voice"}
    return None
