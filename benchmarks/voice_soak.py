"""Many calls for a long time: nothing may grow, and nothing may be left when they are over. Part of `make soak`.

    python benchmarks/voice_soak.py [--calls 100] [--minutes 10]

Callers and server are those of bench_voice.py. Every half minute a tenth of the calls hang up and as many new ones come in.
Fails (exit 1) when memory rises by more than a megabyte in ten minutes per ten calls, when a task or a call is left at the
end, when a call was lost, not answered, or ran dry in mid-sentence.
"""

import argparse
import json
import os
import sys
import time
from typing import Any

import anyio
import numpy as np
from bench_voice import Server, server, spread
from crowd import AUTH_TOKEN
from measure import report
from stage import stage
from voice_load import Load
from voice_server import WAIT

from hookflash.cli.opening import run

EVERY = 30.0
# The memory allocator settles in the first part of the time.
SETTLING = 0.3


async def soak(load: Load, at: Server, calls: int, seconds: float) -> list[tuple[float, float]]:
    """Calls come and go; memory in MB by the time."""
    course: list[tuple[float, float]] = []
    began, swapped = time.monotonic(), time.monotonic()
    await load.ring_up(calls)
    while (now := time.monotonic()) - began < seconds:
        course.append((now - began, at.megabytes()))
        if now - swapped >= EVERY:
            swapped = now
            await load.hang_up(calls - max(1, calls // 10))
            await load.ring_up(calls - len(load.calls))
            print(json.dumps({"seconds": round(now - began), "megabytes": course[-1][1]}), file=sys.stderr, flush=True)
        await anyio.sleep(1.0)
    return course


async def at_rest(at: Server, before: dict[str, Any]) -> dict[str, Any]:
    """What lives in the server when all calls are over, once their records are kept."""
    for _ in range(30):
        after = await at.tell()
        if after["tasks"] <= before["tasks"]:
            break
        await anyio.sleep(1.0)
    return after


def rise(course: list[tuple[float, float]]) -> float:
    """Megabytes in ten minutes, after the settling."""
    settled = course[int(len(course) * SETTLING) :]
    return float(np.polyfit([t for t, _ in settled], [m for _, m in settled], 1)[0] * 600)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--core", type=int, default=0, help="the server's; all else has another one")
    given = parser.parse_args()
    os.sched_setaffinity(0, set(range(os.cpu_count() or 2)) - {given.core})
    async with stage(twilio_url="http://127.0.0.1:9", sample=False, account_day_usd=1_000_000.0) as place:
        await place.assistant(voice={"way": "stream", "greeting": "Hello, how can I help you?"})
        hook = f"http://127.0.0.1:{place.port}/twilio/{place.integration.id}"
        async with server(place, "hookflash", given.core) as at:
            load = Load(hook, AUTH_TOKEN)
            load.start()
            # The first calls bring up what stays: the model, connections to the database.
            await load.ring_up(min(10, given.calls))
            await anyio.sleep(15)
            await load.hang_up(0)
            await anyio.sleep(5)
            before = await at.tell()
            course = await soak(load, at, given.calls, given.minutes * 60)
            samples = load.samples
            await load.hang_up(0)
            load.stop()
            after = await at_rest(at, before)
    grown = rise(course)
    figures = {
        "calls": given.calls,
        "minutes": given.minutes,
        "answers": len(samples.answers),
        "after_wait": spread([answer.took - WAIT for answer in samples.answers]),
        "underruns": samples.underruns,
        "unanswered": samples.missed,
        "lost": samples.lost,
        "megabytes": [round(m, 1) for _, m in course[:: max(1, len(course) // 20)]],
        "megabytes_in_ten_minutes": round(grown, 2),
        "tasks_before_and_after": [before["tasks"], after["tasks"]],
        "objects_before_and_after": [before["objects"], after["objects"]],
        "calls_left": after["calls"],
    }
    failed = [name for name in ("underruns", "unanswered", "lost", "calls_left") if figures[name]]
    if after["tasks"] > before["tasks"]:
        failed.append("tasks")
    if grown > given.calls / 10:
        failed.append("memory")
    report("voice_soak", {**figures, "failed": failed})
    if failed:
        print(json.dumps({"left": after["coroutines"], "kinds": after["kinds"]}), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
