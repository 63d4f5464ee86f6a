"""One suite for every place where attachments are kept: files here, and an S3-compatible store."""

import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hookflash.base.errors import NotFound, Unavailable
from hookflash.base.secret import Secret
from hookflash.channels.media import Blobs
from hookflash.providers.files import FileBlobs
from hookflash.providers.s3 import BucketBlobs
from hookflash.testing.s3_server import S3Server
from hookflash.testing.vendor import serve

KEY = "acc_1/med_1"
PICTURE = bytes(range(256)) * 300


@dataclass
class Place:
    """Where attachments are kept, and the means to take it away."""

    blobs: Blobs
    server: S3Server | None
    directory: Path

    def go_away(self) -> None:
        if self.server is None:
            self.directory.write_text("not a directory any more")
        else:
            self.server.closed = True


@pytest.fixture(params=["files", "bucket"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "files":
        yield Place(FileBlobs(tmp_path / "media"), None, tmp_path / "media")
        return
    server = S3Server("attachments", access_key_id="AKTEST")
    async with serve(server) as url:
        yield Place(bucket(url), server, tmp_path)


def bucket(url: str, name: str = "attachments", key: str = "AKTEST") -> BucketBlobs:
    return BucketBlobs(name, endpoint=url, access_key_id=key, secret_access_key=Secret("hush"))


async def test_what_was_put_is_got(place: Place) -> None:
    await place.blobs.put(KEY, PICTURE, "image/png")
    assert await place.blobs.get(KEY) == PICTURE


async def test_a_key_can_be_put_again(place: Place) -> None:
    await place.blobs.put(KEY, b"one", "text/plain")
    await place.blobs.put(KEY, b"", "text/plain")
    assert await place.blobs.get(KEY) == b""


async def test_what_was_never_put_is_not_found(place: Place) -> None:
    await place.blobs.put(KEY, PICTURE, "image/png")
    with pytest.raises(NotFound):
        await place.blobs.get("acc_1/med_2")
    with pytest.raises(NotFound):
        await place.blobs.get("acc_2/med_1")


async def test_what_was_deleted_is_not_found_and_can_be_deleted_again(place: Place) -> None:
    await place.blobs.put(KEY, PICTURE, "image/png")
    await place.blobs.delete(KEY)
    await place.blobs.delete(KEY)
    with pytest.raises(NotFound):
        await place.blobs.get(KEY)


async def test_a_place_that_is_away_is_unavailable(place: Place) -> None:
    place.go_away()
    with pytest.raises(Unavailable):
        await place.blobs.put(KEY, PICTURE, "image/png")


async def test_files_are_for_us_alone(tmp_path: Path) -> None:
    await FileBlobs(tmp_path / "media").put(KEY, PICTURE, "image/png")
    (kept,) = [p for p in (tmp_path / "media").rglob("*") if p.is_file()]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("key", ["../outside", "acc_1/../../outside", "/etc/passwd"])
async def test_no_key_leads_out_of_the_directory(tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    blobs = FileBlobs(tmp_path / "media")
    with pytest.raises(NotFound):
        await blobs.get(key)
    with pytest.raises(NotFound):
        await blobs.put(key, b"x", "text/plain")
    assert (tmp_path / "outside").read_bytes() == b"secret"


async def test_objects_keep_their_type_under_one_prefix() -> None:
    server = S3Server("attachments", access_key_id="AKTEST")
    async with serve(server) as url:
        await bucket(url).put(KEY, PICTURE, "image/png")
    assert server.objects == {f"attachments/media/{KEY}": ("image/png", PICTURE)}


@pytest.mark.parametrize(("name", "key"), [("attachments", "AKOTHER"), ("other", "AKTEST")])
async def test_a_bucket_that_refuses_us_is_unavailable(name: str, key: str) -> None:
    async with serve(S3Server("attachments", access_key_id="AKTEST")) as url:
        refused = bucket(url, name, key)
        with pytest.raises(Unavailable):
            await refused.put(KEY, PICTURE, "image/png")
        with pytest.raises(Unavailable):
            await refused.get(KEY)


async def test_a_bucket_that_nobody_serves_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await bucket("http://127.0.0.1:1").put(KEY, b"x", "text/plain")
