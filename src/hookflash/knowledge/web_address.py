"""Addresses of pages: one spelling for each, and which of them belong to the same site."""

import ipaddress
import re
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from hookflash.base.errors import Invalid
from hookflash.knowledge.extract import CONTENT_TYPES, ENDINGS

MAX_ADDRESS = 2_000
_ENDINGS = {"html": ".html", "pdf": ".pdf", "docx": ".docx", "markdown": ".md", "csv": ".csv", "json": ".json"}
_PORTS = {"http": 80, "https": 443}
# What advertisers and mailers add to follow a visitor; the page is the same without.
_FOLLOWING = re.compile(
    r"(utm_\w+|gclid|dclid|fbclid|msclkid|mc_[ce]id|_hsenc|_hsmi|igshid|yclid)(=.*)?$", re.IGNORECASE
)
_SESSION = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
_UNRESERVED = re.compile(r"%([0-9a-fA-F]{2})")
_SAFE_PATH = "/:@!$&'()*+,;=-._~%"


def canonical(address: str) -> str:
    """The one spelling of an http(s) address: host in small letters, no default port, fragment or follower parameters.

    Raises Invalid when it is none, or carries a user's name.
    """
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        raise Invalid("this is not an address of the web", field="url") from None
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme not in _PORTS or not host:
        raise Invalid("an address of the web begins with https:// or http://", field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("the address must not carry a user's name or a password", field="url")
    place = _host(host) + (f":{port}" if port not in (None, _PORTS[scheme]) else "")
    path = _path(_SESSION.sub("", parts.path)) or "/"
    query = "&".join(part for part in parts.query.split("&") if part and not _FOLLOWING.match(part))
    made = urlunsplit((scheme, place, path, _encoded(query, _SAFE_PATH + "?"), ""))
    if len(made) > MAX_ADDRESS:
        raise Invalid(f"the address has more than {MAX_ADDRESS:,} characters", field="url")
    return made


def joined(base: str, reference: str) -> str | None:
    """Where a link on the page `base` leads, in canonical form; None when that is no web address."""
    try:
        return canonical(urljoin(base, reference.strip()))
    except (Invalid, ValueError):
        return None


def site(address: str) -> str:
    """What pages of one site have in common: host and port, with or without `www.`, by http or https."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return host if port in _PORTS.values() else f"{host}:{port}"


def origin(address: str) -> str:
    """`https://shop.example:8443` of an address: what one robots.txt is for."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def path_and_query(address: str) -> str:
    """What robots.txt speaks of."""
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def file_name(address: str, content_type: str) -> str:
    """A name for the page as if it were a file: its last segment, and an ending that says what the server said it is."""
    ending = _ENDINGS.get(CONTENT_TYPES.get(content_type, ""), ".txt")
    last = urlsplit(address).path.rstrip("/").rpartition("/")[2] or urlsplit(address).hostname or "page"
    stem, dot, old = last.rpartition(".")
    return (stem if dot and f".{old.lower()}" in ENDINGS else last) + ending


def _host(host: str) -> str:
    host = host.rstrip(".").lower()
    try:
        number = ipaddress.ip_address(host)
        return f"[{number}]" if number.version == 6 else str(number)
    except ValueError:
        pass
    try:
        named = host.encode("idna").decode("ascii")
    except UnicodeError:
        raise Invalid("the address names no host", field="url") from None
    if not re.fullmatch(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?", named):
        raise Invalid("the address names no host", field="url")
    return named


def _path(path: str) -> str:
    """Without `.` and `..`, percent-encoded alike."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return _encoded("/".join(kept), _SAFE_PATH)


def _encoded(text: str, safe: str) -> str:
    def plain(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if character.isascii() and (character.isalnum() or character in "-._~") else found[0].upper()

    return quote(_UNRESERVED.sub(plain, text), safe=safe)
