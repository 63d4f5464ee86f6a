"""The shell around a call's machine: it carries events in and performs effects. Performing never waits; it decides nothing."""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import structlog

from hookflash.base.errors import HookflashError
from hookflash.base.tasks import bare_error
from hookflash.speech.afterwards import Alarm, Keeper
from hookflash.speech.call import CallMachine
from hookflash.speech.devices import Devices as Devices
from hookflash.speech.devices import Line as Line
from hookflash.speech.devices import Phrases as Phrases
from hookflash.speech.devices import Say as Say
from hookflash.speech.events import (
    BeginTurn,
    CallEffect,
    CallEvent,
    CancelSpeech,
    CancelTurn,
    ChangeLanguage,
    ClearAudio,
    Finalize,
    HangUp,
    Heard,
    HungUp,
    LookUp,
    Measured,
    Play,
    ReplyText,
    SetMark,
    Sound,
    SpeechEnded,
    SpeechPerhaps,
    SpeechStarted,
    Synthesize,
    Tick,
    Transfer,
    TurnJudged,
    TurnOver,
    WakeAt,
    Words,
)
from hookflash.speech.hysteresis import Hysteresis, SpeechStart
from hookflash.speech.rules import CallRules
from hookflash.speech.stt import SttStream, Transcript
from hookflash.speech.tongue import Tongue, to_listen_for
from hookflash.speech.tts import TtsVoice

log = structlog.get_logger()

T = TypeVar("T")

QUEUED_FRAMES = 250
# Sound that is kept for the model that tells whether the caller has finished: eight seconds.
LATEST_FRAMES = 400
# The transcriber gets so many frames at a time: 80 ms, what vendors advise; each delivery costs as much as a frame.
FED_FRAMES = 4
# How the reason begins for which a call ended that nobody could go on with.
FAILED = "failed: "
# A caller is not left in silence for longer while a vendor cannot be had.
GIVE_UP_SECONDS = 8.0
UNSAID_AT_MOST = 3


def _fixed(rules: CallRules) -> tuple[str, ...]:
    """Phrases that are said in many calls."""
    return (rules.greeting, rules.filler, rules.reprompt, rules.goodbye, rules.failed)


@dataclass(slots=True)
class CallCounts:
    """What happened in a call."""

    frames: int = 0
    dropped: int = 0
    turns: int = 0
    interruptions: int = 0
    cleared: int = 0
    vendor_failures: int = 0
    judged: int = 0
    characters_spoken: int = 0
    why: str | None = None


class CallShell:
    """One call. Everything happens on the event loop; `hear`, `score` and `post` are called by whoever has something."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        rules_in = {tag: other.rules for tag, other in devices.others.items()}
        if rules_in:
            rules_in[devices.tags[0]] = devices.rules
        tongue = Tongue(devices.tags, devices.detect) if rules_in else None
        self._machine = CallMachine(devices.rules, tongue, rules_in)
        self._fixed = frozenset(phrase for rules in (devices.rules, *rules_in.values()) for phrase in _fixed(rules))
        self._language = devices.language
        self._revoiced = anyio.Event()
        self._listening: anyio.CancelScope | None = None
        self._looking: anyio.CancelScope | None = None
        self._sought: LookUp | None = None
        self._hysteresis = Hysteresis()
        self._frames: deque[bytes] = deque(maxlen=QUEUED_FRAMES)
        self._latest: deque[bytes] | None = deque(maxlen=LATEST_FRAMES) if devices.turn_model else None
        self._framed = anyio.Event()
        self._alarm = Alarm(devices.clock)
        self._finalize = False
        self._thinking: dict[int, anyio.CancelScope] = {}
        self._speaking: dict[int, list[anyio.CancelScope]] = {}
        self._cancelled = 0
        self._starts: deque[tuple[Callable[[Any], Coroutine[Any, Any, None]], object]] = deque()
        self._startable = anyio.Event()
        self._keeper = Keeper(devices.clock, devices.mind.keep)
        self._over = anyio.Event()
        self._mouth: TtsVoice | None = None
        # So many utterances in a row had no sound at all.
        self._unsaid = 0
        self.counts = CallCounts()

    @property
    def ears(self) -> str:
        """The name of the transcriber."""
        return self._devices.ears.traits.name

    @property
    def mixed(self) -> bool:
        """Whether it listens for several languages at once."""
        return self._heard_language() in ("multi", "hi-Latn")

    @property
    def mouth(self) -> str:
        """The name of the voice's vendor."""
        return self._devices.mouth.traits.name

    # Events in

    def hear(self, audio: bytes) -> None:
        """The caller's sound, in order (mu-law, 8 kHz)."""
        self.counts.frames += 1
        if len(self._frames) == QUEUED_FRAMES:
            self.counts.dropped += 1
        self._frames.append(audio)
        if self._latest is not None:
            self._latest.append(audio)
        if len(self._frames) >= FED_FRAMES and not self._framed.is_set():
            self._framed.set()

    def score(self, probability: float) -> None:
        """The next chunk's probability of speech."""
        found = self._hysteresis.push(probability, self._machine.speaking)
        if found is None:
            if self._hysteresis.perhaps:
                self.post(SpeechPerhaps())
            return
        now = self._devices.clock.monotonic()
        at = now - (self._hysteresis.heard_seconds - found.at)
        if isinstance(found, SpeechStart):
            self.post(SpeechStarted(at))
            return
        self.post(SpeechEnded(at))
        if self._latest is not None:
            self._start(self._judge, at)

    def post(self, event: CallEvent) -> None:
        """Something happened."""
        self._perform(self._machine.receive(event, self._devices.clock.monotonic()))

    def hang_up(self) -> None:
        """The other side is gone."""
        self.post(HungUp())
        self._over.set()

    # The life of the call

    async def run(self) -> CallCounts:
        """Until the call is over; what was said is kept before this returns, also when it is cancelled."""
        with bare_error():
            async with anyio.create_task_group() as tasks:
                try:
                    tasks.start_soon(self._start_work, tasks)
                    tasks.start_soon(self._listen)
                    tasks.start_soon(self._speak_ready)
                    tasks.start_soon(self._alarm.run, lambda: self.post(Tick()))
                    tasks.start_soon(self._keeper.run)
                    self._perform(self._machine.start(self._devices.clock.monotonic()))
                    await self._over.wait()
                finally:
                    self._perform(self._machine.receive(HungUp(), self._devices.clock.monotonic()))
                    await self._keeper.finish()
                    tasks.cancel_scope.cancel()
        return self.counts

    async def _start_work(self, tasks: anyio.abc.TaskGroup) -> None:
        """Begin what effects ask for: they may be performed where no task runs, as the event loop's own callbacks are."""
        while True:
            await self._startable.wait()
            self._startable = anyio.Event()
            while self._starts:
                run, argument = self._starts.popleft()
                tasks.start_soon(run, argument)

    async def _listen(self) -> None:
        """Feed the transcriber; one that fails is opened again after a short pause."""
        devices = self._devices
        pause, down = 0.2, devices.clock.monotonic()
        first: HookflashError | None = None

        async def heard(words: Transcript) -> None:
            self.post(Words(words.text, words.final, words.end_of_turn, words.language))

        while True:
            try:
                with anyio.CancelScope() as self._listening:
                    async with devices.ears.stream(
                        heard, encoding="mulaw", sample_rate=8000, language=self._heard_language(), hints=devices.hints
                    ) as stream:
                        pause = 0.2
                        try:
                            await self._feed(stream)
                        finally:
                            first, down = None, devices.clock.monotonic()
            except HookflashError as error:
                self.counts.vendor_failures += 1
                log.warning("transcriber failed", reason=error.message)
                # Later ones only say that it is not even asked any more.
                first = first or error
                if not error.retryable or devices.clock.monotonic() - down >= GIVE_UP_SECONDS:
                    self._give_up(first if error.retryable else error)
                    return
                await devices.clock.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _give_up(self, error: HookflashError) -> None:
        """Nothing can be heard, or said: better an apology of Twilio's voice than silence."""
        self.counts.why = f"{FAILED}{error.message}"
        self._over.set()

    def _heard_language(self) -> str | None:
        """What the transcriber listens for: the language of the call, or all of them if it can."""
        devices = self._devices
        mixed = to_listen_for(devices.tags, mixes=devices.ears.traits.code_switching)
        return mixed if devices.others and mixed != devices.tags[0] else self._language

    async def _feed(self, stream: SttStream) -> None:
        while True:
            await self._framed.wait()
            self._framed = anyio.Event()
            if self._frames:
                audio = b"".join(self._frames)
                self._frames.clear()
                await stream.feed(audio)
            if self._finalize:
                self._finalize = False
                await stream.finalize()

    async def _speak_ready(self) -> None:
        """Keep the way to the voice's vendor open."""
        devices = self._devices
        pause, down = 0.2, devices.clock.monotonic()
        first: HookflashError | None = None
        while True:
            self._revoiced = anyio.Event()
            language = self._language
            try:
                async with devices.mouth.voice(
                    voice=devices.voice_in(language), encoding="mulaw", sample_rate=8000, language=language
                ) as voice:
                    self._mouth = voice
                    pause = 0.2
                    try:
                        await self._revoiced.wait()
                    finally:
                        first, down = None, devices.clock.monotonic()
            except HookflashError as error:
                self._mouth = None
                self.counts.vendor_failures += 1
                log.warning("voice failed", reason=error.message)
                # Later ones only say that it is not even asked any more.
                first = first or error
                if not error.retryable or devices.clock.monotonic() - down >= GIVE_UP_SECONDS:
                    self._give_up(first if error.retryable else error)
                    return
                await devices.clock.sleep(pause)
                pause = min(pause * 2, 5.0)

    # Effects out

    def _perform(self, effects: list[CallEffect]) -> None:
        line = self._devices.line
        for effect in effects:
            match effect:
                case Play(audio=audio):
                    line.play(audio)
                case SetMark(name=name):
                    line.mark(name)
                case ClearAudio():
                    self.counts.cleared += 1
                    line.clear()
                case BeginTurn():
                    self._start(self._think, effect)
                case CancelTurn(turn=turn):
                    self._cancelled = turn
                    scope = self._thinking.pop(turn, None)
                    if scope is not None:
                        scope.cancel()
                case Synthesize():
                    self._start(self._synthesize, effect)
                case CancelSpeech(turn=turn):
                    for scope in self._speaking.pop(turn, ()):
                        scope.cancel()
                case LookUp():
                    if self._looking is not None:
                        # They have gone on: it is not asked for any more.
                        self._looking.cancel()
                    self._sought = effect
                    self._start(self._look_up, effect)
                case ChangeLanguage(language=language):
                    self._change_language(language)
                case Finalize():
                    self._finalize = True
                    self._framed.set()
                case Heard():
                    self.counts.turns += 1
                    self.counts.interruptions += effect.interrupted
                    self._keeper.heard(effect)
                case Measured():
                    self._keeper.measured(effect)
                case WakeAt(at=at):
                    self._alarm.set(at)
                case HangUp(why=why):
                    self.counts.why = why
                    line.close()
                    self._over.set()
                case Transfer(target=target):
                    self.counts.why = "transferred"
                    self._start(self._transfer, target)

    def _start(self, run: Callable[[T], Coroutine[Any, Any, None]], argument: T) -> None:
        if not self._over.is_set():
            self._starts.append((run, argument))
            self._startable.set()

    async def _judge(self, at: float) -> None:
        """Ask the model whether they have finished whose voice ceased then."""
        model, sound = self._devices.turn_model, b"".join(self._latest or ())
        finished = await model.finished(sound) if model is not None else None
        if finished is not None:
            self.counts.judged += 1
            self.post(TurnJudged(at, finished))

    async def _think(self, begun: BeginTurn) -> None:
        turn = begun.turn
        if turn <= self._cancelled:
            return

        def say(text: str, last: bool) -> None:
            self.post(ReplyText(turn, text, last))

        with anyio.CancelScope() as scope:
            self._thinking[turn] = scope
            failed = False
            try:
                await self._devices.mind.think(turn, begun.said, say, begun.language)
            except HookflashError as error:
                log.warning("a spoken turn failed", reason=error.message)
                failed = True
            self._thinking.pop(turn, None)
            self.post(TurnOver(turn, failed))

    def _change_language(self, language: str) -> None:
        """The voice is opened anew; so are ears that hear one language only."""
        before = self._heard_language()
        self._language = language
        self._mouth = None
        self._revoiced.set()
        if self._listening is not None and self._heard_language() != before:
            self._listening.cancel()

    async def _look_up(self, sought: LookUp) -> None:
        if sought is not self._sought:
            return
        with anyio.CancelScope() as self._looking:
            try:
                await self._devices.mind.look_up(sought.said, sought.settled)
            except HookflashError as error:
                log.warning("looking up ahead failed", reason=error.message)

    async def _synthesize(self, asked: Synthesize) -> None:
        devices = self._devices
        if asked.turn <= self._cancelled:
            return
        voice_name = f"{devices.mouth.traits.name}/{devices.voice_in(self._language) or ''}/{self._language or ''}"
        cached = devices.phrases.get(voice_name, asked.text)
        if cached is not None:
            self.post(Sound(asked.turn, asked.utterance, cached, last=True))
            return
        spoken = bytearray()

        async def sound(audio: bytes) -> None:
            spoken.extend(audio)
            self.post(Sound(asked.turn, asked.utterance, audio))

        with anyio.CancelScope() as scope:
            speaking = self._speaking.setdefault(asked.turn, [])
            speaking.append(scope)
            failed = not await self._spoken(asked.text, sound, spoken)
            speaking.remove(scope)
            if not speaking:
                self._speaking.pop(asked.turn, None)
            if asked.text in self._fixed and not failed:
                devices.phrases.put(voice_name, asked.text, bytes(spoken))
            self.counts.characters_spoken += len(asked.text)
            self.post(Sound(asked.turn, asked.utterance, b"", last=True, failed=failed))

    async def _spoken(self, text: str, sound: Callable[[bytes], Awaitable[None]], so_far: bytearray) -> bool:
        """Have it spoken; once more when the vendor failed before the first sound."""
        failed: HookflashError | None = None
        for _ in range(2):
            mouth = self._mouth
            if mouth is None:
                with anyio.move_on_after(2.0):
                    while self._mouth is None:
                        await self._devices.clock.sleep(0.02)
                mouth = self._mouth
            if mouth is None:
                return False
            try:
                await mouth.speak(text, sound)
            except HookflashError as error:
                self.counts.vendor_failures += 1
                log.warning("voice failed", reason=error.message)
                if so_far:
                    return False
                failed = error
                continue
            self._unsaid = 0
            return True
        self._unsaid += 1
        if failed is not None and (not failed.retryable or self._unsaid >= UNSAID_AT_MOST):
            self._give_up(failed)
        return False

    async def _transfer(self, target: str) -> None:
        await self._devices.mind.transfer(target)
        self._devices.line.close()
        self._over.set()
