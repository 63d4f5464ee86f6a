"""HashiCorp Vault: settings that are written `vault:path#key` are read from its key-value store (version 2)."""

from typing import Any

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.secret import Secret

PREFIX = "vault:"
_TIMEOUT_SECONDS = 10.0


class Vault:
    """One Vault. `mount` is where its key-value engine is mounted (usually `secret`)."""

    def __init__(self, address: str, token: Secret, mount: str) -> None:
        try:
            # An extra, and slow to import: only those who have a Vault pay for it.
            import hvac
            import hvac.exceptions
            import requests
        except ImportError:
            raise Misconfigured(
                "Settings name HashiCorp Vault, but its client is not installed.", hint="install hookflash[vault]"
            ) from None
        self._address = address
        self._mount = mount
        self._failures = hvac.exceptions
        self._unreachable = (hvac.exceptions.VaultError, requests.RequestException)
        self._client: Any = hvac.Client(url=address, token=token.get_secret_value(), timeout=_TIMEOUT_SECONDS)  # type: ignore[no-untyped-call]
        self._read: dict[str, dict[str, Any]] = {}

    def get(self, reference: str) -> str:
        """The value that `vault:path#key` names; raises Misconfigured, or Unavailable when Vault does not answer."""
        path, hash_, key = reference.removeprefix(PREFIX).partition("#")
        if not (path and hash_ and key):
            raise Misconfigured("A Vault reference is written vault:path#key.")
        secret = self._secret(path)
        value = secret.get(key)
        if not isinstance(value, str):
            raise Misconfigured(f"The Vault secret {path} has no text under the key {key}.")
        return value

    def _secret(self, path: str) -> dict[str, Any]:
        if path not in self._read:
            try:
                answer = self._client.secrets.kv.v2.read_secret_version(
                    path, mount_point=self._mount, raise_on_deleted_version=True
                )
            except self._failures.InvalidPath:
                raise Misconfigured(
                    f"Vault has no secret {path} (engine {self._mount}).",
                    hint="HOOKFLASH_VAULT_PATH names another engine; it has to be a key-value engine of version 2",
                ) from None
            except (self._failures.Forbidden, self._failures.Unauthorized):
                raise Misconfigured(f"VAULT_TOKEN may not read the Vault secret {path}.") from None
            except self._unreachable:
                raise Unavailable(
                    f"Vault at {self._address} does not answer.",
                    hint="see whether VAULT_ADDR is right and Vault unsealed",
                ) from None
            self._read[path] = answer["data"]["data"]
        return self._read[path]
