"""`hookflash demo`: three customer texts, answered before your eyes; nothing is left behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from rich.rule import Rule
from rich.text import Text

from hookflash.base.clock import SystemClock
from hookflash.cli import screen
from hookflash.cli.logs import configure_logs
from hookflash.cli.numbers import CUSTOMER, NUMBER
from hookflash.cli.opening import run
from hookflash.cli.phone import PhoneLine
from hookflash.cli.roles import ended_by_signal
from hookflash.cli.stage import Stage, for_now, stage
from hookflash.cli.turn_view import facts, passage_rows, passages, speech
from hookflash.emulator.remote import RemoteEmulator

app = typer.Typer(add_completion=False)

# Each with why it is asked.
TEXTS = (
    ("How long do I have to return a jacket?", "a question that the documents answer"),
    ("and for shoes?", "a follow-up that needs what was said before"),
    ("Do you sell gift wrapping for elephants?", "a question that the documents do not answer"),
)


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


async def _demo() -> bool:
    clock = SystemClock()
    began = clock.monotonic()
    console = screen.out()
    console.print("\n[bold]Hookflash[/] [faint]· a text in, one grounded answer out[/]\n")
    answered = 0
    with for_now() as directory:
        async with ended_by_signal(), _line(directory) as (line, found):
            console.print(f"[good]✓[/] [faint]Ready after {clock.monotonic() - began:.1f} s: {found.ready}[/]")
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
async def _line(directory: Path) -> AsyncIterator[tuple[PhoneLine, Stage]]:
    """Everything running on a directory of its own, and a phone to text it with."""
    async with stage(directory) as found, RemoteEmulator.at(found.emulator.url) as remote:
        core = found.core
        yield PhoneLine(remote, core.db, found.shop.account_id, CUSTOMER, NUMBER, core.clock.monotonic), found


def _next_steps() -> None:
    console = screen.out()
    name = screen.program()
    steps = screen.pairs(name="command", value="faint")
    steps.add_row(f"{name} up", "the same, staying up, at [address]http://127.0.0.1:8080[/]")
    steps.add_row(f"{name} text", "chat with it as a customer, in another terminal")
    steps.add_row(f"{name} call --demo", "the same by telephone")
    steps.add_row(f"{name} ingest PATH", "your own documents")
    steps.add_row("[faint]A real number[/]", "[default]docs/connect-a-number.md[/]")
    console.print("\nNext:\n")
    screen.indented(steps)
    console.print()
