"""Callers for load: any number of calls in one process, each sending its 50 frames a second at Twilio's pace.

A raw WebSocket client, one timer for all calls, frames that are ready but for their numbers. A call waits for the greeting,
asks, waits for the answer, hears it out or speaks into it, and asks again; each call at its own moment of the 20 ms.
"""

import asyncio
import random
import re
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx2
import msgspec
import numpy as np
from websockets.speedups import apply_mask

from hookflash.base.secret import Secret
from hookflash.speech.audio import encoded
from hookflash.speech.hysteresis import Hysteresis, SpeechEnd
from hookflash.speech.vad import CHUNK
from hookflash.twilio.signature import sign
from hookflash.wiring import make_scorer

FRAME = 160
SLOTS = 20
MASK = bytes((0x37, 0xFA, 0x21, 0x3D))
DATA = Path(__file__).parent.parent / "tests" / "data"
# Stretches of read speech without a pause inside, in frames: the last one is the last that sounds.
# The first and the last are louder than -40 dB, and silence follows at once.
_STRETCHES = (("question1", 4, 106), ("question2", 0, 44), ("question4", 72, 132))
_ANSWER_SECONDS = 6.0
_KEPT = 200
_TWIML_URL = re.compile(r'url="([^"]+)"')
_TWIML_TOKEN = re.compile(r'name="token" value="([^"]+)"')


class _Payload(msgspec.Struct):
    payload: bytes = b""


class _Name(msgspec.Struct):
    name: str = ""


class _Message(msgspec.Struct):
    event: str
    media: _Payload | None = None
    mark: _Name | None = None


_read = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer began, at a time, so many seconds after the last frame of speech.

    `ended` is the number of that frame; `sent` are the payloads up to frame `last`, the latest ones.
    """

    at: float
    took: float
    ended: int
    last: int
    sent: tuple[bytes, ...]


@dataclass(slots=True)
class Samples:
    """What was measured, with the time of each: answers, `clear` after the first frame of speech into an answer."""

    answers: list[Answered] = field(default_factory=list)
    clears: list[tuple[float, float]] = field(default_factory=list)
    late: list[tuple[float, float]] = field(default_factory=list)
    underruns: int = 0
    missed: int = 0
    not_cleared: int = 0
    cut: int = 0
    lost: int = 0
    closed: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sounds:
    """Frames in base64: questions, a quiet line, a line with some noise."""

    questions: tuple[tuple[bytes, ...], ...]
    quiet: tuple[bytes, ...]
    noise: tuple[bytes, ...]

    @classmethod
    def load(cls) -> "Sounds":
        questions = []
        for name, first, last in _STRETCHES:
            sound = (DATA / f"{name}.ulaw").read_bytes()[first * FRAME : last * FRAME]
            questions.append(_frames(sound))
        hiss = np.random.default_rng(1).standard_normal(FRAME * 100) * 60
        return cls(tuple(questions), _frames(b"\xff" * FRAME), _frames(encoded(hiss.astype(np.int16))))


def _frames(sound: bytes) -> tuple[bytes, ...]:
    return tuple(b64encode(sound[at : at + FRAME]) for at in range(0, len(sound), FRAME))


class Caller(asyncio.Protocol):
    """One call's socket, ear and voice."""

    def __init__(self, load: "Load", number: int, request: bytes, call_sid: str, token: str) -> None:
        self._load = load
        self._request = request
        self._sid = f"MZ{number:032x}".encode()
        self._call_sid = call_sid
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._read = b""
        self._chance = random.Random(number)
        self._line = load.sounds.noise if number % 2 else load.sounds.quiet
        self._frame = 0
        self._sent: deque[bytes] = deque(maxlen=_KEPT)
        self._life = self._lives()
        self._asking = False
        self._ended: float | None = None
        self._ended_with = 0
        self._onset: float | None = None
        self._until = 0.0
        self._marks: list[tuple[float, str]] = []
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self in self._load.calls:
            self._load.calls.remove(self)
            self._load.samples.lost += 1
        if not self.started.done():
            self.started.set_exception(ConnectionError(f"refused: {self._read[:60]!r}"))

    def data_received(self, data: bytes) -> None:
        data = self._read + data
        if not self._open:
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank or b" 101 " not in head[:20]:
                self._read = head
                return
            self._open = True
            self._start()
        at, size = 0, len(data)
        while size - at >= 2:
            length, begin = data[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if size < begin + length:
                break
            self._heard(data[at] & 15, data[begin : begin + length])
            at = begin + length
        self._read = data[at:]

    def _heard(self, opcode: int, body: bytes) -> None:
        now = time.monotonic()
        if opcode == 1:
            message = _read.decode(body)
            if message.media is not None:
                self._play(len(message.media.payload) / 8000, now)
            elif message.mark is not None:
                self._marks.append((self._until, message.mark.name))
            elif message.event == "clear":
                if self._onset is not None:
                    self._load.samples.clears.append((now, now - self._onset))
                    self._onset = None
                self._until = now
                self._marks = [(now, name) for _, name in self._marks]
        elif opcode == 9:
            self._write(0x8A, body)
        elif opcode == 8:
            self._load.samples.closed.append(body[:80])

    def _play(self, seconds: float, now: float) -> None:
        samples = self._load.samples
        if self._asking and self._onset is None:
            samples.cut += 1
        elif self._ended is not None:
            sent = tuple(self._sent)
            samples.answers.append(Answered(now, now - self._ended, self._ended_with, self._frame, sent))
            self._ended = None
        elif 0.0 < self._until < now:
            samples.underruns += 1
        self._until = max(self._until, now) + seconds

    def _write(self, first: int, body: bytes) -> None:
        if self._transport is not None:
            size = len(body)
            head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE, size >> 8, size & 255))
            self._transport.write(head + MASK + apply_mask(body, MASK))

    def _start(self) -> None:
        self._write(0x81, b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        body = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": self._sid.decode(),
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": self._token},
        }
        start = {"event": "start", "sequenceNumber": "1", "streamSid": self._sid.decode(), "start": body}
        self._write(0x81, msgspec.json.encode(start))
        self.started.set_result(None)

    def hang_up(self) -> None:
        if self in self._load.calls:
            self._load.calls.remove(self)
        self._write(0x81, b'{"event":"stop","sequenceNumber":"0","streamSid":"%b"}' % self._sid)
        if self._transport is not None:
            self._transport.close()

    # The person

    def tick(self, now: float) -> None:
        """The next 20 ms."""
        self._frame += 1
        number = self._frame
        payload = next(self._life)
        self._sent.append(payload)
        self._write(
            0x81,
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
            b'"payload":"%b"},"streamSid":"%b"}' % (number + 1, number, 80 + 20 * number, payload, self._sid),
        )
        if self._marks and self._marks[0][0] <= now:
            _, name = self._marks.pop(0)
            mark = b'{"event":"mark","sequenceNumber":"%d","streamSid":"%b","mark":{"name":"%b"}}'
            self._write(0x81, mark % (number, self._sid, name.encode()))

    def _lives(self) -> Iterator[bytes]:
        load = self._load
        yield from self._silent(100)
        while load.now < self._until + 0.3:
            yield from self._silent(1)
        yield from self._silent(self._chance.randrange(150))
        while True:
            yield from self._asks()
            deadline = load.now + _ANSWER_SECONDS
            while self._ended is not None and load.now < deadline:
                yield from self._silent(1)
            if self._ended is not None:
                self._ended = None
                load.samples.missed += 1
            elif self._chance.random() < load.interruptions:
                yield from self._silent(40)
                self._onset = load.now
                continue
            while load.now < self._until:
                yield from self._silent(1)
            yield from self._silent(self._chance.randrange(20, 80))

    def _asks(self) -> Iterator[bytes]:
        question = self._chance.choice(self._load.sounds.questions)
        self._asking = True
        yield from question[:-1]
        self._asking = False
        if self._onset is not None:
            self._onset = None
            self._load.samples.not_cleared += 1
        self._ended, self._ended_with = self._load.now, self._frame
        yield question[-1]

    def _silent(self, frames: int) -> Iterator[bytes]:
        for _ in range(frames):
            yield self._line[self._frame % len(self._line)]


class Load:
    """All calls to one number, and the one timer that drives them."""

    def __init__(self, hook: str, secret: str, *, interruptions: float = 0.3) -> None:
        """`hook`: the integration's address without `/voice`; empty for a server that takes sockets without a call."""
        self._hook = hook
        self._secret = Secret(secret)
        self._numbers = count(1)
        self._slots: list[list[Caller]] = [[] for _ in range(SLOTS)]
        self._due = 0.0
        self._place = 0
        self._running = False
        self.interruptions = interruptions
        self.sounds = Sounds.load()
        self.samples = Samples()
        self.calls: set[Caller] = set()
        self.now = 0.0

    def start(self) -> None:
        self._running = True
        self.now = self._due = time.monotonic()
        self._tick()

    def stop(self) -> None:
        self._running = False

    def _tick(self) -> None:
        """A slot each millisecond; those that are overdue at once."""
        while self._running and self._due <= (now := time.monotonic()):
            self.now = now
            slot = self._slots[self._place % SLOTS]
            if slot:
                self.samples.late.append((now, now - self._due))
                for caller in slot:
                    caller.tick(now)
            self._place += 1
            self._due += 0.001
        if self._running:
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, self._due - time.monotonic()), self._tick)

    async def ring_up(self, calls: int, *, at_once: int = 4) -> None:
        """More calls, through the door that Twilio's come by."""
        async with httpx2.AsyncClient(timeout=30) as client:
            for first in range(0, calls, at_once):
                several = range(min(at_once, calls - first))
                await asyncio.gather(*(self._ring(client, next(self._numbers)) for _ in several))

    async def _ring(self, client: httpx2.AsyncClient, number: int) -> None:
        call_sid = f"CA{random.getrandbits(128):032x}"
        form = {
            "CallSid": call_sid,
            "From": f"+1{2_020_000_000 + number}",
            "To": "+15550100200",
            "CallStatus": "ringing",
            "Direction": "inbound",
        }
        url = f"{self._hook}/voice"
        answer = await client.post(url, data=form, headers=sign(url, self._secret, form=form.items()))
        socket, token = _TWIML_URL.search(answer.text), _TWIML_TOKEN.search(answer.text)
        if socket is None or token is None:
            raise RuntimeError(f"the call was not taken: {answer.status_code} {answer.text[:200]}")
        await self.open(number, socket.group(1), call_sid, token.group(1))

    async def open(self, number: int, url: str, call_sid: str, token: str) -> Caller:
        """One call's socket."""
        parts = urlsplit(url)
        headers = {
            "Host": parts.netloc,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": b64encode(random.randbytes(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **sign(url, self._secret),
        }
        lines = [f"GET {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n"
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(
            lambda: Caller(self, number, request, call_sid, token), parts.hostname or "", parts.port or 80
        )
        await caller.started
        self.calls.add(caller)
        self._slots[number * 7 % SLOTS].append(caller)
        return caller

    async def hang_up(self, calls: int) -> None:
        """Fewer calls, down to so many."""
        for caller in sorted(self.calls, key=id)[calls:]:
            for slot in self._slots:
                if caller in slot:
                    slot.remove(caller)
            caller.hang_up()
            await asyncio.sleep(0.005)  # noqa: TID251 - a client of its own


def tails(answers: Sequence[Answered]) -> list[float | None]:
    """For how long silero still hears speech after the last frame of it, in seconds; None where it hears no end.

    It is asked again about the very sound that was sent, in the very chunks.
    """
    scorer = make_scorer()
    sounds = []
    for answer in answers:
        begins = (answer.last - len(answer.sent)) * FRAME
        skipped = -begins % CHUNK
        sounds.append((begins + skipped, b"".join(map(b64decode, answer.sent))[skipped:]))
    ears = [Hysteresis() for _ in sounds]
    ends: list[float | None] = [None] * len(sounds)
    for place in range(_KEPT * FRAME // CHUNK):
        at = place * CHUNK
        rows = np.array([row for row, (_, sound) in enumerate(sounds) if len(sound) >= at + CHUNK], np.intp)
        if len(rows) == 0:
            break
        chunks = [sounds[row][1][at : at + CHUNK] for row in rows]
        scores = scorer.score(rows, rows if place == 0 else rows[:0], chunks).tolist()
        for row, score in zip(rows.tolist(), scores, strict=True):
            found = ears[row].push(score)
            if isinstance(found, SpeechEnd):
                ends[row] = found.at + sounds[row][0] / 8000 - answers[row].ended * FRAME / 8000
    return ends
