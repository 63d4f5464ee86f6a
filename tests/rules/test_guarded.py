"""What outside addresses may reach: the public internet, and what the operator allows."""

from collections.abc import Sequence

import httpx2
import pytest

from hookflash.base.errors import Invalid, Unavailable
from hookflash.base.public_address import forbidden
from hookflash.providers.guarded import guarded_client
from hookflash.testing.vendor import serve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "not an address",
    ],
)
def test_addresses_that_are_nobodys_business(address: str) -> None:
    assert forbidden(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert forbidden(address) is None


def names(**known: list[str]):  # type: ignore[no-untyped-def]
    async def resolve(host: str, port: int) -> Sequence[str]:
        return known.get(host.replace(".", "_").replace("-", "_"), [host])

    return resolve


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/", "this machine's own"),
        ("http://metadata.example/latest", "link-local"),
        ("http://[::1]/", "this machine's own"),
        ("http://both.example/", "not of the public internet"),
        ("http://2130706433/", "this machine's own"),
    ],
)
async def test_a_name_is_judged_by_every_address_that_it_has(url: str, why: str) -> None:
    known = names(
        metadata_example=["169.254.169.254"],
        both_example=["93.184.215.14", "10.0.0.1"],
        **{"2130706433": ["127.0.0.1"], "[::1]": ["::1"]},
    )
    async with guarded_client(resolve=known) as client:
        with pytest.raises(Invalid) as told:
            await client.get(url)
    assert why in told.value.message
    assert "HOOKFLASH_ALLOWED_HOSTS" in (told.value.hint or "")


async def test_other_schemes_and_names_that_nobody_knows() -> None:
    async def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with guarded_client(resolve=nobody) as client:
        with pytest.raises(Unavailable, match=r"nowhere\.example cannot be resolved"):
            await client.get("http://nowhere.example/")
        with pytest.raises((Invalid, httpx2.UnsupportedProtocol)):
            await client.get("file:///etc/passwd")


async def test_what_is_allowed_is_reached_at_the_address_that_was_checked_and_redirects_are_checked_again() -> None:
    asked: list[tuple[str, str]] = []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        headers = dict(scope["headers"])
        asked.append((scope["path"], headers[b"host"].decode()))
        away = scope["path"] == "/away"
        location = [(b"location", b"http://169.254.169.254/latest/meta-data")] if away else []
        await send({"type": "http.response.start", "status": 302 if away else 200, "headers": location})
        await send({"type": "http.response.body", "body": b"here"})

    async with serve(app) as base:
        port = int(base.rsplit(":", 1)[1].strip("/"))
        known = names(erp_internal=["127.0.0.1"])
        async with guarded_client(allow=frozenset({"erp.internal"}), resolve=known, max_redirects=3) as client:
            answer = await client.get(f"http://erp.internal:{port}/orders")
            assert answer.text == "here"
            with pytest.raises(Invalid, match="link-local"):
                await client.get(f"http://erp.internal:{port}/away")
        async with guarded_client(allow=frozenset({f"127.0.0.1:{port}"})) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/x")).status_code == 200
            with pytest.raises(Invalid):
                await client.get(f"http://127.0.0.1:{port + 1}/x")
    assert ("/orders", f"erp.internal:{port}") in asked
