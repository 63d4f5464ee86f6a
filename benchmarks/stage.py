"""The stage of the load benchmarks: a database with an account in it, and roles as processes of their own.

    python benchmarks/stage.py web|worker|plain     # one role, set by environment variables; started by the benchmarks

Everything is on this machine's loopback.
"""

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.abc
import psycopg
import structlog
import uvicorn
from crowd import ACCOUNT_SID, AUTH_TOKEN, OURS

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.model import ModelReply, ModelRequest, Stream
from hookflash.base.secret import Sealer
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
from hookflash.wiring import Core, open_core
from hookflash.workspace import store as workspace

QUESTIONS = Path(__file__).parent / "data" / "shop_questions.jsonl"


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
