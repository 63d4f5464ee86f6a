"""Background work of attachments: deleting those of a person who is to be forgotten."""

from dataclasses import dataclass

from hookflash.channels.media import Blobs
from hookflash.db.jobs import Task


@dataclass(frozen=True, slots=True)
class MediaEraser:
    """Deletes attachments by their keys."""

    blobs: Blobs

    async def erase(self, account_id: str, keys: list[str]) -> None:
        for key in keys:
            await self.blobs.delete(key)

    def tasks(self) -> list[Task]:
        """What a worker has to know."""
        return [Task("channels.erase_media", self.erase)]
