"""What the benchmarks print, and what a machine was used for meanwhile: read from /proc, so on Linux only."""

import json
import math
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import numpy as np

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Meter:
    """Processor seconds of named processes (a database server with all of its) between `start` and `read`."""

    processes: Mapping[str, int]
    _began: float = 0.0
    _used: dict[str, float] = field(default_factory=dict)
    _busy: float = 0.0
    _stolen: float = 0.0

    def start(self) -> None:
        self._began = time.monotonic()
        self._busy, self._stolen = _machine()
        self._used = {name: _used(pid) for name, pid in self.processes.items()}

    def read(self) -> dict[str, float]:
        """Seconds by process, of all of them, of everything else on the machine, and on the wall clock.

        `stolen`: what the host of a virtual machine gave to others while ours wanted to run.
        """
        used = {name: _used(pid) - self._used[name] for name, pid in self.processes.items()}
        total = sum(used.values())
        wall = time.monotonic() - self._began
        busy, stolen = _machine()
        others = max(0.0, busy - self._busy - total)
        return used | {"total": total, "others": others, "stolen": stolen - self._stolen, "wall": wall}


@dataclass(slots=True)
class Theft:
    """When the host of a virtual machine gave its processors to others: what is measured then says little about us."""

    _seen: list[tuple[float, float]] = field(default_factory=list)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            self._seen.append((time.perf_counter(), _machine()[1]))
            await anyio.sleep(0.25)

    def undisturbed(self, began: float, ended: float) -> bool:
        """Whether all of the time was watched, and less than a hundredth of a processor was stolen around it."""
        first = bisect_right(self._seen, (began, math.inf)) - 1
        last = bisect_left(self._seen, (ended, 0.0))
        if first < 0 or last == len(self._seen):
            return False
        (start, before), (end, after) = self._seen[first], self._seen[last]
        return after - before < 0.01 * (end - start)


def _machine() -> tuple[float, float]:
    """Seconds in which its processors worked for it, and in which they were stolen."""
    user, nice, system, _, _, interrupts, soft, stolen = (
        int(ticks) / _TICKS for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + interrupts + soft, stolen


def _used(pid: int) -> float:
    """With its children, ended and living (not so for the process that measures: its children are measured)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(map(int, fields[13:15])) / _TICKS
    return _own(pid) + (0.0 if pid == os.getpid() else ended + sum(map(_own, children(pid))))


def _own(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the longest, in milliseconds; nothing of nothing."""
    if not seconds:
        return {}
    values = np.percentile(np.array(seconds) * 1000, [50, 95, 99, 100])
    return dict(zip(("p50_ms", "p95_ms", "p99_ms", "max_ms"), (round(float(v), 2) for v in values), strict=True))


def rounded(figures: Mapping[str, float], digits: int = 3) -> dict[str, float]:
    return {name: round(value, digits) for name, value in figures.items()}


def report(name: str, figures: Mapping[str, object]) -> None:
    """Print the result as JSON."""
    machine = {"cores": os.cpu_count(), "load_before_and_now": os.getloadavg()}
    print(json.dumps({"benchmark": name, **figures, "machine": machine}, indent=2, default=str))
