"""Segment on this machine: its Profile API (traits of a profile) and its Tracking API (identify, track), as documented."""

from base64 import b64decode
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from hookflash.testing.vendor import Receive, Request, Scope, Send, lifespan, read, send_json

# What the Tracking API takes at most, in bytes.
_MOST_BYTES = 32_768


@dataclass(slots=True)
class SegmentPerson:
    """A profile: its traits, and the external ids (`phone:+1...`) by which it is found."""

    traits: dict[str, Any]
    external_ids: set[str]


@dataclass(slots=True)
class SegmentServer:
    """An ASGI application that serves both. What was written is in `people` at once, and in `events`.

    `refusals` are statuses that the next requests meet: (status, Retry-After or None). `requests` is all that came.
    """

    space: str = "spa_test"
    token: str = "segment-token"  # noqa: S105 - of a server of our own
    write_key: str = "segment-write-key"
    people: list[SegmentPerson] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    refusals: deque[tuple[int, str | None]] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def knows(self, *external_ids: str, **traits: Any) -> SegmentPerson:
        """Somebody who is known by these ids."""
        person = SegmentPerson(dict(traits), set(external_ids))
        self.people.append(person)
        return person

    def find(self, external_id: str) -> SegmentPerson | None:
        return next((person for person in self.people if external_id in person.external_ids), None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        self.requests.append(request)
        if self.refusals:
            status, wait = self.refusals.popleft()
            code = "rate_limit_error" if status == 429 else "internal_error"
            await _refuse(send, status, code, "try again later", {"retry-after": wait} if wait else {})
        elif request.path.startswith("/v1/spaces/"):
            await self._profile(scope, request, send)
        else:
            await self._tracked(request, send)

    async def _profile(self, scope: Scope, request: Request, send: Send) -> None:
        # As it came: a plus sign that was not escaped would mean a space to them.
        raw: str = scope["raw_path"].decode("ascii").partition("?")[0]
        parts = raw.strip("/").split("/")
        if not _is(request, self.token):
            return await _refuse(send, 401, "authentication_error", "invalid access token")
        if request.method != "GET" or len(parts) != 8 or parts[3:6] != ["collections", "users", "profiles"]:
            return await _refuse(send, 404, "not_found", "The resource was not found.")
        if unquote(parts[2]) != self.space or parts[7] != "traits":
            return await _refuse(send, 404, "not_found", "The resource was not found.")
        who = unquote(parts[6].replace("+", " "))
        person = self.find(who)
        if person is None:
            return await _refuse(send, 404, "not_found", "Profile was not found.")
        query = parse_qs(scope["query_string"].decode())
        limit = int(query.get("limit", ["10"])[0])
        names = sorted(person.traits)
        wanted = [n for n in names if n in query["include"][0].split(",")] if "include" in query else names
        page = {name: person.traits[name] for name in wanted[:limit]}
        cursor = {"url": "", "has_more": len(wanted) > limit, "next": "", "limit": limit}
        return await send_json(send, 200, {"traits": page, "cursor": cursor})

    async def _tracked(self, request: Request, send: Send) -> None:
        body, kind = request.body, request.path.removeprefix("/v1/")
        if request.method != "POST" or kind not in ("identify", "track"):
            return await send_json(send, 404, {"success": False})
        if len(request.raw) > _MOST_BYTES or not body:
            return await send_json(send, 400, {"success": False})
        if not _is(request, self.write_key):
            return await send_json(send, 401, {"success": False, "message": "invalid write key"})
        taken = bool(body.get("userId") or body.get("anonymousId")) and (kind != "track" or bool(body.get("event")))
        # What it does not take it answers like what it does; the same messageId is taken once.
        message = str(body.get("messageId", ""))
        if taken and not (message and message in self.seen):
            self.seen.add(message)
            self.events.append({"type": kind, **body})
            if kind == "identify":
                self._identify(body)
        return await send_json(send, 200, {"success": True})

    def _identify(self, body: dict[str, Any]) -> None:
        ids = {f"user_id:{body['userId']}"} if body.get("userId") else {f"anonymous_id:{body['anonymousId']}"}
        ids |= {f"{each['type']}:{each['id']}" for each in body.get("context", {}).get("externalIds", ())}
        traits = body.get("traits", {})
        ids |= {f"{kind}:{traits[kind]}" for kind in ("email", "phone") if traits.get(kind)}
        person = next((p for p in self.people if p.external_ids & ids), None) or self.knows(*ids)
        person.external_ids |= ids
        person.traits |= traits


def _is(request: Request, secret: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        return scheme == "Basic" and b64decode(given) == f"{secret}:".encode()
    except ValueError:
        return False


async def _refuse(send: Send, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
    await send_json(send, status, {"error": {"code": code, "message": message}}, headers)
