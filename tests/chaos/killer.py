"""Deaths while people text: at every named point in turn, and from outside at any moment."""

import math
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from hookflash.testing.wait import until
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
    """Kills `kills` processes, spread over the messages that are sent; every second one at a named point.

    A worker dies only while another works: how soon that one takes over is measured.
    """

    rng: Random
    kills: int
    messages: int
    deaths: Counter[str] = field(default_factory=Counter)

    async def run(self, fleet: Fleet, postbox: Postbox) -> None:
        """Returns when the last one was asked for."""
        points = list(POINTS)
        for number in range(self.kills):
            due = self.messages * 0.9 * number / self.kills
            await until(lambda due=due: postbox.sent >= due, math.inf)  # type: ignore[misc]
            if number % 2 == 0:
                point = points[number // 2 % len(points)]
                (await self._choose(fleet, POINTS[point])).set_trap(point)
            else:
                process = await self._choose(fleet, "web" if self.rng.random() < 0.25 else "worker")
                process.trapped = "outside"
                os.kill(process.pid, signal.SIGKILL)

    async def _choose(self, fleet: Fleet, role: str) -> Process:
        def able() -> list[Process]:
            return fleet.at_work() if role == "worker" else fleet.living(role)

        await until(lambda: len(able()) > 1, math.inf)
        return self.rng.choice(able())

    def record(self, process: Process) -> None:
        """A process has ended."""
        self.deaths[(process.trapped or "by itself") if process.status == -signal.SIGKILL else "by itself"] += 1
