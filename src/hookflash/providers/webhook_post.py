"""Posting JSON to an address that a customer of ours has named: within bounds of time, and never into our own network."""

import httpx2

from hookflash.base.errors import Invalid, Unavailable

SECONDS = 15.0
# Others who refuse will refuse again.
_LATER = frozenset({408, 409, 425, 429})


class WebhookPost:
    """Through a guarded client."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Raises Invalid when it may not be reached or refuses, Unavailable when it may be tried again."""
        try:
            async with self._client.stream("POST", url, content=body, headers=headers, timeout=SECONDS) as response:
                status = response.status_code
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise Invalid("The webhook is no address that can be reached.", field="webhook") from None
        except httpx2.TransportError:
            raise Unavailable("The webhook could not be reached.") from None
        if status in _LATER or status >= 500:
            raise Unavailable(f"The webhook answered {status}.")
        if not 200 <= status < 300:
            raise Invalid(f"The webhook answered {status}.", field="webhook")
