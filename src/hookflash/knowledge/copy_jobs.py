"""Background work of an index outside PostgreSQL: it is told of every vector that came or went, and keeps nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import anyio
import structlog

from hookflash.base.errors import HookflashError, Unavailable
from hookflash.db.jobs import Task
from hookflash.db.pool import Database
from hookflash.knowledge import copy_store, store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.copy_store import Change

log = structlog.get_logger()

BATCH = 500
# A batch's transaction holds the source's copy, and must end before the database loses its patience with it.
BATCH_SECONDS = 20.0


def _silent(done: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies the vectors of big sources to `outside`; None: there is no such index (any more)."""

    db: Database
    outside: ChunkVectors | None

    async def copy(self, account_id: str, source_id: str) -> None:
        """Let this source be copied, and bring its copy up to date; of a source that is gone the copy goes too."""
        if self.outside is None:
            return
        async with self.db.tenant(account_id) as conn:
            if not await copy_store.source_is_there(conn, source_id):
                if await copy_store.take(conn, source_id) is not None:
                    with _patience():
                        await self.outside.forget(account_id, source_id)
                    await copy_store.forget(conn, source_id)
                    log.info("copy of a deleted source removed", source=source_id)
                return
        await copy_store.mark(self.db, account_id, source_id, self.outside.place)
        await self.catch_up(account_id, source_id)

    async def catch_up(self, account_id: str, source_id: str, progress: Callable[[int], None] = _silent) -> int:
        """Tell the index what it does not know of this source; returns how many changes. Raises Unavailable.

        Stops early where another worker is at it. `progress` is given how many are done so far.
        """
        done = 0
        while self.outside is not None:
            async with self.db.tenant(account_id) as conn:
                if await copy_store.take(conn, source_id) != self.outside.place:
                    break
                changes = await copy_store.changes(conn, source_id, BATCH)
                if not changes:
                    break
                with _patience():
                    await _tell(self.outside, account_id, source_id, changes)
                await copy_store.known(conn, changes)
            done += len(changes)
            progress(done)
        return done

    async def begin_again(self, account_id: str, source_id: str) -> None:
        """Drop the source's copy, so that the next is made from nothing; PostgreSQL is searched meanwhile."""
        if self.outside is not None:
            async with self.db.tenant(account_id) as conn:
                await copy_store.forget(conn, source_id)
            with _patience():
                await self.outside.forget(account_id, source_id)

    async def check(self, account_id: str, source_id: str) -> bool:
        """Whether the index holds as many vectors as its copy must; it may have lost some, or been replaced."""
        if self.outside is None:
            return True
        async with self.db.tenant(account_id) as conn:
            source = await store.get_source(conn, source_id)
            behind = await copy_store.behind(
                conn, self.outside.place, [source_id], source.embedding_model, most=2 * source.chunks
            )
        if source_id not in behind:
            return False
        have = await self.outside.count(account_id, source_id, source.embedding_model)
        return have - behind[source_id].going == source.chunks - behind[source_id].coming

    async def copy_all(self) -> None:
        """Bring every copy up to date; where there is no index any more, forget that there were copies."""
        if self.outside is None:
            async with self.db.system() as conn:
                await copy_store.forget_all(conn)
            return
        async with self.db.system() as conn:
            waiting = await copy_store.copies_behind(conn, self.outside.place)
        for account_id, source_id in waiting:
            try:
                await self.copy(account_id, source_id)
            except HookflashError as error:
                log.warning("source not copied", source=source_id, reason=error.message)
                if error.retryable:
                    break  # the others would fare no better; it is tried again in a minute

    def tasks(self) -> list[Task]:
        """What a worker has to know."""
        every = "29 * * * *" if self.outside is None else "* * * * *"
        return [
            Task("knowledge.copy", self.copy),
            Task("knowledge.copy_all", self.copy_all, retries=0, every=every),
        ]


async def _tell(outside: ChunkVectors, account_id: str, source_id: str, changes: list[Change]) -> None:
    for model, group in groupby(changes, key=lambda change: change.model):
        of_model = list(group)
        rows = [(change.chunk_id, change.vector) for change in of_model if change.vector is not None]
        if rows:
            await outside.put(account_id, source_id, model, rows)
        gone = [change.chunk_id for change in of_model if change.gone]
        if gone:
            await outside.remove(account_id, model, gone)


@contextmanager
def _patience() -> Iterator[None]:
    try:
        with anyio.fail_after(BATCH_SECONDS):
            yield
    except TimeoutError:
        raise Unavailable(f"The vector index did not answer within {BATCH_SECONDS:g} s.") from None
