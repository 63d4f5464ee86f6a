"""`hookflash emulator`: Twilio in a box, alone."""

from typing import Annotated

import typer

from hookflash.base.errors import Invalid, Misconfigured
from hookflash.base.phone import Address
from hookflash.base.secret import Secret
from hookflash.cli import screen
from hookflash.cli.logs import configure_logs
from hookflash.cli.opening import run
from hookflash.cli.roles import until_told_to_stop
from hookflash.emulator.server import Emulator

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: hookflash emulator --port 8090 --number +12025550100 --sms-url http://127.0.0.1:8080/sms")
def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8090,
    host: Annotated[
        str, typer.Option(help="Address to listen on. It asks for no password under /_emulator.")
    ] = "127.0.0.1",
    account_sid: Annotated[str | None, typer.Option(help="The account's SID; made up when not given.")] = None,
    auth_token: Annotated[
        str | None, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="The account's Auth Token; made up when not given.")
    ] = None,
    number: Annotated[
        list[str] | None, typer.Option(help="A number that the account owns; several are possible.")
    ] = None,
    sms_url: Annotated[str, typer.Option(help="Where those numbers' messages are sent.")] = "",
) -> None:
    """Run the Twilio emulator until Ctrl-C. Its state is in memory and ends with it."""
    for each in number or []:
        if not Address.parse(each).is_number and not each.isdecimal():
            raise Invalid(f"--number {each} is neither a number in E.164 form, such as +12025550100, nor a short code.")
    configure_logs("warning", "console")
    run(_serve, host, port, account_sid, auth_token, number or [], sms_url)


async def _serve(
    host: str, port: int, account_sid: str | None, auth_token: str | None, numbers: list[str], sms_url: str
) -> None:
    token = Secret(auth_token) if auth_token else None
    try:
        async with Emulator.serve(host=host, port=port, account_sid=account_sid, auth_token=token) as box:
            for number in numbers:
                box.add_number(number, sms_url=sms_url)
            _greet(box, numbers, own_token=token is None)
            await until_told_to_stop()
    except Misconfigured as error:
        raise Misconfigured(error.message, hint="choose another with --port") from None
    screen.done("Stopped.")


def _greet(box: Emulator, numbers: list[str], *, own_token: bool) -> None:
    console = screen.out()
    console.print("\n[bold]The emulator is up.[/]\n")
    grid = screen.pairs()
    grid.add_row("HOOKFLASH_TWILIO_API_URL", f"[address]{box.url}[/]")
    grid.add_row("TWILIO_ACCOUNT_SID", box.account_sid)
    grid.add_row("TWILIO_AUTH_TOKEN", box.auth_token.get_secret_value() if own_token else "[faint]as given[/]")
    for number in numbers:
        grid.add_row("Number", number)
    screen.indented(grid)
    console.print()
    screen.next_step("what its phones can do:", f"curl {box.url}/_emulator/state")
    console.print("[faint]Ctrl-C stops.[/]")
