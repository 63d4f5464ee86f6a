"""A connection whose pipelines send nothing before somebody has to wait: one write and one wake-up where there were many."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncPipeline
from psycopg.abc import PQGen
from psycopg.rows import DictRow


class _Corked(AsyncPipeline):
    """psycopg's pipeline talks to the server at every statement, which costs both sides more than most statements do.

    With `once` it ends its transaction when the first cursor is read, with the same request: not with one more afterwards.
    """

    _uncorked = False
    _synchronised = False

    def __init__(self, connection: "CorkedConnection", *, once: bool) -> None:
        super().__init__(connection)
        self._once = once

    def _enqueue_sync(self) -> None:
        super()._enqueue_sync()
        self._uncorked = True

    def _communicate_gen(self) -> PQGen[None]:
        if self._uncorked:
            self._uncorked = False
            yield from super()._communicate_gen()
        elif self._synchronised:
            self.command_queue.clear()
            self.result_queue.clear()
            raise psycopg.ProgrammingError("the transaction has ended: a cursor of it was read")

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        if self.command_queue and self._once:
            yield from self._end()
            self._synchronised, flush = True, False
        elif self.command_queue:
            yield from super()._communicate_gen()
        yield from super()._fetch_gen(flush=flush)

    def _end(self) -> PQGen[None]:
        super()._enqueue_sync()
        yield from super()._communicate_gen()

    def _exit_gen(self) -> PQGen[None]:
        if self._synchronised and not self.command_queue and not self.result_queue:
            return
        try:
            yield from self._end()
        finally:
            # What ends a transaction is answered without being asked to.
            yield from super()._fetch_gen(flush=False)


class CorkedConnection(psycopg.AsyncConnection[DictRow]):
    """Statements of a pipeline travel when a cursor of it is read, and at its end."""

    @asynccontextmanager
    async def pipeline(self, *, once: bool = False) -> AsyncIterator[AsyncPipeline]:
        """As psycopg's. With `once` the transaction ends where the first cursor is read."""
        async with self.lock:
            if self._pipeline is None:
                self._pipeline = _Corked(self, once=once)
        async with super().pipeline() as pipeline:
            yield pipeline
