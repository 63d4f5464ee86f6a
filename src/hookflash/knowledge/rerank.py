"""Re-ranking: a model that reads question and passage together puts the passages that were found into a better order.

It decides the order only. Whether a passage bears on the question at all stays the fused likelihood (`Passage.score`), which
is fitted on questions that documents do and do not answer and is what thresholds mean; the scores of re-rankers have
another scale with each model. So a passage that comes first against the odds brings its own, lower likelihood along, and an
assistant is the more careful for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hookflash.base.errors import Unavailable
from hookflash.knowledge.passage import Passage


class Reranker(Protocol):
    """Judges how well texts answer a question."""

    @property
    def name(self) -> str: ...

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One for each text, on a scale of the model's own: the higher the better. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Reranking:
    """`seconds` is how long a search waits for it before it goes on without."""

    reranker: Reranker
    seconds: float = 0.4


async def reordered(reranking: Reranking, question: str, passages: Sequence[Passage]) -> list[Passage]:
    """The same passages, best first; of equals those that were first stay so. Raises Unavailable."""
    scores = await reranking.reranker.scores(question, [shown(passage) for passage in passages])
    if len(scores) != len(passages):
        raise Unavailable(f"The re-ranker {reranking.reranker.name} did not judge every passage.")
    order = sorted(range(len(passages)), key=lambda place: (-scores[place], place))
    return [passages[place] for place in order]


def shown(passage: Passage) -> str:
    """The passage as it was indexed: under its title and headings."""
    return " > ".join(filter(None, (passage.title, *passage.headings))) + "\n" + passage.text
