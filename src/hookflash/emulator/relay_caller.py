"""ConversationRelay: Twilio hears and speaks, the bot gets words over a WebSocket and sends words."""

from typing import Any, Literal

import anyio
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hookflash.base.tasks import bare_error
from hookflash.emulator.leg import Ask, Leg, Program
from hookflash.emulator.person import Moment
from hookflash.emulator.relay_talk import Heard, Talk
from hookflash.emulator.sound import RATE
from hookflash.emulator.voice_twiml import Verb
from hookflash.emulator.websocket import NotOpened, open_socket

_MOST_MALFORMED = 10
_AUTO_SPEECH_TIMEOUT = 0.3
BACKCHANNEL = frozenset(
    ("yeah", "yes", "yep", "uh-huh", "uh huh", "mhm", "mm-hmm", "hmm", "ok", "okay", "right", "sure")
)


class _Text(msgspec.Struct, tag="text", tag_field="type"):
    token: str
    last: bool = False
    lang: str | None = None
    interruptible: bool | None = None
    preemptible: bool | None = None


class _Play(msgspec.Struct, tag="play", tag_field="type"):
    source: str
    loop: int = 1
    interruptible: bool | None = None
    preemptible: bool | None = None


class _SendDigits(msgspec.Struct, tag="sendDigits", tag_field="type"):
    digits: str


class _Language(msgspec.Struct, tag="language", tag_field="type"):
    ttsLanguage: str | None = None  # noqa: N815 - as on the wire
    transcriptionLanguage: str | None = None  # noqa: N815


class _End(msgspec.Struct, tag="end", tag_field="type"):
    handoffData: str = ""  # noqa: N815


_DECODER = msgspec.json.Decoder(_Text | _Play | _SendDigits | _Language | _End)
_TYPES = frozenset(("text", "play", "sendDigits", "language", "end"))


async def relay(leg: Leg, noun: Verb, action: Ask | None) -> Program | None:
    """Talk until the bot ends the session; the action then learns how it ended."""
    session = _Session(leg, noun)

    def report() -> Ask | None:
        return Ask(action.url, action.method, session.result) if action else None

    leg.farewell = report
    await session.run()
    leg.farewell = None
    if session.status == "failed" and action is None:
        leg.hang_up()
    return report()


class _Session:
    def __init__(self, leg: Leg, noun: Verb) -> None:
        self._leg = leg
        self._noun = noun
        self._cloud = leg.desk.cloud
        self.sid = self._cloud.new_sid("VX")
        self.status: Literal["completed", "ended", "failed"] = "completed"
        self._handoff: str | None = None
        self._error: tuple[int, str] | None = None
        self._began = leg.now()
        self._talk = Talk(leg.desk.toneless.rate)
        language = noun.get("language", "en-US")
        self._tts_language = noun.get("ttsLanguage") or language
        self._language = noun.get("transcriptionLanguage") or language
        self._malformed = 0
        self._muffled = False  # whether what the person says now is not reported
        self._prompt: list[str] = []
        self._prompt_due: float | None = None
        self._shown = ""
        self._socket: ClientConnection
        self._closed = False

    @property
    def result(self) -> dict[str, str]:
        """What the action learns."""
        said = {
            "SessionId": self.sid,
            "SessionStatus": self.status,
            "SessionDuration": str(round(self._leg.now() - self._began)),
        }
        if self._handoff is not None:
            said["HandoffData"] = self._handoff
        if self._error:
            said |= {"ErrorCode": str(self._error[0]), "ErrorMessage": self._error[1]}
        return said

    async def run(self) -> None:
        leg = self._leg
        opened = await open_socket(leg, self._noun.get("url"))
        if isinstance(opened, NotOpened):
            self._fail(64102, f"Unable to connect to the WebSocket URL: {opened.detail}")
            return
        self._socket = opened
        leg.note("relay", session_id=self.sid)
        try:
            with bare_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._receive, tasks.cancel_scope)
                    try:
                        await self._set_up()
                        await self._converse()
                    except ConnectionClosed as error:
                        self._dropped(error)
                        tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(2, shield=True):
                await self._socket.close()
                await self._heard(self._talk.interrupt(leg.now()))
            leg.ear.clear(leg.now())

    def _fail(self, code: int, detail: str) -> None:
        self.status, self._error = "failed", (code, detail)
        self._problem(code, detail)

    def _problem(self, code: int, detail: str) -> None:
        url = self._leg.address(self._noun.get("url"))
        self._cloud.problem(code, url=url, sid=self._leg.call.sid, detail=f"ConversationRelay: {detail}")
        self._leg.note("problem", code=code)

    def _dropped(self, error: ConnectionClosed) -> None:
        if not self._closed:
            self._closed = True
            code = error.rcvd.code if error.rcvd else 1006
            self._leg.note("stream_end", by="server", code=code)
            self._fail(64105, f"the WebSocket ended with {code}")

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    async def _set_up(self) -> None:
        call, noun = self._leg.call, self._noun
        await self._send(
            "setup",
            sessionId=self.sid,
            accountSid=self._cloud.account_sid,
            parentCallSid=call.parent_sid or "",
            callSid=call.sid,
            **{"from": call.sender},
            to=call.to,
            forwardedFrom=call.forwarded_from or "",
            callType="PSTN",
            callerName=call.caller_name or "",
            direction=call.direction,
            callStatus="RINGING",
            customParameters={p.get("name"): p.get("value") for p in noun.all("Parameter")},
        )
        if greeting := noun.get("welcomeGreeting"):
            by = _may_interrupt(noun.get("welcomeGreetingInterruptible", "any"))
            self._say(greeting, last=True, interruptible=bool(by), preemptible=False)

    # --- the person -----------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        leg, bad = self._leg, self._leg.script.impairments
        leg.resume()
        while True:
            moment = await leg.tick()
            await self._heard(self._talk.finished(leg.at))
            await self._notice_keys(moment)
            await self._notice_speech(moment)
            if bad.cut_at is not None and leg.at >= bad.cut_at:
                self._socket.transport.abort()

    async def _notice_keys(self, moment: Moment) -> None:
        if moment.digit:
            speaking = self._talk.is_speaking(self._leg.at)
            if "dtmf" in _may_interrupt(self._noun.get("interruptible", "any")):
                await self._interrupt()
            report = not speaking or "dtmf" in self._reported or not self._talk.is_speaking(self._leg.at)
            if self._noun.flag("dtmfDetection") and report:
                await self._send("dtmf", digit=moment.digit)

    @property
    def _reported(self) -> frozenset[str]:
        """The kinds of input that are reported although the bot is speaking and cannot be interrupted."""
        return _may_interrupt(self._noun.get("reportInputDuringAgentSpeech", "none"))

    async def _notice_speech(self, moment: Moment) -> None:
        leg = self._leg
        if moment.began:
            await self._begin(moment.began.text)
        speech = leg.person.speaking
        if speech and not self._muffled and self._noun.flag("partialPrompts"):
            words = " ".join((*self._prompt, speech.words_so_far)).strip()
            if words and words != self._shown:
                self._shown = words
                leg.note("partial", text=words)
                await self._send("prompt", voicePrompt=words, lang=self._language, last=False)
        if moment.ended and not self._muffled and moment.ended.text:
            self._prompt.append(moment.ended.text)
            wait = self._noun.number("speechTimeout", _AUTO_SPEECH_TIMEOUT * 1000) / 1000
            self._prompt_due = leg.at + wait
        if self._prompt_due is not None and leg.at >= self._prompt_due and leg.person.speaking is None:
            words, self._prompt, self._prompt_due, self._shown = " ".join(self._prompt), [], None, ""
            leg.note("prompt", text=words)
            await self._send("prompt", voicePrompt=words, lang=self._language, last=True)

    async def _begin(self, words: str) -> None:
        self._muffled = False
        if not self._talk.is_speaking(self._leg.at):
            return
        if self._noun.flag("ignoreBackchannel") and words.strip(" .,!?").lower() in BACKCHANNEL:
            self._muffled = True
        elif "speech" in _may_interrupt(self._noun.get("interruptible", "any")) and await self._interrupt():
            pass
        else:
            self._muffled = "speech" not in self._reported

    async def _interrupt(self) -> bool:
        """The person breaks in; False when the bot does not speak or cannot be interrupted."""
        leg, talk = self._leg, self._talk
        if not talk.can_interrupt(leg.at):
            return False
        heard = talk.interrupt(leg.at)
        leg.ear.clear(leg.at)
        await self._heard(heard)
        said = heard[-1] if heard else Heard("", leg.at, True)
        took = round((leg.at - said.began) * 1000)
        leg.note("interrupt", text=said.text, ms=took)
        duration = str(took) if leg.script.interrupt_as_text else took
        await self._send("interrupt", utteranceUntilInterrupt=said.text, durationUntilInterruptMs=duration)
        return True

    async def _heard(self, utterances: list[Heard]) -> None:
        leg = self._leg
        for each in utterances:
            if each.text:
                leg.note("heard", text=each.text, began=round(each.began, 3), interrupted=each.interrupted)
                if leg.desk.voice.sounds:
                    leg.ear.heard.add(each.began, await leg.desk.voice.say(each.text, self._tts_language))

    # --- the bot --------------------------------------------------------------------------------------------------

    async def _receive(self, scope: anyio.CancelScope) -> None:
        try:
            while not self._closed:
                await self._take(await self._socket.recv())
        except ConnectionClosed as error:
            self._dropped(error)
        scope.cancel()

    async def _take(self, raw: str | bytes) -> None:
        try:
            message = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            await self._reject(raw, str(error))
            return
        self._malformed = 0
        leg = self._leg
        match message:
            case _Text():
                await self._heard(self._talk.preempt(leg.at))
                self._say(
                    message.token,
                    last=message.last,
                    interruptible=True if message.interruptible is None else message.interruptible,
                    preemptible=self._preemptible(message.preemptible),
                )
            case _Play():
                sound = await leg.sound_at(message.source)
                seconds = len(sound) / RATE * (message.loop or 1000)
                allowed = True if message.interruptible is None else message.interruptible
                leg.ear.sound(
                    *self._talk.play(
                        seconds, leg.now(), interruptible=allowed, preemptible=self._preemptible(message.preemptible)
                    )
                )
            case _SendDigits():
                leg.note("send_digits", digits=message.digits)
            case _Language():
                self._tts_language = message.ttsLanguage or self._tts_language
                self._language = message.transcriptionLanguage or self._language
                leg.note("language", tts=self._tts_language, transcription=self._language)
            case _End():
                leg.note("end", handoff_data=message.handoffData)
                self.status, self._handoff, self._closed = "ended", message.handoffData, True

    def _preemptible(self, given: bool | None) -> bool:
        return self._noun.flag("preemptible") if given is None else given

    def _say(self, token: str, *, last: bool, interruptible: bool, preemptible: bool) -> None:
        leg = self._leg
        if token and not self._talk.is_speaking(leg.now()):
            leg.note("talk")
        span = self._talk.add(token, leg.now(), last=last, interruptible=interruptible, preemptible=preemptible)
        if span:
            leg.ear.sound(*span)

    async def _reject(self, raw: str | bytes, why: str) -> None:
        self._problem(64107, f"Invalid message received: {why}")
        await self._send("error", description=f"Invalid message received: {why}")
        try:
            known = msgspec.json.decode(raw, type=dict[str, Any]).get("type") in _TYPES
        except (msgspec.DecodeError, TypeError):
            known = False
        self._malformed = 0 if known else self._malformed + 1
        if self._malformed >= _MOST_MALFORMED:
            self._closed = True
            self._fail(64105, "Too many consecutive malformed messages")
            await self._socket.close(1007, "Too many consecutive malformed messages")


def _may_interrupt(value: str) -> frozenset[str]:
    """The kinds of input that an attribute names: speech, dtmf, both or neither."""
    value = {"true": "any", "false": "none"}.get(value.lower(), value.lower())
    return frozenset(("speech", "dtmf")) if value == "any" else frozenset((value,)) & {"speech", "dtmf"}
