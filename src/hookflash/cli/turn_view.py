"""How a turn looks in a terminal: what was said, found and answered, what it took and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hookflash.cli.screen import money
from hookflash.cli.turns_store import Taken

NAME_WIDTH = 12

# Stages in the order in which they happen, as a person calls them.
STAGES = {
    "waited": "waited",
    "language": "language",
    "resolve": "follow-up",
    "cache": "cache",
    "search": "search",
    "model": "answer",
    "thinking": "thinking",
}
_KINDS = {
    "answered": ("answered", "good"),
    "clarified": ("asked back", "doubtful"),
    "unknown": ("does not know", "doubtful"),
    "failed": ("nobody could answer", "bad"),
    "refused": ("not let through", "doubtful"),
}
_BAR = 10


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage as a line of the table."""

    score: float
    title: str
    headings: tuple[str, ...]
    dense: float | None
    keyword: float | None
    cited: bool


def passage_rows(sources: Sequence[Mapping[str, Any]], headings: Mapping[int, tuple[str, ...]]) -> list[PassageRow]:
    """The sources of a turn's record."""
    return [
        PassageRow(s["score"], s["title"], headings.get(s["chunk_id"], ()), s["dense"], s["keyword"], s["cited"])
        for s in sources
    ]


def aside(words: str, style: str = "faint") -> RenderableType:
    """A remark below what was said."""
    return Padding(Text(words, style), (0, 0, 0, NAME_WIDTH + 2))


def speech(who: str, style: str, words: str) -> RenderableType:
    """What somebody said, beside their name."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=NAME_WIDTH, justify="right", style=style)
    grid.add_column(overflow="fold")
    grid.add_row(who, Text(words))
    return grid


def passages(rows: Sequence[PassageRow]) -> RenderableType:
    """Passages with their scores, the best first; those that the answer rests on are marked."""
    if not rows:
        return speech("found", "faint", "nothing that bears on it")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=NAME_WIDTH, justify="right", style="faint")
    grid.add_column(width=_BAR)
    grid.add_column(justify="right")
    grid.add_column(overflow="fold", ratio=1)
    grid.add_column(style="faint", justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        filled = round(min(max(row.score, 0.0), 1.0) * _BAR)
        style = "good" if row.cited else "faint"
        bar = Text.assemble(("━" * filled, style), ("─" * (_BAR - filled), "faint"))
        place = Text(" › ".join((row.title, *row.headings)), style="" if row.cited else "faint")
        halves = [f"cosine {row.dense:.2f}" if row.dense is not None else "", ""]
        halves[1] = f"words {row.keyword:.1f}" if row.keyword is not None else ""
        grid.add_row(
            "" if number else "found", bar, Text(f"{row.score:.2f}", style), place, "  ".join(filter(None, halves))
        )
    return grid


def facts(turn: Taken, *, delivered: str | None = None) -> RenderableType:
    """How it ended, what it cost, and how long each stage took."""
    word, style = _KINDS.get(turn.kind, (turn.kind, "faint"))
    segments = [n for n in turn.record.get("segments", []) if n]
    line = Text.assemble((word, style))
    grounding = turn.record.get("grounding")
    for fact in (
        f"confidence {turn.confidence:.2f}" if turn.confidence is not None else None,
        f"grounded {grounding:.0%}" if grounding is not None else None,
        f"{sum(segments)} segment{'s' if sum(segments) != 1 else ''}" if segments else None,
        money(turn.cost_micros),
        turn.model,
        delivered,
    ):
        if fact:
            line.append("  ·  ", "faint").append(fact)
    lines = [line]
    if turn.question and turn.question.casefold() != turn.said.casefold():
        lines.append(Text.assemble(("understood as  ", "faint"), turn.question))
    took = turn.record.get("stages", {})
    known = [name for name in STAGES if name in took] + [name for name in took if name not in STAGES]
    stages = "  ".join(f"{STAGES.get(name, name)} {took[name]:.{0 if took[name] >= 10 else 1}f}" for name in known)
    lines += [Text(f"ms  {stages}", "faint")] if stages else []
    lines += [Text(f"fell back: {reason}", "doubtful") for reason in turn.record.get("degraded", [])]
    return Padding(Group(*lines), (0, 0, 0, NAME_WIDTH + 2))
