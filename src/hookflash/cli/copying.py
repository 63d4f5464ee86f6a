"""`hookflash import`: what other servers have, brought here."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.text import Text

from hookflash.asgi import create_app
from hookflash.base.errors import Misconfigured
from hookflash.base.secret import Secret
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.compat import kept_store
from hookflash.compat.copying import Copied, Copying
from hookflash.compat.names import ASSISTANTS, Thing
from hookflash.providers.twilio_assistants import AssistantsApi
from hookflash.rest.auth import ADMIN, Doorkeeper, Principal, make_key
from hookflash.rest.limits import Buckets
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Bring here what other servers have.",
    epilog="Example: hookflash import twilio-assistants",
)

TWILIO = "https://assistants.twilio.com"
_OFTEN = 1_000_000


@app.callback()
def _only() -> None:
    """One command, that still has a name of its own."""


@app.command(
    "twilio-assistants",
    epilog="Example: hookflash import twilio-assistants --from https://bot.example.com/compat/twilio/assistants",
)
def twilio_assistants(
    source: Annotated[
        str, typer.Option("--from", help="The server: the address that /v1/Assistants is appended to.")
    ] = TWILIO,
    user: Annotated[
        str | None,
        typer.Option(envvar="IMPORT_USER", help="User name there. Unset: the Twilio account that is set up here."),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="IMPORT_PASSWORD", help="Password there; better given by the environment. Unset: as for the user."
        ),
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account here, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Copy assistants, tools and knowledge from Twilio's AI Assistants, or any server that speaks its API.

    Run again, it brings what is new or has changed there, and doubles nothing. What has a name that something else
    here has already is left out, and so is what the API never shows: secrets of tools, files. It says which.
    """
    settings = read_settings()
    copied = run(_copy, settings, source, _credentials(settings, source, user, password), account)
    if as_json:
        screen.as_json(asdict(copied))
        return
    _tell(copied)


def _credentials(settings: Settings, source: str, user: str | None, password: str | None) -> tuple[str, Secret]:
    """Our own Twilio credentials are for Twilio alone."""
    if user is not None and password is not None:
        return user, Secret(password)
    token = settings.twilio_auth_token
    if source.rstrip("/") == TWILIO and settings.twilio_account_sid and token and user is None and password is None:
        return settings.twilio_account_sid, token
    raise Misconfigured(
        f"There is no user name and password for {source}.",
        hint="set IMPORT_USER and IMPORT_PASSWORD; for Hookflash: the id of an API key, and the key",
    )


@dataclass(frozen=True, slots=True)
class _Notes:
    """Kept beside what was copied, so that it goes with it."""

    core: Core
    account_id: str

    async def of_origin(self, origin: str) -> str | None:
        async with self.core.db.tenant(self.account_id) as conn:
            our_id = await kept_store.of_origin(conn, origin)
        return _thing(our_id).theirs(our_id) if our_id else None

    async def came_from(self, their_id: str, origin: str) -> None:
        kind = next(each for each in Thing if their_id.startswith(each.value[0]))
        async with self.core.db.tenant(self.account_id) as conn:
            await kept_store.came_from(conn, self.account_id, kind.ours(their_id), origin)


def _thing(our_id: str) -> Thing:
    return next(each for each in Thing if our_id.startswith(each.value[1]))


async def _copy(settings: Settings, source: str, credentials: tuple[str, Secret], account: str | None) -> Copied:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        with screen.progress(of="things") as bar:
            task = bar.add_task("Copying", total=None, note="")
            return await copy(
                core,
                account_id,
                source,
                credentials,
                lambda total, name: bar.update(task, total=total, advance=1, note=name),
            )


async def copy(
    core: Core,
    account_id: str,
    source: str,
    credentials: tuple[str, Secret],
    told: Callable[[int, str], None] = lambda total, name: None,
) -> Copied:
    """Into this account, as the command does."""
    key = make_key()

    async def find_key(key_hash: bytes) -> Principal | None:
        """For as long as this runs, and for nobody else, a key of the account."""
        return Principal(account_id, key.id, frozenset({ADMIN})) if key_hash == key.hash else None

    # What comes in takes the way of everything that comes in by the API: checks, limits and the journal.
    web = create_app(core)
    web.state.doorkeeper = Doorkeeper(find_key, Buckets(_OFTEN, burst=_OFTEN), core.clock)
    async with (
        AssistantsApi.at(source, *credentials) as there,
        AssistantsApi.within(web, ASSISTANTS, key.id, key.text) as here,
    ):
        return await Copying(there, here, _Notes(core, account_id), told).run()


def _tell(copied: Copied) -> None:
    if copied.left_out:
        table = screen.rows("Left out", "Name", "Because")
        for each in copied.left_out:
            table.add_row(each.what, Text(each.name), Text(each.why, "doubtful"))
        screen.err().print(table)
    counts = [("new", copied.created), ("changed", copied.changed), ("as before", copied.unchanged)]
    parts = [f"{len(names)} {what}" for what, names in counts if names] or ["nothing was there"]
    screen.done(f"Copied: {', '.join(parts)}; {len(copied.left_out)} remarks.")
    screen.next_step("give an assistant a number:", "hookflash integrations create --help")
