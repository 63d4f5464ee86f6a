"""All tests run on asyncio (`async def test_...` needs no mark), and none of them is judged by its speed."""

import hypothesis
import pytest

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
