"""A sample business: what the shop Alder & Pine (made up) tells its customers, in the formats that can be ingested."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable


def documents() -> Iterator[Traversable]:
    """The documents by name; each has `.name` and `.read_bytes()`. Also works from a zipped wheel."""
    folder = files(__name__).joinpath("documents")
    yield from sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name)
