"""What the terminal shows: two consoles, the few styles of the house, progress bars, failures and next steps."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

_NAME = "hookflash"
_COMMAND = re.compile(r"\bhookflash(?= [a-z])")

_THEME = Theme(
    {
        "them": "bold cyan",
        "us": "bold green",
        "faint": "dim",
        "good": "green",
        "doubtful": "yellow",
        "bad": "bold red",
        "address": "cyan",
        "command": "bold",
    }
)


def out() -> Console:
    """The console of results. Made anew: a test may have put another stream in the place of stdout."""
    return Console(theme=_THEME, highlight=False, soft_wrap=False)


def err() -> Console:
    """The console of progress and failures."""
    return Console(theme=_THEME, highlight=False, stderr=True)


def program() -> str:
    """How this program is called here: by its path where its directory is not on the PATH, as after `make demo`."""
    called = sys.argv[0]
    return called if Path(called).name == _NAME and shutil.which(_NAME) is None else _NAME


def _callable(words: str) -> str:
    """The commands among words, as they can be typed here."""
    return words if program() == _NAME else _COMMAND.sub(lambda _: program(), words)


def fail(message: str, hint: str | None = None) -> None:
    """Say what went wrong, and how to mend it."""
    console = err()
    for line in message.splitlines():
        console.print(Text.assemble(("✗ ", "bad"), line), soft_wrap=True)
    if hint:
        console.print(Text.assemble(("  → ", "faint"), _callable(hint)), soft_wrap=True)


def done(message: str) -> None:
    """Say what went well."""
    out().print(Text.assemble(("✓ ", "good"), message), soft_wrap=True)


def warn(message: str) -> None:
    err().print(Text.assemble(("! ", "doubtful"), message), soft_wrap=True)


def next_step(what: str, command: str = "") -> None:
    """The one obvious thing to do next."""
    line = Text.assemble(("Next: ", "faint"), what)
    if command:
        line.append("  " if what else "").append(_callable(command), "command")
    out().print(line, soft_wrap=True)


def as_json(value: Any) -> None:
    """Data for a program."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def rows(*columns: str) -> Table:
    """A table without a frame, one column a name; the first one, which names things, is never broken."""
    table = Table(box=None, pad_edge=False, header_style="faint", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table


def pairs(**styles: str) -> Table:
    """A grid of names and values; print it with `indented`."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style=styles.get("name", "faint"), no_wrap=True)
    grid.add_column(style=styles.get("value", ""), overflow="fold")
    return grid


def indented(what: RenderableType) -> None:
    """Print something two columns to the right."""
    out().print(Padding(what, (0, 0, 0, 2)))


@contextmanager
def progress(*, of: str) -> Iterator[Progress]:
    """A bar that goes away when the work is done."""
    with Progress(
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TextColumn(of),
        TextColumn("[dim]{task.fields[note]}"),
        console=err(),
        transient=True,
    ) as bar:
        yield bar


def money(micros: int) -> str:
    """Micro-dollars for a person."""
    return f"${micros / 1e6:.4f}".rstrip("0").ljust(5, "0") if micros else "$0"


def milliseconds(ms: float) -> str:
    """A duration for a person."""
    return f"{ms / 1000:.1f} s" if ms >= 1_000 else f"{ms:.0f} ms"
