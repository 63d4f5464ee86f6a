"""The stage of the load benchmarks: a database, roles as processes of their own, a crowd that texts, a light fake Twilio.

    python benchmarks/stage.py web|worker|plain     # one role, set by environment variables; started by the benchmarks

Everything is on this machine's loopback. Processor time is read from /proc, so on Linux only.
"""

import asyncio
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote_plus, urlsplit

import anyio
import anyio.abc
import numpy as np
import psycopg
import structlog
import uvicorn

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.model import ModelReply, ModelRequest, Stream
from hookflash.base.secret import Sealer, Secret
from hookflash.channels.integration import Integration, IntegrationSettings
from hookflash.cli import roles
from hookflash.cli.opening import run
from hookflash.cli.roles import port_of, until_told_to_stop
from hookflash.conversation.turn import Usage
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.migrate import migrate
from hookflash.db.pool import Database
from hookflash.knowledge import store as knowledge
from hookflash.providers.registry import ProviderConfig
from hookflash.safety.config import SafetyConfig, SpendConfig
from hookflash.sample import documents
from hookflash.settings import Settings
from hookflash.testing.wait import until
from hookflash.twilio.signature import sign
from hookflash.wiring import Core, open_core
from hookflash.workspace import store as workspace

OURS = "+15550100200"
ACCOUNT_SID = "AC" + "1" * 32
AUTH_TOKEN = "2" * 32
QUESTIONS = Path(__file__).parent / "data" / "shop_questions.jsonl"

_TICKS = os.sysconf("SC_CLK_TCK")


# Roles


@dataclass(frozen=True, slots=True)
class Script:
    """A ChatModel that answers everything by the first passage's first words, after `delay` seconds."""

    delay: float
    name: str = "scripted"
    sees_images: bool = False
    generative: bool = True

    async def reply(self, request: ModelRequest, stream: Stream) -> ModelReply:
        await anyio.sleep(self.delay)
        # Without passages a follow-up is to be made into a question.
        text = request.passages[0].text[:120].rpartition(" ")[0] if request.passages else request.question
        return ModelReply(text, 0.9, (1,), self.name, Usage(600, 40, model_micros=110))


def chat_model(_: ProviderConfig) -> Script:
    """The model `scripted`, found as a stranger's would be: through an entry point (see `_plug_in`)."""
    return Script(float(os.environ["STAGE_MODEL_SECONDS"]))


def _plug_in(directory: Path) -> str:
    """The module path, with a folder in which the entry point of `scripted` is found."""
    metadata = directory / "plugin" / "stage-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stage\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[hookflash.models]\nscripted = stage:chat_model\n")
    return os.pathsep.join(filter(None, (str(metadata.parent), os.environ.get("PYTHONPATH"))))


async def _web(settings: Settings) -> None:
    with port_of(settings.host, settings.port, "") as listener:
        async with open_core(settings) as core, roles.web(core, listener):
            await _until_told()


async def _worker(settings: Settings) -> None:
    async with open_core(settings) as core, roles.worker(core, drain=0.1):
        await _until_told()


async def _plain(settings: Settings) -> None:
    """The reference of the webhook: the form is inserted and committed, nothing else."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    async with Database.open(url, max_size=settings.database_pool_size) as db:

        async def app(
            scope: dict[str, object], receive: Callable[[], Awaitable[dict[str, object]]], send: object
        ) -> None:
            assert callable(send)
            if scope["type"] == "http":
                body = (await receive())["body"]
                async with db.system() as conn:
                    await conn.execute("insert into plain_forms (body) values (%s)", (body,))
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})

        config = uvicorn.Config(app, host="127.0.0.1", port=settings.port, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            await until(lambda: server.started)
            print("ready", flush=True)


async def _until_told() -> None:
    print("ready", flush=True)
    await until_told_to_stop()


# The audience's side of the stage


@dataclass(frozen=True, slots=True)
class Stage:
    """A database with one account: the sample shop's knowledge (if asked for), one number, and where to start roles."""

    directory: Path
    database_url: str
    environment: Mapping[str, str]
    port: int
    core: Core
    account_id: str
    integration: Integration

    @property
    def hook(self) -> str:
        return f"http://127.0.0.1:{self.port}/twilio/{self.integration.id}/messages"

    @property
    def postgres(self) -> int:
        return int((self.directory / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])

    async def assistant(self, **changes: object) -> None:
        """Change the assistant's configuration for sessions that begin from now on."""
        config = AssistantConfig.model_validate(self.integration.assistant.to_dict() | changes)
        async with self.core.db.tenant(self.account_id) as conn:
            await assistants.update(conn, self.account_id, self.integration.assistant_id, config, self.core.clock.now())

    async def analyse(self) -> None:
        """As PostgreSQL does by itself within a minute: without statistics of the new tables its plans are guesses."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as conn:
            await conn.execute("analyze")

    @asynccontextmanager
    async def role(self, name: str, **environment: str) -> AsyncIterator[int]:
        """A role in a process of its own, ready; gives its process id and ends it."""
        command = [sys.executable, __file__, name]
        process = await anyio.open_process(command, env={**self.environment, **environment}, stderr=None)
        try:
            assert process.stdout is not None
            with anyio.fail_after(30):
                heard = b""
                while b"ready" not in heard:
                    heard += await process.stdout.receive()
            yield process.pid
        finally:
            with anyio.CancelScope(shield=True):
                process.terminate()
                with anyio.move_on_after(5):
                    await process.wait()
                if process.returncode is None:
                    process.kill()


@asynccontextmanager
async def stage(*, twilio_url: str, sample: bool = True, **settings: object) -> AsyncIterator[Stage]:
    """Set everything up but the roles; `settings` are the integration's."""
    directory = Path(tempfile.mkdtemp(prefix="hookflash-bench-"))
    directory.chmod(0o711)  # noqa: ASYNC240
    try:
        async with EmbeddedPostgres(directory / "postgres") as url:
            environment = {
                **bare_environment(),
                "HOOKFLASH_DATABASE_URL": url,
                "HOOKFLASH_DATA_DIR": str(directory),
                "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
                "HOOKFLASH_TWILIO_API_URL": twilio_url,
                "HOOKFLASH_LOG_LEVEL": "warning",
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "STAGE_MODEL_SECONDS": "0",
                "PYTHONPATH": _plug_in(directory),
            }
            port = await free_port()
            environment |= {"HOOKFLASH_PUBLIC_URL": f"http://127.0.0.1:{port}", "HOOKFLASH_PORT": str(port)}
            await anyio.to_thread.run_sync(migrate, url)
            async with open_core(Settings.load(environment)) as core:
                account_id = await workspace.create_account(core.db, "Benchmark")
                config = AssistantConfig(
                    name="Shop",
                    company="Alder & Pine",
                    models=("scripted",),
                    hand_off=False,
                    # People who never stop asking cost more in a minute than real ones in a day.
                    safety=SafetyConfig(spend=SpendConfig(session_usd=1_000_000.0, day_usd=1_000_000.0)),
                )
                async with core.db.tenant(account_id) as conn:
                    assistant = await assistants.create(conn, account_id, config)
                    integration = await core.integrations.create(
                        conn,
                        account_id,
                        name="line",
                        assistant_id=assistant.id,
                        sender=OURS,
                        messaging_service_sid=None,
                        credentials=None,
                        settings=IntegrationSettings.model_validate(settings),
                        meta={},
                    )
                if sample:
                    await _ingest(core, account_id)
                yield Stage(directory, url, environment, port, core, account_id, integration)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _ingest(core: Core, account_id: str) -> None:
    async with core.db.tenant(account_id) as conn:
        source = await knowledge.create_source(
            conn, account_id, name="shop", description="", kind="file", model="minilm"
        )
        handed_in = [
            await knowledge.put_document(
                conn,
                source,
                name=document.name,
                content_type="",
                data=document.read_bytes(),
                url=None,
                now=core.clock.now(),
                queue=False,
            )
            for document in documents()
        ]
    for document, _ in handed_in:
        done = await core.indexer().index(account_id, document.id)
        assert done is not None, document.name
        assert done.status == "COMPLETED", (done.name, done.error)


def bare_environment() -> dict[str, str]:
    """This process's, without our settings, and with compiled modules kept as an installation has them."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith("HOOKFLASH_")}
    mine.pop("PYTHONDONTWRITEBYTECODE", None)
    return mine


async def free_port() -> int:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener:
        port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
        return port


def questions() -> list[str]:
    """What customers of the sample shop ask, each once."""
    with QUESTIONS.open(encoding="utf-8") as lines:
        return list(dict.fromkeys(json.loads(line)["query"] for line in lines))


# Texting: raw protocols, so that the crowd takes little of the machine


class _Connection(asyncio.Protocol):
    """One kept-alive connection to the web role; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def request(self, data: bytes) -> "asyncio.Future[int]":
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._read = b""
        self.transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head) and self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the web role closed the connection"))


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class Crowd:
    """Texts our number in Twilio's name: `text` sends one signed webhook and gives the status it was answered with."""

    def __init__(self, hook: str) -> None:
        parts = urlsplit(hook)
        self._hook = hook
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._free: list[_Connection] = []
        self._texts = 0
        self._token = Secret(AUTH_TOKEN)

    async def text(self, person: int, body: str) -> int:
        self._texts += 1
        return await self._post(self._hook, self._path, _inbound(number(person), body, f"SM{self._texts:032x}"))

    async def status(self, callback: str, form: Sequence[tuple[str, str]]) -> int:
        parts = urlsplit(callback)
        return await self._post(callback, f"{parts.path}?{parts.query}", form)

    async def _post(self, url: str, path: str, form: Sequence[tuple[str, str]]) -> int:
        body = "&".join(f"{name}={quote_plus(value)}" for name, value in form).encode()
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        lines.append("Content-Type: application/x-www-form-urlencoded; charset=utf-8")
        lines += [f"{name}: {value}" for name, value in sign(url, self._token, form=form).items()]
        lines += ["User-Agent: TwilioProxy/1.1", f"I-Twilio-Idempotency-Token: {self._texts:x}", "Accept: */*"]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        while True:
            connection = await self._connection()
            try:
                status = await connection.request(request)
            except ConnectionError:
                continue  # It was idle for long, and the server closed it as the request left.
            self._free.append(connection)
            return status

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection


def number(person: int) -> str:
    return f"+1{2_062_000_000 + person}"


def _inbound(sender: str, body: str, sid: str) -> list[tuple[str, str]]:
    return [
        ("ToCountry", "US"), ("ToState", "WA"), ("SmsMessageSid", sid), ("NumMedia", "0"), ("ToCity", "SEATTLE"),
        ("FromZip", "98101"), ("SmsSid", sid), ("FromState", "WA"), ("SmsStatus", "received"), ("FromCity", "SEATTLE"),
        ("Body", body), ("FromCountry", "US"), ("To", OURS), ("ToZip", "98101"), ("NumSegments", "1"),
        ("MessageSid", sid), ("AccountSid", ACCOUNT_SID), ("From", sender), ("ApiVersion", "2010-04-01"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that our side asked Twilio to send."""

    sid: str
    to: str
    body: str
    callback: str


@dataclass(slots=True)
class FakeTwilio:
    """Twilio's Messages API as far as sending needs it: every message is taken at once, the list is empty."""

    told: Callable[[Sent], None]
    url: str = ""
    messages: int = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeTwilio"]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Line(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    def answer(self, head: bytes, body: bytes) -> bytes:
        if not head.startswith(b"POST"):
            return _http(200, b'{"messages": [], "next_page_uri": null, "uri": "/"}')
        form = dict(parse_qsl(body.decode()))
        self.messages += 1
        sent = Sent(f"SMa{self.messages:031x}", form["To"], form["Body"], form.get("StatusCallback", ""))
        self.told(sent)
        fields: dict[str, Any] = {
            "sid": sent.sid, "account_sid": ACCOUNT_SID, "status": "queued", "direction": "outbound-api",
            "from": form.get("From"), "to": sent.to, "body": sent.body, "num_segments": "1", "num_media": "0",
            "error_code": None, "error_message": None, "messaging_service_sid": None, "api_version": "2010-04-01",
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_sent": None,
            "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000", "price": None, "price_unit": "USD",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sent.sid}.json", "subresource_uris": {},
        }  # fmt: skip
        return _http(201, json.dumps(fields).encode())


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Line(asyncio.Protocol):
    """One kept-alive connection to the fake."""

    def __init__(self, fake: FakeTwilio) -> None:
        self._fake = fake
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while self._transport is not None:
            head, blank, rest = self._read.partition(b"\r\n\r\n")
            length = _length(head)
            if not blank or len(rest) < length:
                return
            self._read = rest[length:]
            self._transport.write(self._fake.answer(head, rest[:length]))


# Measuring


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


async def prepare_plain(url: str) -> None:
    """The table of the `plain` role."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("create table plain_forms (id bigint generated always as identity primary key, body bytea)")
        await conn.execute("grant all on plain_forms to hookflash_app")


if __name__ == "__main__":
    play = {"web": _web, "worker": _worker, "plain": _plain}[sys.argv[1]]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    own = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_")}
    run(play, Settings.load(own))
