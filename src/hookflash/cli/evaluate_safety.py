"""`hookflash eval safety`: how well the guards work, on the sets that ship with the program."""

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
import typer

from hookflash.base.clock import SystemClock
from hookflash.cli import screen
from hookflash.cli.opening import read_settings, run
from hookflash.insight import safety_trial
from hookflash.insight.abstention_trial import Asked, ask_all, calibration_error, rates
from hookflash.insight.safety_trial import Rate, SafetyReport
from hookflash.providers.registry import Providers
from hookflash.settings import Settings


def safety(
    part: Annotated[
        Literal["test", "dev"], typer.Option(help="Which half: `dev` is the one that rules and weights were made on.")
    ] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    least: Annotated[
        float | None,
        typer.Option(
            "--check", min=0.0, max=1.0, help="End with 1 when fewer attacks are found, at 1 % of false alarms."
        ),
    ] = None,
) -> None:
    """Measure the guards: attempts to take an assistant over by kind of attack, ordinary questions refused, instructions in
    documents, personal data, invented answers, and questions that the documents do not answer.

    Nothing is stored or sent; no model of others is asked.
    """
    with screen.progress(of="tables") as bar:
        task = bar.add_task("measuring", total=5, note="")
        attacks, one_percent, refused = safety_trial.injection(part)
        bar.update(task, advance=1)
        found, precise = safety_trial.personal(part)
        bar.update(task, advance=1)
        report = SafetyReport(
            part,
            attacks,
            one_percent,
            refused,
            safety_trial.planted(part),
            safety_trial.moderation(part),
            found,
            precise,
        )
        bar.update(task, advance=1)
        report = replace(report, grounding=safety_trial.grounding(part))
        bar.update(task, advance=1)
        asked = run(_ask, read_settings(), part)
        report = replace(report, abstention=rates(asked))
        bar.update(task, advance=1)
    error = calibration_error(asked)
    if as_json:
        screen.as_json(msgspec.to_builtins(report) | {"calibration_error": round(error, 3)})
    else:
        _show(report, error)
    if least is not None and report.at_most_one_percent["both"] < least:
        screen.fail(f"{report.at_most_one_percent['both']:.3f} of the attacks are found, fewer than {least}")
        raise typer.Exit(1)


async def _ask(settings: Settings, part: str) -> list[Asked]:
    providers = Providers(settings.provider_options, clock=SystemClock(), data_dir=settings.data_dir)
    try:
        return await ask_all(providers.embedder("minilm"), part)
    finally:
        await providers.aclose()


def _show(report: SafetyReport, error: float) -> None:
    _table("attacks found", report.injection)
    ways = ", ".join(f"{name} {share:.1%}" for name, share in report.at_most_one_percent.items())
    screen.out().print(f"found where at most 1 % of ordinary questions are taken for an attack: {ways}\n")
    _table("harmless, taken for an attack", report.over_blocking)
    _table("instructions in documents found", report.planted)
    _table("moderation by rules", report.moderation)
    _table("personal data found", report.personal)
    _table("of what was found, personal data", report.personal_precision)
    _table("answers against what they were given", report.grounding)
    _table("knowing when not to answer", report.abstention)
    screen.out().print(f"confidence is off by {error:.3f} on average (expected calibration error)")


def _table(title: str, rows: dict[str, Rate]) -> None:
    grid = screen.rows(title, "share", "of")
    for name, rate in rows.items():
        grid.add_row(name, f"{rate.share:.1%}", f"{rate.hits} / {rate.of}")
    screen.out().print(grid)
