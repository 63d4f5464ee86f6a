"""Search in sources that are too big for memory: in the index outside where their copy is good, in PostgreSQL otherwise."""

from collections.abc import Sequence

import anyio

from hookflash.base.breaker import Breaker
from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.db.pool import Database
from hookflash.knowledge import copy_store
from hookflash.knowledge.chunk_vectors import ChunkVectors
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.passage import Vector
from hookflash.knowledge.vector_store import PostgresVectors

# Of a search's patience with the store, what PostgreSQL needs afterwards stays.
OUTSIDE_SECONDS = 1.0
# Vectors that a copy may be behind: they are compared one by one.
MOST_COMING = 20_000
_MOST_GOING = 1_000


class BigSources:
    """`outside` holds copies of some; None: there is no such index."""

    def __init__(self, db: Database, clock: Clock, outside: ChunkVectors | None) -> None:
        self._db = db
        self._clock = clock
        self._outside = outside
        self._here = PostgresVectors(db)
        self._breaker = Breaker()

    async def nearest(
        self, account_id: str, sources: Sequence[str], model: str, vectors: Vector, limit: int, notes: list[str]
    ) -> list[Ranked]:
        """For each vector the nearest chunks, best first. `notes` gets the reason when the index outside failed."""
        found: list[list[tuple[int, float]]] = [[] for _ in vectors]
        left = list(sources)
        if self._outside is not None:
            copied, there = await self._copied(self._outside, account_id, sources, model, vectors, limit, notes)
            left = [source for source in sources if source not in copied]
            _join(found, there)
        if left:
            _join(found, await self._here.nearest(account_id, left, model, vectors, limit))
        return [sorted(ranked, key=lambda scored: (-scored[1], scored[0]))[:limit] for ranked in found]

    async def _copied(
        self,
        outside: ChunkVectors,
        account_id: str,
        sources: Sequence[str],
        model: str,
        vectors: Vector,
        limit: int,
        notes: list[str],
    ) -> tuple[list[str], list[list[tuple[int, float]]]]:
        """Which sources were searched outside, and what was found in them."""
        # First what the copies lack: a vector that reaches one just now is then found twice, not never.
        async with self._db.tenant(account_id) as conn:
            states = await copy_store.behind(conn, outside.place, sources, model, MOST_COMING + 1)
            copied = [source for source in sources if source in states and states[source].coming <= MOST_COMING]
            waiting = [source for source in copied if states[source].coming]
            found = [
                await copy_store.nearest_coming(conn, waiting, model, vector, limit) if waiting else []
                for vector in vectors
            ]
        if not copied:
            return [], []
        now = self._clock.monotonic()
        if not self._breaker.admit(now):
            notes.append("vector index: it failed a moment ago")
            return [], []
        going = sum(states[source].going for source in copied)
        try:
            with anyio.fail_after(OUTSIDE_SECONDS):
                more = limit + min(going, _MOST_GOING)
                there = await outside.nearest(account_id, copied, model, vectors, more)
        except TimeoutError:
            self._breaker.failed(now)
            notes.append(f"vector index: no answer within {OUTSIDE_SECONDS:g} s")
            return [], []
        except HookflashError as error:
            self._breaker.failed(now)
            notes.append(f"vector index: {error.message}")
            return [], []
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        if going:
            async with self._db.tenant(account_id) as conn:
                ids = {chunk_id for ranked in there for chunk_id, _ in ranked}
                still = await copy_store.present(conn, model, sorted(ids))
            there = [[(i, cosine) for i, cosine in ranked if i in still] for ranked in there]
        _join(found, there)
        return copied, found


def _join(found: Sequence[list[tuple[int, float]]], more: Sequence[Ranked]) -> None:
    """Add to each ranking those chunks that it does not have."""
    for ranked, others in zip(found, more, strict=False):
        have = {chunk_id for chunk_id, _ in ranked}
        ranked += [scored for scored in others if scored[0] not in have]
