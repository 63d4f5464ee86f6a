"""An answer cache in memory, for tests without a database."""

from hookflash.assistant.answer_cache import CachedAnswer


class MemoryAnswerCache:
    """Keeps everything until it is forgotten as a whole."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CachedAnswer] = {}

    async def get(self, account_id: str, key: str) -> CachedAnswer | None:
        return self._kept.get((account_id, key))

    async def put(self, account_id: str, key: str, answer: CachedAnswer) -> None:
        self._kept[account_id, key] = answer
