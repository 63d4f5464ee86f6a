"""Which numeric addresses are of the public internet, and why another may not be reached for somebody outside."""

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def forbidden(address: str) -> str | None:
    """Why a numeric address may not be reached; None when it may."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "is no address"
    for inner in (found, *_inside(found)):
        if inner.is_loopback:
            return "is this machine's own"
        if inner.is_link_local:
            return "is link-local"
        if inner.is_multicast:
            return "is for many at once"
        if inner.is_private or not inner.is_global:
            return "is not of the public internet"
    return None


def _inside(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(found, ipaddress.IPv4Address):
        return []
    inner = [each for each in (found.ipv4_mapped, found.sixtofour) if each is not None]
    if found.teredo is not None:
        inner.extend(found.teredo)
    # ::a.b.c.d, and what a NAT64 gateway turns back into IPv4.
    if found in _NAT64 or 1 < int(found) < 1 << 32:
        inner.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    return inner
