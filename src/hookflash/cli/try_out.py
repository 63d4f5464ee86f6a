"""The business that `up` and `demo` try out: its account, assistant, documents and number, made where they are missing."""

from dataclasses import dataclass

from hookflash.assistant import store as assistants
from hookflash.assistant.assistant import AssistantConfig
from hookflash.base.errors import Conflict
from hookflash.channels.integration import Integration, IntegrationSettings
from hookflash.cli.indexing import Outcome, Watcher, handed_in, index_all, source_named
from hookflash.cli.numbers import NUMBER
from hookflash.sample import documents
from hookflash.wiring import Core
from hookflash.workspace import store as workspace

COMPANY = "Alder & Pine"
SOURCE = "Alder & Pine"
_NO_VENDOR = ("extractive",)


@dataclass(frozen=True, slots=True)
class Shop:
    """The business, ready to answer; `documents` is what became of its documents (None: they were there)."""

    account_id: str
    integration: Integration
    documents: Outcome | None


async def integration_of(core: Core, account_id: str, sender: str) -> Integration | None:
    """The account's integration of a sender."""
    cursor = None
    while True:
        async with core.db.tenant(account_id) as conn:
            page = await core.integrations.page(conn, 100, cursor)
        found = next((each for each in page.items if each.sender == sender), None)
        if found or page.cursor is None:
            return found
        cursor = page.cursor


async def open_shop(core: Core, models: tuple[str, ...], watcher: Watcher, *, burst_ms: int | None = None) -> Shop:
    """The sample business. Its documents are only taken in when its number is new: later they are its owner's.

    `models` are those of a new assistant, and of one that answers by no vendor's model yet.
    """
    known = await workspace.accounts(core.db)
    account_id = known[0] if known else await workspace.create_account(core.db, COMPANY)
    there = await integration_of(core, account_id, NUMBER)
    if there is not None:
        if there.assistant.models == _NO_VENDOR and models != _NO_VENDOR:
            there = await _with_models(core, there, models)
        return Shop(account_id, there, None)
    source = await source_named(core, account_id, SOURCE)
    sample = handed_in((entry.name, entry.read_bytes()) for entry in documents())
    outcome = await index_all(core, account_id, source, sample, watcher)
    config = AssistantConfig(name=COMPANY, company=COMPANY, models=models)
    settings = IntegrationSettings() if burst_ms is None else IntegrationSettings(burst_ms=burst_ms)
    async with core.db.tenant(account_id) as conn:
        assistant = await assistants.find(conn, COMPANY) or await assistants.create(conn, account_id, config)
        integration = await core.integrations.create(
            conn,
            account_id,
            name="Try-out number",
            assistant_id=assistant.id,
            sender=NUMBER,
            messaging_service_sid=None,
            credentials=None,
            settings=settings,
            meta={"emulator": True},
        )
    return Shop(account_id, integration, outcome)


async def _with_models(core: Core, there: Integration, models: tuple[str, ...]) -> Integration:
    """The number, when a vendor's key was set after its assistant was made: new sessions are answered by the vendor."""
    async with core.db.tenant(there.account_id) as conn:
        config = there.assistant.model_copy(update={"models": models})
        try:
            await assistants.update(
                conn, there.account_id, there.assistant_id, config, core.clock.now(), note="Models of the settings."
            )
        except Conflict:
            # An experiment runs, and nothing is published meanwhile.
            return there
        return await core.integrations.get(conn, there.id)
