"""Processes are killed with SIGKILL while customers text: nothing is lost, doubled or out of order.

Without SOAK a short run. With SOAK=1 (`make soak`) three long ones, which also hold the time of recovery to its bound;
SOAK_MESSAGES, SOAK_KILLS and SOAK_SEEDS (as in `1,2`) make them other than 10,000, 100 and `1,2,3`.
"""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from hookflash.conversation.journal import Sound
from tests.chaos.customers import Postbox, crowd, talk
from tests.chaos.fleet import Process
from tests.chaos.killer import POINTS, Killer
from tests.chaos.line import Line, chaos_line
from tests.chaos.recovery import Recovery, spread
from tests.chaos.verdict import judge

SOAK = bool(os.environ.get("SOAK"))
MESSAGES = int(os.environ.get("SOAK_MESSAGES", "10000")) if SOAK else 300
KILLS = int(os.environ.get("SOAK_KILLS", "100")) if SOAK else 15
SEEDS = [int(seed) for seed in os.environ.get("SOAK_SEEDS", "1,2,3").split(",")] if SOAK else [1]
RECOVERED_WITHIN = 2.0


async def chaos(database_url: str, directory: Path, seed: int) -> tuple[Line, dict[str, Any], list[str]]:
    """One run: the line (at its end), its figures, and what must not be."""
    rng = Random(seed)
    customers = crowd(rng, MESSAGES)
    killer, recovery = Killer(rng, KILLS, MESSAGES), Recovery()
    lines: list[Line] = []

    async def died(process: Process) -> None:
        killer.record(process)
        if process.role == "worker" and lines:
            await recovery.measure(lines[0], process)

    async with chaos_line(database_url, directory, webs=2, workers=3, died=died) as line:
        lines.append(line)
        line.emulator.fault("duplicate_webhook", probability=0.05)
        line.emulator.fault("lose_status", probability=0.1)
        line.emulator.fault("shuffle_status", probability=0.1)
        postbox = Postbox(line)
        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(postbox.watch)
            # Whoever is never answered waits; this is several times what it takes.
            with anyio.fail_after(100 + MESSAGES / 5):
                async with anyio.create_task_group() as both:
                    both.start_soon(talk, customers, postbox)
                    both.start_soon(killer.run, line.fleet, postbox)
            await line.at_rest(180 if SOAK else 60)
            tasks.cancel_scope.cancel()
        seconds = anyio.current_time() - started
        verdict = judge(customers, line.emulator.messages)
        states = await line.rows("select direction, state, count(*) as n from messages group by 1, 2 order by 1, 2")
        journal = await line.verify_journal()
    unsound = [] if isinstance(journal, Sound) else [f"journal {journal.what}: {journal.record}"]
    unexpected = [
        f"{line_['event']} {line_.get('exception') or line_.get('error') or ''}"
        for process in line.fleet.processes
        for line_ in process.said()
        if line_.get("level") in ("error", "critical")
    ]
    figures = {
        "seed": seed,
        "messages": MESSAGES,
        "customers": len(customers),
        "seconds": round(seconds, 1),
        "kills": sum(killer.deaths.values()),
        "deaths": dict(sorted(killer.deaths.items())),
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "out_of_order": len(verdict.disordered),
        "webhooks_failed_for_good": postbox.failed,
        "states": {f"{r['direction']} {r['state']}": r["n"] for r in states},
        "journal": f"{journal.entries} entries" if isinstance(journal, Sound) else "broken",
        "lanes_taken_over": len(recovery.takeovers),
        "takeover_seconds": spread(recovery.takeovers),
        "answered_seconds_after_kill": spread(recovery.answers),
    }
    wrong = [*verdict.lost, *verdict.doubled, *verdict.disordered, *unsound, *unexpected]
    return line, figures, wrong


@pytest.mark.parametrize("seed", SEEDS)
async def test_kills_lose_nothing_and_repeat_nothing(database_url: str, fresh_directory: Path, seed: int) -> None:
    _, figures, wrong = await chaos(database_url, fresh_directory, seed)
    print(json.dumps(figures))  # noqa: T201
    assert not wrong, figures
    deaths = figures["deaths"]
    assert set(POINTS) <= set(deaths), deaths
    assert "by itself" not in deaths
    assert figures["kills"] == KILLS
    assert set(figures["states"]) <= {
        "in answered",
        "out delivered",
        "out sent",
        "out sending",
        "out queued",
        "out read",
    }
    if SOAK:
        assert figures["takeover_seconds"]["p95"] <= RECOVERED_WITHIN, figures
