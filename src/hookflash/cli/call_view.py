"""How a call looks in a terminal: who spoke when, what was found, how long each answer took, where it was cut off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hookflash.cli.screen import milliseconds
from hookflash.cli.turns_store import Taken
from hookflash.emulator.call_record import CallRecord

Span = tuple[float, float]

_BREATH = 0.8  # seconds between two sentences of one answer
_STRIP = 64
# The measures of a turn as a person calls them, all counted from the end of the caller's speech.
MEASURES = {
    "final_words": "words",
    "first_text": "first token",
    "first_sound": "first sound sent",
}


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody spoke from `at` to `until` (seconds of the call). `waited`: how long the caller had waited for it."""

    at: float
    until: float
    ours: bool
    words: str
    waited: float | None = None
    cut: bool = False
    turn: Taken | None = None


def utterances(record: CallRecord) -> list[tuple[float, float, str]]:
    """When the person spoke, and what."""
    found: list[tuple[float, float, str]] = []
    for entry in record.of("speaks", "spoke"):
        if entry.kind == "speaks":
            found.append((entry.at, entry.at, entry.data["text"]))
        elif found:
            found[-1] = (found[-1][0], entry.at, found[-1][2])
    return found


def heard(record: CallRecord) -> list[Span]:
    """When the person heard us; sentences of one answer together."""
    words = record.of("heard")
    spans = [(entry.data["began"], entry.at) for entry in words] if words else record.ear.heard.spans
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] < _BREATH:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def timeline(record: CallRecord, turns: Sequence[Taken], greeting: str) -> list[Line]:
    """The call in the order in which it was spoken. What the caller said is paired with the turns one after the other."""
    said, spans = utterances(record), heard(record)
    lines = [Line(start, end, False, words) for start, end, words in said]
    first = said[0][0] if said else float("inf")
    for start, end in spans:
        if start < first:
            lines.append(Line(start, end, True, greeting))
            break
    for number, turn in enumerate(turns[: len(said)]):
        ended = said[number][1]
        following = said[number + 1][0] if number + 1 < len(said) else float("inf")
        answers = [span for span in spans if ended - 0.05 <= span[0] < following]
        if answers:
            start = answers[0][0]
            cut = bool(turn.record.get("interrupted"))
            measured = turn.record.get("measures", {}).get("first_played")
            waited = start - ended if measured is None else measured
            lines.append(Line(start, answers[-1][1], True, turn.answered, waited, cut, turn))
    return sorted(lines, key=lambda line: line.at)


def shown(lines: Sequence[Line]) -> RenderableType:
    """The timeline."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", style="faint", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    for line in lines:
        who = Text("shop", "us") if line.ours else Text("caller", "them")
        words = Text(line.words or "(nothing was heard)", "" if line.words else "faint")
        if line.cut:
            words.append(" ✂ interrupted", "doubtful")
        below = remarks(line)
        grid.add_row(clock(line.at), who, Group(words, *(Text(each, "faint") for each in below)))
    return Padding(grid, (0, 0, 0, 2))


def remarks(line: Line) -> list[str]:
    """What stands below an answer."""
    turn = line.turn
    if turn is None:
        return []
    out = []
    if line.waited is not None:
        out.append(f"{milliseconds(line.waited * 1000)} after the caller's last word{_stages(turn.record)}")
    cited = list(dict.fromkeys(s["title"] for s in turn.record.get("sources", []) if s["cited"]))
    if cited:
        out.append(f"from {', '.join(cited)}")
    whole = str(turn.record.get("whole", ""))
    if line.cut:
        out.append(f"heard {len(turn.answered)} of {len(whole)} characters, and so it is kept")
    return out


def _stages(record: Mapping[str, Any]) -> str:
    measures = record.get("measures", {})
    told = [
        f"{name} {milliseconds(measures[key] * 1000)}"
        for key, name in MEASURES.items()
        if measures.get(key) is not None
    ]
    return f"  ({' · '.join(told)})" if told else ""


def clock(seconds: float) -> str:
    """A moment of a call."""
    return f"{int(max(seconds, 0)) // 60}:{max(seconds, 0) % 60:04.1f}"


def strip(lines: Sequence[Line]) -> RenderableType:
    """Both sides over the time of the call."""
    length = max((line.until for line in lines), default=0.0) or 1.0
    rows = []
    for name, ours, style in (("caller", False, "them"), ("shop", True, "us")):
        cells = ["·"] * _STRIP
        for line in lines:
            if line.ours is ours:
                begin, end = int(line.at / length * (_STRIP - 1)), int(line.until / length * (_STRIP - 1))
                cells[max(0, begin) : end + 1] = "━" * (end + 1 - max(0, begin))
        text = Text.assemble((f"{name:>8}  ", style))
        for cell in cells:
            text.append(cell, style if cell == "━" else "faint")
        rows.append(text)
    rows.append(Text(f"{'':>10}0:00{clock(length):>{_STRIP - 4}}", "faint"))
    return Padding(Group(*rows), (0, 0, 0, 2))


def summed_up(lines: Sequence[Line]) -> str:
    """The call in a line."""
    waits = sorted(line.waited for line in lines if line.waited is not None)
    cuts = sum(line.cut for line in lines)
    told = [f"{len(waits)} answer{'' if len(waits) == 1 else 's'}"]
    if waits:
        told.append(f"half of them within {milliseconds(waits[len(waits) // 2] * 1000)}")
    told.append(f"{cuts} interruption{'' if cuts == 1 else 's'}")
    return ", ".join(told)
