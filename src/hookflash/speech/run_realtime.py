"""The shell around a call of speech to speech: it carries events in and performs effects. It decides nothing."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError
from hookflash.base.tasks import bare_error
from hookflash.speech.afterwards import Alarm, Keeper
from hookflash.speech.call import CallRules
from hookflash.speech.events import (
    ClearAudio,
    EndCall,
    HangUp,
    Heard,
    HungUp,
    Measured,
    Play,
    SetMark,
    Tick,
    Transfer,
    TransferTo,
    WakeAt,
)
from hookflash.speech.realtime import RealtimeMachine
from hookflash.speech.realtime_events import Over, RealtimeEffect, RealtimeEvent, Spent, Use, Used, VendorLost
from hookflash.speech.run_call import FAILED, CallCounts, Line
from hookflash.speech.sts import CallerWords, Opening, ReplyWords, Sts, StsTalk

log = structlog.get_logger()

# Frames that may wait for the vendor to be reached: five seconds.
WAITING_FRAMES = 250
FUNCTION_SECONDS = 10.0
ATTEMPTS, PAUSE = 2, 0.3
TOO_SLOW = "This took too long. Tell the caller that it cannot be done right now."
BROKEN = "This cannot be done right now. Tell the caller so."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a function: what the vendor is told, and how the call ends if it does."""

    output: str
    then: EndCall | TransferTo | None = None


class Mind(Protocol):
    """Who does what functions say, and who keeps what was said."""

    async def use(self, turn: int, name: str, arguments: str) -> Outcome:
        """Raises HookflashError when it cannot."""
        ...

    def spent(self, spent: Spent) -> bool:
        """Note what a turn consumed; False when that was too much for one call."""
        ...

    def said(self, words: str) -> None:
        """What the caller has said, as soon as it is known."""
        ...

    def saying(self, words: str) -> None:
        """More words of the reply."""
        ...

    async def keep(self, heard: Heard, measured: Measured | None) -> None: ...


@dataclass(frozen=True, slots=True)
class RealtimeDevices:
    """What a call of speech to speech is made of."""

    line: Line
    vendor: Sts
    opening: Opening
    mind: Mind
    clock: Clock
    rules: CallRules


class RealtimeShell:
    """One call. `hear` and `post` are called by whoever has something; neither waits."""

    def __init__(self, devices: RealtimeDevices) -> None:
        self._devices = devices
        self._machine = RealtimeMachine(devices.rules)
        self._talk: StsTalk | None = None
        self._begun = False
        self._frames: deque[bytes] = deque(maxlen=WAITING_FRAMES)
        self._alarm = Alarm(devices.clock)
        self._uses: deque[Use] = deque()
        self._usable = anyio.Event()
        self._keeper = Keeper(devices.clock, devices.mind.keep)
        self._too_dear = self._ending = False
        self._over = anyio.Event()
        self.counts = CallCounts()

    # Events in

    def hear(self, audio: bytes) -> None:
        """The caller's sound, in order (mu-law, 8 kHz)."""
        self.counts.frames += 1
        if self._talk is not None:
            self._talk.feed(audio)
            return
        if len(self._frames) == WAITING_FRAMES:
            self.counts.dropped += 1
        self._frames.append(audio)

    def post(self, event: RealtimeEvent) -> None:
        """Something happened."""
        match event:
            case CallerWords(text=text):
                self._devices.mind.said(text)
            case ReplyWords(text=text):
                self._devices.mind.saying(text)
            case _:
                pass
        self._perform(self._machine.receive(event, self._devices.clock.monotonic()))

    def hang_up(self) -> None:
        """The other side is gone. The words of what was said last may still come."""
        self.post(HungUp())

    # The life of the call

    async def run(self) -> CallCounts:
        """Until the call is over; what was said is kept before this returns, also when it is cancelled."""
        with bare_error():
            async with anyio.create_task_group() as tasks:
                try:
                    tasks.start_soon(self._work, tasks)
                    tasks.start_soon(self._alarm.run, lambda: self.post(Tick()))
                    tasks.start_soon(self._keeper.run)
                    tasks.start_soon(self._converse)
                    await self._over.wait()
                finally:
                    self._perform(self._machine.close(self._devices.clock.monotonic()))
                    await self._keeper.finish()
                    tasks.cancel_scope.cancel()
        return self.counts

    async def _converse(self) -> None:
        """Hold the line to the vendor; one that cannot be reached is tried once more."""
        devices = self._devices
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with devices.vendor.talk(devices.opening, self.post) as talk:
                    self._begin(talk)
                    await self._over.wait()
                    return
            except HookflashError as error:
                self._talk = None
                self.counts.vendor_failures += 1
                log.warning("speech to speech failed", vendor=devices.vendor.name, reason=error.message)
                reason = f"{FAILED}{error.message}"
                if self._begun:
                    self.post(VendorLost("" if error.retryable else reason))
                    return
                if not error.retryable or attempt == ATTEMPTS:
                    self.counts.why = reason
                    self._over.set()
                    return
            await devices.clock.sleep(PAUSE)

    def _begin(self, talk: StsTalk) -> None:
        self._talk = talk
        self._begun = True
        while self._frames:
            talk.feed(self._frames.popleft())
        self._perform(self._machine.start(self._devices.clock.monotonic()))

    async def _work(self, tasks: anyio.abc.TaskGroup) -> None:
        """Begin the functions: events come from where no task may be started."""
        while True:
            await self._usable.wait()
            self._usable = anyio.Event()
            while self._uses:
                tasks.start_soon(self._use, self._uses.popleft())

    async def _use(self, use: Use) -> None:
        devices = self._devices
        try:
            outcome = await within(
                devices.clock, FUNCTION_SECONDS, lambda: devices.mind.use(use.turn, use.name, use.arguments)
            )
        except TimeoutError:
            log.warning("a function took too long", function=use.name)
            outcome = Outcome(TOO_SLOW)
        except HookflashError as error:
            log.warning("a function failed", function=use.name, reason=error.message)
            outcome = Outcome(BROKEN)
        self.post(Used(use.call, outcome.output, outcome.then))

    # Effects out

    def _perform(self, effects: list[RealtimeEffect]) -> None:
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
                case Use():
                    self._uses.append(effect)
                    self._usable.set()
                case Spent():
                    self._too_dear = not self._devices.mind.spent(effect) or self._too_dear
                case Heard():
                    self.counts.turns += 1
                    self.counts.interruptions += effect.interrupted
                    self._keeper.heard(effect)
                case Measured():
                    self._keeper.measured(effect)
                case WakeAt(at=at):
                    self._alarm.set(at)
                case HangUp(why=why):
                    self.counts.why = why or None
                    line.close()
                    self._over.set()
                case Transfer():
                    self.counts.why = "transferred"
                    line.close()
                    self._over.set()
                case Over():
                    self._over.set()
                case _:
                    if self._talk is not None:
                        self._talk.order(effect)
        if self._too_dear and not self._ending:
            self._ending = True
            self.post(EndCall("the call is at its dearest"))
