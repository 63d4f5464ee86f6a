"""Secrets: a string that never prints, and sealing (AES-256-GCM) of those that are kept in the database."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from hookflash.base.errors import Misconfigured

Secret = SecretStr


class Sealer:
    """Seals small secrets under one 32-byte key; `context` binds a sealed value to the row that it belongs to."""

    def __init__(self, key: Secret) -> None:
        try:
            raw = urlsafe_b64decode(key.get_secret_value())
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise Misconfigured(
                "HOOKFLASH_SECRET_KEY is not 32 bytes in URL-safe base64.",
                hint="make one with: hookflash init --print-key",
            )
        self._aead = AESGCM(raw)

    @staticmethod
    def new_key() -> str:
        """A fresh key in the form that settings take."""
        return urlsafe_b64encode(os.urandom(32)).decode()

    def seal(self, plain: str, context: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._aead.encrypt(nonce, plain.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> Secret:
        """Raises Misconfigured when the key is not the one that sealed it."""
        try:
            return Secret(self._aead.decrypt(sealed[:12], sealed[12:], context.encode()).decode())
        except InvalidTag:
            raise Misconfigured(
                "A stored secret cannot be opened with this HOOKFLASH_SECRET_KEY.",
                hint="restore the key that was in use when the secret was stored, or store the secret again",
            ) from None
