"""Background work of curated answers: the vectors of their questions."""

from collections.abc import Callable
from dataclasses import dataclass

from hookflash.db.jobs import Task
from hookflash.db.pool import Database
from hookflash.knowledge import curated_store
from hookflash.knowledge.passage import Embedder
from hookflash.knowledge.store import vector_text
from hookflash.workspace import store as workspace

_BATCH = 64


@dataclass(frozen=True, slots=True)
class QuestionEmbedder:
    """Embeds by `model`; another one than before embeds all anew. `embedder` gives it by its name."""

    db: Database
    embedder: Callable[[str], Embedder]
    model: str

    async def embed(self, account_id: str) -> None:
        """Give every question of the account its vector."""
        while True:
            async with self.db.tenant(account_id) as conn:
                missing = await curated_store.without_vectors(conn, self.model, _BATCH)
            if not missing:
                return
            vectors = await self.embedder(self.model).embed([question for _, question in missing])
            rows = [(number, vector_text(vector)) for (number, _), vector in zip(missing, vectors, strict=True)]
            async with self.db.tenant(account_id) as conn:
                await curated_store.set_vectors(conn, self.model, rows)

    async def embed_all(self) -> None:
        """Of every account: after the server was given another model there may be many."""
        for account_id in await workspace.accounts(self.db):
            await self.embed(account_id)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""
        return [
            Task("knowledge.embed_questions", self.embed),
            Task("knowledge.embed_all_questions", self.embed_all, every="23 * * * *"),
        ]
