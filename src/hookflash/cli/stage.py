"""Everything running for the length of a demonstration, on a directory that is gone afterwards."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from hookflash.channels.setup import Addresses, addresses
from hookflash.cli import screen
from hookflash.cli.indexing import Watcher
from hookflash.cli.numbers import NUMBER
from hookflash.cli.roles import port_of, web, worker
from hookflash.cli.try_out import Shop, open_shop
from hookflash.emulator.server import Emulator
from hookflash.sample import documents
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

_BURST_MS = 300


@dataclass(frozen=True, slots=True)
class Stage:
    """All roles, the sample shop, and the emulator in Twilio's place."""

    core: Core
    emulator: Emulator
    shop: Shop

    @property
    def ready(self) -> str:
        assert self.shop.documents is not None
        return (
            "PostgreSQL, web, worker, emulator;"
            f" {len(self.shop.documents.indexed)} documents, {self.shop.documents.chunks} passages."
        )


@contextmanager
def for_now() -> Iterator[Path]:
    """A directory that is gone afterwards; not made here, because whoever makes it decides who may enter it."""
    path = Path(tempfile.gettempdir()) / f"hookflash-demo-{uuid4().hex[:12]}"
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Everything running; the number takes texts and calls."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(port_of("127.0.0.1", 0, "free a port"))
        port = listener.getsockname()[1]
        emulator = await stack.enter_async_context(Emulator.serve())
        settings = Settings(
            data_dir=directory,
            public_url=f"http://127.0.0.1:{port}",
            twilio_api_url=emulator.url,
            twilio_account_sid=emulator.account_sid,
            twilio_auth_token=emulator.auth_token,
        )
        with screen.progress(of="documents") as bar:
            task = bar.add_task("Starting PostgreSQL", total=len(list(documents())), note="")
            core = await stack.enter_async_context(open_core(settings))
            bar.update(task, description="Reading the sample shop")
            watcher = Watcher(lambda: bar.advance(task), lambda name, done, of: bar.update(task, note=name))
            shop = await open_shop(core, ("extractive",), watcher, burst_ms=_BURST_MS)
        take_in(emulator, addresses(f"http://127.0.0.1:{port}", shop.integration.id))
        await stack.enter_async_context(worker(core, drain=5.0))
        await stack.enter_async_context(web(core, listener, drain=5.0))
        yield Stage(core, emulator, shop)


def take_in(emulator: Emulator, ours: Addresses) -> None:
    """Have the try-out number's texts and calls come to these addresses of ours."""
    emulator.add_number(
        NUMBER,
        sms_url=ours.messages,
        sms_fallback_url=ours.fallback,
        voice_url=ours.calls,
        voice_fallback_url=ours.calls_fallback,
        status_callback=ours.calls_status,
    )
