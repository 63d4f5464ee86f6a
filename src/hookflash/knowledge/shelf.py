"""Keyword indexes that this process holds in memory: one a source, refreshed when the source changed, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from hookflash.knowledge.keywords import KeywordIndex

MAX_BYTES = 512_000_000

Rows = list[tuple[int, bytes, str | None]]


@dataclass(frozen=True, slots=True)
class _Held:
    version: int
    index: KeywordIndex


class Shelf:
    """`load(account, source)` reads all rows of a source: (chunk id, packed terms, language)."""

    def __init__(self, load: Callable[[str, str], Awaitable[Rows]], max_bytes: int = MAX_BYTES) -> None:
        self._load = load
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._loading: dict[str, anyio.Lock] = {}

    async def indexes(self, account_id: str, sources: Sequence[tuple[str, int]]) -> list[KeywordIndex]:
        """The indexes of these sources (id, version), read anew where the version moved on."""
        return [await self._index(account_id, source, version) for source, version in sources]

    async def _index(self, account_id: str, source: str, version: int) -> KeywordIndex:
        held = self._held.get(source)
        if held is None or held.version < version:
            lock = self._loading.setdefault(source, anyio.Lock())
            async with lock:
                held = self._held.get(source)
                if held is None or held.version < version:
                    rows = await self._load(account_id, source)
                    held = _Held(version, await anyio.to_thread.run_sync(_build, rows))
                    self._held[source] = held
                    self._make_room()
            self._loading.pop(source, None)
        self._held.move_to_end(source)
        return held.index

    def _make_room(self) -> None:
        used = sum(held.index.nbytes for held in self._held.values())
        while used > self._max_bytes and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            used -= oldest.index.nbytes


def _build(rows: Rows) -> KeywordIndex:
    return KeywordIndex.build(((i, packed) for i, packed, _ in rows), {language or "en" for _, _, language in rows})
