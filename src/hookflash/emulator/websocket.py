"""How Twilio opens a WebSocket: which addresses it takes, how it signs, and what it calls its failures."""

import ssl
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI

from hookflash.emulator.leg import Leg

_OPEN_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class NotOpened:
    """`code` is Twilio's error of Media Streams."""

    code: int
    detail: str


def target_of(leg: Leg, address: str) -> str | NotOpened:
    """What is asked and signed: an absolute wss address without query and fragment (ws towards this machine)."""
    try:
        parts = urlsplit(leg.address(address))
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return NotOpened(31923, f"Malformed URL: {address}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if not host or not scheme:
        return NotOpened(31923, f"Malformed URL: {address}")
    if scheme != "wss" and not (scheme == "ws" and _is_here(host)):
        return NotOpened(31922, f"URL schema not supported: {scheme}")
    return urlunsplit((scheme, parts.netloc, parts.path, "", ""))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def open_socket(leg: Leg, address: str) -> ClientConnection | NotOpened:
    """Connect, with a signed handshake."""
    target = target_of(leg, address)
    if isinstance(target, NotOpened):
        return target
    try:
        return await connect(
            target,
            additional_headers=leg.desk.courier.signature(target, {}),
            user_agent_header="Twilio.TmeWs/1.0",
            ssl=_tls() if target.startswith("wss:") else None,
            compression=None,
            proxy=None,
            open_timeout=_OPEN_TIMEOUT,
            close_timeout=2,
            ping_interval=None,
            max_size=None,
            max_queue=None,
            process_exception=lambda error: error,
        )
    except InvalidURI:
        return NotOpened(31923, f"Malformed URL: {target}")
    except InvalidHandshake as error:
        return NotOpened(31920, f"Stream - WebSocket - Handshake Error: {error}")
    except TimeoutError:
        return NotOpened(31901, "Stream - WebSocket - Connection Timeout")
    except ssl.SSLError as error:
        return NotOpened(31910, f"Stream - WebSocket - SSL Protocol Error: {error.reason}")
    except ConnectionRefusedError:
        return NotOpened(31902, "Stream - WebSocket - Connection Refused")
    except (OSError, EOFError) as error:
        return NotOpened(31904, f"Stream - WebSocket - Host Unreachable: {type(error).__name__}")
