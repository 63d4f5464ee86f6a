"""Webhook signatures: whether a request really came from Twilio, and how to sign one.

Twilio signs the full URL, followed by the names and values of a form, with HMAC under the account's Auth Token (SHA-1)
or, when the request says so, under a SharedKey (SHA-1 or SHA-256). A body that is no form is vouched for by its SHA-256
in the URL's `bodySHA256`.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from hookflash.base.secret import Secret
from hookflash.twilio.form import FORM_TYPE, form_pairs

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"

_DIGESTS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_DEFAULT_PORTS = {"https": "443", "wss": "443", "http": "80", "ws": "80"}
_BODY_HASH = re.compile(r"[?&]bodySHA256=([^&#]*)")


class Why(StrEnum):
    """Why a request was refused: the name is for counting, the sentence for a log line or a diagnosis."""

    NO_SIGNATURE = "The request has no X-Twilio-Signature header: it does not come from Twilio, or a proxy drops it."
    UNCONFIGURED = "No Auth Token or shared key is configured to check the signature with."
    BAD_SETTINGS = "The X-Twilio-Webhooks-Signature-Settings header does not name exactly one key and one algorithm."
    UNKNOWN_SHARED_KEY = "The request is signed with a shared key that is not configured here."
    UNSUPPORTED_ALGORITHM = "The request is signed with an algorithm that is not supported."
    DOWNGRADE = "A shared key is configured, but the request is signed with the Auth Token."
    UNSIGNED_BODY = "The body is not a form and the URL carries no bodySHA256: nothing vouches for the body."
    WRONG_BODY_HASH = "The body does not have the SHA-256 that the signed URL carries."
    WRONG_SIGNATURE = (
        "The signature does not match: the Auth Token is not the primary one of the account that owns the number, or the"
        " URL that Twilio was given is not the public URL configured here."
    )


@dataclass(frozen=True, slots=True)
class Valid:
    """Twilio signed it. `key` names the secret: `auth_token`, `auth_token_2` (rotation) ..., or the shared key's id."""

    key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not to be believed."""

    why: Why


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """The secrets that Twilio may sign with: Auth Tokens (several during a rotation) and shared keys by their id."""

    auth_tokens: tuple[Secret, ...] = ()
    shared_keys: Mapping[str, Secret] = field(default_factory=dict)


def verify(*, method: str, url: str, headers: Mapping[str, str], body: bytes, keys: WebhookKeys) -> Valid | Refused:
    """Check one request; `url` is what `public_url` gives, `body` the raw bytes. Never raises, whatever comes in."""
    given = _header(headers, SIGNATURE_HEADER)
    if not given:
        return Refused(Why.NO_SIGNATURE)
    chosen = _choose_secrets(_header(headers, SETTINGS_HEADER), keys)
    if isinstance(chosen, Why):
        return Refused(chosen)
    digest, secrets = chosen

    is_form = method.upper() not in ("GET", "HEAD") and _header(headers, "Content-Type").lower().startswith(FORM_TYPE)
    fields = b"".join([name + value for name, value in sorted(set(form_pairs(body)))]) if is_form else b""
    if not fields:
        # No part of the body is in the signed text, so only its hash can vouch for it.
        declared = _BODY_HASH.search(url)
        if declared is not None:
            if not hmac.compare_digest(
                sha256(body).hexdigest().encode(), declared[1].lower().encode("utf-8", "replace")
            ):
                return Refused(Why.WRONG_BODY_HASH)
        elif body:
            return Refused(Why.UNSIGNED_BODY)

    wanted = given.encode("utf-8", "replace")
    for name, secret in secrets:
        for candidate in _port_variants(url):
            try:
                text = candidate.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                break
            if hmac.compare_digest(b64encode(hmac.digest(secret, text + fields, digest)), wanted):
                return Valid(name)
    return Refused(Why.WRONG_SIGNATURE)


def sign(
    url: str,
    secret: Secret,
    *,
    form: Iterable[tuple[str, str]] = (),
    shared_key_id: str | None = None,
    algorithm: str = "HMAC_SHA1",
) -> dict[str, str]:
    """The headers that Twilio would send with a request to `url` (its fragment is not signed).

    With `shared_key_id` the secret is that SharedKey's. For a body that is no form: `sign(with_body_hash(url, body), ...)`.
    """
    fields = "".join(name + value for name, value in sorted(set(form)))
    text = (url.partition("#")[0] + fields).encode()
    value = b64encode(hmac.digest(secret.get_secret_value().encode(), text, _DIGESTS[algorithm])).decode()
    if shared_key_id is None:
        return {SIGNATURE_HEADER: value}
    return {SIGNATURE_HEADER: value, SETTINGS_HEADER: f"key={shared_key_id},algorithm={algorithm}"}


def with_body_hash(url: str, body: bytes) -> str:
    """The URL with `bodySHA256` of a body that is no form."""
    target, _, _ = url.partition("#")
    return f"{target}{'&' if '?' in target else '?'}bodySHA256={sha256(body).hexdigest()}"


def public_url(
    base: str | None,
    raw_path: bytes,
    raw_query: bytes,
    headers: Mapping[str, str],
    *,
    scheme: str,
    trusted: bool,
) -> str:
    """The URL that Twilio was given, rebuilt from a request.

    `base` is the configured public URL (a path prefix that a proxy strips belongs to it) and beats everything else.
    Without it the `Host` header and the connection's `scheme` count; X-Forwarded-Proto, -Host and -Port (the first of a
    list) only when the peer is a configured proxy (`trusted`). Path and query are the raw bytes, never decoded.
    """
    if base is None:
        host = _header(headers, "Host")
        if trusted:
            host = _first(_header(headers, "X-Forwarded-Host")) or host
            forwarded = _first(_header(headers, "X-Forwarded-Proto")).lower()
            if forwarded:
                secure = forwarded in ("https", "wss")
                scheme = ("wss" if secure else "ws") if scheme in ("ws", "wss") else ("https" if secure else "http")
            port = _first(_header(headers, "X-Forwarded-Port"))
            if port.isdecimal() and port != _DEFAULT_PORTS.get(scheme) and not _split_port(host)[1]:
                host = f"{host}:{port}"
        base = f"{scheme}://{host}"
    else:
        base = base.partition("#")[0].rstrip("/")
        if scheme in ("ws", "wss") and base.startswith("http"):
            base = "ws" + base.removeprefix("http")
    target = raw_path + (b"?" + raw_query if raw_query else b"")
    return base + target.decode("utf-8", "surrogateescape")


def _header(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name.lower()) or headers.get(name)
    if found is None:
        name = name.lower()
        found = next((value for key, value in headers.items() if key.lower() == name), "")
    return found.strip()


def _first(header: str) -> str:
    return header.partition(",")[0].strip()


def _choose_secrets(settings: str, keys: WebhookKeys) -> tuple[str, list[tuple[str, bytes]]] | Why:
    """The digest and the secrets (by name) that the request has to match one of. An empty secret is no secret."""
    if not settings:
        if any(secret.get_secret_value() for secret in keys.shared_keys.values()):
            return Why.DOWNGRADE
        tokens = [token.get_secret_value().encode() for token in keys.auth_tokens]
        named = [("auth_token" if n == 1 else f"auth_token_{n}", token) for n, token in enumerate(tokens, 1) if token]
        return ("sha1", named) if named else Why.UNCONFIGURED
    said: dict[str, str] = {}
    for part in settings.split(","):
        name, _, value = (text.strip() for text in part.partition("="))
        if name in said or not value:
            return Why.BAD_SETTINGS
        said[name] = value
    if "key" not in said:
        return Why.BAD_SETTINGS
    digest = _DIGESTS.get(said.get("algorithm", "HMAC_SHA1").upper())
    if digest is None:
        return Why.UNSUPPORTED_ALGORITHM
    secret = keys.shared_keys.get(said["key"])
    if secret is None or not secret.get_secret_value():
        return Why.UNKNOWN_SHARED_KEY
    return digest, [(said["key"], secret.get_secret_value().encode())]


def _split_port(netloc: str) -> tuple[str, str]:
    """`user:pass@[::1]:443` to (`user:pass@[::1]`, `443`); the port is empty when there is none."""
    end_of_literal = netloc.rfind("]")
    at = netloc.rfind("@")
    colon = netloc.rfind(":")
    if colon > max(end_of_literal, at) and netloc[colon + 1 :].isdecimal():
        return netloc[:colon], netloc[colon + 1 :]
    return netloc, ""


def _port_variants(url: str) -> Iterator[str]:
    """The URL as it is, and with its port left out or its scheme's port written out: Twilio signs either."""
    yield url
    scheme, separator, rest = url.partition("://")
    if not separator:
        return
    end = next((i for i, c in enumerate(rest) if c in "/?#"), len(rest))
    netloc, port = _split_port(rest[:end])
    if port:
        yield f"{scheme}://{netloc}{rest[end:]}"
    elif default := _DEFAULT_PORTS.get(scheme):
        yield f"{scheme}://{netloc}:{default}{rest[end:]}"
