"""Media Streams: a call's sound goes over a WebSocket to the bot, and the bot's comes back into the person's ear."""

from base64 import b64encode
from typing import Any

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.emulator.calls import Callback
from hookflash.emulator.impairments import PERFECT, Link
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.sound import RATE, SILENCE, Espeak
from hookflash.emulator.voice_twiml import Verb
from hookflash.emulator.websocket import NotOpened, open_socket

_CONGESTED = 5.0  # seconds by which the bot's side may hold us up
_ENCODED_SILENCE = b64encode(SILENCE).decode()


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    payload: bytes  # base64 in JSON


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Media(msgspec.Struct, tag="media", tag_field="event", forbid_unknown_fields=True):
    streamSid: str  # noqa: N815 - as on the wire
    media: _Payload


class _Mark(msgspec.Struct, tag="mark", tag_field="event", forbid_unknown_fields=True):
    streamSid: str  # noqa: N815
    mark: _Name


class _Clear(msgspec.Struct, tag="clear", tag_field="event", forbid_unknown_fields=True):
    streamSid: str  # noqa: N815


_DECODER = msgspec.json.Decoder(_Media | _Mark | _Clear)


async def stream(leg: Leg, noun: Verb, action: Ask | None) -> Program | None:
    """Stream until the bot closes its socket; the call then goes on with the action or the next verb."""
    voice = leg.desk.voice
    await leg.person.take_voice(voice if voice.sounds else Espeak())
    await _Stream(leg, noun).run()
    return action


class _Stream:
    def __init__(self, leg: Leg, noun: Verb) -> None:
        self._leg = leg
        self._noun = noun
        self._cloud = leg.desk.cloud
        self.sid = self._cloud.new_sid("MZ")
        self._sequence = 0
        self._warned: set[int] = set()
        self._bad = leg.script.impairments
        self._link: Link[tuple[int, int, bytes]] | None = None
        if self._bad != PERFECT:
            self._link = Link(self._bad, self._cloud.rng)
        # The clock of the stream has run a little when the first frame comes.
        self._first_timestamp = self._cloud.rng.randrange(80, 200)
        self._closed = False
        self._socket: ClientConnection

    async def run(self) -> None:
        leg = self._leg
        track = self._noun.get("track", "inbound_track")
        if track != "inbound_track":
            self._fail(NotOpened(31941, f"Invalid Track configuration: {track}"))
            return
        opened = await open_socket(leg, self._noun.get("url"))
        if isinstance(opened, NotOpened):
            self._fail(opened)
            return
        self._socket = opened
        leg.note("stream", sid=self.sid)
        self._call_back("stream-started")
        leg.hears_itself = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear, tasks.cancel_scope)
                try:
                    await self._greet()
                    await self._talk()
                except ConnectionClosed as error:
                    self._note_end(error)
                    tasks.cancel_scope.cancel()
        finally:
            leg.hears_itself = True
            await self._part()

    def _fail(self, why: NotOpened) -> None:
        url = self._leg.address(self._noun.get("url"))
        self._cloud.problem(why.code, url=url, sid=self._leg.call.sid, detail=why.detail)
        self._leg.note("problem", code=why.code)
        self._call_back("stream-error", why.detail)

    async def _greet(self) -> None:
        await self._socket.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}', text=True)
        parameters = {p.get("name"): p.get("value") for p in self._noun.all("Parameter")}
        start = {
            "accountSid": self._cloud.account_sid,
            "streamSid": self.sid,
            "callSid": self._leg.call.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
            "customParameters": parameters,
        }
        await self._send("start", start=start)

    async def _send(self, event: str, **fields: Any) -> None:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), **fields, "streamSid": self.sid}
        await self._socket.send(msgspec.json.encode(message), text=True)

    # --- to the bot -----------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        leg, link = self._leg, self._link
        leg.resume()
        chunk, timestamp = 0, self._first_timestamp - 20
        while True:
            moment = await leg.tick()
            chunk, timestamp = chunk + 1, timestamp + 20
            frame = moment.frame
            if link is None:
                self._keep(frame)
                await self._send_frame(chunk, timestamp, frame)
            else:
                if link.carry((chunk, timestamp, frame), leg.at):
                    self._keep(frame)
                for each in link.arrived(leg.at):
                    await self._send_frame(*each)
                if self._bad.cut_at is not None and leg.at >= self._bad.cut_at:
                    self._cut()
            if moment.digit:
                await self._send("dtmf", dtmf={"track": "inbound_track", "digit": moment.digit})
            for name in leg.ear.due(leg.at):
                await self._echo(name)
            if leg.now() - leg.at > _CONGESTED:
                missed = leg.at
                self._warn(31930, "audio towards the server is discarded")
                leg.resume()
                timestamp += round((leg.at - missed) * 50) * 20

    def _keep(self, frame: bytes) -> None:
        if frame is not SILENCE:
            self._leg.record.caller.add(self._leg.at, frame)

    async def _send_frame(self, chunk: int, timestamp: int, frame: bytes) -> None:
        self._sequence += 1
        payload = _ENCODED_SILENCE if frame is SILENCE else b64encode(frame).decode()
        await self._socket.send(
            f'{{"event":"media","sequenceNumber":"{self._sequence}","media":{{"track":"inbound","chunk":"{chunk}",'
            f'"timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{self.sid}"}}'
        )

    async def _echo(self, name: str) -> None:
        self._leg.note("mark_echo", name=name)
        await self._send("mark", mark={"name": name})

    def _cut(self) -> None:
        self._leg.note("stream_end", by="impairment")
        self._closed = True
        self._socket.transport.abort()

    # --- from the bot ---------------------------------------------------------------------------------------------

    async def _hear(self, scope: anyio.CancelScope) -> None:
        try:
            while True:
                await self._take(await self._socket.recv())
        except ConnectionClosed as error:
            self._note_end(error)
            scope.cancel()

    async def _take(self, raw: str | bytes) -> None:
        leg = self._leg
        if isinstance(raw, bytes):
            self._warn(31950, "a binary frame was received")
            return
        try:
            message = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            self._warn(31951, str(error))
            return
        if message.streamSid != self.sid:
            self._warn(31951, "the streamSid is not this stream's")
            return
        now = leg.now()
        match message:
            case _Media(media=media):
                if not leg.ear.queued(now):
                    leg.note("media")
                if not leg.ear.play(media.payload, now):
                    self._warn(31931, "more than ten minutes of audio are queued")
            case _Mark(mark=mark):
                leg.note("mark", name=mark.name)
                if leg.ear.mark(mark.name, now):
                    await self._echo(mark.name)
            case _Clear():
                leg.note("clear", dropped=round(leg.ear.queued(now), 3))
                for name in leg.ear.clear(now):
                    await self._echo(name)

    def _warn(self, code: int, detail: str) -> None:
        """Each warning is given once in a stream."""
        if code not in self._warned:
            self._warned.add(code)
            self._cloud.problem(
                code, url=self._leg.address(self._noun.get("url")), sid=self._leg.call.sid, detail=detail
            )
            self._leg.note("problem", code=code)

    # --- the end --------------------------------------------------------------------------------------------------

    def _note_end(self, error: ConnectionClosed) -> None:
        if self._closed:
            return
        self._closed = True
        code = error.rcvd.code if error.rcvd else 1006
        self._leg.note("stream_end", by="server", code=code)
        if error.sent and not error.rcvd_then_sent and error.sent.code in (1002, 1007):
            self._warn(31924, error.sent.reason or "the server broke the WebSocket protocol")
        elif code == 1006:
            self._warn(31903, "the server dropped the connection")
        elif code not in (1000, 1001, 1005):
            self._warn(31921, f"the server closed with {code}")

    async def _part(self) -> None:
        """Say goodbye, even when the call is being torn away from the stream."""
        with anyio.move_on_after(2, shield=True):
            if not self._closed:
                self._closed = True
                self._leg.note("stream_end", by="twilio")
                try:
                    await self._send(
                        "stop", stop={"accountSid": self._cloud.account_sid, "callSid": self._leg.call.sid}
                    )
                except ConnectionClosed:
                    pass
            await self._socket.close()
        self._leg.ear.clear(self._leg.now())
        self._call_back("stream-stopped")

    def _call_back(self, event: str, error: str = "") -> None:
        url = self._noun.get("statusCallback")
        if not url:
            return
        params = {
            "AccountSid": self._cloud.account_sid,
            "CallSid": self._leg.call.sid,
            "StreamSid": self.sid,
            "StreamName": self._noun.get("name") or self.sid,
            "StreamEvent": event,
            "Timestamp": self._cloud.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if error:
            params["StreamError"] = error
        method = self._noun.get("statusCallbackMethod", "POST").upper()
        self._leg.post(Callback(self._leg.address(url), method), params)
