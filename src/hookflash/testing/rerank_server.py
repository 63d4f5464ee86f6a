"""A rerank server on this machine, as Cohere's and Jina's contract says; it counts which words of the query a text has."""

import re
from typing import Any

from hookflash.testing.vendor import Receive, Request, Scope, Send, lifespan, read, send_json


class RerankServer:
    """An ASGI application. `key` is the only one that it accepts; while `away` it answers 503.

    `models` are those that it knows; what came is kept in `requests`. `reply` replaces the answer to a good request.
    """

    def __init__(self, *, key: str = "rr-test", models: frozenset[str] = frozenset({"words"})) -> None:
        self.key = key
        self.models = models
        self.away = False
        self.reply: Any = None
        self.requests: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await lifespan(scope, receive, send):
            return
        request = await read(scope, receive)
        self.requests.append(request)
        status, answer = self._answer(request)
        await send_json(send, status, answer)

    def _answer(self, request: Request) -> tuple[int, Any]:
        if self.away:
            return 503, {"message": "unavailable"}
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"message": "invalid api token"}
        if request.method != "POST" or request.path != "/v1/rerank":
            return 404, {"message": "not found"}
        body = request.body
        query, documents, top = body.get("query"), body.get("documents"), body.get("top_n")
        if body.get("model") not in self.models:
            return 404, {"message": f"model '{body.get('model')}' not found"}
        if not isinstance(query, str) or not query:
            return 400, {"message": "invalid request: query must be a non-empty string"}
        if not isinstance(documents, list) or not documents or not all(isinstance(d, str) and d for d in documents):
            return 400, {"message": "invalid request: list of documents must not be empty"}
        if top is not None and (not isinstance(top, int) or top < 1):
            return 400, {"message": "invalid request: top_n must be a positive integer"}
        if self.reply is not None:
            return 200, self.reply
        scored = [(words_shared(query, document), place) for place, document in enumerate(documents)]
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
        return 200, {
            "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
            "results": [{"index": place, "relevance_score": score} for score, place in scored[:top]],
            "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
        }


def words_shared(query: str, document: str) -> float:
    """The share of the query's words that the document has, 0 to 1."""
    wanted = set(re.findall(r"\w+", query.casefold()))
    return len(wanted & set(re.findall(r"\w+", document.casefold()))) / max(1, len(wanted))
