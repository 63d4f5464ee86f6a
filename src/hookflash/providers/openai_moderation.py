"""OpenAI's moderation endpoint, and every server that speaks its protocol: scores of texts by category."""

from collections.abc import Sequence

import httpx2
import openai

from hookflash.base.clock import within
from hookflash.base.errors import Unavailable
from hookflash.providers.openai import client_of, reason_of, worth_again
from hookflash.providers.patience import Failed, persist
from hookflash.providers.registry import ProviderConfig
from hookflash.safety.moderation import Moderation

NEWEST = "omni-moderation-latest"
# Somebody is waiting, and there are rules to fall back on.
PATIENCE = 5.0


class OpenAIModerator:
    """A Moderator; `name` is `openai:<model>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model = config.model or NEWEST
        self.name = f"openai:{self._model}"
        self._config = config
        self._client, _ = client_of(config)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def moderate(self, texts: Sequence[str]) -> list[Moderation]:
        """One for each text. Raises Unavailable."""
        if not texts:
            return []
        try:
            patience = min(PATIENCE, self._config.timeouts.total)
            return await persist(lambda: within(self._config.clock, patience, lambda: self._try(list(texts))))
        except TimeoutError:
            raise Unavailable(f"The moderation {self.name} did not answer in time.") from None

    async def _try(self, texts: list[str]) -> list[Moderation] | Failed:
        try:
            answer = await self._client.moderations.create(model=self._model, input=[text or " " for text in texts])
        except openai.AuthenticationError as error:
            return Failed(Unavailable(f"The key in OPENAI_API_KEY was not accepted for {self.name}."), False, error)
        except (openai.APIError, httpx2.HTTPError) as error:
            failed = Unavailable(f"The moderation {self.name} failed: {reason_of(error)}.")
            return Failed(failed, worth_again(error), error)
        if len(answer.results) != len(texts):
            raise Unavailable(f"The moderation {self.name} judged {len(answer.results)} of {len(texts)} texts.")
        return [Moderation(_scores(result.category_scores)) for result in answer.results]


def _scores(scores: object) -> dict[str, float]:
    """By the names of the wire (`self-harm/intent`); a category that the server leaves out has no score."""
    dumped = getattr(scores, "model_dump", dict)(by_alias=True)
    return {str(name): float(score) for name, score in dumped.items() if isinstance(score, int | float)}


def moderator(config: ProviderConfig) -> OpenAIModerator:
    """The entry point; OPENAI_API_KEY and OPENAI_BASE_URL are read from the options."""
    return OpenAIModerator(config)
