"""`hookflash demo`: three customer texts, answered before your eyes; nothing is left behind."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import typer
from rich.rule import Rule
from rich.text import Text

from hookflash.base.clock import SystemClock
from hookflash.cli import screen
from hookflash.cli.indexing import Watcher
from hookflash.cli.logs import configure_logs
from hookflash.cli.numbers import CUSTOMER, NUMBER
from hookflash.cli.opening import run
from hookflash.cli.phone import PhoneLine
from hookflash.cli.roles import ended_by_signal, port_of, web, worker
from hookflash.cli.try_out import Shop, open_shop
from hookflash.cli.turn_view import facts, passage_rows, passages, speech
from hookflash.emulator.remote import RemoteEmulator
from hookflash.emulator.server import Emulator
from hookflash.sample import documents
from hookflash.settings import Settings
from hookflash.wiring import open_core

app = typer.Typer(add_completion=False)

# Each with why it is asked.
TEXTS = (
    ("How long do I have to return a jacket?", "a question that the documents answer"),
    ("and for shoes?", "a follow-up that needs what was said before"),
    ("Do you sell gift wrapping for elephants?", "a question that the documents do not answer"),
)
_BURST_MS = 300


@app.command(epilog="Example: hookflash demo")
def demo() -> None:
    """See three customer texts answered from a sample shop's documents: a question, a follow-up, and one too many.

    Real signed webhooks, a real PostgreSQL, every role, and Twilio's emulator, all on this machine: no account, no key, no
    network. At the end everything is stopped and removed.
    """
    configure_logs("error", "console")
    answered = run(_demo)
    if not answered:
        screen.fail("Not every text was answered.", "run hookflash up, and look at what it prints")
        raise typer.Exit(1)


@contextmanager
def _for_now() -> Iterator[Path]:
    """A directory that is gone afterwards; not made here, because whoever makes it decides who may enter it."""
    path = Path(tempfile.gettempdir()) / f"hookflash-demo-{uuid4().hex[:12]}"
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def _demo() -> bool:
    clock = SystemClock()
    began = clock.monotonic()
    console = screen.out()
    console.print("\n[bold]Hookflash[/] [faint]· a text in, one grounded answer out[/]\n")
    answered = 0
    with _for_now() as directory:
        async with ended_by_signal(), _line(directory) as (line, shop):
            assert shop.documents is not None
            console.print(
                f"[good]✓[/] [faint]Ready after {clock.monotonic() - began:.1f} s: PostgreSQL, web, worker, emulator;"
                f" {len(shop.documents.indexed)} documents, {shop.documents.chunks} passages.[/]"
            )
            first = None
            for number, (words, why) in enumerate(TEXTS, 1):
                console.print()
                console.print(Rule(Text(f"{number} of {len(TEXTS)}: {why}", "faint"), align="left", style="faint"))
                console.print(speech(CUSTOMER, "them", words))
                exchange = await line.exchange(words)
                turn = exchange.turn
                if turn is None or not exchange.replies:
                    continue
                answered += 1
                first = first or clock.monotonic() - began
                console.print(passages(passage_rows(turn.record.get("sources", []), exchange.headings)))
                for reply in exchange.replies:
                    console.print(speech("answer", "us", reply.body))
                took = screen.milliseconds((exchange.seconds or 0) * 1000)
                console.print(facts(turn, delivered=f"delivered in {took}"))
        console.print()
        console.print(Rule(style="faint"))
    if first:
        console.print(
            f"[good]✓[/] [faint]First answer {first:.1f} s after the start. Everything is stopped and removed.[/]"
        )
    _next_steps()
    return answered == len(TEXTS)


@asynccontextmanager
async def _line(directory: Path) -> AsyncIterator[tuple[PhoneLine, Shop]]:
    """Everything running on a directory of its own, and a phone to text it with."""
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
        base = f"{settings.public_url}/twilio/{shop.integration.id}"
        emulator.add_number(NUMBER, sms_url=f"{base}/messages#rc=5&rp=all", sms_fallback_url=f"{base}/fallback")
        await stack.enter_async_context(worker(core, drain=5.0))
        await stack.enter_async_context(web(core, listener))
        remote = await stack.enter_async_context(RemoteEmulator.at(emulator.url))
        yield PhoneLine(remote, core.db, shop.account_id, CUSTOMER, NUMBER, core.clock.monotonic), shop


def _next_steps() -> None:
    console = screen.out()
    console.print("\nNext:\n")
    console.print(
        "  [command]hookflash up[/]         [faint]the same, staying up, at[/] [address]http://127.0.0.1:8080[/]"
    )
    console.print("  [command]hookflash text[/]       [faint]chat with it as a customer, in another terminal[/]")
    console.print("  [command]hookflash ingest ...[/] [faint]your own documents[/]")
    console.print("  [faint]A real number:[/]       docs/connect-a-number.md\n")
