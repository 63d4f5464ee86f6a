"""`hookflash contacts`: the people who write and call, and what is known of them."""

from typing import Annotated

import typer

from hookflash.assistant import memory_store
from hookflash.assistant.memory import effective
from hookflash.assistant.memory_routes import ShownProfile, shown
from hookflash.base.errors import NotFound
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.conversation import identity_store
from hookflash.conversation.identity import Identity
from hookflash.settings import Settings
from hookflash.wiring import open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The people who write and call.",
    epilog="Example: hookflash contacts show phone:+15550111222",
)


@app.callback()
def _group() -> None:
    """The people who write and call."""


@app.command("show", epilog="Example: hookflash contacts show phone:+15550111222")
def show(
    identity: Annotated[
        str, typer.Argument(help="phone:+1..., whatsapp:+1..., email:..., user_id:... or a contact's id.")
    ],
    account: Annotated[str | None, typer.Option(help="The account, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show who a contact is, and what is remembered of them."""
    profile, identities = run(_show, read_settings(), account, identity)
    view = shown(profile)
    if as_json:
        screen.as_json({"identities": identities, **view.model_dump(mode="json")})
        return
    _print(view, profile, identities)


def _print(view: ShownProfile, profile: memory_store.Profile, identities: list[str]) -> None:
    grid = screen.pairs()
    grid.add_row("Contact", view.contact_id)
    grid.add_row("Name", view.name or "")
    grid.add_row("Language", view.language or "")
    grid.add_row("Identities", "\n".join(identities))
    screen.indented(grid)
    held = effective(profile.traits)
    if held:
        table = screen.rows("Trait", "Value", "Source", "Since")
        for trait in held.values():
            value = trait.text.partition(": ")[2]
            table.add_row(trait.name, value, trait.source, trait.at.date().isoformat())
        screen.out().print(table)
    remembered = sorted((*view.observations, *view.summaries), key=lambda each: each.at, reverse=True)
    if remembered:
        table = screen.rows("When", "Remembered", "Session")
        for each in remembered:
            table.add_row(each.at.date().isoformat(), each.text, each.session_id or each.source)
        screen.out().print(table)
    if not held and not remembered:
        screen.done("Nothing is remembered of this contact.")


async def _show(settings: Settings, account: str | None, wanted: str) -> tuple[memory_store.Profile, list[str]]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        async with core.db.tenant(account_id) as conn:
            contact_id = (
                wanted
                if wanted.startswith("cont_")
                else await identity_store.find_contact(conn, Identity.parse(wanted))
            )
            if contact_id is None:
                raise NotFound(f"There is no contact {wanted}.", hint="GET /v1/contacts lists them")
            profile = await memory_store.profile(conn, contact_id)
            held = await identity_store.identities(conn, contact_id)
    return profile, [each.identity for each in held]
