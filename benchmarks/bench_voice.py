"""Measures how many calls one core carries, and what each of them costs and waits.

    python benchmarks/bench_voice.py [--calls 1 25 72 100 200 300 400 500] [--seconds 20] [--reference 25 100 200]

The server has core 0 for itself (its threads too), the callers and PostgreSQL have core 1. Every call comes in by its signed
webhook and its token, sends 50 frames a second, and has silero on it. Vendors take no time but for 50 ms to the first word
of an answer, which pass within the pause that ends a turn. `after_wait` is the time from the last frame of speech to the
first audio less that pause. A part of it is silero's tail: it still hears speech when none sounds any more, up to 0.2 s;
so it is asked again about the same sound afterwards, and `own` is what remains. `clear` is the time from the first frame of
speech into an answer until the answer is taken back.
"""

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import numpy as np
from crowd import AUTH_TOKEN
from measure import report
from stage import Stage, stage
from voice_load import Load, tails
from voice_server import WAIT

from hookflash.cli.opening import run

WARM = 4.0
# Slower than a single call by no more than this is not the limit yet.
SLACK_MS = 200.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Server:
    """The process under load."""

    pid: int
    _lines: "anyio.abc.ByteReceiveStream"

    def used(self) -> float:
        """Processor seconds, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def tell(self) -> dict[str, Any]:
        """What lives in it."""
        os.kill(self.pid, signal.SIGUSR1)
        heard = b""
        while b"\n" not in heard:
            heard += await self._lines.receive()
        told: dict[str, Any] = json.loads(heard)
        return told


@asynccontextmanager
async def server(place: Stage, kind: str, core: int) -> AsyncIterator[Server]:
    """Started on this core alone, and ended."""
    program = str(Path(__file__).parent / "voice_server.py")
    command = ["taskset", "-c", str(core), sys.executable, program, kind]
    process = await anyio.open_process(command, env=dict(place.environment), stderr=None)
    try:
        assert process.stdout is not None
        with anyio.fail_after(30):
            heard = b""
            while b"ready" not in heard:
                heard += await process.stdout.receive()
        yield Server(process.pid, process.stdout)
    finally:
        with anyio.CancelScope(shield=True):
            process.terminate()
            with anyio.move_on_after(10):
                await process.wait()
            if process.returncode is None:
                process.kill()


def core_busy(core: int) -> float:
    """Seconds that a core was busy, with whatever."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return (sum(map(int, ticks[:8])) - int(ticks[3]) - int(ticks[4])) / _TICKS
    raise RuntimeError(f"there is no core {core}")


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and the longest, in milliseconds."""
    if not values:
        return {}
    figures = np.percentile(np.array(values) * 1000, [50, 95, 100])
    return {"n": len(values)} | dict(
        zip(("p50_ms", "p95_ms", "max_ms"), (round(float(v), 1) for v in figures), strict=True)
    )


async def measured(load: Load, at: Server, seconds: float, core: int) -> dict[str, Any]:
    """One step."""
    samples = load.samples
    await anyio.sleep(WARM)
    gc.collect()
    counted = samples.underruns, samples.missed, samples.cut, samples.not_cleared, samples.lost
    began, used, busy = load.now, at.used(), core_busy(core)
    await anyio.sleep(seconds)
    wall = load.now - began
    used, busy = at.used() - used, core_busy(core) - busy
    now = samples.underruns, samples.missed, samples.cut, samples.not_cleared, samples.lost
    calls = len(load.calls)
    return {
        "calls": calls,
        "answers": [answer for answer in samples.answers if answer.at >= began],
        "after_wait": spread([answer.took - WAIT for answer in samples.answers if answer.at >= began]),
        "clear": spread([took for when, took in samples.clears if when >= began]),
        **{
            name: after - before
            for name, before, after in zip(
                ("underruns", "unanswered", "answered_too_early", "not_cleared", "lost"), counted, now, strict=True
            )
        },
        "core_seconds_per_call_minute": round(used / (calls * wall / 60), 4),
        "us_per_frame": round(used * 1e6 / (calls * wall * 50), 1),
        "server_used_cores": round(used / wall, 3),
        "others_used_of_its_core": round(max(0.0, busy - used) / wall, 3),
        "megabytes": round(at.megabytes(), 1),
        "callers_late": spread([late for when, late in samples.late if when >= began]),
        "load": round(os.getloadavg()[0], 1),
    }


async def climb(load: Load, at: Server, steps: Sequence[int], given: argparse.Namespace) -> list[dict[str, Any]]:
    """Step by step, until the calls are too many."""
    found: list[dict[str, Any]] = []
    for calls in steps:
        await load.ring_up(calls - len(load.calls))
        step = await measured(load, at, given.seconds * (2 if calls == 1 else 1), given.core)
        found.append(step)
        tell(step)
        if not within(step, found[0], "after_wait"):
            break
    return found


def within(step: dict[str, Any], single: dict[str, Any], what: str) -> bool:
    if not step[what] or step["lost"] or step["unanswered"]:
        return False
    return bool(step[what]["p95_ms"] <= single[what]["p95_ms"] + SLACK_MS)


def tell(step: dict[str, Any]) -> None:
    print(json.dumps({k: v for k, v in step.items() if k != "answers"}), file=sys.stderr, flush=True)


def own(steps: list[dict[str, Any]]) -> int:
    """Put in what is our own of each step's waits: beyond the pause and beyond silero's tail. The limit in calls."""
    for step in steps:
        answers = step.pop("answers")
        waited = zip(answers, tails(answers), strict=True)
        step["own"] = spread([answer.took - WAIT - tail for answer, tail in waited if tail is not None])
    return max((step["calls"] for step in steps if within(step, steps[0], "own")), default=0)


async def ours(place: Stage, given: argparse.Namespace) -> dict[str, Any]:
    hook = f"http://127.0.0.1:{place.port}/twilio/{place.integration.id}"
    async with server(place, "hookflash", given.core) as at:
        load = Load(hook, AUTH_TOKEN)
        load.start()
        gc.freeze()
        alone = at.megabytes()
        steps = await climb(load, at, given.calls, given)
        load.stop()
        first, last = steps[0], steps[-1]
        return {
            "limit": own(steps),
            "steps": steps,
            "megabytes_before_any_call": round(alone, 1),
            "megabytes_per_call": round((last["megabytes"] - first["megabytes"]) / max(1, last["calls"] - 1), 3),
        }


async def reference(place: Stage, given: argparse.Namespace) -> dict[str, Any]:
    async with server(place, "bare", given.core) as at:
        load = Load("", AUTH_TOKEN)
        load.start()
        steps: list[dict[str, Any]] = []
        for calls in given.reference:
            for number in range(len(load.calls), calls):
                await load.open(number, f"ws://127.0.0.1:{place.port}/", f"CA{number:032x}", "")
            steps.append(await measured(load, at, given.seconds, given.core))
            tell({"bare": True, **steps[-1]})
            if not within(steps[-1], steps[0], "after_wait"):
                break
        load.stop()
        return {"limit": own(steps), "steps": steps}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 25, 72, 100, 200, 300, 400, 500])
    parser.add_argument("--reference", type=int, nargs="*", default=[1, 25, 100, 200, 300])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--core", type=int, default=0, help="the server's; all else has another one")
    given = parser.parse_args()
    os.sched_setaffinity(0, set(range(os.cpu_count() or 2)) - {given.core})
    voice = {"way": "stream", "greeting": "Hello, how can I help you?"}
    async with stage(twilio_url="http://127.0.0.1:9", sample=False, account_day_usd=1_000_000.0) as place:
        await place.assistant(voice=voice)
        found = await ours(place, given)
        bare = await reference(place, given) if given.reference else None
    ratio: dict[str, float] = {}
    if bare:
        theirs = {s["calls"]: s["core_seconds_per_call_minute"] for s in bare["steps"]}
        ratio = {
            str(s["calls"]): round(s["core_seconds_per_call_minute"] / theirs[s["calls"]], 3)
            for s in found["steps"]
            if s["calls"] in theirs
        }
    report("voice", {"hookflash": found, "bare_inline_vad": bare, "cost_ratio_to_bare_by_calls": ratio})


if __name__ == "__main__":
    run(main)
