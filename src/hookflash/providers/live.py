"""A live connection to a speech vendor: opened in finite time, given up when it goes quiet, its failures told as ours."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from hookflash.base.clock import Clock, within
from hookflash.base.errors import HookflashError, Misconfigured, Unavailable
from hookflash.base.tasks import bare_error
from hookflash.providers.registry import ProviderConfig

# Seconds: a caller is waiting, and another vendor may be at hand.
CONNECT = 3.0
QUIET = 4.0
# A dead line that nobody closed is noticed by unanswered pings, in seconds of the machine's clock.
_PING = 5.0
_LARGEST = 4 * 1024 * 1024
_WRONG_REQUEST = frozenset({400, 404, 405, 409, 413, 414, 415, 422})

# The library writes headers and messages, so keys and what was said, when debugging is on. Nobody finds this logger by a
# name, so nobody's configuration of logging turns it on again.
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a person is told of a vendor: its name, and the setting that holds its key."""

    name: str
    setting: str

    def key(self, config: ProviderConfig) -> str:
        """The vendor's key; raises Misconfigured when there is none."""
        key = config.text(self.setting)
        if key is None:
            raise Misconfigured(f"{self.setting} is not set, and without it {self.name} does not answer.")
        return key

    def refused(self, status: int) -> HookflashError:
        """What an HTTP status that is no success means."""
        if status in (401, 403):
            return Misconfigured(
                f"{self.name} does not accept the key in {self.setting}.",
                hint="check the key, and that it may use this service",
            )
        if status in _WRONG_REQUEST:
            return Misconfigured(
                f"{self.name} refuses the request (HTTP {status}).",
                hint="check the names of the model, the voice and the language",
            )
        return Unavailable(f"{self.name} answered HTTP {status}.")

    def unreachable(self) -> Unavailable:
        return Unavailable(f"{self.name} cannot be reached.")

    def lost(self) -> Unavailable:
        return Unavailable(f"The connection to {self.name} broke.")

    def silent(self) -> Unavailable:
        return Unavailable(f"{self.name} has fallen silent.")

    def unreadable(self) -> Unavailable:
        return Unavailable(f"{self.name} sent what cannot be read.")

    def failed(self, code: str) -> Unavailable:
        """`code` is the vendor's word for it; never its sentence, which may quote what was said."""
        return Unavailable(f"{self.name} reported an error ({code[:60]}).")


def socket_address(address: str) -> str:
    """The same address for a web socket."""
    return "ws" + address.removeprefix("http").rstrip("/") if address.startswith("http") else address.rstrip("/")


async def dial(vendor: Vendor, url: str, headers: Mapping[str, str], clock: Clock) -> ClientConnection:
    """Open a web socket; raises Unavailable or Misconfigured."""

    async def attempt() -> ClientConnection:
        return await connect(
            url,
            additional_headers=dict(headers),
            user_agent_header="hookflash",
            compression=None,
            open_timeout=None,
            close_timeout=1.0,
            ping_interval=_PING,
            ping_timeout=_PING,
            max_size=_LARGEST,
            logger=_SILENT,
        )

    try:
        return await within(clock, CONNECT, attempt)
    except InvalidStatus as error:
        raise vendor.refused(error.response.status_code) from None
    except InvalidURI as error:
        raise Misconfigured(
            f"The address of {vendor.name} is not one of a web socket.", hint="write it as https://host or wss://host"
        ) from error
    except (InvalidHandshake, ConnectionClosed, OSError, EOFError) as error:
        raise vendor.unreachable() from error


async def hang_up(socket: ClientConnection, farewell: str | None = None) -> None:
    """Close, whatever happens around: within a second, or the line is cut."""
    with anyio.CancelScope(shield=True):
        try:
            if farewell is not None:
                await socket.send(farewell)
        except ConnectionClosed:
            pass
        await socket.close()


class Vigil:
    """Waits for a vendor only so long: `quiet` seconds from `begin()`, and anew from each, until `rest()`."""

    def __init__(self, vendor: Vendor, clock: Clock, quiet: float = QUIET) -> None:
        self._vendor = vendor
        self._clock = clock
        self._quiet = quiet
        self._since: float | None = None
        self._begun = anyio.Event()

    def begin(self) -> None:
        self._since = self._clock.monotonic()
        self._begun.set()

    def rest(self) -> None:
        self._since = None

    async def keep(self) -> None:
        """Runs beside the talk; raises Unavailable when the vendor has been quiet for too long."""
        while True:
            if self._since is None:
                self._begun = anyio.Event()
                await self._begun.wait()
                continue
            left = self._since + self._quiet - self._clock.monotonic()
            if left <= 1e-6:
                raise self._vendor.silent()
            await self._clock.sleep(left)


@asynccontextmanager
async def attended(vendor: Vendor, clock: Clock) -> AsyncIterator[Vigil]:
    """A talk with a vendor in which something must come every QUIET seconds: call `begin()` for all that came."""
    with bare_error():
        async with anyio.create_task_group() as group:
            vigil = Vigil(vendor, clock)
            vigil.begin()
            group.start_soon(vigil.keep)
            yield vigil
            group.cancel_scope.cancel()
