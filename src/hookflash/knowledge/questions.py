"""The questions of many people at a time as vectors: those that come while an embedder is busy are embedded together."""

from collections.abc import Callable, Sequence

import numpy as np

from hookflash.base.coalesced import Coalesced
from hookflash.knowledge.passage import Embedder, Vector


class Questions:
    """An Embedder, for single questions; `embedder` gives the one that really embeds."""

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder
        self._together: Coalesced[list[str], Vector] = Coalesced(self._embed_all, flights=1, shield=False)

    @property
    def name(self) -> str:
        return self._embedder().name

    @property
    def dimensions(self) -> int:
        return self._embedder().dimensions

    @property
    def max_tokens(self) -> int:
        return self._embedder().max_tokens

    def count_tokens(self, text: str) -> int:
        return self._embedder().count_tokens(text)

    async def embed(self, texts: list[str]) -> Vector:
        return await self._together("", texts)

    async def _embed_all(self, _: str, asked: Sequence[list[str]]) -> list[Vector]:
        vectors = await self._embedder().embed([text for texts in asked for text in texts])
        return np.split(vectors, np.cumsum([len(texts) for texts in asked])[:-1])
