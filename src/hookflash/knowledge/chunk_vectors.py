"""Where the vectors of our own chunks are searched once there are too many of them for memory: what such a place must do."""

from collections.abc import Sequence
from typing import Protocol

from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.passage import Vector


class ChunkVectors(Protocol):
    """The vectors of all accounts, by account, source and embedding model.

    Every method raises Unavailable when the place does not answer, and may be repeated.
    """

    @property
    def place(self) -> str:
        """Identifies what holds the vectors: another place knows nothing of what was put into this one."""
        ...

    async def put(self, account_id: str, source_id: str, model: str, rows: Sequence[tuple[int, Vector]]) -> None:
        """Add the vectors (length 1) of these chunks. Raises Invalid for one of another size than the model's."""
        ...

    async def remove(self, account_id: str, model: str, chunk_ids: Sequence[int]) -> None:
        """Those that are not there are no error."""
        ...

    async def forget(self, account_id: str, source_id: str) -> None:
        """Remove all of a source, of every model."""
        ...

    async def count(self, account_id: str, source_id: str, model: str) -> int:
        """How many vectors there are."""
        ...

    async def nearest(
        self, account_id: str, sources: Sequence[str], model: str, vectors: Vector, limit: int
    ) -> list[Ranked]:
        """For each vector the nearest chunks of these sources: (chunk id, cosine), best first; about the best, at least."""
        ...

    async def aclose(self) -> None: ...
