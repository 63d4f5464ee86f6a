"""Attachments kept as files in the data directory."""

import os
from pathlib import Path

import anyio
import anyio.to_thread

from hookflash.base.errors import NotFound, Unavailable


class FileBlobs:
    """One file per attachment, below `directory`, readable by us only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Raises Unavailable when the disk refuses (full, read-only)."""
        try:
            await anyio.to_thread.run_sync(self._write, self._path(key), data)
        except OSError as error:
            raise Unavailable(f"The attachment cannot be kept: {error.strerror or 'the disk refuses'}.") from error

    async def get(self, key: str) -> bytes:
        try:
            return await anyio.Path(self._path(key)).read_bytes()
        except FileNotFoundError:
            raise NotFound("The attachment is not kept here.") from None

    async def delete(self, key: str) -> None:
        """Raises Unavailable when the disk refuses."""
        try:
            await anyio.Path(self._path(key)).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"The attachment cannot be deleted: {error.strerror or 'the disk refuses'}.") from error

    def _path(self, key: str) -> Path:
        path = (self._directory / key).resolve()
        if not path.is_relative_to(self._directory.resolve()):
            raise NotFound("The attachment is not kept here.")
        return path

    def _write(self, path: Path, data: bytes) -> None:
        # Directories that are made on the way to another do not get its mode.
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(".part")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        partial.replace(path)
