"""Pages of web sites by HTTP: one request at a time, no redirect followed, nothing read that is too big or no text."""

from email.message import Message

import anyio
import httpx2

from hookflash import __version__
from hookflash.base.errors import HookflashError
from hookflash.knowledge.crawl import Fetch, Fetched, Got, Moved, Refused, Unchanged
from hookflash.knowledge.extract import CONTENT_TYPES
from hookflash.knowledge.formats.encoding import decode
from hookflash.knowledge.robots import MAX_BYTES, NAME
from hookflash.knowledge.web_address import joined

SECONDS = 30.0
_SITEMAP_BYTES = 5_000_000
_TEXT = frozenset(kind for kind in CONTENT_TYPES if kind.startswith("text/") or kind == "application/xhtml+xml")
_GONE = {
    401: "asks for a password",
    403: "does not let us read it",
    404: "has no such page",
    410: "has this page no more",
    451: "may not show it for legal reasons",
}
_AGENT = f"{NAME.capitalize()}/{__version__} (reads pages that its users name; obeys robots.txt as {NAME})"
_ACCEPT = "text/html,application/xhtml+xml,application/pdf,text/plain;q=0.9,*/*;q=0.1"


class WebFetcher:
    """A Fetcher over a client that reaches nothing it must not reach. `most_bytes` is the most that one page may have."""

    def __init__(self, client: httpx2.AsyncClient, most_bytes: int = 10_000_000) -> None:
        self._client = client
        self._most_bytes = most_bytes

    async def fetch(self, fetch: Fetch) -> Fetched:
        try:
            with anyio.fail_after(SECONDS):
                return await self._fetch(fetch)
        except TimeoutError:
            return Refused(f"the server did not answer within {SECONDS:g} s")
        except HookflashError as error:
            return Refused(error.message, gone=not error.retryable)
        except httpx2.TimeoutException:
            return Refused("the server did not answer in time")
        except httpx2.DecodingError:
            return Refused("the server compressed the page in a way that cannot be read")
        except httpx2.TransportError as error:
            return Refused(f"the server cannot be reached ({type(error).__name__})")
        except (httpx2.InvalidURL, UnicodeError):
            return Refused("the address cannot be asked for", gone=True)

    async def _fetch(self, fetch: Fetch) -> Fetched:
        headers = {"User-Agent": _AGENT, "Accept": _ACCEPT}
        if fetch.known is not None and fetch.known.etag:
            headers["If-None-Match"] = fetch.known.etag
        if fetch.known is not None and fetch.known.last_modified:
            headers["If-Modified-Since"] = fetch.known.last_modified
        async with self._client.stream("GET", fetch.url, headers=headers, follow_redirects=False) as response:
            status = response.status_code
            if status == 304:
                return Unchanged()
            if status in (301, 302, 303, 307, 308):
                to = joined(fetch.url, response.headers.get("location", ""))
                return Moved(to) if to else Refused("it redirects to no address of the web", gone=True)
            if status != 200:
                why = _GONE.get(status)
                return Refused(f"{status}: the server {why or 'did not give it'}", gone=why is not None, status=status)
            return await self._body(fetch, response)

    async def _body(self, fetch: Fetch, response: httpx2.Response) -> Fetched:
        content_type, charset = _type_of(response.headers.get("content-type", ""))
        wanted = fetch.kind == "page"
        if wanted and content_type not in CONTENT_TYPES and content_type not in ("", "application/octet-stream"):
            return Refused(f"pages of the type {content_type[:60]} are not read", gone=True)
        most = self._most_bytes if wanted else MAX_BYTES if fetch.kind == "robots" else _SITEMAP_BYTES
        declared = response.headers.get("content-length", "")
        data = bytearray()
        if not (declared.isdigit() and int(declared) > most and wanted):
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > most:
                    break
            else:
                return self._got(fetch, response, bytes(data), content_type, charset)
        if fetch.kind == "robots":
            # What stands behind the first half of a megabyte need not be obeyed (RFC 9309).
            return self._got(fetch, response, bytes(data[:most]), content_type, charset)
        return Refused(f"the page has more than {most / 1e6:,.1f} MB", gone=True)

    def _got(
        self, fetch: Fetch, response: httpx2.Response, data: bytes, content_type: str, charset: str | None
    ) -> Fetched:
        if fetch.kind != "page":
            return Got(data, content_type)
        if content_type in ("", "application/octet-stream"):
            head = data[:1024].lstrip()
            content_type = (
                "application/pdf" if head.startswith(b"%PDF-") else "text/html" if head[:1] == b"<" else "text/plain"
            )
        if content_type in _TEXT and charset:
            data = decode(data, declared=charset).encode("utf-8", "replace")
        if not data.strip():
            return Refused("the page is empty", gone=True)
        tags = {word.strip().lower() for word in response.headers.get("x-robots-tag", "").split(",")}
        return Got(
            data,
            content_type,
            response.headers.get("etag"),
            response.headers.get("last-modified"),
            tags.isdisjoint({"noindex", "none"}),
        )


def _type_of(header: str) -> tuple[str, str | None]:
    """The content type in small letters ("" when none is given), and the charset."""
    message = Message()
    message["content-type"] = header
    charset = message.get_param("charset")
    return (message.get_content_type().lower() if header.strip() else ""), charset if isinstance(charset, str) else None
