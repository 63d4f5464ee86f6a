"""Codes by which people prove to hold their phone: by Twilio Verify, or ours, which nothing keeps but the text that brings it."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from hookflash.assistant.code_words import LENGTH, MASK
from hookflash.assistant.verification import Result, Verification
from hookflash.base.errors import TwilioFailed, TwilioUnclear
from hookflash.channels.deliver import Post
from hookflash.channels.integration import Integration
from hookflash.channels.text import account_of
from hookflash.conversation.lane import Leaving
from hookflash.conversation.outbox import Accepted, Candidate
from hookflash.twilio.client import TwilioClient

log = structlog.get_logger()

# The kind of a message that brings a code.
KIND = "code"

_TRIED, _SENT, _GONE, _INVALID = 60202, 60203, 20404, 60200
_WHY = {
    60200: "the phone number that the company has of them is not valid",
    60203: "too many codes were sent to this number lately",
    60205: "the phone number that the company has of them takes no texts",
    60410: "codes to this number are blocked",
    60605: "codes cannot be sent to this country",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """The code is on its way; `verification` as it is now."""

    verification: Verification


@dataclass(frozen=True, slots=True)
class NotSent:
    """It is not, and why; `no_more`: not even if it is tried again."""

    why: str
    no_more: bool = False


class Codes(Protocol):
    """Who sends codes and knows which one is right."""

    async def send(self, integration: Integration, verification: Verification, language: str) -> Sent | NotSent:
        """Send it, or send it again."""
        ...

    async def check(self, integration: Integration, verification: Verification, digits: str) -> Result:
        """Whether it is the code."""
        ...

    async def end(self, integration: Integration, verification: Verification) -> None:
        """It has failed or is not wanted any more: the next one begins anew."""
        ...


# Remembers under which sid Twilio has a verification.
Keep = Callable[[str, Verification, str], Awaitable[Verification]]
# Puts the text that brings a code on its way, in a language, and remembers its id; why not, if not.
Write = Callable[[Integration, Verification, str], Awaitable[Verification | NotSent]]


class VerifyCodes:
    """Codes by a service of Twilio Verify."""

    def __init__(self, twilio: TwilioClient, service: str, keep: Keep) -> None:
        self._twilio = twilio
        self._service = service
        self._keep = keep

    async def send(self, integration: Integration, verification: Verification, language: str) -> Sent | NotSent:
        locale = language.partition("-")[0] if language in _LOCALES else None
        try:
            account = account_of(self._twilio, integration)
            sid = await account.start_verification(self._service, verification.number, locale=locale)
        except (TwilioFailed, TwilioUnclear) as error:
            log.warning("code not sent", verification=verification.id, code=error.code, reason=error.message)
            return NotSent(_WHY.get(error.code, "the code could not be sent"), no_more=error.code == _SENT)
        return Sent(await self._keep(integration.account_id, verification, sid))

    async def check(self, integration: Integration, verification: Verification, digits: str) -> Result:
        if verification.sid is None:
            return "expired"
        try:
            account = account_of(self._twilio, integration)
            status = await account.check_verification(self._service, verification.sid, digits)
        except (TwilioFailed, TwilioUnclear) as error:
            log.warning("code not checked", verification=verification.id, code=error.code, reason=error.message)
            results: dict[int, Result] = {_TRIED: "used_up", _GONE: "expired", _INVALID: "wrong"}
            return results.get(error.code, "away")
        closed: dict[str, Result] = {
            "approved": "right",
            "pending": "wrong",
            "max_attempts_reached": "used_up",
        }
        return closed.get(status, "expired")

    async def end(self, integration: Integration, verification: Verification) -> None:
        if verification.sid is None:
            return
        try:
            await account_of(self._twilio, integration).cancel_verification(self._service, verification.sid)
        except (TwilioFailed, TwilioUnclear) as error:
            log.warning("verification not ended", verification=verification.id, code=error.code, reason=error.message)


class OwnCodes:
    """Codes by a text of ours. Each follows from the text's id by a key, so that none is kept anywhere."""

    def __init__(self, key: bytes, write: Write) -> None:
        self._key = key
        self._write = write

    async def send(self, integration: Integration, verification: Verification, language: str) -> Sent | NotSent:
        written = await self._write(integration, verification, language)
        return written if isinstance(written, NotSent) else Sent(written)

    async def check(self, integration: Integration, verification: Verification, digits: str) -> Result:
        # Also one that came before the last, which may be overtaken on its way.
        right = [hmac.compare_digest(code_of(self._key, seed), digits) for seed in verification.seeds]
        return "right" if any(right) else "wrong"

    async def end(self, integration: Integration, verification: Verification) -> None:
        """Each has texts, and so codes, of its own."""


def code_of(key: bytes, seed: str) -> str:
    """The code that a message brings."""
    drawn = hmac.new(key, f"code {seed}".encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(drawn[:8], 'big') % 10**LENGTH:0{LENGTH}d}"


def digest_of(key: bytes, verification_id: str, digits: str) -> bytes:
    """By what a code that was given is known again."""
    return hmac.new(key, f"given {verification_id} {digits}".encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class CodePost:
    """Sends what another Post sends; a message that brings a code gets it only now."""

    post: Post
    key: bytes

    async def send(self, integration: Integration, row: Leaving, callback: str) -> Accepted:
        return await self.post.send(integration, self._filled(row), callback)

    async def sent_lately(self, integration: Integration, row: Leaving, seconds: float) -> list[Candidate]:
        found: Sequence[Candidate] = await self.post.sent_lately(integration, row, seconds)
        body = self._filled(row).body
        return [replace(each, body=row.body) if each.body.split() == body.split() else each for each in found]

    def _filled(self, row: Leaving) -> Leaving:
        return replace(row, body=row.body.replace(MASK, code_of(self.key, row.id))) if row.kind == KIND else row


# Languages of ours in which Verify writes; without one it goes by the country of the number.
_LOCALES = frozenset({"en", "es", "fr", "de", "pt", "hi"})
