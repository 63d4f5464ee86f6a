"""Measures how quickly a webhook is acknowledged at 200 requests a second while the model takes 60 seconds.

    python benchmarks/bench_webhook.py [--rate 200] [--seconds 20]

Signed SMS forms arrive at a constant rate (open loop: a slow answer does not hold the next request back, and a time is
counted from the moment at which the request was due), two from each person. A worker runs, with every one of its lanes
waiting for the model. The reference of the same run is a small durable server: the form is inserted and committed,
nothing else; first at the same rate. `undisturbed`: those in whose time the host of a virtual machine took less than a
hundredth of a processor away (`stolen` in /proc/stat), and what share of all they are.
"""

import argparse
import os
import time
from collections import Counter
from contextlib import AsyncExitStack

import anyio
from crowd import Crowd, FakeTwilio
from measure import Meter, Theft, percentiles, report, rounded
from stage import free_port, prepare_plain, questions, stage

from hookflash.cli.opening import run

TARGET_MS = 20.0
WARM_SECONDS = 3.0
SETTLE_SECONDS = 2.0


async def at_rate(crowd: Crowd, rate: int, seconds: float, first_person: int) -> dict[str, object]:
    """Send at this rate; percentiles of the seconds from when each request was due to its answer."""
    texts = questions()
    took: list[tuple[float, float]] = []
    statuses: Counter[int] = Counter()

    async def one(number: int, due: float) -> None:
        status = await crowd.text(first_person + number // 2, texts[number % len(texts)])
        statuses[status] += 1
        took.append((due, time.perf_counter() - due))

    theft = Theft()
    async with anyio.create_task_group() as watching:
        watching.start_soon(theft.watch)
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                if due > time.perf_counter():
                    await anyio.sleep(due - time.perf_counter())
                tasks.start_soon(one, number, due)
        lasted = time.perf_counter() - began
        watching.cancel_scope.cancel()
    undisturbed = [latency for due, latency in took if theft.undisturbed(due, due + latency)]
    return {
        "requests_per_second": round(len(took) / lasted, 1),
        "answered": dict(statuses),
        **percentiles([latency for _, latency in took]),
        "undisturbed": {"share": round(len(undisturbed) / len(took), 2), **percentiles(undisturbed)},
    }


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(FakeTwilio(lambda sent: None).serving())
        place = await stack.enter_async_context(stage(twilio_url=twilio.url, messages_per_minute=600))
        await prepare_plain(place.database_url)
        port = await free_port()
        plain = await stack.enter_async_context(place.role("plain", HOOKFLASH_PORT=str(port)))
        durable = Crowd(f"http://127.0.0.1:{port}/")
        await at_rate(durable, given.rate, WARM_SECONDS, 0)
        meter = Meter({"plain": plain, "postgres": place.postgres, "client": os.getpid()})
        meter.start()
        reference = await at_rate(durable, given.rate, given.seconds / 2, 0)
        reference_used = meter.read()
        web = await stack.enter_async_context(place.role("web"))
        worker = await stack.enter_async_context(place.role("worker", STAGE_MODEL_SECONDS="60"))
        crowd = Crowd(place.hook)
        await at_rate(crowd, given.rate, WARM_SECONDS, 0)
        await place.analyse()
        await at_rate(crowd, given.rate, SETTLE_SECONDS, 5_000)
        meter = Meter({"web": web, "worker": worker, "postgres": place.postgres, "client": os.getpid()})
        meter.start()
        webhook = await at_rate(crowd, given.rate, given.seconds, 10_000)
        used = meter.read()
        async with place.core.db.tenant(place.account_id) as conn:
            row = await (
                await conn.execute(
                    "select (select count(*) from messages where direction = 'in') as stored,"
                    " (select count(*) from lanes where worker is not null) as thinking"
                )
            ).fetchone()
    p99, reference_p99 = webhook["p99_ms"], reference["p99_ms"]
    assert isinstance(p99, float)
    assert isinstance(reference_p99, float)
    report(
        "webhook",
        {
            "acknowledgement": webhook,
            "target_p99_ms": TARGET_MS,
            "met": p99 <= TARGET_MS,
            "reference_durable_server": reference,
            "ratio_of_p99_to_reference": round(p99 / reference_p99, 2),
            "stored_and_lanes_thinking": row,
            "processor_seconds": rounded(used, 2),
            "processor_seconds_of_reference": rounded(reference_used, 2),
        },
    )


if __name__ == "__main__":
    run(main)
