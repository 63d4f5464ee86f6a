"""The program's roles as processes that die on demand: one parent that has everything imported forks them.

`python -m tests.chaos.process` reads one `Order` a line (JSON) and starts a process for it; the end of its input ends
all of them. It prints one `News` a line (JSON): the process id at the start, and how it ended.
"""

import math
import os
import random
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import uvicorn

from hookflash.asgi import create_app
from hookflash.base.clock import Clock, SystemClock
from hookflash.channels import jobs
from hookflash.cli.logs import configure_logs
from hookflash.cli.roles import web_config
from hookflash.conversation import outbox
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, Say, Turn
from hookflash.settings import Settings
from hookflash.testing.wait import until
from hookflash.twilio.client import TwilioClient
from hookflash.wiring import open_core
from hookflash.worker import WorkerRole

SIGNALS = (signal.SIGKILL, signal.SIGSTOP)


class Order(msgspec.Struct):
    """A process to start: `role` is web or worker. `lease`, `absent` and `patience` (seconds) replace waits of the
    program that would make a test long: of a lane's lease, of a live sender's proof of absence, of a Twilio request.
    """

    number: int
    role: str
    directory: str
    environment: dict[str, str]
    port: int = 0
    lease: float = jobs.LEASE
    absent: float = outbox.PROVE_ABSENT_LIVE
    patience: float = 15.0


class News(msgspec.Struct, omit_defaults=True):
    """Process `number` has started as `pid`, or has ended with `status` (negative: the signal that killed it)."""

    number: int
    pid: int = 0
    status: int | None = None


def script(said: str) -> str:
    """The answer to one text: its words between two marks, far apart (more than one message) when it begins with long."""
    between = ["was heard"]
    if said.startswith("long"):
        between = [f"Sentence {n} only makes the answer to {said} longer." for n in range(40)]
    return f"[{said}] {' '.join(between)} [/{said}]"


def scripted(clock: Clock) -> Answerer:
    """Answers everything that was said, by the script, after 5 to 80 ms."""
    rng = random.Random()

    async def answer(turn: Turn, say: Say) -> Ending:
        await clock.sleep(rng.uniform(0.005, 0.08))
        text = "\n".join(script(said) for said in turn.words.split("\n"))
        await say(Segment(text, last=True))
        return Ending("answered", text, turn.words, 0.9, (), "scripted", "chaos", "en")

    return answer


def trap(directory: Path, number: int, point: str, sign: signal.Signals) -> Path:
    """The file whose existence makes a process send itself a signal, once, when it passes a named point."""
    return directory / f"{number}.{point}.{sign.name}"


def trapped(directory: Path, number: int) -> Callable[[str], None]:
    """What a process does at its named points."""

    def passing(point: str) -> None:
        for sign in SIGNALS:
            try:
                trap(directory, number, point, sign).unlink()
            except FileNotFoundError:
                continue
            os.kill(os.getpid(), sign)

    return passing


async def _role(order: Order) -> None:
    settings = Settings.load(order.environment)
    clock = SystemClock()
    point = trapped(Path(order.directory), order.number)
    async with (
        open_core(settings, clock=clock, answer=scripted(clock), point=point) as opened,
        TwilioClient(settings.twilio_api_url, read_timeout=order.patience) as twilio,
        anyio.create_task_group() as tasks,
    ):
        core = replace(opened, twilio=twilio)
        tasks.start_soon(_end_with, os.getppid())
        if order.role == "worker":
            await WorkerRole(core).run()
        else:
            listener = socket.create_server(("127.0.0.1", order.port), reuse_port=True)
            await uvicorn.Server(web_config(create_app(core)))._serve([listener])  # without signal handlers


async def _end_with(parent: int) -> None:
    await until(lambda: os.getppid() != parent, math.inf, 0.5)
    os._exit(1)


def _become(order: Order) -> None:
    """The rest of a forked process's life."""
    for sign in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(sign, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    journal = os.open(f"{order.directory}/{order.number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(journal, stream)
    os.close(0)
    status = 1
    try:
        configure_logs("info", "json")
        jobs.LEASE = order.lease
        outbox.PROVE_ABSENT_LIVE = order.absent
        anyio.run(_role, order, backend_options={"use_uvloop": True})
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _tell(news: News) -> None:
    os.write(1, msgspec.json.encode(news) + b"\n")


def main() -> None:
    """Fork as told until the input ends."""
    numbers: dict[int, int] = {}
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pending = b""
    while True:
        ready, _, _ = select.select([0, read], [], [])
        if read in ready:
            os.read(read, 65536)
            while numbers:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                _tell(News(numbers.pop(pid), status=os.waitstatus_to_exitcode(status)))
        if 0 in ready:
            piece = os.read(0, 65536)
            if not piece:
                for pid in numbers:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                order = msgspec.json.decode(line, type=Order)
                pid = os.fork()
                if pid == 0:
                    _become(order)
                numbers[pid] = order.number
                _tell(News(order.number, pid=pid))


if __name__ == "__main__":
    main()
