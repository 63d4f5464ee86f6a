"""How long a dead worker's contacts have to wait: until a living one holds their lane, and until nothing is owed to them."""

from dataclasses import dataclass, field

import anyio

from hookflash.base.errors import Unavailable
from tests.chaos.fleet import Process
from tests.chaos.line import Line

_HELD = "select contact_id, fence, clock_timestamp() as now from lanes where worker = any(%s)"
_FENCES = "select contact_id, fence from lanes where contact_id = any(%s)"
_OWED = (
    "select distinct contact_id from messages where contact_id = any(%s)"
    " and state in ('unanswered', 'waiting', 'posting') and created_at <= %s"
)


@dataclass(slots=True)
class Recovery:
    """Seconds from deaths to the takeover of each lane that was held, and to the moment when its contact had its answers."""

    takeovers: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    unmeasured: int = 0

    async def measure(self, line: Line, process: Process) -> None:
        """From the death of this worker on, which has only just happened."""
        died = anyio.current_time()
        try:
            held = await line.rows(_HELD, list(process.presence()))
            lanes = {r["contact_id"]: r["fence"] for r in held}
            owed, now = set(lanes), held[0]["now"] if held else None
            while lanes or owed:
                await line.clock.sleep(0.05)
                waited = anyio.current_time() - died
                for r in await line.rows(_FENCES, list(lanes)):
                    if r["fence"] > lanes[r["contact_id"]]:
                        del lanes[r["contact_id"]]
                        self.takeovers.append(waited)
                still = {r["contact_id"] for r in await line.rows(_OWED, list(owed), now)}
                self.answers += [waited] * len(owed - still)
                owed = still
        except Unavailable:
            self.unmeasured += 1


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in seconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(ordered[min(int(len(ordered) * part), len(ordered) - 1)], 3) for name, part in at.items()}
