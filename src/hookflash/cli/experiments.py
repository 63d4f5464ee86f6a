"""`hookflash experiments`: variants of an assistant that are compared on real conversations."""

from typing import Annotated

import typer

from hookflash.base.paging import whole
from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.conversation.journal_store import journal
from hookflash.insight import experiment_store as store
from hookflash.insight.experiment_routes import ShownExperiment, shown
from hookflash.settings import Settings
from hookflash.wiring import open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Variants of an assistant, compared on real conversations.",
    epilog="Example: hookflash experiments list",
)

Which = Annotated[str, typer.Argument(help="The experiment's id.")]
Account = Annotated[str | None, typer.Option(help="The account, where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

_VERDICTS = {
    "go on": "The figures are not enough yet: go on.",
    "won": "{winner} is better than the control: publish it.",
    "kept": "The control is better than everything else: keep it.",
    "no difference": "There is no difference that is worth waiting for: stop.",
}


@app.command("list", epilog="Example: hookflash experiments list")
def list_(account: Account = None, as_json: AsJson = False) -> None:
    """Show the experiments of an account."""
    found = run(_list, read_settings(), account)
    if as_json:
        screen.as_json([shown(each).model_dump(mode="json") for each in found])
        return
    table = screen.rows("experiment", "name", "variants", "state", "since")
    for each in found:
        variants = ", ".join(f"{variant.name} {variant.share} %" for variant in each.variants)
        state = each.state if each.state == "running" else f"{each.state}: {each.winner or 'nothing changed'}"
        table.add_row(each.id, each.name, variants, state, f"{each.started_at:%Y-%m-%d %H:%M}")
    screen.out().print(table)
    screen.next_step("see how one goes:", "hookflash experiments show EXPERIMENT")


@app.command("show", epilog="Example: hookflash experiments show expt_06bq3v0d5k8n2r7t1w4y9zac3e")
def show(experiment: Which, account: Account = None, as_json: AsJson = False) -> None:
    """Show what came of each variant, and whether that is enough. It may be looked at as often as one likes."""
    _tell(run(_show, read_settings(), account, experiment), as_json=as_json)


@app.command(
    "conclude", epilog="Example: hookflash experiments conclude expt_06bq3v0d5k8n2r7t1w4y9zac3e --winner shorter"
)
def conclude(
    experiment: Which,
    winner: Annotated[
        str | None, typer.Option(help="The variant to publish; unset: everything stays as it is published.")
    ] = None,
    account: Account = None,
    as_json: AsJson = False,
) -> None:
    """End an experiment, and publish the winner as a new revision. Sessions that run keep their variant."""
    ended = run(_conclude, read_settings(), account, experiment, winner)
    _tell(ended, as_json=as_json)
    if not as_json and ended.published:
        screen.done(f"Published as revision {ended.published}.")


def _tell(found: ShownExperiment, *, as_json: bool) -> None:
    if as_json:
        screen.as_json(found.model_dump(mode="json"))
        return
    p = {each.variant: each.p for each in found.standing.compared} if found.standing else {}
    table = screen.rows("variant", "people", "resolved", "to a person", "rating", "cost", "thinking", "p")
    for each in found.measures or []:
        table.add_row(
            each.variant,
            str(each.sessions),
            _percent(each.resolution),
            _percent(each.hand_off),
            f"{each.rating:.2f} of {each.ratings}" if each.rating is not None else "",
            screen.money(each.cost_micros),
            screen.milliseconds(each.latency_ms) if each.latency_ms is not None else "",
            f"{p[each.variant]:.4f}" if each.variant in p else "",
        )
    screen.out().print(table)
    if found.state != "running":
        screen.done(f"It is over: {found.winner} has won." if found.winner else "It is over, and nothing was changed.")
    elif found.standing:
        screen.done(_VERDICTS[found.standing.verdict].format(winner=found.standing.winner))
    if found.state == "running":
        screen.next_step("end it:", f"hookflash experiments conclude {found.id} --winner VARIANT")


def _percent(share: float | None) -> str:
    return f"{100 * share:.1f} %" if share is not None else ""


async def _list(settings: Settings, account: str | None) -> list[store.Experiment]:
    async with open_core(settings) as core, core.db.tenant(await account_meant(core, account)) as conn:
        return await whole(lambda cursor: store.page(conn, 100, cursor))


async def _show(settings: Settings, account: str | None, wanted: str) -> ShownExperiment:
    async with open_core(settings) as core, core.db.tenant(await account_meant(core, account)) as conn:
        found = await store.get(conn, wanted)
        return shown(found, await store.figures(conn, found, core.clock.now()))


async def _conclude(settings: Settings, account: str | None, wanted: str, winner: str | None) -> ShownExperiment:
    async with open_core(settings) as core:
        account_id, now = await account_meant(core, account), core.clock.now()
        async with core.db.tenant(account_id) as conn:
            ended = await store.conclude(conn, wanted, winner, now)
            told = {"by": None, "winner": ended.winner, "revision": ended.published}
            await journal(conn, account_id, "experiment.concluded", ended.id, None, told, now)
        return shown(ended)
