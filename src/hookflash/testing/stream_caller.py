"""A caller of Media Streams over a socket: sends sound in real time, plays what it gets, gives marks back."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

FRAME = 160


@dataclass
class StreamCaller:
    """Twilio's end of a stream; `audio` is what it got, `clears` how often it was to be silent."""

    ws: ClientConnection
    sent: int = 0
    audio: bytearray = field(default_factory=bytearray)
    clears: int = 0

    async def start(self, token: str, call_sid: str, **media_format: Any) -> None:
        """Open the stream of a call that was admitted with this token."""
        await self.send(event="connected", protocol="Call", version="1.0.0")
        form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1} | media_format
        body = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": "MZ1",
            "callSid": call_sid,
            "tracks": ["inbound"],
            "mediaFormat": form,
            "customParameters": {"token": token},
        }
        await self.send(event="start", sequenceNumber="1", streamSid="MZ1", start=body)

    async def send(self, **message: Any) -> None:
        await self.ws.send(json.dumps(message))

    async def speak(self, sound: bytes, pace: float = 0.02) -> None:
        """Send mu-law in frames of 20 ms, `pace` seconds apart."""
        for at in range(0, len(sound), FRAME):
            frame = sound[at : at + FRAME].ljust(FRAME, b"\xff")
            self.sent += 1
            media = {
                "track": "inbound",
                "chunk": str(self.sent),
                "timestamp": str(100 + self.sent * 20),
                "payload": b64encode(frame).decode(),
            }
            await self.send(event="media", sequenceNumber=str(self.sent + 1), streamSid="MZ1", media=media)
            await anyio.sleep(pace)

    async def listen(self) -> None:
        """Play at the speed of sound; marks come back when what was before them has been played."""
        until_ = anyio.current_time()
        async with anyio.create_task_group() as tasks:

            async def give_back(name: str, at: float) -> None:
                await anyio.sleep(max(0.0, at - anyio.current_time()))
                await self.send(event="mark", sequenceNumber="1", streamSid="MZ1", mark={"name": name})

            try:
                while True:
                    message = json.loads(await self.ws.recv())
                    now = anyio.current_time()
                    match message["event"]:
                        case "media":
                            sound = b64decode(message["media"]["payload"])
                            self.audio += sound
                            until_ = max(until_, now) + len(sound) / 8000
                        case "mark":
                            tasks.start_soon(give_back, message["mark"]["name"], until_)
                        case "clear":
                            self.clears += 1
                            until_ = now
            except ConnectionClosed:
                tasks.cancel_scope.cancel()

    async def babble(self) -> None:
        """Send marks until the other side closes."""
        try:
            while True:
                await self.send(event="mark", streamSid="MZ1", mark={"name": "x"})
                await anyio.sleep(0.01)
        except ConnectionClosed:
            return
