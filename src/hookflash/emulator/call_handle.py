"""A call in someone's hand: what the person does next, and what has come of it."""

import anyio

from hookflash.emulator.call_record import CallRecord
from hookflash.emulator.calls import Call
from hookflash.emulator.leg import Leg
from hookflash.emulator.person import Act


class CallHandle:
    """One call of a handset, live or over."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    @property
    def sid(self) -> str:
        return self._leg.call.sid

    @property
    def call(self) -> Call:
        return self._leg.call

    @property
    def status(self) -> str:
        return self._leg.call.status

    @property
    def record(self) -> CallRecord:
        """The timeline, and the sound of both sides."""
        return self._leg.record

    async def act(self, *acts: Act) -> None:
        """Let the person do more, after what is in the script.

        Raises Misconfigured when words have to be spoken and espeak-ng is not installed.
        """
        await self._leg.person.add(*acts)

    def hang_up(self) -> None:
        """Put the receiver down, now."""
        self._leg.note("hangs_up")
        self._leg.hang_up("completed" if self._leg.call.started else "no-answer")

    def leave_queue(self, result: str = "bridged") -> None:
        """Let somebody take the call out of the queue in which it waits; `result` as in QueueResult."""
        self._leg.left_queue = result

    async def ended(self, timeout: float = 60.0) -> Call:
        """The call when it is over; raises TimeoutError after `timeout` real seconds, and what kept the person from
        going on (Misconfigured: espeak-ng is not installed).
        """
        with anyio.fail_after(timeout):
            await self._leg.ended.wait()
        if self._leg.failure:
            raise self._leg.failure
        return self._leg.call
