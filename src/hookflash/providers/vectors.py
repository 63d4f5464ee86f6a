"""The door for places of our own chunks' vectors outside PostgreSQL: each vendor's by its name, from entry points."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import cast

from hookflash.base.errors import Misconfigured
from hookflash.base.secret import Secret
from hookflash.knowledge.chunk_vectors import ChunkVectors

VECTORS = "hookflash.vectors"


@dataclass(frozen=True, slots=True)
class VectorsConfig:
    """What a vendor's constructor is given. `region` may be empty; it keeps the vectors of several regions apart."""

    url: str
    token: Secret | None = None
    region: str = ""


def open_vectors(config: VectorsConfig, vendor: str = "milvus") -> ChunkVectors:
    """The place of these vectors, not yet asked for anything. Raises Misconfigured where the vendor is not installed."""
    points = tuple(entry_points(group=VECTORS, name=vendor))
    if not points:
        raise Misconfigured(
            f"There is no place for vectors named {vendor!r}.",
            hint="install the package that brings it (group hookflash.vectors)",
        )
    try:
        make = cast(Callable[[VectorsConfig], ChunkVectors], points[0].load())
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"HOOKFLASH_VECTOR_INDEX_URL needs the Python package {error.name!r}, which is not installed.",
            hint=f"pip install 'hookflash[{vendor}]'",
        ) from error
    return make(config)
