"""`hookflash eval`: how good answers are, in figures that can be compared with the last ones."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer
from pydantic import ValidationError

from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.difference import changed
from hookflash.assistant.model import ChatModel
from hookflash.base.errors import Invalid
from hookflash.cli import screen
from hookflash.cli.evaluate_retrieval import retrieval
from hookflash.cli.evaluate_safety import safety
from hookflash.cli.meant import account_meant, assistant_meant
from hookflash.cli.opening import read_settings, run
from hookflash.cli.turn_view import speech
from hookflash.insight import replay_store
from hookflash.insight.evaluation import Case, Difference, Outcome, Replayed, compare, read_cases
from hookflash.insight.trial import Trial
from hookflash.settings import Settings
from hookflash.wiring import Core, open_core

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="How good the answers are: test sets, and real conversations against a draft.",
    epilog="Example: hookflash eval run questions.yaml",
)
AT_ONCE = 4

Draft = Annotated[bool, typer.Option("--draft", help="Ask the working copy, which is not published.")]
Changes = Annotated[
    Path | None, typer.Option(help="A JSON file with changes to the assistant's configuration, tried on top of it.")
]
Named = Annotated[str | None, typer.Option(help="The assistant (name or id), where there are several.")]
Owner = Annotated[str | None, typer.Option(help="The account, where there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


@app.callback()
def _group() -> None:
    """Keeps each command one of its own."""


@app.command("run", epilog="Example: hookflash eval run questions.yaml --changes shorter.json")
def run_cases(
    file: Annotated[Path, typer.Argument(help="Cases: YAML, JSON or JSON Lines.")],
    assistant: Named = None,
    draft: Draft = False,
    changes: Changes = None,
    judge: Annotated[str | None, typer.Option(help="The model that judges `judge` expectations.")] = None,
    tools: Annotated[bool, typer.Option("--tools", help="Really use the assistant's tools.")] = False,
    account: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Ask every case of a test set, judge the answers, and compare with the last run of the set. Nothing is stored or sent; tools
    are only used with --tools.

    Ends with 1 when a case fails that passed in the last run, or, in a first run, when any fails.
    """
    cases = read_cases(file.name, _text(file))
    settings = read_settings()
    outcomes = run(_run, settings, cases, assistant, _changes(changes), draft, judge, account, tools)
    kept = settings.data_dir / "evaluations" / f"{file.stem}.json"
    before = _before(kept)
    difference = compare(before or {}, outcomes)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({outcome.name: outcome.passed for outcome in outcomes}, indent=1))
    if as_json:
        screen.as_json({"cases": msgspec.to_builtins(outcomes), "difference": msgspec.to_builtins(difference)})
    else:
        _show(outcomes, difference, first=before is None)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if difference.regressed or (before is None and failed):
        raise typer.Exit(1)


@app.command("replay", epilog="Example: hookflash eval replay --hours 24 --changes shorter.json")
def replay(
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 90, help="How far back.")] = 24.0,
    limit: Annotated[int, typer.Option(min=1, max=5_000, help="At most so many turns, the latest.")] = 200,
    assistant: Named = None,
    draft: Draft = False,
    changes: Changes = None,
    account: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Ask again what customers really asked, and show who would get another answer now. Nothing is stored or sent."""
    found = run(replayed, read_settings(), hours, limit, assistant, _changes(changes), draft, account)
    differing = [each for each in found if each.differs]
    if as_json:
        screen.as_json({"turns": len(found), "differing": msgspec.to_builtins(differing)})
        return
    if not found:
        screen.warn(f"Nothing was answered in the last {hours:g} hours.")
        screen.next_step("ask something as a customer:", "hookflash text")
        return
    for each in differing:
        screen.out().print(speech("customer", "them", each.contact_id))
        screen.out().print(speech("said", "faint", each.said))
        screen.out().print(speech("then", "faint", f"({each.kind}) {each.answered}"))
        screen.out().print(speech("now", "doubtful", f"({each.now_kind}) {each.now_answered}\n"))
    people = len({each.contact_id for each in differing})
    screen.done(f"{len(found)} turns asked again: {len(differing)} answers differ, of {people} customers.")
    screen.next_step("keep the ones that matter as cases:", "hookflash eval run FILE")


async def _run(
    settings: Settings,
    cases: list[Case],
    wanted: str | None,
    changes: dict[str, Any],
    draft: bool,
    judge: str | None,
    account: str | None,
    tools: bool,
) -> list[Outcome]:
    async with open_core(settings) as core:
        judge_by = core.providers.model(judge) if judge else None
        trial = replace(await _trial(core, wanted, changes, account, judge_by, draft=draft), tools=tools)
        outcomes: dict[int, Outcome] = {}
        limiter = anyio.CapacityLimiter(AT_ONCE)
        with screen.progress(of="cases") as bar:
            task = bar.add_task("asking", total=len(cases), note="")

            async def one(number: int, case: Case) -> None:
                async with limiter:
                    outcomes[number] = await trial.run(case)
                bar.update(task, advance=1, note=case.name[:40])

            async with anyio.create_task_group() as tasks:
                for number, case in enumerate(cases):
                    tasks.start_soon(one, number, case)
        return [outcomes[number] for number in range(len(cases))]


async def replayed(
    settings: Settings,
    hours: float,
    limit: int,
    wanted: str | None,
    changes: dict[str, Any],
    draft: bool,
    account: str | None,
) -> list[Replayed]:
    """What was said, asked again."""
    async with open_core(settings) as core:
        trial = await _trial(core, wanted, changes, account, None, draft=draft)
        since: datetime = core.clock.now() - timedelta(hours=hours)
        async with core.db.tenant(trial.account_id) as conn:
            past = await replay_store.turns_since(conn, trial.assistant_id, since, limit)
        found = []
        with screen.progress(of="turns") as bar:
            task = bar.add_task("asking again", total=len(past), note="")
            for turn in past:
                ending = await trial.again(turn.said, turn.language, turn.history)
                found.append(
                    Replayed(
                        turn.turn_id, turn.contact_id, turn.said, turn.kind, turn.answered, ending.kind, ending.text
                    )
                )
                bar.update(task, advance=1)
        return found


async def _trial(
    core: Core,
    wanted: str | None,
    changes: dict[str, Any],
    account: str | None,
    judge_by: ChatModel | None,
    *,
    draft: bool,
) -> Trial:
    account_id = await account_meant(core, account)
    found = await assistant_meant(core, account_id, wanted)
    config = changed(found.draft if draft else found.config, AssistantConfig.model_validate(changes))
    return Trial(core.answer, account_id, found.id, found.revision, config, core.clock.now, core.guard.gates, judge_by)


def _changes(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        changes = json.loads(_text(file))
    except ValueError as error:
        raise Invalid(f"{file} is not JSON: {error}") from None
    if not isinstance(changes, dict):
        raise Invalid(f"{file} must hold one object: the fields that change.")
    try:
        AssistantConfig.model_validate(changes)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise Invalid(f"{file}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
    return changes


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid(f"There is no file {file}.") from None
    except IsADirectoryError:
        raise Invalid(f"{file} is a directory.") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not UTF-8 text.") from None


def _before(kept: Path) -> dict[str, bool] | None:
    """Which cases passed in the last run, if there was one that can be read."""
    try:
        found = json.loads(kept.read_text())
    except (OSError, ValueError):
        return None
    return {str(name): bool(passed) for name, passed in found.items()} if isinstance(found, dict) else None


def _show(outcomes: list[Outcome], difference: Difference, *, first: bool) -> None:
    for outcome in outcomes:
        for step in outcome.steps:
            if not step.passed:
                why = "\n".join(f"{j.expectation}: {j.why}" for j in step.judgements if not j.passed)
                broke = outcome.name in difference.broken
                screen.out().print(speech(*(("broke", "bad") if broke else ("fails", "doubtful")), outcome.name))
                if step.said != outcome.name:
                    screen.out().print(speech("said", "faint", step.said))
                screen.out().print(speech("answer", "us", step.answered))
                screen.out().print(speech("why", "faint", f"{why}\n"))
    passed = sum(outcome.passed for outcome in outcomes)
    steps = [step for outcome in outcomes for step in outcome.steps]
    times = sorted(step.ms for step in steps)
    cost = screen.money(sum(step.micros for step in steps))
    screen.out().print(
        f"{passed} of {len(outcomes)} cases pass; p50 {screen.milliseconds(times[len(times) // 2])} an answer, {cost} in all"
    )
    if not first:
        screen.out().print(
            f"since the last run: {len(difference.broken)} broke, {len(difference.mended)} mended,"
            f" {len(difference.new)} new, {len(difference.gone)} gone"
        )
    if passed < len(outcomes):
        screen.next_step("see why an answer is as it is:", 'hookflash ask "..."')
    else:
        screen.next_step("ask real customers' questions of a draft:", "hookflash eval replay --draft")


app.command("retrieval", epilog="Example: hookflash eval retrieval questions.jsonl --check 0.9")(retrieval)
app.command("safety", epilog="Example: hookflash eval safety --part test")(safety)
