"""Re-rankers behind the rerank operation that Cohere began and Jina, vLLM, Infinity and others speak as well."""

import math
from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.providers.patience import Failed, persist, worth_another
from hookflash.providers.registry import ProviderConfig

_HINT = "check HOOKFLASH_RERANKER, HOOKFLASH_RERANKER_URL and HOOKFLASH_RERANKER_API_KEY"


class HttpReranker:
    """A model of such a server; `name` is `http:<model>`."""

    def __init__(self, config: ProviderConfig) -> None:
        url = config.text("RERANKER_URL")
        if not config.model or not url:
            raise Misconfigured(
                "The re-ranker needs a model and HOOKFLASH_RERANKER_URL.",
                hint="for example http:jina-reranker-v2-base-multilingual at https://api.jina.ai/v1",
            )
        self.name = f"http:{config.model}"
        self._model = config.model
        self._url = f"{url.rstrip('/')}/rerank"
        key = config.text("RERANKER_API_KEY")
        limits = config.timeouts
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(limits.first, connect=limits.connect),
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        # An empty text is refused by the vendors; one space has the same meaning.
        documents = [text or " " for text in texts]
        body = {"model": self._model, "query": question, "documents": documents, "top_n": len(documents)}
        return self._read(await persist(lambda: self._try(body)), len(documents))

    async def _try(self, body: dict[str, Any]) -> bytes | Failed:
        try:
            response = await self._client.post(self._url, json=body)
        except httpx2.TransportError as error:
            return Failed(Unavailable(f"The re-ranker {self.name} does not answer."), True, error)
        if response.status_code == 200:
            return response.content
        status = response.status_code
        told = Unavailable(f"The re-ranker {self.name} answered {status}.", hint=_HINT if 400 <= status < 500 else None)
        cause = httpx2.HTTPStatusError(str(status), request=response.request, response=response)
        return Failed(told, worth_another(status, response.headers), cause)

    def _read(self, content: bytes, wanted: int) -> list[float]:
        """Each document's score in the order of the request, though the answer has the best first."""
        try:
            results = msgspec.json.decode(content)["results"]
            found = {int(result["index"]): float(result["relevance_score"]) for result in results}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"The re-ranker {self.name} answered something else than scores.") from error
        if set(found) != set(range(wanted)) or not all(map(math.isfinite, found.values())):
            raise Unavailable(f"The re-ranker {self.name} did not judge every passage.")
        return [found[place] for place in range(wanted)]


def reranker(config: ProviderConfig) -> HttpReranker:
    """The re-ranker of a model; raises Misconfigured."""
    return HttpReranker(config)
