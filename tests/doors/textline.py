"""A whole text line in one process, over real PostgreSQL and real sockets: the emulator, the web role, a worker."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import httpx2
import uvicorn

from hookflash.asgi import create_app
from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.clock import Clock
from hookflash.base.secret import Sealer
from hookflash.channels.integration import Integration, IntegrationSettings
from hookflash.channels.stream_routes import Studio
from hookflash.cli.roles import port_of, web_config
from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import Answerer, Ending, Say, Turn
from hookflash.emulator.server import Emulator, Phone
from hookflash.knowledge import store as knowledge
from hookflash.sample import documents
from hookflash.settings import Settings
from hookflash.testing.wait import until
from hookflash.twilio.signature import sign
from hookflash.wiring import Core, open_core
from hookflash.worker import WorkerRole
from hookflash.workspace import store as workspace

OURS = "+15550100200"
ACME = AssistantConfig(name="Test", company="Acme")


def scripted(answer: Callable[[Turn], Awaitable[str]]) -> Answerer:
    """An answerer that says what a function gives; who asks for a person gets one."""

    async def run(turn: Turn, say: Say) -> Ending:
        text = await answer(turn)
        await say(Segment(text, last=True))
        hand_off = "asked for a person" if "a person" in turn.words else None
        return Ending("answered", text, turn.words, 0.9, (), "scripted", "test", "en", hand_off=hand_off)

    return run


async def echo(turn: Turn) -> str:
    return f"You said: {turn.words}"


@dataclass(frozen=True, slots=True)
class TextLine:
    """A running line: text it from a phone, look into its database."""

    core: Core
    emulator: Emulator
    account_id: str
    integration: Integration

    @property
    def base(self) -> str:
        """The integration's address."""
        return f"{self.core.settings.public_url}/twilio/{self.integration.id}"

    async def signed(self, path: str, form: Mapping[str, str]) -> httpx2.Response:
        """A request as Twilio makes it, to one of the integration's addresses, without a network between."""
        url = self.base + path
        headers = sign(url, self.emulator.auth_token, form=form.items())
        transport = httpx2.ASGITransport(create_app(self.core), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport) as client:
            return await client.post(url, data=dict(form), headers=headers)

    async def change(self, **changes: Any) -> Integration:
        """Change the integration; `settings` as a mapping of those that change."""
        if "settings" in changes:
            kept = self.integration.settings.model_dump() | changes["settings"]
            changes["settings"] = IntegrationSettings.model_validate(kept)
        async with self.core.db.tenant(self.account_id) as conn:
            return await self.core.integrations.update(conn, self.integration.id, self.core.clock.now(), **changes)

    def phone(self, number: str = "+15550111222") -> Phone:
        return self.emulator.handset(number)

    async def at_rest(self) -> None:
        """Until nothing is under way: no webhook, no lane that is held or due, no message that waits to leave."""

        async def quiet() -> bool:
            await self.emulator.idle()
            busy = await self.rows(
                "select 1 from lanes where worker is not null or due_at is not null"
                " union all select 1 from messages where state in ('unanswered', 'waiting', 'posting')"
            )
            # What left just before we looked may still be on its way to the phone.
            await self.emulator.idle()
            return not busy

        await until(quiet)

    @asynccontextmanager
    async def working(self, core: Core | None = None) -> AsyncIterator[WorkerRole]:
        """A worker more, for as long as the block runs."""
        role = WorkerRole(core or self.core)
        async with anyio.create_task_group() as tasks:
            await tasks.start(role.run)
            yield role
            tasks.cancel_scope.cancel()

    async def second(self, number: str) -> Integration:
        """Another number of the same account, with the same assistant and settings."""
        async with self.core.db.tenant(self.account_id) as conn:
            made = await self.core.integrations.create(
                conn,
                self.account_id,
                name=number,
                assistant_id=self.integration.assistant_id,
                sender=number,
                messaging_service_sid=None,
                credentials=None,
                settings=self.integration.settings,
                meta={},
            )
        hook = f"{self.core.settings.public_url}/twilio/{made.id}/messages"
        self.emulator.add_number(number, sms_url=hook)
        return made

    async def teach_text(self, name: str, text: str) -> None:
        """Take in one document."""
        core = self.core
        async with core.db.tenant(self.account_id) as conn:
            source = await knowledge.create_source(
                conn, self.account_id, name=name, description="", kind="text", model="minilm"
            )
            document, _ = await knowledge.put_document(
                conn,
                source,
                name=f"{name}.md",
                content_type="text/markdown",
                data=text.encode(),
                url=None,
                now=core.clock.now(),
                queue=False,
            )
        await core.indexer().index(self.account_id, document.id)

    async def teach(self) -> None:
        """Take in the documents of the sample shop."""
        core = self.core
        async with core.db.tenant(self.account_id) as conn:
            source = await knowledge.create_source(
                conn, self.account_id, name="shop", description="", kind="file", model="minilm"
            )
        for document in documents():
            async with core.db.tenant(self.account_id) as conn:
                handed_in, _ = await knowledge.put_document(
                    conn,
                    source,
                    name=document.name,
                    content_type="application/octet-stream",
                    data=document.read_bytes(),
                    url=None,
                    now=core.clock.now(),
                    queue=False,
                )
            indexed = await core.indexer().index(self.account_id, handed_in.id)
            assert indexed is not None
            assert indexed.status == "COMPLETED", (document.name, indexed.error)

    async def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.core.db.tenant(self.account_id) as conn:
            return await (await conn.execute(query.encode(), parameters)).fetchall()


@asynccontextmanager
async def text_line(
    database_url: str,
    directory: Path,
    *,
    answer: Callable[[Turn], Awaitable[str]] | None = echo,
    sender: str = OURS,
    workers: int = 1,
    web: bool = True,
    studio: Studio | None = None,
    assistant_config: AssistantConfig = ACME,
    environment: Mapping[str, str] = MappingProxyType({}),
    clock: Clock | None = None,
    pool: Sequence[str] = (),
    advanced_opt_out: bool = False,
    **settings: Any,
) -> AsyncIterator[TextLine]:
    """Everything running; `settings` are the integration's. `answer` None: the real assistant.

    With a `pool` of numbers the sender is a Messaging Service of them. `clock` drives emulator and program alike.
    """
    async with Emulator.serve(pace=0.01, clock=clock) as emulator:
        listener_port = await free_port()
        configured = Settings.load(
            {
                "HOOKFLASH_DATABASE_URL": database_url,
                "HOOKFLASH_DATA_DIR": str(directory),
                "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
                "HOOKFLASH_PUBLIC_URL": f"http://127.0.0.1:{listener_port}",
                "HOOKFLASH_TWILIO_API_URL": emulator.url,
                "TWILIO_ACCOUNT_SID": emulator.account_sid,
                "TWILIO_AUTH_TOKEN": emulator.auth_token.get_secret_value(),
            }
            | dict(environment)
        )
        service = emulator.add_service("pool", advanced_opt_out=advanced_opt_out) if pool else None
        sender = service.sid if service else sender
        async with (
            open_core(configured, clock=clock, answer=scripted(answer) if answer else None, studio=studio) as core,
            anyio.create_task_group() as tasks,
        ):
            account_id = await workspace.create_account(core.db, "Test")
            async with core.db.tenant(account_id) as conn:
                assistant = await assistants.create(conn, account_id, assistant_config)
                integration = await core.integrations.create(
                    conn,
                    account_id,
                    name="line",
                    assistant_id=assistant.id,
                    sender=sender,
                    messaging_service_sid=None,
                    credentials=None,
                    settings=IntegrationSettings.model_validate({"burst_ms": 50} | settings),
                    meta={},
                )
            hook = f"http://127.0.0.1:{listener_port}/twilio/{integration.id}/messages"
            if service:
                service.resource["inbound_request_url"] = hook
                for number in pool:
                    emulator.add_number(number, service=service.sid)
            elif sender.startswith("whatsapp:"):
                emulator.add_whatsapp_sender(sender.removeprefix("whatsapp:"), callback_url=hook)
            else:
                voice = f"{hook.removesuffix('messages')}voice"
                emulator.add_number(
                    sender,
                    sms_url=hook,
                    voice_url=f"{voice}#rc=5&rp=all",
                    voice_fallback_url=f"{voice}/fallback",
                    status_callback=f"{voice}/status",
                )
            roles = [WorkerRole(core) for _ in range(workers)]
            async with AsyncExitStack() as stack:
                if web:
                    await stack.enter_async_context(serving(core, listener_port))
                for role in roles:
                    await tasks.start(role.run)
                yield TextLine(core, emulator, account_id, integration)
                for role in roles:
                    role.stop()
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(core: Core, port: int) -> AsyncIterator[None]:
    """The web role on a port of this machine."""
    server = uvicorn.Server(web_config(create_app(core)))
    with port_of("127.0.0.1", port, "") as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listener])  # without signal handlers
            await until(lambda: server.started)
            try:
                yield
            finally:
                server.should_exit = True


async def free_port() -> int:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener:
        port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
        return port
