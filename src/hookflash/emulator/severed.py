"""Answers that never come, as ASGI callables: a connection that breaks, and one that stays silent."""

from typing import Any

SEVER = "hookflash.sever"  # among the scope's extensions: a function that breaks the connection


async def sever(scope: Any, receive: Any, send: Any) -> None:
    """Break the connection without a byte of an answer; raises ConnectionResetError where that cannot be done."""
    if SEVER not in scope.get("extensions", {}):
        raise ConnectionResetError("the connection breaks here")
    scope["extensions"][SEVER]()
    await receive()


async def stay_silent(scope: Any, receive: Any, send: Any) -> None:
    """Never answer; ends when the client gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass
