"""Deepgram on this machine: `v1/listen` and `v2/listen` as the vendor's contract says, by script."""

from typing import Any

from hookflash.base.clock import Clock
from hookflash.speech.stt import Transcript
from hookflash.testing.speech import Ear, Listening
from hookflash.testing.vendor import Receive, Scope, Send, lifespan
from hookflash.testing.vendor_socket import Line, SpeechScript, die

_ENCODINGS = {"mulaw": 1, "linear16": 2}
_REQUEST = "5a9f0e2c-0000-4000-8000-000000000001"


class DeepgramServer:
    """An ASGI application; `script` says what comes. `key` is the only one that it accepts."""

    def __init__(self, clock: Clock, *, key: str = "dg-test") -> None:
        self.script = SpeechScript(clock)
        self.key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        line = Line(scope, receive, send)
        self.script.connections.append(line.connection)
        if line.connection.headers.get("authorization") != f"Token {self.key}":
            await line.refuse(401)
            return
        if not _acceptable(line):
            await line.refuse(400)
            return
        plan = self.script.next_stream()
        if plan.refuse is not None:
            await line.refuse(plan.refuse)
            return
        await line.accept()
        flux = line.connection.path == "/v2/listen"
        call = _Flux(line, plan, self.script.clock) if flux else _Nova(line, plan, self.script.clock)
        await call.serve()


def _acceptable(line: Line) -> bool:
    query = line.connection.query
    model = query.get("model", [""])[0]
    known = {"/v1/listen": ("nova",), "/v2/listen": ("flux-general-",)}.get(line.connection.path)
    # Flux has no `language`, and only its multilingual model takes hints of one.
    flux = line.connection.path == "/v2/listen"
    misled = flux and ("language" in query or ("language_hint" in query and not model.endswith("multi")))
    return bool(
        known
        and model.startswith(known)
        and not misled
        and query.get("encoding", [""])[0] in _ENCODINGS
        and query.get("sample_rate", [""])[0].isdigit()
    )


class _Call:
    def __init__(self, line: Line, plan: Listening, clock: Clock) -> None:
        query = line.connection.query
        self.line = line
        self.plan = plan
        self.clock = clock
        self.ear = Ear(plan.said)
        self.rate = int(query["sample_rate"][0]) * _ENCODINGS[query["encoding"][0]]
        self.settled = 0.0

    @property
    def seconds(self) -> float:
        return len(self.line.connection.audio) / self.rate

    async def serve(self) -> None:
        await self.begin()
        async for message in self.line.messages():
            if self.plan.hangs(self.seconds):
                await self.line.hang()
                return
            if self.plan.garble is not None and self.seconds >= self.plan.garble:
                await self.line.garble()
            if self.plan.broken(self.seconds):
                die()
            if isinstance(message, bytes):
                await self.audio()
            elif message["type"] == "CloseStream":
                await self.line.close()
                return
            else:
                await self.control(message["type"])

    async def begin(self) -> None: ...

    async def audio(self) -> None: ...

    async def control(self, kind: str) -> None: ...


class _Nova(_Call):
    async def audio(self) -> None:
        # It reports on silence, and on what has not changed, too.
        words = self.ear.hear(self.seconds) or self.ear.unsettled()
        if not words.final:
            await self.line.tell(self._results(words, final=False))
        else:
            await self.clock.sleep(self.plan.latency)
            await self.line.tell(self._results(words, final=True))
            await self.line.tell({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": words.end})

    async def control(self, kind: str) -> None:
        if kind == "Finalize":
            await self.clock.sleep(self.plan.latency)
            await self.line.tell(self._results(self.ear.settle(), final=True, asked=True))

    def _results(self, words: Transcript, *, final: bool, asked: bool = False) -> dict[str, Any]:
        best: dict[str, Any] = {"transcript": words.text, "confidence": 0.98 if words.text else 0.0, "words": []}
        if self.line.connection.query.get("language") == ["multi"] and words.text:
            best["languages"] = [words.language or "en"]
        start, self.settled = self.settled, self.seconds if final else self.settled
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": start,
            "duration": self.seconds - start,
            "is_final": final,
            "speech_final": final and not asked,
            "from_finalize": asked,
            "channel": {"alternatives": [best]},
            "metadata": {"request_id": _REQUEST, "model_info": {"name": "general-nova-3"}, "model_uuid": _REQUEST},
        }


class _Flux(_Call):
    def __init__(self, line: Line, plan: Listening, clock: Clock) -> None:
        super().__init__(line, plan, clock)
        self.sequence = self.turn = 0
        self.told = False

    async def begin(self) -> None:
        await self._tell({"type": "Connected", "request_id": _REQUEST})

    async def audio(self) -> None:
        words = self.ear.hear(self.seconds) or self.ear.unsettled()
        if words.text and not self.told:
            self.told = True
            await self._info("StartOfTurn", words)
        if words.final:
            await self._over(words, "model")
        else:
            await self._info("Update", words)

    async def control(self, kind: str) -> None:
        # Without a turn in progress it is ignored.
        if kind == "ForceEndTurn" and self.told:
            await self._over(self.ear.settle(), "manual")

    async def _over(self, words: Transcript, trigger: str) -> None:
        await self.clock.sleep(self.plan.latency)
        await self._info("EndOfTurn", words, trigger=trigger)
        self.told = False
        self.turn += 1
        self.settled = self.seconds

    async def _info(self, event: str, words: Transcript, **more: Any) -> None:
        if self.line.connection.query["model"] == ["flux-general-multi"] and words.text:
            more["languages"] = [words.language or "en"]
        await self._tell(
            {
                "type": "TurnInfo",
                "request_id": _REQUEST,
                "event": event,
                "turn_index": self.turn,
                "audio_window_start": self.settled,
                "audio_window_end": self.seconds,
                "transcript": words.text,
                "words": [{"word": word, "confidence": 0.98} for word in words.text.split()],
                "end_of_turn_confidence": 0.9 if event == "EndOfTurn" else 0.1,
                **more,
            }
        )

    async def _tell(self, message: dict[str, Any]) -> None:
        await self.line.tell({**message, "sequence_id": self.sequence})
        self.sequence += 1
