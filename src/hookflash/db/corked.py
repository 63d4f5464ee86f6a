"""A connection whose pipelines send nothing before somebody has to wait: one write and one wake-up where there were many."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncPipeline
from psycopg.abc import PQGen
from psycopg.rows import DictRow


class _Corked(AsyncPipeline):
    """psycopg's pipeline talks to the server at every statement, which costs both sides more than most statements do."""

    _uncorked = False

    def _enqueue_sync(self) -> None:
        super()._enqueue_sync()
        self._uncorked = True

    def _communicate_gen(self) -> PQGen[None]:
        if self._uncorked:
            self._uncorked = False
            yield from super()._communicate_gen()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        if self.command_queue:
            yield from super()._communicate_gen()
        yield from super()._fetch_gen(flush=flush)


class CorkedConnection(psycopg.AsyncConnection[DictRow]):
    """Statements of a pipeline travel when a cursor of it is read, and at its end."""

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[AsyncPipeline]:
        """As psycopg's."""
        async with self.lock:
            if self._pipeline is None:
                self._pipeline = _Corked(self)
        async with super().pipeline() as pipeline:
            yield pipeline
