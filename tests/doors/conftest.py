"""The tests of the doors run on the event loop that the program itself runs on."""

from collections.abc import Iterator

import pytest
from fastapi.dependencies import models


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """FastAPI keeps the functions of all apps that ever were, and by them whatever those hold: gigabytes over all tests."""
    yield
    for known in vars(models).values():
        if hasattr(known, "cache_clear"):
            known.cache_clear()
