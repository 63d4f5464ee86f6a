"""How much a writing model's word is worth, by how well the passages bear on the question and how much of it they bear out.

A model that always answers and is always sure stands in for one: it says the extractive model's best sentence, to questions
that the sample shop's documents answer and to such that they do not, and half of the time with one fact changed. The weights of
`combine` are those with the least squared error on the `tune` half; the `held-out` half is only reported.

    python benchmarks/fit_confidence.py
"""

import anyio

from hookflash.assistant.confidence import BORNE_OUT, RETRIEVED, combine
from hookflash.assistant.model import ModelReply
from hookflash.insight.abstention_trial import Claim, claims
from hookflash.providers import minilm
from hookflash.providers.registry import ProviderConfig


def error(found: list[Claim], retrieved: float, borne_out: float) -> float:
    """The mean squared distance between confidence and truth (Brier)."""
    return sum((sure(claim, retrieved, borne_out) - claim.right) ** 2 for claim in found) / len(found)


def sure(claim: Claim, retrieved: float, borne_out: float) -> float:
    reply = ModelReply("x", claim.stated, (1,), "m")
    return combine(
        claim.retrieval, reply, generative=True, grounding=claim.grounding, retrieved=retrieved, borne_out=borne_out
    )


def ranks(found: list[Claim], retrieved: float, borne_out: float) -> float:
    """How often a right claim has the higher confidence of a right and a wrong one (AUROC)."""
    right = [sure(claim, retrieved, borne_out) for claim in found if claim.right]
    wrong = [sure(claim, retrieved, borne_out) for claim in found if not claim.right]
    return sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong))


async def main() -> None:
    embedder = minilm.embedder(ProviderConfig())
    dev, test = await claims(embedder, "dev"), await claims(embedder, "test")
    grid = [(r / 20, g / 20) for r in range(21) for g in range(21)]
    best = min(grid, key=lambda weights: error(dev, *weights))
    print(
        f"{len(dev)} claims to tune, {len(test)} held out; least squared error at retrieved={best[0]}, borne_out={best[1]}"
    )
    for name, weights in (("before", (0.3, 0.0)), ("fitted", best), ("shipped", (RETRIEVED, BORNE_OUT))):
        for half, found in (("tune", dev), ("held out", test)):
            print(f"{name:8} {half:9} squared error {error(found, *weights):.3f}, AUROC {ranks(found, *weights):.3f}")


if __name__ == "__main__":
    anyio.run(main)
