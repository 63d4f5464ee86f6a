"""The door for indexes of an account's own: each vendor's by its name, from entry points, ours and strangers' alike."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

import httpx2

from hookflash.base.errors import Invalid
from hookflash.knowledge.external import ExternalIndex, IndexPlace
from hookflash.providers.guarded import Resolve, allowed_address, guarded_client

_SECONDS = 5.0
INDEXES = "hookflash.indexes"
_ACCOUNT = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """What a vendor's constructor is given besides the place: means that reach nothing which accounts must not reach.

    `client` makes an HTTP client, which the index closes; `resolve` gives the addresses at which a host may be reached
    and raises Invalid for one that must not be; `files` is where operators put accounts' index files.
    """

    client: Callable[[], httpx2.AsyncClient]
    resolve: Resolve
    files: Path

    def directory(self, account_id: str) -> Path:
        """Where the index files of an account lie."""
        if not _ACCOUNT.fullmatch(account_id):
            raise Invalid("this is no id of an account")
        return self.files / account_id


def open_index(config: IndexConfig, place: IndexPlace) -> ExternalIndex:
    """The index at a place, not yet asked for anything. It may load a vendor's package, which takes seconds.

    Raises Invalid for a vendor that is not installed, or options that it does not understand.
    """
    points = tuple(entry_points(group=INDEXES, name=place.vendor))
    if not points:
        known = ", ".join(sorted(point.name for point in entry_points(group=INDEXES))) or "none"
        raise Invalid(f"there is no vendor of indexes named {place.vendor!r}; there are: {known}", field="index.vendor")
    try:
        make = cast(Callable[[IndexConfig, IndexPlace], ExternalIndex], points[0].load())
    except ModuleNotFoundError as error:
        raise Invalid(
            f"{place.vendor!r} needs the Python package {error.name!r}, which is not installed here",
            field="index.vendor",
            hint=f"the operator runs: pip install 'hookflash[{place.vendor}]'",
        ) from error
    return make(config, place)


def index_config(allow: frozenset[str], files: Path) -> IndexConfig:
    """`allow` are hosts (a directory of sockets is one too) that are reached wherever they are."""
    allow = frozenset(host.casefold() for host in allow)

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host.startswith("/"):
            if host.casefold() not in allow:
                raise Invalid(
                    "sockets of this machine may not be reached",
                    field="index.secrets.url",
                    hint="an operator can allow their directory by HOOKFLASH_ALLOWED_HOSTS",
                )
            return (host,)
        return (await allowed_address(host.casefold(), port, allow),)

    return IndexConfig(partial(guarded_client, allow=allow, timeout=_SECONDS), resolve, files)
