"""`hookflash explain`: why an answer is as it is."""

from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from hookflash.cli import screen
from hookflash.cli.meant import account_meant
from hookflash.cli.opening import read_settings, run
from hookflash.cli.turn_view import NAME_WIDTH, PassageRow, aside, facts, passages, speech
from hookflash.cli.turns_store import Taken
from hookflash.insight.explain_store import explain as why
from hookflash.insight.explanation import Explanation
from hookflash.settings import Settings
from hookflash.wiring import open_core

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash explain SM0123456789abcdef0123456789abcdef --prompt")
def explain(
    message: Annotated[str, typer.Argument(help="A message to us or from us, by our id or Twilio's; or a turn.")],
    texts: Annotated[bool, typer.Option("--texts", help="Print the passages' texts too.")] = False,
    prompt: Annotated[bool, typer.Option("--prompt", help="Print the prompt too.")] = False,
    account: Annotated[str | None, typer.Option(help="The account, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the whole reason of an answer: gates, the question as understood, passages, tools, prompt, checks, models, cost."""
    found = run(_explain, read_settings(), account, message)
    if as_json:
        screen.as_json(msgspec.to_builtins(found))
        return
    for line in _lines(found, texts=texts, prompt=prompt):
        screen.out().print(line)
    if found.turn_id:
        screen.next_step("ask it again, of the working copy:", 'hookflash ask "..." --draft')


async def _explain(settings: Settings, account: str | None, wanted: str) -> Explanation:
    async with open_core(settings) as core, core.db.tenant(await account_meant(core, account)) as conn:
        return await why(conn, wanted)


def _lines(found: Explanation, *, texts: bool, prompt: bool) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if found.said:
        lines.append(speech("customer", "them", found.said))
    lines += [
        _note("gate", f"{gate.gate}: {gate.verdict}{f' ({gate.why})' if gate.why else ''}", gate.verdict == "Pass")
        for gate in found.gates
    ]
    if found.turn_id is None:
        if found.answered:
            lines.append(speech("us", "us", found.answered))
        lines.append(aside(f"{found.kind}{f': {found.why}' if found.why else ''}", "doubtful"))
        return lines
    lines.append(
        passages([PassageRow(p.score, p.title, p.headings, p.dense, p.keyword, p.cited) for p in found.passages])
    )
    lines += [
        _note("passage", f"{p.title}: it was changed or deleted since", False)
        for p in found.passages
        if p.state == "gone"
    ]
    if texts:
        lines += [speech(p.title[:NAME_WIDTH], "faint", p.text) for p in found.passages if p.text]
    for tool in found.tools:
        lines.append(
            _note(
                "tool", f"{tool['name']} {_json(tool['arguments'])}: {tool['outcome']}", tool["outcome"] == "answered"
            )
        )
        lines.append(aside(str(tool["text"])))
    lines += [_note("known", told, True) for told in found.known]
    lines.append(_note("prompt", found.prompt.why, found.prompt.proof in ("same", "none")))
    if prompt and found.prompt.system:
        lines.append(Padding(Text(found.prompt.system, "faint"), (0, 0, 0, NAME_WIDTH + 2)))
    lines += [_note(name, _json(value), True) for name, value in found.checks.items()]
    lines.append(speech("answer", "us", found.answered))
    lines.append(facts(_taken(found)))
    served = f"revision {found.revision} of {found.assistant_id}"
    if found.variant:
        served += f", variant {found.variant} of {found.experiment_id}"
    lines.append(
        aside(f"{served}, prompt {found.prompt_revision}; answers below confidence {found.threshold} are not given")
    )
    lines += [
        _note("feedback", f"{f['score']:.2f} by {f['source']} {f['text']}".rstrip(), f["score"] >= 0.5)
        for f in found.feedback
    ]
    lines += [_note("corrected", f"{c['question']} → {c['correct']}", False) for c in found.corrections]
    return lines


def _note(name: str, words: str, good: bool) -> RenderableType:
    return speech(name, "faint" if good else "doubtful", words)


def _json(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _taken(found: Explanation) -> Taken:
    return Taken(
        id=found.turn_id or "",
        said=found.said,
        question=found.question,
        answered=found.answered,
        kind=found.kind,
        confidence=found.confidence,
        model=found.model,
        language=found.language,
        record={"stages": found.stages, "degraded": list(found.degraded)},
        cost_micros=found.cost_micros,
    )
