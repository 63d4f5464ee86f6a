"""Pinecone as an index of an account's own: its REST API, control plane and data plane."""

from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from hookflash.base.errors import Invalid, Unavailable
from hookflash.knowledge.external import Entry, Hit, IndexFacts, IndexPlace
from hookflash.knowledge.passage import Vector
from hookflash.providers.indexes import IndexConfig

API_URL = "https://api.pinecone.io"
API_VERSION = "2025-04"
# A request may have 2 MB; a vector of 1,536 numbers has some 30 kB as JSON.
_BATCH = 50
# Of a cosine: the greater the nearer. With vectors of length 1 the dot product is the cosine.
_METRICS = ("cosine", "dotproduct")


class PineconeIndex:
    """Options: `index` (its name), `namespace`, `text_key`, `title_key`, `url_key` (fields of the metadata), `api_url`.

    Secrets: `api_key`.
    """

    def __init__(self, client: httpx2.AsyncClient, place: IndexPlace) -> None:
        place.only(("index", "namespace", "text_key", "title_key", "url_key", "api_url"), ("api_key",))
        self._client = client
        self._name = place.text("index")
        self._namespace = place.options.get("namespace", "")
        self._text = place.text("text_key", "text")
        self._title = place.text("title_key", "title")
        self._url = place.text("url_key", "url")
        self._api_url = place.text("api_url", API_URL).rstrip("/")
        self._headers = {"Api-Key": place.secret("api_key"), "X-Pinecone-API-Version": API_VERSION}
        self._host: str | None = None
        self._dimensions = 0

    async def facts(self) -> IndexFacts:
        host = await self._at()
        stats = await self._ask("POST", f"{host}/describe_index_stats", {})
        return IndexFacts(self._dimensions, int(stats.get("totalVectorCount", 0)))

    async def search(self, vector: Vector | None, text: str | None, limit: int) -> Sequence[Hit]:
        if vector is None:
            raise Unavailable("Pinecone is searched by meaning only, and the question has no vector.")
        body = {
            "vector": vector.tolist(),
            "topK": limit,
            "namespace": self._namespace,
            "includeMetadata": True,
            "includeValues": False,
        }
        found = await self._ask("POST", f"{await self._at()}/query", body)
        return [self._hit(match) for match in found.get("matches", ())]

    async def fetch(self, ids: Sequence[str]) -> list[Hit]:
        """Those of these entries that are there."""
        params = [("ids", wanted) for wanted in ids] + [("namespace", self._namespace)]
        found = await self._ask("GET", f"{await self._at()}/vectors/fetch", params=params)
        return [self._hit(vector) for vector in found.get("vectors", {}).values()]

    async def put(self, entries: Sequence[Entry]) -> None:
        host = await self._at()
        for entry in entries:
            if len(entry.vector) != self._dimensions:
                raise Invalid(f"a vector has {len(entry.vector)} numbers, the index {self._dimensions} dimensions")
        for start in range(0, len(entries), _BATCH):
            vectors = [
                {
                    "id": entry.id,
                    "values": entry.vector.tolist(),
                    "metadata": {self._text: entry.text, self._title: entry.title}
                    | ({self._url: entry.url} if entry.url else {}),
                }
                for entry in entries[start : start + _BATCH]
            ]
            await self._ask("POST", f"{host}/vectors/upsert", {"vectors": vectors, "namespace": self._namespace})

    async def remove(self, ids: Sequence[str]) -> None:
        if ids:
            await self._ask(
                "POST", f"{await self._at()}/vectors/delete", {"ids": list(ids), "namespace": self._namespace}
            )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _at(self) -> str:
        """Where the index is served, as the control plane says."""
        if self._host is None:
            told = await self._ask("GET", f"{self._api_url}/indexes/{self._name}")
            if told.get("metric") not in _METRICS:
                raise Invalid(
                    f"the index compares by {told.get('metric')}; it must by {' or '.join(_METRICS)}",
                    field="index.options.index",
                )
            if not told.get("status", {}).get("ready", False):
                raise Unavailable("The Pinecone index is not ready yet.")
            self._dimensions = int(told["dimension"])
            host = str(told["host"])
            self._host = host if "://" in host else f"{self._api_url.partition('://')[0]}://{host}"
        return self._host

    def _hit(self, match: dict[str, Any]) -> Hit:
        metadata = match.get("metadata") or {}
        return Hit(
            id=str(match["id"]),
            text=str(metadata.get(self._text, "")),
            title=str(metadata.get(self._title, "")),
            url=str(metadata[self._url]) if metadata.get(self._url) else None,
            cosine=float(match["score"]) if "score" in match else None,
        )

    async def _ask(self, method: str, url: str, body: Any = None, params: Any = None) -> dict[str, Any]:
        try:
            response = await self._client.request(method, url, json=body, params=params, headers=self._headers)
        except httpx2.TransportError as error:
            raise Unavailable("Pinecone does not answer.") from error
        status = response.status_code
        if status in (401, 403):
            raise Invalid("Pinecone refuses the API key", field="index.secrets.api_key")
        if status == 404:
            raise Invalid(f"Pinecone has no index named {self._name!r}", field="index.options.index")
        if status == 429 or status >= 500:
            raise Unavailable(f"Pinecone answered {status}.")
        try:
            answer = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable("Pinecone answered something that is no JSON.")
        if status >= 400:
            told = answer.get("message") or answer.get("error", {}).get("message") or status
            raise Invalid(f"Pinecone refused: {str(told)[:300]}")
        return answer


def index(config: IndexConfig, place: IndexPlace) -> PineconeIndex:
    """An index at Pinecone."""
    return PineconeIndex(config.client(), place)
