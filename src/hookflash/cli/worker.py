"""`hookflash worker`: the worker role alone."""

import typer

from hookflash.cli.opening import read_settings, run
from hookflash.cli.serve import Role, serve_until_stopped

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash worker")
def worker() -> None:
    """Run the worker role: it thinks of answers and sends them. The same as `hookflash serve --role worker`."""
    run(serve_until_stopped, read_settings(chatty=True), Role.WORKER)
