"""The indexes of accounts that lie elsewhere: their sealed secrets, and the search in all of a scope's at once."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog
from psycopg.types.json import Jsonb

from hookflash.base.errors import HookflashError, NotFound, Unavailable
from hookflash.base.secret import Sealer
from hookflash.db.pool import Connection, Database
from hookflash.knowledge.external import ExternalIndex, IndexFacts, IndexPlace, check_dimensions, passages_of
from hookflash.knowledge.passage import Embedder, Passage, Vector
from hookflash.knowledge.search import Limits

log = structlog.get_logger()

MOST_OPEN = 200
MOST_LEAVING = 20
PATIENCE = 10.0
_PER_WANTED = 4

Open = Callable[[IndexPlace], ExternalIndex]


class Elsewhere:
    """Opens indexes by `open_index`, keeps them open, and searches them. `embedder` gives an embedder by its name."""

    def __init__(self, db: Database, sealer: Sealer, open_index: Open, embedder: Callable[[str], Embedder]) -> None:
        self._db = db
        self._sealer = sealer
        self._open_index = open_index
        self._embedder = embedder
        self._held: OrderedDict[str, tuple[int, str, ExternalIndex]] = OrderedDict()
        self._leaving: deque[ExternalIndex] = deque()
        self._opening = anyio.Lock()

    async def check(self, place: IndexPlace, model: str) -> IndexFacts:
        """Raises Invalid when it is not there or could not be searched by this model's vectors, Unavailable."""
        # It may load a vendor's package, which takes seconds.
        index = await anyio.to_thread.run_sync(self._open_index, place)
        try:
            with anyio.fail_after(PATIENCE):
                facts = await index.facts()
        except TimeoutError:
            raise Unavailable(f"The index did not answer within {PATIENCE:g} s.") from None
        finally:
            with anyio.CancelScope(shield=True):
                await index.aclose()
        check_dimensions(facts, self._embedder(model), place.dimensions)
        return facts

    async def keep_secrets(self, conn: Connection, source_id: str, secrets: dict[str, str]) -> None:
        sealed = self._sealer.seal(msgspec.json.encode(secrets).decode(), source_id)
        await conn.execute("update sources set secrets = %s where id = %s", (sealed, source_id))

    async def move(self, conn: Connection, source_id: str, place: IndexPlace, facts: IndexFacts, now: datetime) -> None:
        """From now on the source's index is at this place, which was checked."""
        config = {"vendor": place.vendor, "dimensions": facts.dimensions, "options": place.options}
        await self.keep_secrets(conn, source_id, place.secrets)
        await conn.execute(
            "update sources set config = %s, version = version + 1, updated_at = %s where id = %s",
            (Jsonb(config), now, source_id),
        )

    async def index(self, account_id: str, source_id: str) -> tuple[str, ExternalIndex]:
        """The source's model and open index. Raises NotFound."""
        async with self._db.tenant(account_id) as conn:
            cursor = await conn.execute(
                "select version, embedding_model, config, secrets from sources where id = %s and kind = 'database'",
                (source_id,),
            )
            row = await cursor.fetchone()
        if row is None:
            raise NotFound("There is no such source.")
        async with self._opening:
            return await self._opened(account_id, source_id, row)

    async def _opened(self, account_id: str, source_id: str, row: dict[str, Any]) -> tuple[str, ExternalIndex]:
        held = self._held.get(source_id)
        if held is None or held[:2] != (row["version"], row["embedding_model"]):
            sealed = row["secrets"]
            secrets = msgspec.json.decode(self._sealer.open(sealed, source_id).get_secret_value()) if sealed else {}
            config = row["config"]
            place = IndexPlace(account_id, config["vendor"], config["dimensions"], config["options"], secrets)
            index = await anyio.to_thread.run_sync(self._open_index, place)
            await self._let_go(source_id)
            held = self._held[source_id] = (row["version"], row["embedding_model"], index)
            if len(self._held) > MOST_OPEN:
                await self._let_go(next(iter(self._held)))
        self._held.move_to_end(source_id)
        return held[1], held[2]

    async def search(
        self, account_id: str, sources: Sequence[str], question: str, limits: Limits
    ) -> tuple[list[list[Passage]], list[str]]:
        """For each source what its index found, best first; and the reasons of those that failed."""
        found: list[list[Passage]] = [[] for _ in sources]
        failures: list[str] = []
        vectors: dict[str, Vector | None] = {}
        embedding = anyio.Lock()

        async def embedded(model: str) -> Vector | None:
            async with embedding:
                if model not in vectors:
                    try:
                        with anyio.fail_after(limits.embed_seconds):
                            vectors[model] = (await self._embedder(model).embed([question]))[0]
                    except (HookflashError, TimeoutError) as error:
                        failures.append(f"embedder: {str(error) or f'no answer within {limits.embed_seconds:g} s'}")
                        vectors[model] = None
                return vectors[model]

        async def one(position: int, source_id: str) -> None:
            try:
                with anyio.fail_after(limits.embed_seconds + limits.store_seconds):
                    model, index = await self.index(account_id, source_id)
                    vector = await embedded(model)
                    hits = await index.search(vector, question, limits.passages * _PER_WANTED)
                    found[position] = passages_of(source_id, hits)
            except TimeoutError:
                failures.append(f"index {source_id}: no answer in time")
            except HookflashError as error:
                failures.append(f"index {source_id}: {error.message}")

        async with anyio.create_task_group() as tasks:
            for position, source_id in enumerate(sources):
                tasks.start_soon(one, position, source_id)
        if failures:
            log.warning("indexes elsewhere failed", reasons=failures)
        return found, failures

    async def aclose(self) -> None:
        """Close all that are open."""
        for source_id in list(self._held):
            await self._let_go(source_id)
        while self._leaving:
            await self._leaving.popleft().aclose()

    async def _let_go(self, source_id: str) -> None:
        """Close it when some more have left: a search may still be using it."""
        held = self._held.pop(source_id, None)
        if held is not None:
            self._leaving.append(held[2])
        if len(self._leaving) > MOST_LEAVING:
            await self._leaving.popleft().aclose()
