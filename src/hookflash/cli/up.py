"""`hookflash up`: everything in one process, with the emulator in Twilio's place."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import anyio
import typer

from hookflash.base.errors import Misconfigured
from hookflash.channels.setup import addresses
from hookflash.cli import screen
from hookflash.cli.indexing import Watcher
from hookflash.cli.numbers import NUMBER
from hookflash.cli.opening import read_settings, run
from hookflash.cli.roles import port_of, until_told_to_stop, web, worker
from hookflash.cli.running import Running
from hookflash.cli.stage import take_in
from hookflash.cli.try_out import Shop, open_shop
from hookflash.cli.turn_view import aside, facts, speech
from hookflash.cli.turns_store import fate_of, real_numbers
from hookflash.emulator.server import Emulator
from hookflash.rest.auth import ADMIN
from hookflash.sample import documents
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core
from hookflash.workspace import store as workspace

app = typer.Typer(add_completion=False)

_KEY_FILE = "api.key"
_LOOK_EVERY = 0.3


@dataclass(frozen=True, slots=True)
class Up:
    """Everything running."""

    core: Core
    emulator: Emulator
    shop: Shop
    running: Running
    new_key: str | None


@app.command(epilog="Example: hookflash up --port 9000")
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of webhooks and API, instead of HOOKFLASH_PORT.")
    ] = None,
    emulator_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the emulator; 0 takes a free one.")] = 0,
) -> None:
    """Run everything on this machine: database, webhooks and API, worker, and the emulator in Twilio's place.

    The first start makes an account, an API key, and a sample shop with its documents. Everything is kept in the data
    directory; the next start goes on with it. Stop with Ctrl-C.
    """
    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    run(_up, settings, emulator_port)


async def _up(settings: Settings, emulator_port: int) -> None:
    async with everything(settings, emulator_port) as found:
        _greet(found, settings.data_dir)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_show_traffic, found)
            await until_told_to_stop()
            tasks.cancel_scope.cancel()
        screen.err().print("\n[faint]Stopping ...[/]")
    screen.done(f"Stopped. Everything is kept in {settings.data_dir}.")


@asynccontextmanager
async def everything(settings: Settings, emulator_port: int = 0) -> AsyncIterator[Up]:
    """All roles and the emulator while the block runs. Raises Misconfigured where that is not possible or not wise."""
    if not settings.embedded:
        raise Misconfigured(
            "HOOKFLASH_DATABASE_URL is set, and up is for trying out with a database of its own.",
            hint="unset it, or run the real thing: hookflash serve --role all",
        )
    other = Running.find(settings.data_dir)
    if other is not None:
        raise Misconfigured(
            f"It is running already, at {other.web} (process {other.pid}).",
            hint="chat with it: hookflash text; or give this one a data directory of its own: HOOKFLASH_DATA_DIR",
        )
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(
            port_of(settings.host, settings.port, "choose another: hookflash up --port 9000")
        )
        port: int = listener.getsockname()[1]
        emulator = await stack.enter_async_context(Emulator.serve(port=emulator_port))
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
        running = Running(
            pid=os.getpid(),
            web=f"http://{host}:{port}",
            emulator=emulator.url,
            twilio_account_sid=emulator.account_sid,
            twilio_auth_token=emulator.auth_token.get_secret_value(),
            number=NUMBER,
            account_id="",
        )
        core = await stack.enter_async_context(open_core(running.over(settings)))
        await _refuse_real_numbers(core)
        shop = await _shop(core)
        running = replace(running, account_id=shop.account_id)
        new_key = await _own_key(core, shop.account_id, settings.data_dir)
        take_in(emulator, addresses(running.web, shop.integration.id))
        await stack.enter_async_context(worker(core, drain=5.0))
        await stack.enter_async_context(web(core, listener, drain=5.0))
        running.write(settings.data_dir)
        stack.callback(Running.forget, settings.data_dir)
        yield Up(core, emulator, shop, running, new_key)


async def _refuse_real_numbers(core: Core) -> None:
    for account_id in await workspace.accounts(core.db):
        async with core.db.tenant(account_id) as conn:
            for integration, sender in await real_numbers(conn):
                raise Misconfigured(
                    f"This data directory serves a real number, {sender}, and up would put the emulator in Twilio's place.",
                    hint=f"run: hookflash serve --role all; or disable it: hookflash integrations disable {integration}",
                )


async def _shop(core: Core) -> Shop:
    models = tuple(dict.fromkeys((*core.settings.model_names, "extractive")))
    with screen.progress(of="documents") as bar:
        task = bar.add_task("Reading the sample shop", total=len(list(documents())), visible=False, note="")

        def through() -> None:
            bar.update(task, visible=True)
            bar.advance(task)

        return await open_shop(
            core, models, Watcher(through, lambda name, done, of: bar.update(task, visible=True, note=name))
        )


async def _own_key(core: Core, account_id: str, data_dir: Path) -> str | None:
    """The text of a key that was just made, to be shown once; None when there is one."""
    path = data_dir / _KEY_FILE
    if path.exists():
        return None
    async with core.db.tenant(account_id) as conn:
        key = await workspace.create_key(conn, account_id, "hookflash up", frozenset({ADMIN}), core.clock.now())
    path.touch(mode=0o600)
    path.write_text(key.text.get_secret_value() + "\n")
    return key.text.get_secret_value()


def _greet(found: Up, data_dir: Path) -> None:
    console = screen.out()
    shop, running = found.shop, found.running
    assistant = shop.integration.assistant
    console.print("\n[bold]Hookflash is up.[/]\n")
    grid = screen.pairs()
    if shop.documents is not None:
        read = f"{len(shop.documents.indexed)} documents, {shop.documents.chunks} passages"
        grid.add_row("Sample shop", f"{assistant.company}  [faint]({read})[/]")
    else:
        grid.add_row("Assistant", assistant.name)
    grid.add_row("Number", f"[us]{running.number}[/]  [faint](emulated)[/]")
    grid.add_row("Answers with", ", ".join(assistant.models))
    grid.add_row("API", f"[address]{running.web}/v1[/]  [faint](described at /openapi.json)[/]")
    grid.add_row("Emulator", f"[address]{running.emulator}[/]")
    grid.add_row("Data", str(data_dir))
    if not found.new_key:
        grid.add_row("API key", f"[faint]in[/] {data_dir / _KEY_FILE}")
    screen.indented(grid)
    if found.new_key:
        # On a line of its own, unbroken, so that it can be copied.
        console.print(f"\n  [faint]API key, shown only now (also kept in {data_dir / _KEY_FILE}):[/]", soft_wrap=True)
        console.print(f"  [bold]{found.new_key}[/]", soft_wrap=True)
    steps = screen.pairs(value="command")
    name = screen.program()
    steps.add_row("Chat as a customer", f"{name} text")
    steps.add_row("Hear it on the telephone", f"{name} call --demo")
    steps.add_row("Your own documents", f"{name} ingest PATH")
    steps.add_row("A real number", "docs/connect-a-number.md")
    console.print("\n[faint]Next, in another terminal:[/]")
    screen.indented(steps)
    console.print("\n[faint]Texts and answers appear here. Ctrl-C stops.[/]\n")


async def _show_traffic(found: Up) -> None:
    """Print every text and every reply, and how each turn went, as it happens."""
    console = screen.out()
    events = found.emulator.events
    seen, open_texts = events.last, list[str]()
    while True:
        for event in await events.wait(seen, _LOOK_EVERY if open_texts else 60.0):
            seen = event.seq
            if event.kind == "text":
                console.print(speech(event.data["from"], "them", event.data["body"] or "(a picture)"))
                open_texts.append(event.data["sid"])
            elif event.kind == "handset":
                console.print(speech("reply", "us", event.data["body"]))
            elif event.kind == "problem":
                console.print(aside(f"problem {event.data['code']}: {event.data['message']}", "doubtful"))
        for sid in list(open_texts):
            async with found.core.db.tenant(found.shop.account_id) as conn:
                fate = await fate_of(conn, sid)
            if fate is not None and fate.arrived:
                open_texts.remove(sid)
                if fate.turn is not None:
                    console.print(facts(fate.turn))
                else:
                    console.print(aside(f"{fate.state}: {fate.why or 'no turn'}"))
                console.print()
