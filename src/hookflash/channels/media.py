"""Attachments: fetched from Twilio, checked, kept, and voice notes put into words."""

from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from hookflash.base.errors import HookflashError
from hookflash.base.ids import new_id
from hookflash.channels.integration import Integration
from hookflash.channels.text import account_of
from hookflash.conversation.message import Media, Message
from hookflash.twilio.client import TwilioClient

log = structlog.get_logger()

MAX_BYTES = 16_000_000
MAX_ITEMS = 10
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ALLOWED = ("image/", "audio/", "video/", "text/")
_ALLOWED_EXACT = frozenset(
    {
        "application/pdf",
        "application/ogg",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/msword",
        "application/vcard",
    }
)


def allowed(content_type: str) -> bool:
    """Whether we take an attachment of this type."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in _ALLOWED_EXACT or (kind.startswith(_ALLOWED) and kind not in ("image/svg+xml", "text/html"))


class Blobs(Protocol):
    """Where attachments are kept."""

    async def put(self, key: str, data: bytes, content_type: str) -> None: ...

    async def get(self, key: str) -> bytes:
        """Raises NotFound."""
        ...

    async def delete(self, key: str) -> None:
        """What is not there is as good as deleted."""
        ...


class Transcriber(Protocol):
    """Puts speech into words; raises Unavailable when it cannot now, Invalid for sound that it cannot read."""

    async def transcribe(self, data: bytes, content_type: str, language: str | None) -> str: ...


class MediaStore(Protocol):
    """What keeping attachments needs of the database."""

    async def save_media(self, account_id: str, message_id: str, media: tuple[Media, ...]) -> None: ...


@dataclass(frozen=True, slots=True)
class MediaKeeper:
    """Brings a message's attachments here. What fails is recorded on the attachment; the message is answered all the same."""

    client: TwilioClient
    blobs: Blobs
    store: MediaStore
    transcriber: Transcriber | None

    async def fetch(self, integration: Integration, message: Message) -> Message:
        """The message with its attachments fetched; done before is not done again."""
        if all(m.key or m.failure for m in message.media):
            return message
        media = []
        for number, item in enumerate(message.media):
            if item.key or item.failure:
                media.append(item)
            elif number >= MAX_ITEMS:
                media.append(replace(item, failure="one attachment too many"))
            else:
                media.append(await self._fetch(integration, item, message.language))
        fetched = replace(message, media=tuple(media))
        await self.store.save_media(integration.account_id, message.id, fetched.media)
        return fetched

    async def _fetch(self, integration: Integration, item: Media, language: str | None) -> Media:
        if not allowed(item.content_type):
            return replace(item, failure=f"attachments of type {item.content_type} are not accepted")
        try:
            found = await account_of(self.client, integration).download(
                item.url or "", max_bytes=MAX_BYTES, allowed=allowed
            )
            key = f"{integration.account_id}/{new_id('med')}"
            await self.blobs.put(key, found.data, found.content_type)
        except HookflashError as error:
            log.warning("attachment could not be fetched", integration=integration.id, reason=error.message)
            return replace(item, failure=error.message)
        kept = replace(item, key=key, size=len(found.data), content_type=found.content_type)
        if not kept.content_type.startswith("audio/") and kept.content_type != "application/ogg":
            return kept
        if self.transcriber is None:
            return replace(kept, failure="no transcriber is configured for voice notes")
        try:
            words = await self.transcriber.transcribe(found.data, kept.content_type, language)
        except HookflashError as error:
            log.warning("voice note could not be transcribed", integration=integration.id, reason=error.message)
            return replace(kept, failure=error.message)
        return replace(kept, transcript=words)
