"""Every command explains itself, shows an example, and stands with all its options in the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup, TyperOption
from typer.testing import CliRunner

from hookflash.base.errors import Invalid, Misconfigured, NotFound, TwilioFailed, Unavailable
from hookflash.cli import COMMANDS, app
from hookflash.cli.failure import exit_code, sentence
from hookflash.cli.screen import fail, next_step

DOCS = Path(__file__).parents[2] / "docs"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name, groups aside."""
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = root.get_command(None, name)
        if isinstance(command, TyperGroup):
            for part, inner in command.commands.items():
                yield f"{name} {part}", inner
        else:
            yield name, command


ALL = dict(commands())


def options(command: Any) -> list[str]:
    return [parameter.opts[0] for parameter in command.params if isinstance(parameter, TyperOption)]


def test_all_that_was_promised_is_there() -> None:
    promised = (
        "up serve worker migrate init doctor ingest ask text call demo emulator integrations.list integrations.create"
        " integrations.enable integrations.disable keys.create keys.list keys.revoke accounts.create accounts.list"
        " explain assistants.list assistants.show assistants.diff assistants.publish assistants.rollback experiments.list"
        " experiments.show experiments.conclude tools.list tools.test import.twilio-assistants contacts.show reindex"
        " audit.verify eval.run eval.replay eval.retrieval eval.safety"
    )
    assert {name.replace(".", " ") for name in promised.split()} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_help_shows_an_example_that_fits(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    found = re.search(r"Example: (.*)", shown.output)
    assert found, "the help ends with an example"
    assert f"hookflash {name}" in found[1]
    for option in re.findall(r" (--[a-z-]+)", found[1]):
        assert option in options(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_a_command_and_its_options_are_documented_and_explained(name: str) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^##+ `hookflash {name}`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section of hookflash {name}"
    for option in options(ALL[name]):
        assert f"`{option}" in section[1], option
    assert set(re.findall(r"^\| `(--[a-z-]+)", section[1], re.MULTILINE)) == set(options(ALL[name]))
    for parameter in ALL[name].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_no_page_names_a_command_or_option_that_is_not_there(page: Path) -> None:
    for line in re.findall(r"\bhookflash ((?:[a-z]+ ?)+[^`\n]*)", page.read_text(encoding="utf-8")):
        words = line.split()
        if words[0] not in COMMANDS:
            continue
        command = ALL.get(words[0]) or ALL.get(" ".join(words[:2]))
        if command is not None:
            used = set(re.findall(r"(?<!\S)(--[a-z-]+)", line))
            assert used <= {*options(command), "--help"}, line


def test_the_overview_names_every_command_and_loads_none() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"{name} +{re.escape(summary)}", shown.output)


def test_the_exit_codes_are_those_of_the_documentation() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for error, code in (
        (NotFound("x"), 1),
        (Invalid("x"), 2),
        (Misconfigured("x"), 3),
        (Unavailable("x"), 4),
        (TwilioFailed("x", retryable=True), 4),
        (TwilioFailed("x"), 1),
        (KeyboardInterrupt(), 130),
    ):
        assert exit_code(error) == code
        assert f"| {code} |" in text
    assert CliRunner().invoke(app, ["serve"]).exit_code == 2
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def test_a_failure_is_a_sentence_and_a_defect_is_not_hidden() -> None:
    assert sentence(ExceptionGroup("", [Misconfigured("It is wrong.", hint="mend it")])) == ("It is wrong.", "mend it")
    assert sentence(OSError(28, "No space left on device", "file")) == (
        "The disk is full (file).",
        "free some space, or set HOOKFLASH_DATA_DIR to another disk",
    )
    assert sentence(FileNotFoundError(2, "No such file or directory", "a/b")) == (
        "a/b: No such file or directory.",
        None,
    )
    assert sentence(ValueError("a defect")) is None
    assert sentence(ExceptionGroup("", [Misconfigured("one"), ValueError("two")])) is None


def test_paragraphs_of_the_help_are_broken_by_the_terminal() -> None:
    shown = CliRunner().invoke(app, ["ingest", "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert "only the changed passages are embedded anew. A document is known by" in shown.output


def test_hints_name_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [".venv/bin/hookflash"])
    fail("Nothing is running.", "in another terminal, run: hookflash up")
    assert "run: .venv/bin/hookflash up" in capsys.readouterr().err
    (tmp_path / "hookflash").touch(mode=0o755)
    next_step("start it:", "hookflash up")
    assert "start it:  hookflash up" in capsys.readouterr().out
