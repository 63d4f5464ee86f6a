"""Pinecone on this machine: the control plane's describe and the data plane's operations, as the vendor's contract says."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from hookflash.testing.vendor import Receive, Request, Scope, Send, lifespan, read, send_json


@dataclass(slots=True)
class PineconeShelf:
    """One index: vectors with their metadata by namespace and id."""

    dimension: int = 1_536
    metric: str = "cosine"
    ready: bool = True
    namespaces: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


class PineconeServer:
    """An ASGI application that serves both planes. `key` is the only one that it accepts; while `away` it answers 503."""

    def __init__(self, *, key: str = "pc-test") -> None:
        self.key = key
        self.indexes: dict[str, PineconeShelf] = {}
        self.away = False
        self.requests: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        self.requests.append(request)
        if self.away:
            await send_json(send, 503, {"code": 14, "message": "unavailable", "details": []})
        elif request.headers.get("api-key") != self.key:
            await _plain(send, 401, b"Invalid API Key")
        else:
            query = parse_qs(scope["query_string"].decode())
            host = request.headers.get("host", "")
            status, answer = self._answer(scope["method"], request, query, host)
            await send_json(send, status, answer)

    def _answer(
        self, method: str, request: Request, query: dict[str, list[str]], host: str
    ) -> tuple[int, dict[str, Any]]:
        first, _, path = request.path.lstrip("/").partition("/")
        if first == "indexes" and method == "GET":
            return self._describe(path, host)
        # Each index has a host of its own; here it is the first part of the path.
        shelf = self.indexes.get(first)
        if shelf is None:
            return 404, {"code": 5, "message": "Index not found", "details": []}
        body = request.body
        space = body.get("namespace", query.get("namespace", [""])[0])
        rows = shelf.namespaces.setdefault(space, {})
        match method, path:
            case "POST", "describe_index_stats":
                counts = {name: {"vectorCount": len(held)} for name, held in shelf.namespaces.items()}
                total = sum(len(held) for held in shelf.namespaces.values())
                return 200, {
                    "namespaces": counts,
                    "dimension": shelf.dimension,
                    "indexFullness": 0,
                    "totalVectorCount": total,
                    "metric": shelf.metric,
                    "vectorType": "dense",
                }
            case "POST", "query":
                return _query(shelf, rows, body, space)
            case "POST", "vectors/upsert":
                return _upsert(shelf, rows, body)
            case "GET", "vectors/fetch":
                found = {wanted: rows[wanted] for wanted in query.get("ids", []) if wanted in rows}
                return 200, {"vectors": found, "namespace": space, "usage": {"readUnits": 1}}
            case "POST", "vectors/delete":
                for wanted in body.get("ids", []):
                    rows.pop(wanted, None)
                return 200, {}
            case _:
                return 404, {"code": 5, "message": "Not Found", "details": []}

    def _describe(self, name: str, host: str) -> tuple[int, dict[str, Any]]:
        shelf = self.indexes.get(name)
        if shelf is None:
            return 404, {"error": {"code": "NOT_FOUND", "message": f"Resource {name} not found"}, "status": 404}
        return 200, {
            "name": name,
            "dimension": shelf.dimension,
            "metric": shelf.metric,
            "vector_type": "dense",
            "host": f"{host}/{name}",
            "deletion_protection": "disabled",
            "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
            "status": {"ready": shelf.ready, "state": "Ready" if shelf.ready else "Initializing"},
        }


def _query(
    shelf: PineconeShelf, rows: dict[str, dict[str, Any]], body: dict[str, Any], space: str
) -> tuple[int, dict[str, Any]]:
    wrong = _wrong_size(shelf, body.get("vector", []))
    if wrong:
        return 400, wrong
    asked = np.array(body["vector"], np.float32)
    scored = sorted(
        ((_score(shelf, asked, np.array(row["values"], np.float32)), row) for row in rows.values()),
        key=lambda pair: -pair[0],
    )[: int(body.get("topK", 10))]
    matches = [
        {"id": row["id"], "score": score}
        | ({"metadata": row["metadata"]} if body.get("includeMetadata") else {})
        | ({"values": row["values"]} if body.get("includeValues") else {"values": []})
        for score, row in scored
    ]
    return 200, {"results": [], "matches": matches, "namespace": space, "usage": {"readUnits": 5}}


def _upsert(shelf: PineconeShelf, rows: dict[str, dict[str, Any]], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    for vector in body.get("vectors", []):
        wrong = _wrong_size(shelf, vector.get("values", []))
        if wrong:
            return 400, wrong
    for vector in body.get("vectors", []):
        rows[vector["id"]] = {"id": vector["id"], "values": vector["values"], "metadata": vector.get("metadata", {})}
    return 200, {"upsertedCount": len(body.get("vectors", []))}


def _wrong_size(shelf: PineconeShelf, vector: list[float]) -> dict[str, Any] | None:
    if len(vector) == shelf.dimension:
        return None
    told = f"Vector dimension {len(vector)} does not match the dimension of the index {shelf.dimension}"
    return {"code": 3, "message": told, "details": []}


def _score(shelf: PineconeShelf, asked: Any, held: Any) -> float:
    product = float(asked @ held)
    if shelf.metric == "dotproduct":
        return product
    return product / max(1e-9, float(np.linalg.norm(asked) * np.linalg.norm(held)))


async def _plain(send: Send, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
