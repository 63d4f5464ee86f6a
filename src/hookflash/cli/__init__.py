"""The command line: which commands there are, and what each kind of failure says and returns.

A command's module is imported when the command is called, so that `hookflash --help` and `hookflash text` need not wait
for the whole program to load.
"""

import os
import re
import sys
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from hookflash.cli.failure import exit_code, sentence

# Command: its module, and the line that the overview shows (the module's own first line of help).
COMMANDS = {
    "up": ("up", "Run everything, with the emulator in Twilio's place, until Ctrl-C."),
    "text": ("text", "Chat as a customer, through the emulator of a running `up`."),
    "call": ("call", "Ring somebody, or try a call with nothing but this machine."),
    "demo": ("demo", "See three customer texts answered; nothing is left behind."),
    "ingest": ("ingest", "Take documents in, so that answers can rest on them."),
    "reindex": ("reindex", "Copy vectors into the index outside PostgreSQL."),
    "ask": ("ask", "Ask a question here: the passages found, and the answer."),
    "eval": ("evaluate", "How good the answers are: test sets, and real conversations against a draft."),
    "explain": ("explain", "Why an answer is as it is."),
    "init": ("init", "Write a settings file in which everything is explained."),
    "migrate": ("migrate", "Bring the database up to date."),
    "serve": ("serve", "Run the web role, the worker role, or both."),
    "worker": ("worker", "Run the worker role."),
    "doctor": ("doctor", "Prove each link between Twilio and the answer."),
    "integrations": ("integrations", "The numbers, and which assistant answers them."),
    "assistants": ("assistants", "Who answers: working copies, published revisions, and the way back."),
    "experiments": ("experiments", "Variants of an assistant, compared on real conversations."),
    "tools": ("tools", "What assistants can do."),
    "contacts": ("contacts", "The people who write and call."),
    "import": ("copying", "Bring here what other servers have."),
    "keys": ("keys", "API keys."),
    "accounts": ("accounts", "Accounts: each has its own numbers, documents and conversations."),
    "audit": ("audit", "The journal of everything that was said and done."),
    "emulator": ("emulator", "Run the Twilio emulator alone."),
}

_HELP = """Hookflash answers the texts that customers send to your Twilio numbers, from your own documents.

Exit codes: 0 all went well, 1 something failed, 2 wrong usage,
3 a setting is missing or wrong, 4 something cannot be reached."""


def _flow(command: Any) -> None:
    """Let the terminal, not the source, decide where the paragraphs of the help are broken into lines."""
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for inner in getattr(command, "commands", {}).values():
        _flow(inner)


class _Commands(TyperGroup):
    """Finds each command's module when it is needed, and puts failures into a sentence."""

    _overview = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, summary = COMMANDS[cmd_name]
        if self._overview:
            return TyperCommand(cmd_name, help=summary, rich_markup_mode=self.rich_markup_mode)
        command = typer.main.get_command(import_module(f"hookflash.cli.{module}").app)
        command.name = cmd_name
        _flow(command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._overview = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._overview = False

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BaseException as error:
            told = sentence(error)
            if told is None:
                raise
            # Imported here: only failures need it, and rich takes a tenth of a second.
            from hookflash.cli.screen import fail

            fail(*told)
            raise typer.Exit(exit_code(error)) from None


app = typer.Typer(
    cls=_Commands,
    name="hookflash",
    help=_HELP,
    epilog="Example: hookflash up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from hookflash import __version__

        print(f"hookflash {__version__}")  # noqa: T201
        raise typer.Exit


def main() -> None:
    """What the console script calls."""
    if hasattr(sys.stdout, "reconfigure") and "PYTHONIOENCODING" not in os.environ:
        sys.stdout.reconfigure(errors="replace")
        sys.stderr.reconfigure(errors="replace")  # type: ignore[union-attr]
    app()
