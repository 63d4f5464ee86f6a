"""Measures how many messages a second the whole pipeline answers, and where the processor time goes.

    python benchmarks/bench_pipeline.py [--seconds 12] [--people 96] [--workers 2] [--callbacks 0]

Signed webhooks come in, answers leave to a light fake of Twilio's Messages API; a scripted model, real retrieval over the
sample shop, PostgreSQL with its commits on disk. People ask one question at a time, and a second one when answered; so
many as `--people` wait for an answer at any time. Client, fake, web role, workers (by default as many as cores) and
PostgreSQL share the machine.
`--callbacks` status callbacks come back for each answer. The reference of the same run is a bare loop over the same
database: insert and commit, claim and commit, update and commit.
"""

import argparse
import os
import time
from contextlib import AsyncExitStack
from itertools import count

import anyio
import psycopg
from crowd import Crowd, FakeTwilio, Sent, number
from measure import Meter, percentiles, report, rounded
from stage import Stage, questions, stage

from hookflash.cli.opening import run

QUESTIONS_EACH = 2
LOOPS = 16


class Talk:
    """People who ask and wait."""

    def __init__(self, callbacks: int) -> None:
        self.callbacks = callbacks
        self.crowd: Crowd | None = None
        self.answered: list[tuple[float, float]] = []
        self.acknowledged: list[float] = []
        self._waiting: dict[str, anyio.Event] = {}
        self._people = count(1)
        self._asked = count()
        self._texts = questions()
        self._told: list[Sent] = []

    def told(self, sent: Sent) -> None:
        event = self._waiting.pop(sent.to, None)
        if event is not None:
            event.set()
        if self.callbacks:
            self._told.append(sent)

    async def person(self) -> None:
        assert self.crowd is not None
        while True:
            person = next(self._people)
            for _ in range(QUESTIONS_EACH):
                event = self._waiting[number(person)] = anyio.Event()
                began = time.monotonic()
                status = await self.crowd.text(person, self._texts[next(self._asked) % len(self._texts)])
                if status != 200:
                    raise RuntimeError(f"the webhook was answered {status}")
                self.acknowledged.append(time.monotonic() - began)
                with anyio.fail_after(30):
                    await event.wait()
                self.answered.append((time.monotonic(), time.monotonic() - began))

    async def call_back(self) -> None:
        assert self.crowd is not None
        while self.callbacks:
            told, self._told = self._told, []
            for sent in told:
                for status in ("sent", "delivered")[-self.callbacks :]:
                    form = [("MessageSid", sent.sid), ("MessageStatus", status), ("AccountSid", "AC" + "1" * 32)]
                    await self.crowd.status(sent.callback, [*form, ("To", sent.to), ("From", "+15550100200")])
            await anyio.sleep(0.01)


async def measured(
    place: Stage, talk: Talk, processes: dict[str, int], people: int, warm: float, seconds: float
) -> dict[str, object]:
    """One phase: rate, latencies, processor time a message."""
    meter = Meter(processes)
    async with anyio.create_task_group() as tasks:
        for _ in range(people):
            tasks.start_soon(talk.person)
        tasks.start_soon(talk.call_back)
        await anyio.sleep(warm)
        await place.analyse()
        await anyio.sleep(2.0)
        talk.answered.clear()
        talk.acknowledged.clear()
        meter.start()
        await anyio.sleep(seconds)
        used = meter.read()
        answered, acknowledged = list(talk.answered), list(talk.acknowledged)
        tasks.cancel_scope.cancel()
    wall, others, stolen = (used.pop(name) for name in ("wall", "others", "stolen"))
    each = {f"{name}_ms": value * 1000 / len(answered) for name, value in used.items()}
    return {
        "answered_per_second": round(len(answered) / wall, 1),
        "processor_time_per_message": rounded(each, 2),
        "would_fill_two_cores_at_per_second": round(2000 / each["total_ms"], 1),
        "others_used_cores": round(others / wall, 2),
        "stolen_cores": round(stolen / wall, 2),
        "answer": percentiles([took for _, took in answered]),
        "acknowledgement": percentiles(acknowledged),
    }


async def reference(url: str, seconds: float) -> float:
    """Messages a second of the bare loop."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(
            "create table bare (id bigint generated always as identity primary key, body text, state text)"
        )
    done = 0

    async def loop() -> None:
        nonlocal done
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            while True:
                await conn.execute("insert into bare (body, state) values (%s, 'new')", ("how long do I have" * 5,))
                claimed = await conn.execute(
                    "update bare set state = 'claimed' where id = (select id from bare where state = 'new' order by id"
                    " limit 1 for update skip locked) returning id"
                )
                row = await claimed.fetchone()
                await conn.execute("update bare set state = 'done' where id = %s", (row[0] if row else None,))
                done += 1

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("create index bare_new on bare (id) where state = 'new'")
    async with anyio.create_task_group() as tasks:
        for _ in range(LOOPS):
            tasks.start_soon(loop)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return done / seconds


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--people", type=int, default=96)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--callbacks", type=int, default=0, choices=(0, 1, 2))
    given = parser.parse_args()
    load = os.getloadavg()[0]
    talk = Talk(given.callbacks)
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(FakeTwilio(talk.told).serving())
        place = await stack.enter_async_context(
            stage(twilio_url=twilio.url, burst_ms=0, messages_per_minute=600, account_day_usd=1_000_000.0)
        )
        web = await stack.enter_async_context(place.role("web"))
        processes = {"web": web, "postgres": place.postgres, "client": os.getpid()}
        for n in range(1, given.workers + 1):
            processes[f"worker {n}"] = await stack.enter_async_context(place.role("worker"))
        talk.crowd = Crowd(place.hook)
        await place.assistant(cache=False)
        off = await measured(place, talk, processes, given.people, 4.0, given.seconds)
        await place.assistant(cache=True)
        on = await measured(place, talk, processes, given.people, 4.0, given.seconds)
        bare = await reference(place.database_url, 4.0)
    rate = off["answered_per_second"]
    assert isinstance(rate, float)
    report(
        "pipeline",
        {
            "cache_off": off,
            "cache_on": on,
            "workers": given.workers,
            "callbacks_per_answer": given.callbacks,
            "reference_messages_per_second": round(bare, 1),
            "ratio_to_reference": round(rate / bare, 3),
            "load_before": load,
        },
    )


if __name__ == "__main__":
    run(main)
