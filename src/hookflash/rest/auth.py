"""Who asks: API keys, what each may do, and the principal that a route is given."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from hookflash.base.clock import Clock
from hookflash.base.errors import Forbidden, Invalid, TooMany, Unauthenticated
from hookflash.base.ids import new_id
from hookflash.base.secret import Secret
from hookflash.rest.limits import Buckets

RESOURCES = (
    "assistants",
    "tools",
    "integrations",
    "knowledge",
    "contacts",
    "sessions",
    "messages",
    "tickets",
    "journal",
    "keys",
)
ADMIN = "admin"
# For a service that conducts calls: it has them answered, and may nothing else.
ANSWER_CALLS = "calls:answer"
SCOPES = frozenset(
    {ADMIN, ANSWER_CALLS, *(f"{resource}:{right}" for resource in RESOURCES for right in ("read", "write"))}
)

_PREFIX = "hf_"
_ID_LENGTH = 26


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `text` is shown once; `id` and `hash` (SHA-256 of the text) are what is kept."""

    id: str
    hash: bytes
    text: Secret


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, and what the key may do."""

    account_id: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """`admin` may do everything, and who may write a thing may read it."""
        return bool(self.scopes & {ADMIN, scope, scope.replace(":read", ":write")})


FindKey = Callable[[bytes], Awaitable[Principal | None]]


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """What the application needs to know its callers; it lies in `app.state.doorkeeper`.

    `find_key` looks a key up by its hash and gives None for one that is unknown or revoked.
    """

    find_key: FindKey
    buckets: Buckets
    clock: Clock

    async def admit(self, text: str) -> Principal:
        """Raises Unauthenticated for a key that is not one of ours, TooMany when it asks too often."""
        key_id, hash_ = parse_key(text)
        principal = await self.find_key(hash_)
        # The hash of 256 random bits found it: the comparison only makes sure that the two halves belong together.
        if principal is None or not secrets.compare_digest(principal.key_id, key_id):
            raise Unauthenticated("This API key is not known, or was revoked.")
        wait = self.buckets.take(key_id, self.clock.monotonic())
        if wait > 0:
            raise TooMany("This API key makes too many requests.", retry_after=wait)
        return principal


def make_key() -> NewKey:
    """A new API key, `hf_<id>_<secret>`, whose secret is 256 random bits."""
    key_id = new_id("key")
    text = f"{_PREFIX}{key_id.removeprefix('key_')}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, parse_key(text)[1], Secret(text))


def parse_key(text: str) -> tuple[str, bytes]:
    """The id and the hash of a key; raises Unauthenticated when it does not have a key's form."""
    short, underscore, secret = text.removeprefix(_PREFIX).partition("_")
    if not (text.startswith(_PREFIX) and underscore and secret and len(short) == _ID_LENGTH and text.isascii()):
        raise Unauthenticated("An API key looks like hf_<id>_<secret>.")
    return f"key_{short}", hashlib.sha256(text.encode()).digest()


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes that a new key is to have; raises Invalid for one that there is not, and for none at all."""
    wanted = frozenset(scopes)
    if not wanted:
        raise Invalid("A key needs at least one scope.", field="scopes")
    for scope in sorted(wanted - SCOPES):
        raise Invalid(f"There is no scope {scope}; there are: {', '.join(sorted(SCOPES))}.", field="scopes")
    return wanted


_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="The API key as a bearer token.")
_ADMITTED = "hookflash.principal"
_basic = HTTPBasic(auto_error=False, scheme_name="basic", description="The API key as the password, any user name.")


async def principal(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Principal:
    """The caller, from `Authorization: Bearer` or the password of `Authorization: Basic`."""
    admitted: Principal | None = request.scope.get(_ADMITTED)
    if admitted is not None:
        return admitted
    if bearer is None and basic is None:
        raise Unauthenticated("Send an API key as a bearer token, or as the password of basic authentication.")
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return await doorkeeper.admit(bearer.credentials if bearer else basic.password if basic else "")


async def admit_first(request: Request) -> None:
    """Find the caller of a request before its body is read: who has no key is not listened to. Raises as `principal`."""
    request.scope[_ADMITTED] = await principal(request, await _bearer(request), await _basic(request))


def require(scope: str) -> Any:
    """For a route that needs a scope: `who: Annotated[Principal, require("messages:read")]`."""
    if scope not in SCOPES:
        raise ValueError(f"there is no scope {scope}")

    async def allowed(who: Annotated[Principal, Depends(principal)]) -> Principal:
        if not who.may(scope):
            raise Forbidden(f"This API key lacks the scope {scope}.")
        return who

    return Depends(allowed)
