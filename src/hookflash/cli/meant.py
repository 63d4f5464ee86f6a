"""What a command is about when it is not told: the only account, the only assistant."""

from hookflash.assistant import store as assistants
from hookflash.base.errors import Invalid, NotFound
from hookflash.wiring import Core
from hookflash.workspace import store as workspace


async def account_meant(core: Core, wanted: str | None) -> str:
    """The account that was named, or the only one there is. Raises NotFound and Invalid."""
    known = await workspace.accounts(core.db)
    if wanted is not None:
        if wanted not in known:
            raise NotFound(f"There is no account {wanted}.", hint="hookflash accounts list shows them")
        return wanted
    if not known:
        raise NotFound(
            "There is no account yet.", hint='hookflash accounts create "Acme" makes one, and so does hookflash up'
        )
    if len(known) > 1:
        raise Invalid(f"There are {len(known)} accounts: say which one.", hint="add --account; hookflash accounts list")
    return known[0]


async def assistant_meant(core: Core, account_id: str, wanted: str | None) -> assistants.Assistant:
    """The assistant that was named, or the only one. Raises NotFound and Invalid."""
    async with core.db.tenant(account_id) as conn:
        if wanted is not None:
            return await assistants.find(conn, wanted) or await assistants.get(conn, wanted)
        page = await assistants.page(conn, 2, None)
    if not page.items:
        raise NotFound(
            "There is no assistant yet.", hint="hookflash integrations create makes one, and so does hookflash up"
        )
    if len(page.items) > 1:
        raise Invalid("There are several assistants: say which one.", hint="add --assistant NAME")
    return page.items[0]
