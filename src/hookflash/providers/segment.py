"""Segment: profiles are read by its Profile API, traits and events written by its Tracking API."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from hookflash.base.errors import Invalid, Misconfigured, Unavailable
from hookflash.base.secret import Secret
from hookflash.conversation.identity import Identity, IdentityKind
from hookflash.providers.patience import Failed, is_passing, persist, worth_another

PROFILES_URL = "https://profiles.segment.com"
TRACKING_URL = "https://api.segment.io"
# Most traits that one page of the Profile API has.
_MOST = 200
_SECONDS = 10.0


class SegmentProfiles:
    """A ProfileSource. Without a space or its token nothing is read, without a write key nothing is written."""

    def __init__(
        self,
        *,
        space: str | None,
        profile_token: Secret | None,
        write_key: Secret | None,
        profiles_url: str = PROFILES_URL,
        tracking_url: str = TRACKING_URL,
    ) -> None:
        self._space = space
        self._reading = _basic(profile_token) if space and profile_token else None
        self._writing = _basic(write_key) if write_key else None
        self._profiles = profiles_url.rstrip("/")
        self._tracking = tracking_url.rstrip("/")
        self._client = httpx2.AsyncClient(timeout=_SECONDS)

    async def traits(self, identity: Identity) -> Mapping[str, Any] | None:
        if self._reading is None:
            return None
        # The colon between kind and value stands for itself, a plus sign in the value must not.
        who = f"{_kind(identity)}:{quote(identity.value, safe='')}"
        url = f"{self._profiles}/v1/spaces/{quote(self._space or '', safe='')}/collections/users/profiles/{who}/traits"
        answer = await self._ask("GET", f"{url}?limit={_MOST}", self._reading, may_lack=True)
        if answer is None:
            return None
        traits = answer.get("traits")
        if not isinstance(traits, dict):
            raise Unavailable("Segment's answer could not be read.")
        return traits

    async def identify(self, identity: Identity, traits: Mapping[str, Any], key: str, at: datetime) -> None:
        own = {_kind(identity): identity.value} if identity.kind is not IdentityKind.USER_ID else {}
        await self._write("identify", identity, {"traits": {**traits, **own}}, key, at)

    async def track(
        self, identity: Identity, event: str, properties: Mapping[str, Any], key: str, at: datetime
    ) -> None:
        await self._write("track", identity, {"event": event, "properties": dict(properties)}, key, at)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _write(self, kind: str, identity: Identity, what: dict[str, Any], key: str, at: datetime) -> None:
        if self._writing is None:
            return
        known = identity.kind is IdentityKind.USER_ID
        context: dict[str, Any] = {"library": {"name": "hookflash"}}
        if not known:
            external = {"id": identity.value, "type": _kind(identity), "collection": "users", "encoding": "none"}
            context |= {"externalIds": [external]}
        body = {
            **({"userId": identity.value} if known else {"anonymousId": str(identity)}),
            **what,
            "messageId": key,
            "timestamp": at.isoformat(),
            "context": context,
        }
        await self._ask("POST", f"{self._tracking}/v1/{kind}", self._writing, body)

    async def _ask(
        self, method: str, url: str, authorization: str, body: object = None, *, may_lack: bool = False
    ) -> dict[str, Any] | None:
        """The answer, after other tries where they may help; None for a profile that is not there."""
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        content = msgspec.json.encode(body) if body is not None else None

        async def attempt() -> httpx2.Response | Failed:
            try:
                response = await self._client.request(method, url, headers=headers, content=content)
            except httpx2.HTTPError as error:
                return Failed(Unavailable("Segment cannot be reached."), True, error)
            if is_passing(response.status_code):
                told = Unavailable(f"Segment answered {response.status_code}.")
                again = worth_another(response.status_code, response.headers)
                return Failed(told, again, _Refused(str(response.status_code)))
            return response

        response = await persist(attempt)
        if response.status_code == 404 and may_lack:
            return None
        if response.status_code in (401, 403):
            raise Misconfigured(
                "Segment did not accept the key.",
                hint="check HOOKFLASH_SEGMENT_PROFILE_TOKEN and HOOKFLASH_SEGMENT_WRITE_KEY",
            )
        if response.status_code >= 300:
            raise Invalid(f"Segment refused the request ({response.status_code}: {_code(response.content)}).")
        return _read(response.content)


class _Refused(Exception):
    """What Segment answered with, as a cause."""


def _kind(identity: Identity) -> str:
    return "phone" if identity.kind is IdentityKind.WHATSAPP else identity.kind.value


def _basic(secret: Secret) -> str:
    return "Basic " + b64encode(f"{secret.get_secret_value()}:".encode()).decode()


def _read(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError:
        raise Unavailable("Segment's answer could not be read.") from None
    return found if isinstance(found, dict) else {}


def _code(content: bytes) -> str:
    try:
        error = _read(content).get("error")
    except Unavailable:
        return "no reason given"
    return str(error.get("code", ""))[:60] if isinstance(error, dict) else "no reason given"
