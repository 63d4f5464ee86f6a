"""OpenAI's speech on this machine: realtime transcription, transcription and speech endpoints, by script."""

from base64 import b64decode
from email import message_from_bytes
from email.policy import default
from typing import Any

import anyio
import msgspec

from hookflash.base.clock import Clock
from hookflash.speech.stt import Transcript
from hookflash.speech.wav import read_wav
from hookflash.testing.speech import Ear, Listening, pieces_of, sound_of
from hookflash.testing.vendor import HangUp, Receive, Scope, Send, lifespan, send_json
from hookflash.testing.vendor_socket import Connection, Line, SpeechScript, came, die

_RATE = 24000
_TRANSCRIPTION = "conversation.item.input_audio_transcription"
# Less than a tenth of a second cannot be committed.
_LEAST = 800


class OpenAISpeechServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts."""

    def __init__(self, clock: Clock, *, key: str = "sk-test") -> None:
        self.script = SpeechScript(clock)
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        if scope["type"] == "websocket":
            await self._realtime(Line(scope, receive, send))
            return
        connection = came(scope)
        self.script.connections.append(connection)
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        if connection.headers.get("authorization") != f"Bearer {self.key}":
            await _refuse(send, 401, "invalid_api_key")
        elif connection.path.endswith("/audio/transcriptions"):
            await self._transcribe(connection, body, send)
        elif connection.path.endswith("/audio/speech"):
            await self._speak(connection, body, receive, send)
        else:
            await _refuse(send, 404, None)

    async def _realtime(self, line: Line) -> None:
        self.script.connections.append(line.connection)
        if line.connection.headers.get("authorization") != f"Bearer {self.key}":
            await line.refuse(401)
            return
        # A model in the address would make it a conversation.
        if line.connection.query != {"intent": ["transcription"]}:
            await line.refuse(400)
            return
        plan = self.script.next_stream()
        if plan.refuse is not None:
            await line.refuse(plan.refuse)
            return
        await line.accept()
        await _Session(line, plan, self.script.clock).serve()

    async def _transcribe(self, connection: Connection, body: bytes, send: Send) -> None:
        plan = self.script.next_stream()
        form = _form(connection.headers.get("content-type", ""), body)
        connection.messages.append({name: value.decode() for name, value in form.items() if name != "file"})
        if plan.refuse is not None or "model" not in form or "file" not in form:
            await _refuse(send, plan.refuse or 400, None)
            return
        connection.audio += form["file"]
        if plan.die is not None:
            die()
        if plan.hang is not None:
            await anyio.sleep_forever()
        await self.script.clock.sleep(plan.latency)
        ear = Ear(plan.said)
        ear.hear(read_wav(form["file"]).seconds)
        text = ear.settle().text
        await send_json(send, 200, {"text": text} if plan.garble is None else {"words": 7})

    async def _speak(self, connection: Connection, body: bytes, receive: Receive, send: Send) -> None:
        asked = msgspec.json.decode(body)
        connection.messages.append(asked)
        plan = self.script.next_text()
        if plan.refuse is not None or not all(asked.get(name) for name in ("model", "input", "voice")):
            await _refuse(send, plan.refuse or 400, None)
            return
        await stream_sound(
            self.script, asked["input"], sound_of(asked["input"], "s16le", _RATE), _RATE * 2, receive, send, plan
        )


async def stream_sound(
    script: SpeechScript, text: str, sound: bytes, second: int, receive: Receive, send: Send, plan: Any
) -> None:
    """Answer with sound, piece by piece, until the other end has gone."""
    over = False
    broken = False
    async with anyio.create_task_group() as group:

        async def work() -> None:
            nonlocal over, broken
            await script.clock.sleep(plan.delay)
            headers = [(b"content-type", b"audio/pcm")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for number, piece in enumerate(pieces_of(sound, plan, second)):
                if piece is None:
                    if plan.hang is not None:
                        await anyio.sleep_forever()
                    broken = True
                    break
                if number:
                    await script.clock.sleep(plan.pause)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            over = True
            group.cancel_scope.cancel()

        group.start_soon(work)
        while (await receive())["type"] != "http.disconnect":
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    if broken:
        raise HangUp
    if over:
        await send({"type": "http.response.body", "body": b""})
    else:
        script.stopped.append(text)


class _Session:
    """A transcription session."""

    def __init__(self, line: Line, plan: Listening, clock: Clock) -> None:
        self._line = line
        self._plan = plan
        self._clock = clock
        self._ear = Ear(plan.said)
        self._audio = bytearray()
        self._uncommitted = 0
        self._item = 1
        self._told = ""

    async def serve(self) -> None:
        await self._line.tell({"type": "session.created", "session": {"type": "transcription"}})
        async for message in self._line.messages():
            seconds = len(self._audio) / 8000
            if self._plan.hangs(seconds):
                await self._line.hang()
                return
            if self._plan.garble is not None and seconds >= self._plan.garble:
                await self._line.garble()
            if self._plan.broken(seconds):
                die()
            match message["type"]:
                case "session.update":
                    await self._update(message["session"])
                case "input_audio_buffer.append":
                    await self._append(b64decode(message["audio"], validate=True))
                case "input_audio_buffer.commit":
                    await self._commit()
                case _:
                    await self._error("invalid_value")

    async def _update(self, session: dict[str, Any]) -> None:
        heard = session["audio"]["input"]
        if session["type"] != "transcription" or heard["format"] != {"type": "audio/pcmu"}:
            await self._error("invalid_value")
        elif heard["transcription"]["model"] == "nonsense":
            await self._error("model_not_found")
        else:
            await self._line.tell({"type": "session.updated", "session": session})

    async def _append(self, audio: bytes) -> None:
        self._audio += audio
        self._line.connection.audio += audio
        self._uncommitted += len(audio)
        words = self._ear.hear(len(self._audio) / 8000)
        if words is not None:
            delta, self._told = words.text[len(self._told) :], words.text
            await self._tell("delta", delta=delta)

    async def _commit(self) -> None:
        if self._uncommitted < _LEAST:
            await self._error("input_audio_buffer_commit_empty")
            return
        self._uncommitted = 0
        await self._line.tell({"type": "input_audio_buffer.committed", "item_id": f"item_{self._item}"})
        await self._clock.sleep(self._plan.latency)
        words: Transcript = self._ear.settle()
        more = {"languages": [{"code": words.language}]} if words.language else {}
        await self._tell("completed", transcript=words.text, usage={"type": "duration", "seconds": 1}, **more)
        self._item += 1
        self._told = ""

    async def _tell(self, what: str, **more: Any) -> None:
        about = {"event_id": "event_1", "item_id": f"item_{self._item}", "content_index": 0}
        await self._line.tell({"type": f"{_TRANSCRIPTION}.{what}", **about, **more})

    async def _error(self, code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None, "event_id": None}
        await self._line.tell({"type": "error", "event_id": "event_1", "error": error})


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=default)
    form = {}
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        name = part["content-disposition"].params.get("name", "")
        form[name] = content if isinstance(content, bytes) else b""
    return form


async def _refuse(send: Send, status: int, code: str | None) -> None:
    error = {"message": "No.", "type": "invalid_request_error", "param": None, "code": code}
    await send_json(send, status, {"error": error})
