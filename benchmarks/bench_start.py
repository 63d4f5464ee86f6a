"""Measures how long it takes from starting the program to its being ready, and what it holds in memory when idle.

    python benchmarks/bench_start.py [--times 3]

A second start of `hookflash serve --role all`: the data directory and our own PostgreSQL's cluster in it exist, as
do the compiled
Python modules. Ready means that the worker has taken its place and that the web role answers /readyz. The reference
of the same run is the least that
any program on these libraries takes: the interpreter with FastAPI, uvicorn and the driver imported, then the same
PostgreSQL started.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import anyio
from measure import children, report
from stage import bare_environment, free_port

from hookflash.base.secret import Sealer

TARGET_SECONDS = 3.0
IDLE_SECONDS = 3.0
LEAST = """
import time, fastapi, psycopg, psycopg_pool, uvicorn
from pathlib import Path
from hookflash.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path({path!r}))
server.start()
print("ready", flush=True)
server.stop()
"""


@contextmanager
def started(environment: dict[str, str], port: int) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The whole program (database, web, worker) in one process; the seconds until it was ready."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "hookflash", "serve", "--role", "all"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() - began > 60:
                raise RuntimeError("the program did not become ready")
            time.sleep(0.01)
        yield process, time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def is_ready(port: int) -> bool:
    """Whether /readyz says so; the worker is in its place before the port answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def least(environment: dict[str, str], directory: Path) -> float:
    """Seconds of the reference."""
    began = time.monotonic()
    code = LEAST.format(path=str(directory / "postgres"))
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic() - began


def memory(pid: int) -> dict[str, float]:
    """Resident megabytes of our process; PostgreSQL's by share (PSS), since its processes share their buffers."""
    servers = [child for child in descendants(pid) if "postgres" in Path(f"/proc/{child}/comm").read_text()]
    return {
        "our_process_rss_mb": kilobytes(pid, "status", "VmRSS") / 1024,
        "our_process_pss_mb": kilobytes(pid, "smaps_rollup", "Pss") / 1024,
        "postgresql_pss_mb": sum(kilobytes(server, "smaps_rollup", "Pss") for server in servers) / 1024,
        "postgresql_processes": float(len(servers)),
    }


def descendants(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from descendants(child)


def kilobytes(pid: int, file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookflash-bench-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        port = anyio.run(free_port)
        environment = {
            **bare_environment(),
            "HOOKFLASH_DATA_DIR": name,
            "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
            "HOOKFLASH_PORT": str(port),
            "HOOKFLASH_PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
        with started(environment, port) as (_, first):
            pass
        times = []
        for _ in range(given.times):
            with started(environment, port) as (process, seconds):
                times.append(seconds)
                if len(times) == given.times:
                    time.sleep(IDLE_SECONDS)
                    held = memory(process.pid)
        references = [least(environment, directory) for _ in range(given.times)]
    report(
        "start",
        {
            "seconds_to_ready": round(median(times), 2),
            "best": round(min(times), 2),
            "first_start_ever": round(first, 2),
            "target_seconds": TARGET_SECONDS,
            "met": median(times) <= TARGET_SECONDS,
            "reference_seconds": round(median(references), 2),
            "ratio_to_reference": round(median(times) / median(references), 2),
            "memory_when_idle": {name: round(value, 1) for name, value in held.items()},
        },
    )


if __name__ == "__main__":
    main()
