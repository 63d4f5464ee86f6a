"""Indexes that this process holds in memory: one a source, refreshed when the source changed, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio

MAX_BYTES = 512_000_000


class Index(Protocol):
    """What can lie on a shelf."""

    @property
    def nbytes(self) -> int: ...


Indexed = TypeVar("Indexed", bound=Index)

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held(Generic[Indexed]):
    version: int
    index: Indexed


class Shelf(Generic[Indexed]):
    """`load(account, key, held)` gives the index of what the key names, a source first, made from an earlier one if any."""

    def __init__(
        self, load: Callable[[str, Key, Indexed | None], Awaitable[Indexed]], max_bytes: int = MAX_BYTES
    ) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._held: OrderedDict[Key, _Held[Indexed]] = OrderedDict()
        self._loading: dict[Key, anyio.Lock] = {}

    async def indexes(self, account_id: str, wanted: Sequence[tuple[Key, int]]) -> list[Indexed]:
        """The indexes of these (key, version), read anew where the version moved on."""
        return [await self._index(account_id, key, version) for key, version in wanted]

    async def _index(self, account_id: str, key: Key, version: int) -> Indexed:
        held = self._held.get(key)
        if held is None or held.version < version:
            lock = self._loading.setdefault(key, anyio.Lock())
            async with lock:
                held = self._held.get(key)
                if held is None or held.version < version:
                    # It may take longer than any search waits: were it broken off each time it would never be there.
                    with anyio.CancelScope(shield=True):
                        index = await self._load(account_id, key, held.index if held else None)
                    held = self._held[key] = _Held(version, index)
                    self._make_room()
            self._loading.pop(key, None)
        self._held.move_to_end(key)
        return held.index

    def _make_room(self) -> None:
        used = sum(held.index.nbytes for held in self._held.values())
        while used > self._max_bytes and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            used -= oldest.index.nbytes
