"""Processes of the program that are watched: started, sent signals, trapped at named points, and started again."""

import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.chaos.process import News, Order, trap

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Process:
    """One process. `status` is None while it lives."""

    number: int
    role: str
    directory: Path
    pid: int = 0
    status: int | None = None
    trapped: str | None = None
    _trap: Path = field(default=Path(), repr=False)

    @property
    def lives(self) -> bool:
        return self.status is None

    def said(self) -> list[dict[str, object]]:
        """Its log."""
        path = self.directory / f"{self.number}.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]

    def presence(self) -> set[int]:
        """The numbers under which it held lanes."""
        return {int(str(line["number"])) for line in self.said() if line["event"] == "worker ready"}

    def says(self, event: str) -> bool:
        """Whether its log has such an event."""
        return any(line["event"] == event for line in self.said())

    def caught(self) -> bool:
        """Whether it has passed the point at which its trap was."""
        return self.trapped is not None and not self._trap.exists()

    def set_trap(self, point: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """Let it send itself this signal when it next passes the named point."""
        self.trapped = point
        self._trap = trap(self.directory, self.number, point, sign)
        self._trap.touch()


Died = Callable[[Process], Coroutine[Any, Any, None]]


async def unmourned(process: Process) -> None:
    """Nobody minds."""


@dataclass(slots=True)
class Fleet:
    """All processes of one test. While `restarting`, one that dies is replaced at once."""

    directory: Path
    environment: dict[str, str]
    port: int
    waits: dict[str, float]
    parent: anyio.abc.Process
    died: Died
    processes: list[Process] = field(default_factory=list)
    restarting: bool = True

    async def start(self, role: str) -> Process:
        process = Process(len(self.processes), role, self.directory)
        self.processes.append(process)
        order = Order(process.number, role, str(self.directory), self.environment, self.port)
        for name, seconds in self.waits.items():
            setattr(order, name, seconds)
        assert self.parent.stdin is not None
        await self.parent.stdin.send(msgspec.json.encode(order) + b"\n")
        return process

    def living(self, role: str) -> list[Process]:
        return [p for p in self.processes if p.role == role and p.lives and p.pid and p.trapped is None]

    def at_work(self) -> list[Process]:
        """The living workers that hold a presence."""
        return [p for p in self.living("worker") if p.presence()]

    async def watch(self) -> None:
        """Read the news from the processes' parent, until cancelled."""
        assert self.parent.stdout is not None
        lines = BufferedByteReceiveStream(self.parent.stdout)
        async with anyio.create_task_group() as tasks:
            while True:
                news = msgspec.json.decode(await lines.receive_until(b"\n", 65536), type=News)
                process = self.processes[news.number]
                if news.status is None:
                    process.pid = news.pid
                    continue
                process.status = news.status
                if self.restarting:
                    await self.start(process.role)
                tasks.start_soon(self.died, process)


@asynccontextmanager
async def fleet(
    directory: Path, environment: dict[str, str], port: int, died: Died = unmourned, **seconds: float
) -> AsyncIterator[Fleet]:
    """Processes that live as long as the block; `seconds` are the waits of an `Order`."""
    command = [sys.executable, "-m", "tests.chaos.process"]
    async with await anyio.open_process(command, cwd=ROOT, stderr=None) as parent, anyio.create_task_group() as tasks:
        made = Fleet(directory, environment, port, seconds, parent, died)
        tasks.start_soon(made.watch)
        try:
            yield made
        finally:
            made.restarting = False
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                assert parent.stdin is not None
                await parent.stdin.aclose()
                await parent.wait()
