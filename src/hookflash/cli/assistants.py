"""`hookflash assistants`: what answers, what is about to, and what did before."""

from typing import Annotated, Any

import msgspec
import typer

from hookflash.assistant import store
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.difference import Difference, differences
from hookflash.base.errors import Invalid
from hookflash.base.paging import whole
from hookflash.cli import screen
from hookflash.cli.meant import account_meant, assistant_meant
from hookflash.cli.opening import read_settings, run
from hookflash.conversation.journal_store import journal
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Who answers: working copies, published revisions, and the way back.",
    epilog="Example: hookflash assistants diff",
)

Named = Annotated[str | None, typer.Option(help="The assistant (name or id), where there are several.")]
Account = Annotated[str | None, typer.Option(help="The account, where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Note = Annotated[str, typer.Option(help="What was changed, and why.")]


@app.command("list", epilog="Example: hookflash assistants list")
def list_(account: Account = None, as_json: AsJson = False) -> None:
    """Show the assistants of an account, and whose working copy waits to be published."""
    found = run(_list, read_settings(), account)
    if as_json:
        screen.as_json([_data(each) for each in found])
        return
    table = screen.rows("assistant", "name", "revision", "unpublished")
    for each in found:
        table.add_row(each.id, each.name, str(each.revision), ", ".join(_unpublished(each)))
    screen.out().print(table)
    screen.next_step("see what waits to be published:", "hookflash assistants diff")


@app.command("show", epilog="Example: hookflash assistants show --assistant Shop")
def show(assistant: Named = None, account: Account = None, as_json: AsJson = False) -> None:
    """Show an assistant's revisions, and what it is set to."""
    found, revisions = run(_show, read_settings(), assistant, account)
    if as_json:
        screen.as_json(_data(found) | {"config": found.config.to_dict(), "revisions": [_brief(r) for r in revisions]})
        return
    table = screen.rows("revision", "made", "by", "kind", "note")
    for each in revisions:
        now = " (serves now)" if each.revision == found.revision else ""
        table.add_row(
            f"{each.revision}{now}",
            f"{each.created_at:%Y-%m-%d %H:%M}",
            each.made_by or "command line",
            each.kind,
            each.note,
        )
    screen.out().print(table)
    grid = screen.pairs()
    for difference in differences(_DEFAULT, found.config):
        grid.add_row(difference.field, _value(difference.after))
    screen.indented(grid)
    screen.next_step("compare two of them:", "hookflash assistants diff 1 2")


@app.command("diff", epilog="Example: hookflash assistants diff 3 draft")
def diff(
    before: Annotated[str | None, typer.Argument(help="A revision; unset: the one that serves now.")] = None,
    after: Annotated[str, typer.Argument(help="Another revision, or `draft`: the working copy.")] = "draft",
    assistant: Named = None,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two revisions, or between one and the working copy, field by field."""
    found = run(_diff, read_settings(), assistant, account, before, after)
    if as_json:
        screen.as_json(msgspec.to_builtins(found))
        return
    if not found:
        screen.done("They are the same.")
        return
    table = screen.rows("field", "before", "after")
    for each in found:
        table.add_row(each.field, _value(each.before), _value(each.after))
    screen.out().print(table)
    if after == "draft":
        screen.next_step("try it:", 'hookflash ask "..." --draft')


@app.command("publish", epilog='Example: hookflash assistants publish --note "Shorter answers"')
def publish(assistant: Named = None, note: Note = "", account: Account = None) -> None:
    """Make a revision of the working copy. Sessions that begin from now on are served by it, those that run keep theirs."""
    made = run(_publish, read_settings(), assistant, account, note)
    screen.done(f"Published as revision {made.revision} of {made.name}.")
    screen.next_step("take it back, if need be:", f"hookflash assistants rollback {made.revision - 1}")


@app.command("rollback", epilog="Example: hookflash assistants rollback 3")
def rollback(
    revision: Annotated[int, typer.Argument(min=1, help="The revision to serve again.")],
    assistant: Named = None,
    note: Note = "",
    account: Account = None,
) -> None:
    """Publish an earlier revision again, as a new one. What is unpublished in the working copy stays there."""
    made = run(_rollback, read_settings(), assistant, account, revision, note)
    screen.done(f"Revision {revision} serves again, as revision {made.revision} of {made.name}.")


_DEFAULT = AssistantConfig()


def _unpublished(assistant: store.Assistant) -> list[str]:
    return [each.field for each in differences(assistant.config, assistant.draft)]


def _data(assistant: store.Assistant) -> dict[str, Any]:
    return {
        "id": assistant.id,
        "name": assistant.name,
        "revision": assistant.revision,
        "unpublished": _unpublished(assistant),
    }


def _brief(revision: store.Revision) -> dict[str, Any]:
    return {
        "revision": revision.revision,
        "kind": revision.kind,
        "note": revision.note,
        "made_by": revision.made_by,
        "created_at": revision.created_at.isoformat(),
    }


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _list(settings: Settings, account: str | None) -> list[store.Assistant]:
    async with open_core(settings) as core, core.db.tenant(await account_meant(core, account)) as conn:
        return await whole(lambda cursor: store.page(conn, 100, cursor))


async def _show(
    settings: Settings, wanted: str | None, account: str | None
) -> tuple[store.Assistant, list[store.Revision]]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = await assistant_meant(core, account_id, wanted)
        async with core.db.tenant(account_id) as conn:
            return found, await whole(lambda cursor: store.revisions(conn, found.id, 100, cursor))


async def _diff(
    settings: Settings, wanted: str | None, account: str | None, before: str | None, after: str
) -> tuple[Difference, ...]:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = await assistant_meant(core, account_id, wanted)
        return differences(
            await _config(core, account_id, found, before or str(found.revision)),
            await _config(core, account_id, found, after),
        )


async def _config(core: Core, account_id: str, found: store.Assistant, which: str) -> AssistantConfig:
    if which == "draft":
        return found.draft
    if not which.isdecimal():
        raise Invalid(f"{which} is no revision.", hint="a number, or: draft")
    async with core.db.tenant(account_id) as conn:
        return (await store.revision(conn, found.id, int(which))).config


async def _publish(settings: Settings, wanted: str | None, account: str | None, note: str) -> store.Assistant:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = await assistant_meant(core, account_id, wanted)
        now = core.clock.now()
        async with core.db.tenant(account_id) as conn:
            made = await store.publish(conn, account_id, found.id, now, note=note)
            told = {"by": None, "revision": made.revision, "note": note}
            await journal(conn, account_id, "assistant.published", found.id, None, told, now)
        return made


async def _rollback(
    settings: Settings, wanted: str | None, account: str | None, revision: int, note: str
) -> store.Assistant:
    async with open_core(settings) as core:
        account_id = await account_meant(core, account)
        found = await assistant_meant(core, account_id, wanted)
        now = core.clock.now()
        async with core.db.tenant(account_id) as conn:
            made = await store.restore(conn, account_id, found.id, revision, now, note=note)
            told = {"by": None, "revision": made.revision, "again": revision}
            await journal(conn, account_id, "assistant.restored", found.id, None, told, now)
        return made
