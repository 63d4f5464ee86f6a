"""Messages: what a person said to us and what we said, in the words of no particular channel."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hookflash.base.phone import Address


class Direction(StrEnum):
    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Media:
    """One attachment. `key` is where we keep it (None until it has been fetched), `url` where it came from.

    `transcript` is what a voice note says; `failure` is why it could not be fetched or understood.
    """

    content_type: str
    url: str | None = None
    key: str | None = None
    size: int | None = None
    transcript: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message. `text` is what was said (of a pressed button: its label)."""

    id: str
    direction: Direction
    address: Address
    text: str
    at: datetime
    media: tuple[Media, ...] = field(default=())
    language: str | None = None

    @property
    def words(self) -> str:
        """The text together with what its voice notes say."""
        return "\n".join(filter(None, (self.text, *(m.transcript for m in self.media))))
