"""What a tool's server is shown of who we are: headers; OAuth tokens are fetched, kept until they expire, and renewed."""

from base64 import b64encode

import httpx2
import msgspec

from hookflash.assistant.tool_auth import Basic, Bearer, HeaderAuth, OAuth, OAuthPassword, ToolAuth
from hookflash.base.clock import Clock
from hookflash.base.errors import Unavailable

MOST_TOKEN_BYTES = 100_000
_LASTS = 300.0
# A token is renewed before its time, so that none expires on the way.
_EARLY = 30.0
_MOST_KEPT = 10_000
_UNAVAILABLE = 500


class Credentials:
    """Headers for tools, with one token for each tool and its credentials."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[str, OAuth], tuple[str, float]] = {}

    async def headers(self, tool_id: str, auth: ToolAuth | None) -> dict[str, str]:
        """Raises Unavailable."""
        match auth:
            case None:
                return {}
            case Bearer(token=token):
                return {"Authorization": f"Bearer {token}"}
            case Basic(username=name, password=password):
                return {"Authorization": _basic(name, password)}
            case HeaderAuth(name=name, value=value):
                return {name: value}
            case _:
                return {"Authorization": f"Bearer {await self._token(tool_id, auth)}"}

    def renew(self, tool_id: str, auth: ToolAuth | None) -> bool:
        """A server took back what it was shown: whether something else can be shown."""
        if not isinstance(auth, OAuth):
            return False
        return self._tokens.pop((tool_id, auth), None) is not None

    async def _token(self, tool_id: str, auth: OAuth) -> str:
        token, until = self._tokens.get((tool_id, auth), ("", 0.0))
        if token and self._clock.monotonic() < until:
            return token
        status, found = await self._ask(auth)
        given = found.get("access_token")
        if status != httpx2.codes.OK or not isinstance(given, str) or not given.isascii() or not given.isprintable():
            raise Unavailable(_why(status, found))
        lasts = found.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int | float) and 0 < lasts < 1e9 else _LASTS
        if len(self._tokens) >= _MOST_KEPT:
            self._tokens.clear()
        # One that lasts no longer than the margin is used once.
        self._tokens[tool_id, auth] = (given, self._clock.monotonic() + seconds - min(_EARLY, seconds / 2))
        return given

    async def _ask(self, auth: OAuth) -> tuple[int, dict[str, object]]:
        form = {"scope": auth.scope} if auth.scope else {}
        headers = {"Accept": "application/json"}
        if isinstance(auth, OAuthPassword):
            form |= {"grant_type": "password", "username": auth.username, "password": auth.password}
        else:
            form |= {"grant_type": "client_credentials"}
        if auth.client_secret:
            headers["Authorization"] = _basic(auth.client_id, auth.client_secret)
        elif auth.client_id:
            form["client_id"] = auth.client_id
        body = bytearray()
        try:
            async with self._client.stream("POST", auth.token_url, data=form, headers=headers) as answer:
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST_TOKEN_BYTES:
                        raise Unavailable("its token server answered something that is no token")
        except httpx2.HTTPError:
            raise Unavailable("its token server cannot be reached") from None
        try:
            found = msgspec.json.decode(bytes(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = None
        return answer.status_code, found if isinstance(found, dict) else {}


def _why(status: int, found: dict[str, object]) -> str:
    if status >= _UNAVAILABLE:
        return f"its token server answered {status}"
    if httpx2.codes.is_client_error(status):
        error = found.get("error")
        # RFC 6749 has a word for each reason.
        word = f", {error}" if isinstance(error, str) and error.isidentifier() and len(error) < 40 else ""
        return f"its token server refused our credentials ({status}{word})"
    return "its token server answered something that is no token"


def _basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"
