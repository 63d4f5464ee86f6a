"""Deaths while people text: at every named point in turn, and from outside at any moment."""

import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import anyio

from tests.chaos.customers import Postbox
from tests.chaos.fleet import Fleet, Process

POINTS = {
    "after_accept": "web",
    "after_claim": "worker",
    "in_generation": "worker",
    "before_commit": "worker",
    "after_commit": "worker",
    "after_send": "worker",
}


@dataclass(slots=True)
class Killer:
    """Kills `kills` processes, spread over the messages that are sent; at a named point every second time."""

    rng: Random
    kills: int
    messages: int
    deaths: Counter[str] = field(default_factory=Counter)

    async def run(self, fleet: Fleet, postbox: Postbox) -> None:
        """Returns when the last one was asked for."""
        points = list(POINTS)
        for number in range(self.kills):
            while postbox.sent < self.messages * 0.9 * number / self.kills:
                await anyio.sleep(0.02)
            if number % 2 == 0:
                point = points[number // 2 % len(points)]
                (await self._choose(fleet, POINTS[point])).set_trap(point)
            else:
                process = await self._choose(fleet, "web" if self.rng.random() < 0.25 else "worker")
                process.trapped = "outside"
                os.kill(process.pid, signal.SIGKILL)

    async def _choose(self, fleet: Fleet, role: str) -> Process:
        while not (able := fleet.living(role)):
            await anyio.sleep(0.02)
        return self.rng.choice(able)

    def record(self, process: Process) -> None:
        """A process has ended."""
        self.deaths[(process.trapped or "by itself") if process.status == -signal.SIGKILL else "by itself"] += 1
