"""Milvus (or Zilliz, or the embedded Milvus Lite) as an index of an account's own, through the vendor's client."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from pymilvus import MilvusClient, MilvusException

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.external import Entry, Hit, IndexFacts, IndexPlace
from hookflash.knowledge.passage import Vector
from hookflash.providers.guarded import Resolve
from hookflash.providers.indexes import IndexConfig

T = TypeVar("T")

SECONDS = 5.0
# Its sentences carry what was asked; what fails is told by the errors raised here.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)


class MilvusIndex:
    """Options: `uri` (https://...), or `file` (of Milvus Lite, a name that ends with .db); `collection`; `id_field`,
    `text_field`, `title_field`, `url_field`, `vector_field`. Secrets: `token`, where the server asks for one.

    `check_host` raises Invalid for hosts that must not be reached. The vendor's client blocks, so it works in a thread.
    """

    def __init__(self, directory: Path, place: IndexPlace, check_host: Resolve) -> None:
        fields = ("id_field", "text_field", "title_field", "url_field", "vector_field")
        place.only(("uri", "file", "collection", *fields), ("token",))
        self._wanted = {field: str(place.options[field]) for field in fields if place.options.get(field)}
        name = place.options.get("file")
        if name is not None:
            if Path(name).name != name or not name.endswith(".db"):
                raise Invalid("the file is a plain name that ends with .db", field="index.options.file")
            self._uri = str(directory / name)
        else:
            self._uri = place.text("uri")
            if urlsplit(self._uri).scheme not in ("http", "https"):
                raise Invalid("the address begins with https:// or http://", field="index.options.uri")
        self._is_file = name is not None
        self._check_host = check_host
        self._token = place.secrets.get("token", "")
        self._collection = place.text("collection")
        self._id = place.text("id_field", "id")
        self._text = place.text("text_field", "text")
        self._title = place.text("title_field", "title")
        self._url = place.text("url_field", "url")
        self._vector = place.text("vector_field", "vector")
        self._client: MilvusClient | None = None
        self._metric = ""
        self._dimensions = 0
        self._fields: frozenset[str] = frozenset()
        self._opening = anyio.Lock()

    async def facts(self) -> IndexFacts:
        client = await self._open()
        counted = await self._call(
            lambda: client.query(self._collection, filter="", output_fields=["count(*)"], timeout=SECONDS)
        )
        return IndexFacts(self._dimensions, int(counted[0]["count(*)"]))

    async def search(self, vector: Vector | None, text: str | None, limit: int) -> Sequence[Hit]:
        if vector is None:
            raise Unavailable("Milvus is searched by meaning only, and the question has no vector.")
        client = await self._open()
        if len(vector) != self._dimensions:
            raise Invalid(f"the question's vector has {len(vector)} numbers, the index {self._dimensions} dimensions")
        shown = [name for name in (self._text, self._title, self._url) if name in self._fields]
        found = await self._call(
            lambda: client.search(
                self._collection,
                data=[vector.tolist()],
                anns_field=self._vector,
                limit=limit,
                output_fields=shown,
                timeout=SECONDS,
            )
        )
        return [self._hit(match) for match in found[0]]

    async def put(self, entries: Sequence[Entry]) -> None:
        client = await self._open()
        for entry in entries:
            if len(entry.vector) != self._dimensions:
                raise Invalid(f"a vector has {len(entry.vector)} numbers, the index {self._dimensions} dimensions")
        rows = [
            {
                name: value
                for name, value in (
                    (self._id, entry.id),
                    (self._vector, entry.vector.tolist()),
                    (self._text, entry.text),
                    (self._title, entry.title),
                    (self._url, entry.url or ""),
                )
                if name in self._fields
            }
            for entry in entries
        ]
        if rows:
            await self._call(lambda: client.upsert(self._collection, rows, timeout=SECONDS))

    async def remove(self, ids: Sequence[str]) -> None:
        client = await self._open()
        if ids:
            await self._call(lambda: client.delete(self._collection, ids=list(ids), timeout=SECONDS))

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await anyio.to_thread.run_sync(client.close)

    async def _open(self) -> MilvusClient:
        async with self._opening:
            if self._client is None:
                if not self._is_file:
                    parts = urlsplit(self._uri)
                    port = parts.port or (443 if parts.scheme == "https" else 19530)
                    (address, *_) = await self._check_host(parts.hostname or "", port)
                    if parts.scheme == "http":
                        # Pinned. With https the certificate proves that it is the host that was looked at.
                        place = f"[{address}]" if ":" in address else address
                        self._uri = parts._replace(netloc=f"{place}:{port}").geturl()
                elif not await anyio.Path(self._uri).exists():
                    raise Invalid("there is no such file of Milvus Lite", field="index.options.file")
                client = await self._call(lambda: MilvusClient(self._uri, token=self._token, timeout=SECONDS))
                try:
                    await self._call(lambda: self._describe(client))
                except BaseException:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(client.close)
                    raise
                self._client = client
            return self._client

    def _describe(self, client: MilvusClient) -> None:
        if not client.has_collection(self._collection, timeout=SECONDS):
            raise Invalid(f"Milvus has no collection named {self._collection!r}", field="index.options.collection")
        told = client.describe_collection(self._collection, timeout=SECONDS)
        fields: dict[str, dict[str, Any]] = {field["name"]: field for field in told["fields"]}
        for name, option in ((self._vector, "vector_field"), (self._text, "text_field"), (self._id, "id_field")):
            if name not in fields and not (told.get("enable_dynamic_field") and option == "text_field"):
                raise Invalid(f"the collection has no field {name!r}", field=f"index.options.{option}")
        for option, name in self._wanted.items():
            if name not in fields and not told.get("enable_dynamic_field"):
                raise Invalid(f"the collection has no field {name!r}", field=f"index.options.{option}")
        self._metric = client.describe_index(self._collection, self._vector, timeout=SECONDS).get("metric_type", "")
        if self._metric not in ("COSINE", "IP", "L2"):
            raise Invalid(f"the collection compares by {self._metric}", field="index.options.collection")
        client.load_collection(self._collection, timeout=SECONDS)
        self._dimensions = int(fields[self._vector]["params"]["dim"])
        dynamic = {self._text, self._title, self._url} if told.get("enable_dynamic_field") else set()
        self._fields = frozenset(fields) | dynamic

    def _hit(self, match: Any) -> Hit:
        entity = match.get("entity", {})
        distance = float(match["distance"])
        return Hit(
            id=str(match.get(self._id, match.get("id"))),
            text=str(entity.get(self._text) or ""),
            title=str(entity.get(self._title) or ""),
            url=str(entity[self._url]) if entity.get(self._url) else None,
            # Of vectors of length 1: the squared distance is 2 - 2 cos.
            cosine=1 - distance / 2 if self._metric == "L2" else distance,
        )

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except MilvusException as error:
            told = str(error.message).splitlines()[0][:200] if error.message else "no reason given"
            if "auth" in told.lower() or "permission" in told.lower():
                raise Invalid("Milvus refuses the token", field="index.secrets.token") from error
            if self._is_file and "open local" in told.lower():
                raise Unavailable("another process has the file of Milvus Lite open, or it is none") from error
            raise Unavailable(f"Milvus does not answer as it should: {told}") from error


def index(config: IndexConfig, place: IndexPlace) -> MilvusIndex:
    """An index at a server, or in a file of the account's directory."""
    return MilvusIndex(config.directory(place.account_id), place, config.resolve)
