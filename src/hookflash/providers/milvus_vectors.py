"""Milvus (or Zilliz, or the embedded Milvus Lite) as the place of our own chunks' vectors, through the vendor's client."""

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from pymilvus import DataType, MilvusClient, MilvusException

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.fusion import Ranked
from hookflash.knowledge.passage import Vector
from hookflash.providers.vectors import VectorsConfig

T = TypeVar("T")

SECONDS = 10.0
_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
# Milvus gives at most so many neighbours.
_MOST = 16_384
# How well neighbours are connected, and among how many a search chooses. With what an AUTOINDEX chooses by itself
# half of the nearest of 5,000 random vectors were missed.
_GRAPH = {"M": 24, "efConstruction": 200}
_LOOKED_AT = 512
# Its sentences carry what was asked; what fails is told by the errors raised here.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)


class MilvusVectors:
    """A collection an embedding model; in it, the account is the partition key, so that accounts lie in separate shards.

    The region, if there is one, begins the collections' names: the vectors of several regions can share a server that
    keeps them apart by name, and a role of one region needs no right to another's. The client blocks, so it works in a
    thread.
    """

    def __init__(self, config: VectorsConfig) -> None:
        self._config = config
        region = config.region.replace("-", "_")
        self._prefix = f"hookflash_{region}_" if region else "hookflash_"
        self.place = hashlib.sha256(f"{config.url}\0{self._prefix}".encode()).hexdigest()[:16]
        self._client: MilvusClient | None = None
        self._dimensions: dict[str, int] = {}
        self._opening = anyio.Lock()

    async def put(self, account_id: str, source_id: str, model: str, rows: Sequence[tuple[int, Vector]]) -> None:
        _check(account_id, source_id)
        if not rows:
            return
        client, name, size = await self._open(model, make=len(rows[0][1]))
        for _, vector in rows:
            if len(vector) != size:
                raise Invalid(f"a vector has {len(vector)} numbers, those of {model} have {size}")
        data = [
            {"chunk_id": chunk_id, "account_id": account_id, "source_id": source_id, "vector": vector.tolist()}
            for chunk_id, vector in rows
        ]
        await self._call(lambda: client.upsert(name, data, timeout=SECONDS))
        if "://" not in self._config.url:
            # A server does so by itself; Milvus Lite looks at every vector until it is told to make its graph.
            await self._call(lambda: client.flush(name, timeout=SECONDS))

    async def remove(self, account_id: str, model: str, chunk_ids: Sequence[int]) -> None:
        _check(account_id)
        client, name, size = await self._open(model)
        if size and chunk_ids:
            wanted = f'account_id == "{account_id}" and chunk_id in {list(map(int, chunk_ids))}'
            await self._call(lambda: client.delete(name, filter=wanted, timeout=SECONDS))

    async def forget(self, account_id: str, source_id: str) -> None:
        _check(account_id, source_id)
        client = await self._connected()
        names = await self._call(lambda: client.list_collections(timeout=SECONDS))
        wanted = f'account_id == "{account_id}" and source_id == "{source_id}"'
        for name in names:
            if self._is_ours(name):
                await self._call(lambda: client.delete(name, filter=wanted, timeout=SECONDS))  # noqa: B023

    async def count(self, account_id: str, source_id: str, model: str) -> int:
        _check(account_id, source_id)
        client, name, size = await self._open(model)
        if not size:
            return 0
        wanted = f'account_id == "{account_id}" and source_id == "{source_id}"'
        counted = await self._call(
            lambda: client.query(
                name, filter=wanted, output_fields=["count(*)"], consistency_level="Strong", timeout=SECONDS
            )
        )
        return int(counted[0]["count(*)"])

    async def nearest(
        self, account_id: str, sources: Sequence[str], model: str, vectors: Vector, limit: int
    ) -> list[Ranked]:
        _check(account_id, *sources)
        client, name, size = await self._open(model)
        if not size or not sources or not len(vectors):
            return [[] for _ in vectors]
        if vectors.shape[1] != size:
            raise Invalid(f"a vector has {vectors.shape[1]} numbers, those of {model} have {size}")
        among = ", ".join(f'"{source}"' for source in sources)
        found = await self._call(
            lambda: client.search(
                name,
                data=vectors.tolist(),
                anns_field="vector",
                filter=f'account_id == "{account_id}" and source_id in [{among}]',
                limit=min(limit, _MOST),
                search_params={"params": {"ef": min(max(_LOOKED_AT, 2 * limit), _MOST)}},
                timeout=SECONDS,
            )
        )
        return [[(int(match["chunk_id"]), float(match["distance"])) for match in matches] for matches in found]

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await anyio.to_thread.run_sync(client.close)

    def _is_ours(self, name: str) -> bool:
        return re.fullmatch(rf"{self._prefix}m_[a-z0-9_]*_[0-9a-f]{{8}}", name) is not None

    def _name(self, model: str) -> str:
        plain = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")[:80]
        return f"{self._prefix}m_{plain}_{hashlib.sha256(model.encode()).hexdigest()[:8]}"

    async def _connected(self) -> MilvusClient:
        async with self._opening:
            if self._client is None:
                token = self._config.token.get_secret_value() if self._config.token else ""
                self._client = await self._call(lambda: MilvusClient(self._config.url, token=token, timeout=SECONDS))
            return self._client

    async def _open(self, model: str, make: int | None = None) -> tuple[MilvusClient, str, int]:
        """The model's collection and the size of its vectors; 0 where there is none and none of `make` is made."""
        client = await self._connected()
        name = self._name(model)
        async with self._opening:
            if name not in self._dimensions:
                size = await self._call(lambda: _opened(client, name, make))
                if not size:
                    return client, name, 0
                self._dimensions[name] = size
        return client, name, self._dimensions[name]

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except MilvusException as error:
            told = str(error.message).splitlines()[0][:200] if error.message else "no reason given"
            if "not found" in told.lower() or "load" in told.lower():
                # Somebody dropped or released a collection: look again next time.
                self._dimensions.clear()
            if "open local" in told.lower():
                raise Unavailable("Another process has the file of Milvus Lite open, or it is none.") from error
            raise Unavailable(f"Milvus does not answer as it should: {told}") from error


def _opened(client: MilvusClient, name: str, make: int | None) -> int:
    if not client.has_collection(name, timeout=SECONDS):
        if make is None:
            return 0
        schema = client.create_schema(auto_id=False)
        schema.add_field("chunk_id", DataType.INT64, is_primary=True)
        schema.add_field("account_id", DataType.VARCHAR, max_length=64, is_partition_key=True)
        schema.add_field("source_id", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=make)
        indexes = client.prepare_index_params()
        indexes.add_index("vector", index_type="HNSW", metric_type="COSINE", params=_GRAPH)
        indexes.add_index("source_id", index_type="INVERTED")
        try:
            client.create_collection(name, schema=schema, index_params=indexes, timeout=SECONDS)
        except MilvusException:
            # Another worker may have been quicker.
            if not client.has_collection(name, timeout=SECONDS):
                raise
    client.load_collection(name, timeout=SECONDS)
    told = client.describe_collection(name, timeout=SECONDS)
    fields: dict[str, dict[str, Any]] = {field["name"]: field for field in told["fields"]}
    return int(fields["vector"]["params"]["dim"])


def _check(*ids: str) -> None:
    """They go into an expression."""
    for each in ids:
        if not _ID.fullmatch(each):
            raise Invalid("this is no id of an account or a source")


def vectors(config: VectorsConfig) -> MilvusVectors:
    """At a server, or in a file of this machine (Milvus Lite)."""
    return MilvusVectors(config)
