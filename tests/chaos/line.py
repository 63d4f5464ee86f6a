"""A whole text line of real processes: the emulator and its handsets here, web and worker processes that may die."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.clock import Clock
from hookflash.base.errors import Unavailable
from hookflash.base.secret import Sealer
from hookflash.channels.integration import IntegrationSettings
from hookflash.conversation import journal_store
from hookflash.conversation.journal import Broken, Sound
from hookflash.db.pool import Database
from hookflash.emulator.server import Emulator
from hookflash.safety.config import SafetyConfig, SpendConfig
from hookflash.settings import Settings
from hookflash.testing.wait import until
from hookflash.wiring import open_core
from hookflash.workspace import store as workspace
from tests.chaos.fleet import Died, Fleet, fleet, unmourned

SMS = "+15550100200"
WHATSAPP = "whatsapp:+15550100300"
RETRIES = "#rc=5&rp=all"

_BUSY = (
    "select 1 from lanes where worker is not null or due_at is not null"
    " union all select 1 from messages where state in ('unanswered', 'waiting', 'posting') limit 1"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A running line; its database is looked into, never changed."""

    emulator: Emulator
    fleet: Fleet
    db: Database
    account_id: str
    base: str
    clock: Clock

    async def web_status(self) -> int:
        """What the web role answers when it is asked whether it is ready: 200, 503, or 0 for nothing."""
        async with httpx2.AsyncClient(timeout=30) as client:
            try:
                return (await client.get(f"{self.base}/readyz")).status_code
            except httpx2.TransportError:
                return 0

    async def is_up(self) -> bool:
        return await self.web_status() == 200

    async def is_down(self) -> bool:
        return await self.web_status() == 503

    async def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.db.tenant(self.account_id) as conn:
            return await (await conn.execute(query.encode(), parameters)).fetchall()

    async def at_rest(self, seconds: float = 60.0) -> None:
        """Until nothing is under way: no webhook, no lane held or due, no message that waits for an answer or to leave."""

        async def quiet() -> bool:
            await self.emulator.idle(seconds)
            try:
                return not await self.rows(_BUSY)
            except Unavailable:
                return False

        await until(quiet, seconds, 0.1)

    async def arrived(self) -> set[str]:
        """The ids of all messages that were taken in, as far as the database says."""
        try:
            return {r["sid"] for r in await self.rows("select sid from messages where direction = 'in'")}
        except Unavailable:
            return set()

    async def verify_journal(self) -> Sound | Broken:
        async with self.db.tenant(self.account_id) as conn:
            return await journal_store.verify_journal(conn, self.account_id)


@asynccontextmanager
async def chaos_line(
    database_url: str,
    directory: Path,
    *,
    webs: int = 2,
    workers: int = 2,
    died: Died = unmourned,
    pace: float = 0.01,
    waits: dict[str, float] | None = None,
    **settings: Any,
) -> AsyncIterator[Line]:
    """Everything running, with one SMS and one WhatsApp sender. `settings` are those of both integrations."""
    port, processes_directory = _free_port(), make_directory(directory / "processes")
    base = f"http://127.0.0.1:{port}"
    async with Emulator.serve(pace=pace) as emulator:
        environment = {
            "HOOKFLASH_DATABASE_URL": database_url,
            "HOOKFLASH_DATA_DIR": str(directory),
            "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
            "HOOKFLASH_PUBLIC_URL": base,
            "HOOKFLASH_TWILIO_API_URL": emulator.url,
            "HOOKFLASH_BACKFILL_SECONDS": "60",
            "TWILIO_ACCOUNT_SID": emulator.account_sid,
            "TWILIO_AUTH_TOKEN": emulator.auth_token.get_secret_value(),
        }
        async with open_core(Settings.load(environment)) as core:
            account_id = await workspace.create_account(core.db, "Chaos")
            hooks = {}
            async with core.db.tenant(account_id) as conn:
                assistant = await assistants.create(
                    conn, account_id, AssistantConfig(name="Scripted", segment_budget=10, safety=_SAFETY)
                )
                for sender in (SMS, WHATSAPP):
                    made = await core.integrations.create(
                        conn,
                        account_id,
                        name=sender,
                        assistant_id=assistant.id,
                        sender=sender,
                        messaging_service_sid=None,
                        credentials=None,
                        settings=IntegrationSettings.model_validate(_SETTINGS | settings),
                        meta={},
                    )
                    hooks[sender] = f"{base}/twilio/{made.id}"
            emulator.add_number(
                SMS,
                sms_url=f"{hooks[SMS]}/messages{RETRIES}",
                sms_fallback_url=f"{hooks[SMS]}/fallback{RETRIES}",
                voice_url=f"{hooks[SMS]}/voice{RETRIES}",
                voice_fallback_url=f"{hooks[SMS]}/voice/fallback",
                status_callback=f"{hooks[SMS]}/voice/status",
            )
            emulator.add_whatsapp_sender(
                WHATSAPP.removeprefix("whatsapp:"),
                callback_url=f"{hooks[WHATSAPP]}/messages{RETRIES}",
                fallback_url=f"{hooks[WHATSAPP]}/fallback{RETRIES}",
            )
            async with fleet(processes_directory, environment, port, died, **(waits or {})) as processes:
                for role, number in (("web", webs), ("worker", workers)):
                    for _ in range(number):
                        await processes.start(role)
                line = Line(emulator, processes, core.db, account_id, base, core.clock)
                await until(line.is_up, 60.0)
                await until(lambda: len(line.fleet.at_work()) >= workers, 60.0)
                yield line


# Machines text faster than people: the limits on rate and spend are not what is tested here.
_SETTINGS = {
    "burst_ms": 150,
    "acknowledge_after_ms": 0,
    "messages_per_minute": 600,
    "contact_day_usd": 1_000,
    "account_day_usd": 1_000_000,
}
_SAFETY = SafetyConfig(spend=SpendConfig(session_usd=1_000.0, day_usd=1_000_000.0))


def make_directory(path: Path) -> Path:
    """The same path, at which there is a directory now."""
    path.mkdir(parents=True, exist_ok=True)
    return path


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
