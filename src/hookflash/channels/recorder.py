"""The recording of a call at Twilio: begun where it is wanted, and silent while a number is told that must not be kept."""

from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.safety.card_question import asks_for_card
from hookflash.safety.pii import digits_in

log = structlog.get_logger()

# So many digits in a row may be a card's; the first six of one may be kept.
TELLING_DIGITS = 5
TRIES = 3
_PAUSE_SECONDS = 0.3


@dataclass(slots=True)
class Hush:
    """When the recording must be silent: from the moment that we ask for a card's number, or that somebody keys or says
    many digits, until the turn in which they did has its answer. No I/O.
    """

    asked: bool = False
    telling: bool = False

    @property
    def wanted(self) -> bool:
        return self.asked or self.telling

    def pressed(self) -> None:
        """A key: the first of how many is not known."""
        self.telling = True

    def heard(self, words: str) -> None:
        """What the caller is saying, as far as it is understood."""
        self.telling = self.telling or digits_in(words) >= TELLING_DIGITS

    def replying(self, words: str) -> None:
        """What we are about to say."""
        self.asked = self.asked or asks_for_card(words)

    def settled(self, whole: str) -> None:
        """A turn is over; `whole` was our answer."""
        self.telling = False
        self.asked = asks_for_card(whole)


class Account(Protocol):
    """The account at Twilio of which a call is. Each is False when there is nothing to be done it to."""

    async def record_call(self, sid: str, callback: str) -> bool: ...
    async def pause_recording(self, call_sid: str) -> bool: ...
    async def resume_recording(self, call_sid: str) -> bool: ...
    async def stop_recording(self, call_sid: str) -> bool: ...


class Recorder:
    """Keeps the recording of one call as `hush` wants it. A recording that cannot be silenced is ended.

    `begin`: whether to start one; without it one that runs is only silenced. `account` None: nothing is recorded at all.
    """

    def __init__(self, account: Account | None, call_sid: str, callback: str, clock: Clock, *, begin: bool) -> None:
        self.hush = Hush()
        self._account = account
        self._call_sid = call_sid
        self._callback = callback
        self._clock = clock
        self._begin = begin
        self._changed = anyio.Event()
        self._silent = False

    def pressed(self) -> None:
        self.hush.pressed()
        self._changed.set()

    def heard(self, words: str) -> None:
        self.hush.heard(words)
        self._changed.set()

    def replying(self, words: str) -> None:
        self.hush.replying(words)
        self._changed.set()

    def settled(self, whole: str) -> None:
        self.hush.settled(whole)
        self._changed.set()

    async def run(self) -> None:
        """Until the call is over; that a call is not recorded does not cost us the call."""
        account = self._account
        if account is None:
            return
        if self._begin and not await self.begin():
            return
        while True:
            self._changed = anyio.Event()
            if self.hush.wanted != self._silent and not await self._follow(account, silent=self.hush.wanted):
                return
            if self.hush.wanted == self._silent:
                await self._changed.wait()

    async def begin(self) -> bool:
        """Record from now on; False when that cannot be done."""
        try:
            return self._account is not None and await self._account.record_call(self._call_sid, self._callback)
        except HookflashError as error:
            log.warning("call is not recorded", call_sid=self._call_sid, reason=error.message)
            return False

    async def once(self, *, silent: bool) -> None:
        """Make a recording that runs silent, or let it go on; for calls without a socket."""
        if self._account is not None:
            await self._follow(self._account, silent=silent)

    async def _follow(self, account: Account, *, silent: bool) -> bool:
        """Whether there is a recording to be followed any more."""
        for _ in range(TRIES):
            try:
                if silent:
                    there = await account.pause_recording(self._call_sid)
                else:
                    there = await account.resume_recording(self._call_sid)
            except HookflashError as error:
                log.warning("recording does not follow", call_sid=self._call_sid, silent=silent, reason=error.message)
                await self._clock.sleep(_PAUSE_SECONDS)
                continue
            self._silent = silent
            return there
        if silent:
            try:
                await account.stop_recording(self._call_sid)
            except HookflashError as error:
                log.error("recording could not be silenced", call_sid=self._call_sid, reason=error.message)
        return False
