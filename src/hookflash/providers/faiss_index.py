"""FAISS as an index of an account's own: a local index file, and beside it what its vectors stand for."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import faiss
import msgspec
import numpy as np

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.external import Entry, Hit, IndexFacts, IndexPlace
from hookflash.knowledge.passage import Vector
from hookflash.providers.indexes import IndexConfig


class FaissRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the metadata file; the first line stands for the first vector, and so on."""

    id: str
    text: str
    title: str = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, ...]
    index: Any
    rows: list[FaissRow]


class FaissIndex:
    """Options: `file`, such as `support.faiss`; beside it lies `support.jsonl` with a line {"id", "text", "title", "url"}
    a vector. Both lie in `directory`. Vectors are of length 1; the index compares by inner product or by distance.
    """

    def __init__(self, directory: Path, place: IndexPlace) -> None:
        place.only(("file",), ())
        name = place.text("file")
        if Path(name).name != name or not name.endswith(".faiss"):
            raise Invalid(
                "the file is a plain name that ends with .faiss",
                field="index.options.file",
                hint="an operator puts it into the account's directory of indexes",
            )
        self._path = directory / name
        self._rows_path = self._path.with_suffix(".jsonl")
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()

    async def facts(self) -> IndexFacts:
        loaded = await anyio.to_thread.run_sync(self._load)
        return IndexFacts(int(loaded.index.d), len(loaded.rows))

    async def search(self, vector: Vector | None, text: str | None, limit: int) -> Sequence[Hit]:
        if vector is None:
            raise Unavailable("A FAISS index is searched by meaning only, and the question has no vector.")
        return await anyio.to_thread.run_sync(self._search, vector, limit)

    async def put(self, entries: Sequence[Entry]) -> None:
        await anyio.to_thread.run_sync(self._change, entries, {entry.id for entry in entries})

    async def remove(self, ids: Sequence[str]) -> None:
        await anyio.to_thread.run_sync(self._change, (), set(ids))

    async def aclose(self) -> None:
        self._loaded = None

    def _search(self, vector: Vector, limit: int) -> list[Hit]:
        loaded = self._load()
        if len(vector) != loaded.index.d:
            raise Invalid(f"the question's vector has {len(vector)} numbers, the index {loaded.index.d} dimensions")
        if not loaded.rows:
            return []
        with self._lock:
            scores, positions = loaded.index.search(vector[None, :].astype(np.float32), min(limit, len(loaded.rows)))
        product = loaded.index.metric_type == faiss.METRIC_INNER_PRODUCT
        hits = []
        for score, position in zip(scores[0].tolist(), positions[0].tolist(), strict=True):
            if position >= 0:
                row = loaded.rows[position]
                # Of vectors of length 1: the squared distance is 2 - 2 cos.
                hits.append(Hit(row.id, row.text, row.title, row.url, score if product else 1 - score / 2))
        return hits

    def _load(self) -> _Loaded:
        """As the files are now."""
        try:
            stamp = tuple(
                number
                for path in (self._path, self._rows_path)
                for number in (path.stat().st_mtime_ns, path.stat().st_size)
            )
        except OSError:
            raise Invalid(
                f"there is no index file {self._path.name}, or no {self._rows_path.name} beside it",
                field="index.options.file",
            ) from None
        if self._loaded is None or self._loaded.stamp != stamp:
            try:
                index = faiss.read_index(str(self._path))
                rows = msgspec.json.Decoder(FaissRow).decode_lines(self._rows_path.read_bytes())
            except (RuntimeError, msgspec.MsgspecError, OSError) as error:
                raise Invalid(
                    f"the index cannot be read: {str(error).splitlines()[0][:200]}", field="index.options.file"
                ) from None
            if index.ntotal != len(rows):
                raise Invalid(
                    f"the index has {index.ntotal} vectors, but {self._rows_path.name} has {len(rows)} lines",
                    field="index.options.file",
                )
            if index.metric_type not in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2):
                raise Invalid("the index compares neither by inner product nor by distance", field="index.options.file")
            self._loaded = _Loaded(stamp, index, rows)
        return self._loaded

    def _change(self, added: Sequence[Entry], replaced: set[str]) -> None:
        loaded = self._load()
        size = int(loaded.index.d)
        for entry in added:
            if len(entry.vector) != size:
                raise Invalid(f"a vector has {len(entry.vector)} numbers, the index {size} dimensions")
        kept = [position for position, row in enumerate(loaded.rows) if row.id not in replaced]
        try:
            vectors = [loaded.index.reconstruct(position) for position in kept]
        except RuntimeError:
            raise Invalid("an index of this kind can be searched, but not changed here") from None
        vectors += [entry.vector for entry in added]
        rows = [loaded.rows[position] for position in kept]
        rows += [FaissRow(entry.id, entry.text, entry.title, entry.url) for entry in added]
        write_index(self._path, size, vectors, rows, loaded.index.metric_type)


def index(config: IndexConfig, place: IndexPlace) -> FaissIndex:
    """An index in the account's directory."""
    return FaissIndex(config.directory(place.account_id), place)


def write_index(
    path: Path, dimensions: int, vectors: Sequence[Vector], rows: Sequence[FaissRow], metric: int | None = None
) -> None:
    """Write index and metadata, each in one step."""
    index = faiss.IndexFlat(dimensions, faiss.METRIC_INNER_PRODUCT if metric is None else metric)
    if vectors:
        index.add(np.stack(vectors).astype(np.float32))
    path.parent.mkdir(parents=True, exist_ok=True)
    drafts = (path.with_suffix(".faiss.new"), path.with_suffix(".jsonl.new"))
    faiss.write_index(index, str(drafts[0]))
    drafts[1].write_bytes(msgspec.json.Encoder().encode_lines(rows))
    os.replace(drafts[1], path.with_suffix(".jsonl"))  # noqa: PTH105 - one step
    os.replace(drafts[0], path)  # noqa: PTH105
