"""`hookflash integrations`: which assistant answers which number."""

from dataclasses import dataclass
from typing import Annotated

import typer

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import HookflashError, Invalid, Misconfigured
from hookflash.channels.integration import Credentials, Integration, IntegrationSettings, parse_sender
from hookflash.channels.setup import Addresses, addresses, find_place, point_at_us
from hookflash.channels.text import account_of
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run, with_running
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The numbers, and which assistant answers them.",
    epilog="Example: hookflash integrations list",
)

Account = Annotated[str | None, typer.Option(help="The account, where there are several.")]


@dataclass(frozen=True, slots=True)
class Made:
    """An integration that was just made, its addresses, and where they were set at Twilio."""

    integration: Integration
    addresses: Addresses | None
    set_at: tuple[str, ...]
    not_set: HookflashError | None


@app.command("list", epilog="Example: hookflash integrations list")
def list_(
    account: Account = None, as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
) -> None:
    """Show the numbers of an account, their assistants and their state."""
    settings = with_running(read_settings())
    found, names = run(_list, settings, account)
    if as_json:
        screen.as_json([_data(each, names, settings.public_url) for each in found])
        return
    table = screen.rows("Integration", "Name", "Number", "Assistant", "State")
    for each in found:
        table.add_row(each.id, each.name, each.sender, names.get(each.assistant_id, each.assistant_id), _state(each))
    if found:
        screen.out().print(table)
        screen.next_step("prove each link of the chain:", "hookflash doctor")
    else:
        screen.next_step("there is none yet:", "hookflash integrations create --sender +1...")


@app.command(epilog='Example: hookflash integrations create --sender +12025550100 --assistant "Acme" --set-webhook')
def create(
    sender: Annotated[str, typer.Option(help="+12025550100, whatsapp:+12025550100, or a Messaging Service (MG...).")],
    assistant: Annotated[
        str, typer.Option(help="Who answers: an assistant's name or id. One of a new name is made.")
    ] = "Assistant",
    name: Annotated[str | None, typer.Option(help="What to call it; by default the number.")] = None,
    messaging_service: Annotated[
        str | None, typer.Option(help="The Messaging Service (MG...) that the number belongs to.")
    ] = None,
    account_sid: Annotated[
        str | None, typer.Option(help="A Twilio account of its own, such as a sub-account; asks for its Auth Token.")
    ] = None,
    set_webhook: Annotated[bool, typer.Option("--set-webhook", help="Also set the addresses at Twilio.")] = False,
    account: Account = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Join a number to an assistant, and print the addresses that Twilio must call, or set them there."""
    settings = with_running(read_settings())
    if set_webhook and settings.public_url is None:
        raise Misconfigured(
            "HOOKFLASH_PUBLIC_URL is not set, so there is no address to give to Twilio.",
            hint="set it to the https address at which Twilio reaches this server",
        )
    credentials = None
    if account_sid is not None:
        token = typer.prompt(f"Auth Token of {account_sid}", hide_input=True)
        credentials = Credentials(account_sid=account_sid, auth_tokens=(token,))
    wanted = parse_sender(sender)
    made = run(
        _create, settings, account, wanted, assistant, name or wanted, messaging_service, credentials, set_webhook
    )
    if as_json:
        screen.as_json(_data(made.integration, {}, settings.public_url) | {"set_at": made.set_at})
    else:
        _tell(made)
    if made.not_set is not None:
        screen.fail(f"The webhook was not set: {made.not_set.message}", made.not_set.hint)
        raise typer.Exit(1)


@app.command(epilog="Example: hookflash integrations disable intg_06bq3v0d8q4f7g2h5j9k1m3n5p")
def disable(integration: Annotated[str, typer.Argument(help="The integration's id.")], account: Account = None) -> None:
    """Stop answering a number. What arrives is kept, and not answered."""
    run(_switch, read_settings(), account, integration, True)
    screen.done(f"Disabled {integration}: its texts are kept, and not answered.")
    screen.next_step("answer again:", f"hookflash integrations enable {integration}")


@app.command(epilog="Example: hookflash integrations enable intg_06bq3v0d8q4f7g2h5j9k1m3n5p")
def enable(integration: Annotated[str, typer.Argument(help="The integration's id.")], account: Account = None) -> None:
    """Answer a number again, also one whose sender Twilio had refused."""
    run(_switch, read_settings(), account, integration, False)
    screen.done(f"Enabled {integration}.")
    screen.next_step("prove each link of the chain:", "hookflash doctor")


async def _list(settings: Settings, account: str | None) -> tuple[list[Integration], dict[str, str]]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found: list[Integration] = []
        names: dict[str, str] = {}
        cursor = None
        while True:
            async with core.db.tenant(account_id) as conn:
                page = await core.integrations.page(conn, 100, cursor)
                for each in page.items:
                    names[each.assistant_id] = (await assistants.get(conn, each.assistant_id)).name
            found += page.items
            cursor = page.cursor
            if cursor is None:
                return found, names


async def _create(
    settings: Settings,
    account: str | None,
    sender: str,
    assistant: str,
    name: str,
    service: str | None,
    credentials: Credentials | None,
    set_webhook: bool,
) -> Made:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        async with core.db.tenant(account_id) as conn:
            who = await assistants.find(conn, assistant)
            if who is None and assistant.startswith("asst_"):
                who = await assistants.get(conn, assistant)
            if who is None:
                models = tuple(dict.fromkeys((*settings.model_names, "extractive")))
                who = await assistants.create(conn, account_id, AssistantConfig(name=assistant, models=models))
            integration = await core.integrations.create(
                conn,
                account_id,
                name=name,
                assistant_id=who.id,
                sender=sender,
                messaging_service_sid=service,
                credentials=credentials,
                settings=IntegrationSettings(),
                meta={"emulator": True} if settings.twilio_api_url.startswith("http://127.0.0.1") else {},
            )
        ours = addresses(settings.public_url, integration.id) if settings.public_url else None
        if not set_webhook or ours is None:
            return Made(integration, ours, (), None)
        try:
            return Made(integration, ours, await _set(core, integration, ours), None)
        except HookflashError as error:
            return Made(integration, ours, (), error)


async def _set(core: Core, integration: Integration, ours: Addresses) -> tuple[str, ...]:
    account = account_of(core.twilio, integration)
    places = await find_place(account, integration)
    if not places:
        raise Invalid("The Messaging Service has no numbers.", hint="add one in Twilio's console")
    return tuple([await point_at_us(account, place, ours) for place in places])


async def _switch(settings: Settings, account: str | None, integration: str, disabled: bool) -> None:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        async with core.db.tenant(account_id) as conn:
            await core.integrations.update(conn, integration, core.clock.now(), disabled=disabled)


def _state(each: Integration) -> str:
    if each.disabled:
        return "disabled"
    return f"refused by Twilio ({each.stopped_code})" if each.stopped_code is not None else "answers"


def _data(each: Integration, names: dict[str, str], public_url: str | None) -> dict[str, object]:
    ours = addresses(public_url, each.id) if public_url else None
    return {
        "id": each.id,
        "name": each.name,
        "sender": each.sender,
        "assistant_id": each.assistant_id,
        "assistant": names.get(each.assistant_id, each.assistant.name),
        "state": _state(each),
        "messages": ours.messages if ours else None,
        "fallback": ours.fallback if ours else None,
        "status": ours.status if ours else None,
        "calls": ours.calls if ours and each.sender.startswith("+") else None,
    }


def _tell(made: Made) -> None:
    screen.done(f"Created {made.integration.id}: {made.integration.assistant.name} answers {made.integration.sender}.")
    if made.addresses is None:
        screen.warn("HOOKFLASH_PUBLIC_URL is not set, so there are no addresses to give to Twilio yet.")
    elif made.set_at:
        screen.done(f"Set its addresses at the {', '.join(made.set_at)}.")
    else:
        # Each on a line of its own, unbroken, so that it can be copied.
        ours = made.addresses
        texts = (
            ("Incoming messages (POST):", ours.messages),
            ("If that fails (POST):", ours.fallback),
            ("Status callback (each message brings its own):", ours.status),
        )
        calls = (
            ("Calls (POST):", ours.calls),
            ("If that fails (POST):", ours.calls_fallback),
            ("Status of calls (POST):", ours.calls_status),
        )
        for what, address in (*texts, *(calls if made.integration.sender.startswith("+") else ())):
            screen.out().print(f"  [faint]{what}[/]\n  [address]{address}[/]", soft_wrap=True)
    screen.next_step("prove each link of the chain:", "hookflash doctor")
