"""`hookflash text`: a telephone in the terminal."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from anyio.from_thread import start_blocking_portal
from rich.text import Text

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Invalid
from hookflash.base.phone import Address, Kind
from hookflash.cli import screen
from hookflash.cli.numbers import CUSTOMER
from hookflash.cli.opening import read_settings, run
from hookflash.cli.phone import Exchange, PhoneLine, Reply
from hookflash.cli.running import Running
from hookflash.cli.turn_view import NAME_WIDTH, aside, facts, passage_rows, passages, speech
from hookflash.db.embedded import EmbeddedPostgres
from hookflash.db.pool import Database
from hookflash.emulator.remote import RemoteEmulator
from hookflash.settings import Settings

app = typer.Typer(add_completion=False)

_TICKS = {"delivered": "✓✓ delivered", "read": "✓✓ read", "undelivered": "✗ undelivered", "failed": "✗ failed"}


@app.command(epilog='Example: hookflash text "How long do I have to return a jacket?"')
def text(
    message: Annotated[str | None, typer.Argument(help="Send this one text and print the reply.")] = None,
    sender: Annotated[str, typer.Option("--from", help="The customer's number.")] = CUSTOMER,
    to: Annotated[str | None, typer.Option(help="The number to text, instead of the try-out number.")] = None,
    passages: Annotated[bool, typer.Option("--passages", help="Also show what was found.")] = False,
) -> None:
    """Chat as a customer, through the emulator of a running `hookflash up`.

    Each reply shows whether it was delivered, its segments and cost, what it rests on, and how long it took. An empty line or
    Ctrl-D ends the conversation.
    """
    settings = read_settings()
    if message is not None and not message.strip():
        raise Invalid("The message is empty.")
    customer = Address.parse(sender)
    if customer.kind is Kind.SMS and not customer.is_number:
        raise Invalid("--from is a customer's number in E.164 form, such as +12025550143.")
    own = customer.value
    running = Running.require(settings.data_dir)
    if message is not None:
        run(_one, settings, running, own, to, message, passages)
    else:
        _chat(settings, running, own, to, passages)


@asynccontextmanager
async def line_of(settings: Settings, running: Running, own: str, to: str | None) -> AsyncIterator[PhoneLine]:
    """A phone on the line of a running `up`, whose database is joined."""
    async with (
        EmbeddedPostgres(settings.data_dir / "postgres") as url,
        Database.open(url, max_size=2) as db,
        RemoteEmulator.at(running.emulator) as emulator,
    ):
        yield PhoneLine(emulator, db, running.account_id, own, to or running.number, SystemClock().monotonic)


async def _one(
    settings: Settings, running: Running, own: str, to: str | None, message: str, show_passages: bool
) -> None:
    async with line_of(settings, running, own, to) as line:
        exchange = await line.exchange(message)
    for reply in exchange.replies:
        screen.out().print(Text(reply.body), soft_wrap=True)
    if show_passages and exchange.turn is not None:
        screen.out().print(passages(passage_rows(exchange.turn.record.get("sources", []), exchange.headings)))
    if not exchange.replies:
        screen.fail(*_silence(exchange))
        raise typer.Exit(1)


def _chat(settings: Settings, running: Running, own: str, to: str | None, show_passages: bool) -> None:
    console = screen.out()
    console.print(f"[faint]You are[/] [them]{own}[/][faint], texting[/] [us]{to or running.number}[/][faint]. ", end="")
    console.print("[faint]An empty line ends it.[/]\n")
    with (
        start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(line_of(settings, running, own, to)) as line,
    ):

        def arrived(reply: Reply) -> None:
            console.print(speech("them", "us", reply.body))

        while True:
            try:
                words = console.input(f"[them]{'you':>{NAME_WIDTH}}[/]  ").strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            if not words:
                return
            if not sys.stdin.isatty():
                console.print(Text(words))
            exchange = portal.call(line.exchange, words, arrived)
            _after(exchange, show_passages)


def _after(exchange: Exchange, show_passages: bool) -> None:
    console = screen.out()
    turn = exchange.turn
    if not exchange.replies:
        console.print(aside(f"({_silence(exchange)[0]})"))
    if turn is not None:
        rows = passage_rows(turn.record.get("sources", []), exchange.headings)
        if show_passages:
            console.print(passages(rows))
        elif cited := [row for row in rows if row.cited]:
            names = list(dict.fromkeys(" › ".join((row.title, *row.headings)) for row in cited))
            console.print(speech("from", "faint", "; ".join(names)))
        tick = ", ".join(
            dict.fromkeys(_TICKS.get(reply.status, reply.status) for reply in exchange.replies if reply.sid)
        )
        took = f" in {screen.milliseconds(exchange.seconds * 1000)}" if exchange.seconds else ""
        console.print(facts(turn, delivered=tick + took))
    console.print()


def _silence(exchange: Exchange) -> tuple[str, str | None]:
    """Why nothing came back."""
    fate = exchange.fate
    if fate is None:
        return "The text did not arrive.", "see the terminal of hookflash up"
    if fate.state == "unanswered":
        return "No reply yet.", "see the terminal of hookflash up"
    return f"No reply: {fate.why or fate.state}.", None
