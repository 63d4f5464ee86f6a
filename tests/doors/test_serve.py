"""`hookflash serve` as a process: ready, told to stop, gone in order."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import httpx2

from hookflash.base.secret import Sealer
from hookflash.testing.wait import until


async def _served(settings: dict[str, str], port: int) -> tuple[int | None, str]:
    """Serve until it is ready, then SIGTERM: its exit code and its log."""
    command = [sys.executable, "-m", "hookflash", "serve", "--role", "all", "--port", str(port)]
    # No shell variable of this machine may reach it, a settings file neither.
    env = {"PATH": os.defpath, "HOOKFLASH_LOG_FORMAT": "json"} | settings
    process = await anyio.open_process(command, env=env, cwd=settings["HOOKFLASH_DATA_DIR"], stdin=None)
    async with process, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx2.HTTPError:
                assert process.returncode is None, "it ended before it was ready"
                return False

        await until(ready, seconds=60, every=0.05)
        process.send_signal(signal.SIGTERM)
        log = b""
        assert process.stderr
        async for piece in process.stderr:
            log += piece
        return await process.wait(), log.decode()


async def test_serve_ends_in_order_when_it_is_told_to(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "HOOKFLASH_DATABASE_URL": database_url,
        "HOOKFLASH_DATA_DIR": str(tmp_path),
        "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
        "HOOKFLASH_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    code, log = await _served(settings, port)
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert code == 0
    # A connection that was in use may be told of as closed between them.
    assert [event for event in events if event in ("stopping", "stopped")] == ["stopping", "stopped"]
    assert events[-1] == "stopped"
    assert "ready" in events
    assert all("error" not in json.loads(line)["level"] for line in log.splitlines())
