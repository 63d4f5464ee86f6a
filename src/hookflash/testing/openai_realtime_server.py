"""OpenAI's Realtime API on this machine: hears that somebody speaks, knows by script what, and answers by script."""

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import anyio
import msgspec
import numpy as np

from hookflash.base.clock import Clock
from hookflash.speech.audio import decoded
from hookflash.testing.realtime_call import Call, Step
from hookflash.testing.speech import sound_of
from hookflash.testing.vendor import Receive, Scope, Send, lifespan
from hookflash.testing.vendor_socket import Connection, Line, die

VOICES = ("alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse")
_SECOND = 8000
# Louder than this is speech; so many bytes of it begin an utterance, so many of silence end it.
_LOUD = 400.0
_BEGINS, _ENDS = 800, 4_000
_PREFIX_MS = 300
_PIECE = 0.2


@dataclass(slots=True)
class RealtimeScript:
    """What the next sessions meet.

    `said` are the caller's utterances in their order, `answer` gives the steps of the reply to what was said last, or to what a
    function gave. `refuse`: an HTTP status instead of a socket; `error`: a code instead of a session. `ahead`: how much faster
    than it sounds the reply comes. A reply `dies` after so many seconds of sound; `busy`: so many replies that are asked for are
    refused because another were under way.
    """

    said: deque[str] = field(default_factory=deque)
    answer: Callable[[str], list[Step]] = lambda said: [f"You said {said}."]
    refuse: int | None = None
    error: str | None = None
    latency: float = 0.05
    ahead: float = 5.0
    dies: float | None = None
    busy: int = 0
    failures: int = 0
    garble: bool = False
    connections: list[Connection] = field(default_factory=list)
    # All that was sent, in order.
    told: list[dict[str, Any]] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that came, but for sound."""
        return [
            message
            for connection in self.connections
            for message in connection.messages
            if message["type"] != "input_audio_buffer.append"
        ]


class OpenAIRealtimeServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts."""

    def __init__(self, clock: Clock, *, key: str = "sk-test") -> None:
        self.script = RealtimeScript()
        self.key = key
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        line = Line(scope, receive, send)
        self.script.connections.append(line.connection)
        if line.connection.headers.get("authorization") != f"Bearer {self.key}":
            await line.refuse(401)
        elif self.script.refuse is not None or not line.connection.path.endswith("/realtime"):
            await line.refuse(self.script.refuse or 404)
        elif "model" not in line.connection.query:
            await line.refuse(400)
        else:
            await line.accept()
            await _Session(line, self.script, self._clock).serve()


class _Session:
    """One conversation."""

    def __init__(self, line: Line, script: RealtimeScript, clock: Clock) -> None:
        self._line = line
        self._script = script
        self._clock = clock
        self._ids = count(1)
        self._config: dict[str, Any] = {}
        # Sound: all that came, and where in it the speech that is going on began and last was.
        self._bytes = self._loud = 0
        self._speech_item: str | None = None
        self._last_loud = 0
        self._last_item: str | None = None
        # Items of the assistant: bytes of sound that were made of each; functions that wait for what they give.
        self._made: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._prompt = ""
        self._reply: _Reply | None = None

    async def serve(self) -> None:
        await self._tell("session.created", session={"type": "realtime", "output_modalities": ["audio"]})
        async with anyio.create_task_group() as self._tasks:
            async for message in self._line.messages():
                if self._script.garble:
                    await self._line.garble()
                await self._take(message)
            self._tasks.cancel_scope.cancel()

    async def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "session.update", "session": session}:
                await self._update(session)
            case {"type": "input_audio_buffer.append", "audio": audio}:
                await self._append(b64decode(audio, validate=True))
            case {"type": "conversation.item.create", "item": item}:
                await self._create_item(item)
            case {"type": "conversation.item.truncate", "item_id": item, "audio_end_ms": end, "content_index": 0}:
                await self._truncate(item, end)
            case {"type": "conversation.item.delete", "item_id": item}:
                if self._made.pop(item, None) is None:
                    await self._error("item_delete_invalid_item_id")
                else:
                    await self._tell("conversation.item.deleted", item_id=item)
            case {"type": "response.create"}:
                await self._respond(message.get("response") or {})
            case {"type": "response.cancel"}:
                if self._reply is None:
                    await self._error("response_cancel_not_active")
                else:
                    await self._cancel("client_cancelled")
            case _:
                await self._error("invalid_value")

    async def _update(self, session: dict[str, Any]) -> None:
        pcmu = {"type": "audio/pcmu"}
        audio = session["audio"]
        if self._script.error is not None:
            await self._error(self._script.error)
        elif (
            session["type"] != "realtime"
            or [audio[way]["format"] for way in ("input", "output")] != [pcmu, pcmu]
            or audio["output"]["voice"] not in VOICES
        ):
            await self._error("invalid_value")
        else:
            self._config = session
            await self._tell("session.updated", session=session)

    # What the caller says

    @property
    def _turns(self) -> dict[str, Any]:
        turns: dict[str, Any] = self._config["audio"]["input"]["turn_detection"]
        return turns

    async def _append(self, audio: bytes) -> None:
        self._line.connection.audio += audio
        for at in range(0, len(audio), 160):
            frame = audio[at : at + 160]
            self._bytes += len(frame)
            loud = float(np.sqrt(np.mean(np.square(decoded(frame).astype(np.float64))))) > _LOUD
            if loud:
                self._loud += len(frame)
                self._last_loud = self._bytes
            if self._speech_item is None and self._loud >= _BEGINS:
                await self._speech_begins()
            elif self._bytes - self._last_loud >= _ENDS:
                self._loud = 0
                if self._speech_item is not None:
                    await self._speech_ends()

    async def _speech_begins(self) -> None:
        item = self._speech_item = self._id("item")
        start = max(0, self._bytes * 1000 // _SECOND - _PREFIX_MS)
        await self._tell("input_audio_buffer.speech_started", item_id=item, audio_start_ms=start)
        if self._reply is not None and self._turns["interrupt_response"]:
            await self._cancel("turn_detected")

    async def _speech_ends(self) -> None:
        item, self._speech_item = self._speech_item, None
        assert item is not None
        end = self._last_loud * 1000 // _SECOND
        await self._tell("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=end)
        await self._tell("input_audio_buffer.committed", item_id=item, previous_item_id=self._last_item)
        said = self._script.said.popleft() if self._script.said else ""
        content = [{"type": "input_audio", "transcript": None}]
        await self._item(item, {"type": "message", "role": "user", "status": "completed", "content": content})
        self._prompt = said
        self._tasks.start_soon(self._transcribe, item, said)
        if self._turns["create_response"] and self._reply is None:
            await self._respond({})

    async def _transcribe(self, item: str, said: str) -> None:
        await self._clock.sleep(self._script.latency)
        await self._tell(
            "conversation.item.input_audio_transcription.completed",
            item_id=item,
            content_index=0,
            transcript=said,
            languages=[],
            usage={"type": "duration", "seconds": 2.0},
        )

    async def _create_item(self, item: dict[str, Any]) -> None:
        if item["type"] == "function_call_output":
            if item["call_id"] not in self._waiting:
                await self._error("invalid_tool_call_id")
                return
            self._waiting.discard(item["call_id"])
            self._prompt = item["output"]
        elif item.get("role") == "user":
            self._prompt = item["content"][0]["text"]
        await self._item(self._id("item"), item)

    async def _item(self, item_id: str, item: dict[str, Any]) -> None:
        for event in ("conversation.item.added", "conversation.item.done"):
            await self._tell(event, previous_item_id=self._last_item, item={"id": item_id, **item})
        self._last_item = item_id

    async def _truncate(self, item: str, end: int) -> None:
        if item not in self._made:
            await self._error("item_truncate_invalid_item_id")
        elif end * _SECOND // 1000 > self._made[item]:
            await self._error("invalid_value")
        else:
            self._made[item] = end * _SECOND // 1000
            await self._tell("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=end)

    # What it answers

    async def _respond(self, asked: dict[str, Any]) -> None:
        if self._reply is not None or self._script.busy:
            self._script.busy = max(0, self._script.busy - 1)
            await self._error("conversation_already_has_active_response")
            return
        words = asked.get("instructions", "").rpartition("\n")[2]
        steps: list[Step] = [words] if words else self._script.answer(self._prompt)
        reply = self._reply = _Reply(self._id("resp"), asked.get("metadata"))
        await self._tell("response.created", response=reply.as_told("in_progress"))
        self._tasks.start_soon(self._speak, reply, steps)

    async def _speak(self, reply: "_Reply", steps: list[Step]) -> None:
        with reply.scope:
            await self._clock.sleep(self._script.latency)
            if self._script.failures:
                self._script.failures -= 1
                await self._done(reply, "failed", error={"type": "server_error", "code": "server_error"})
                return
            for number, step in enumerate(steps):
                where = {"response_id": reply.id, "output_index": number}
                if isinstance(step, Call):
                    await self._want(reply, step, where)
                else:
                    await self._say(reply, step, where)
            await self._done(reply, "completed")

    async def _want(self, reply: "_Reply", call: Call, where: dict[str, Any]) -> None:
        item, call_id = self._id("item"), self._id("call")
        self._waiting.add(call_id)
        about = {"id": item, "type": "function_call", "call_id": call_id, "name": call.name}
        await self._tell("response.output_item.added", **where, item={**about, "arguments": ""})
        whole = {**about, "arguments": call.arguments, "status": "completed"}
        for kind, more in (
            ("delta", {"delta": call.arguments}),
            ("done", {"arguments": call.arguments, "name": call.name}),
        ):
            await self._tell(f"response.function_call_arguments.{kind}", **where, item_id=item, call_id=call_id, **more)
        await self._tell("response.output_item.done", **where, item=whole)
        reply.output.append(whole)

    async def _say(self, reply: "_Reply", text: str, where: dict[str, Any]) -> None:
        item = self._id("item")
        self._made[item] = 0
        about = {"id": item, "type": "message", "role": "assistant"}
        await self._tell("response.output_item.added", **where, item={**about, "status": "in_progress", "content": []})
        place = {**where, "item_id": item, "content_index": 0}
        await self._tell("response.content_part.added", **place, part={"type": "audio", "transcript": ""})
        for word in text.split(" "):
            await self._tell("response.output_audio_transcript.delta", **place, delta=f"{word} ")
        sound = sound_of(text)
        size = int(_PIECE * _SECOND)
        for at in range(0, len(sound), size):
            if self._script.dies is not None and at >= self._script.dies * _SECOND:
                die()
            piece = sound[at : at + size]
            self._made[item] += len(piece)
            reply.sound += len(piece)
            await self._tell("response.output_audio.delta", **place, delta=b64encode(piece).decode())
            await self._clock.sleep(_PIECE / self._script.ahead)
        await self._tell("response.output_audio.done", **place)
        await self._tell("response.output_audio_transcript.done", **place, transcript=text)
        await self._tell("response.content_part.done", **place, part={"type": "audio", "transcript": text})
        content = [{"type": "output_audio", "transcript": text}]
        whole = {**about, "status": "completed", "content": content}
        await self._tell("response.output_item.done", **where, item=whole)
        reply.output.append(whole)

    async def _cancel(self, reason: str) -> None:
        reply = self._reply
        if reply is not None:
            reply.scope.cancel()
            await self._done(reply, "cancelled", reason=reason)

    async def _done(self, reply: "_Reply", status: str, **why: Any) -> None:
        self._reply = None
        await self._tell("response.done", response=reply.as_told(status, **why))

    async def _error(self, code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None, "event_id": None}
        await self._tell("error", error=error)

    async def _tell(self, kind: str, **more: Any) -> None:
        message = {"type": kind, "event_id": self._id("event"), **more}
        self._script.told.append(message)
        await self._line.tell(msgspec.json.encode(message).decode())

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._ids)}"


@dataclass(slots=True)
class _Reply:
    """A response: what it has made so far."""

    id: str
    metadata: dict[str, str] | None
    output: list[dict[str, Any]] = field(default_factory=list)
    sound: int = 0
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def as_told(self, status: str, **why: Any) -> dict[str, Any]:
        audio = self.sound * 20 // _SECOND
        usage = {
            "total_tokens": 140 + audio,
            "input_tokens": 120,
            "output_tokens": 20 + audio,
            "input_token_details": {
                "text_tokens": 100,
                "audio_tokens": 20,
                "image_tokens": 0,
                "cached_tokens": 40,
                "cached_tokens_details": {"text_tokens": 40, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 20, "audio_tokens": audio},
        }
        over = status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": {"type": status, **why} if over else None,
            "output": self.output,
            "conversation_id": "conv_1",
            "output_modalities": ["audio"],
            "metadata": self.metadata,
            "usage": usage if over else None,
        }
