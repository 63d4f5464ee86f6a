"""How long a dead worker's contacts have to wait: until a living one holds their lane, and until nothing is owed to them."""

from dataclasses import dataclass, field

import anyio

from hookflash.base.errors import Unavailable
from tests.chaos.fleet import Process
from tests.chaos.line import Line

_HELD = "select contact_id, fence from lanes where worker = any(%s)"
_TAKEN_OVER = "select contact_id from lanes where contact_id = any(%s) and fence > %s"
_OWED = (
    "select distinct contact_id from messages where contact_id = any(%s)"
    " and state in ('unanswered', 'waiting', 'posting') and created_at <= %s"
)


@dataclass(slots=True)
class Recovery:
    """Seconds from deaths to the takeover of each lane that was held, and to the moment when its contact had its answers."""

    takeovers: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)

    async def measure(self, line: Line, process: Process) -> None:
        """From the death of this worker on, which has only just happened."""
        died = anyio.current_time()
        try:
            held = {r["contact_id"]: r["fence"] for r in await line.rows(_HELD, list(process.presence()))}
            if not held:
                return
            now = (await line.rows("select clock_timestamp() as now"))[0]["now"]
            lanes, owed = set(held), set(held)
            while lanes or owed:
                await anyio.sleep(0.03)
                for contact_id in tuple(lanes):
                    if await line.rows(_TAKEN_OVER, [contact_id], held[contact_id]):
                        lanes.discard(contact_id)
                        self.takeovers.append(anyio.current_time() - died)
                if owed:
                    still = {r["contact_id"] for r in await line.rows(_OWED, list(owed), now)}
                    self.answers += [anyio.current_time() - died] * len(owed - still)
                    owed = still
        except Unavailable:
            return


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in seconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(ordered[min(int(len(ordered) * part), len(ordered) - 1)], 3) for name, part in at.items()}
