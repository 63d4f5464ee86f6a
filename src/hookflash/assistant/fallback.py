"""The chain of models: each behind a breaker, the next when one fails, every reason recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookflash.assistant.model import ChatModel, ModelReply, ModelRequest, Stream, nowhere
from hookflash.base.breaker import Breakers
from hookflash.base.errors import ModelFailed


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model's reply; `degraded` names the ones that were tried or passed over before it, and why."""

    reply: ModelReply
    model: ChatModel
    degraded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NobodyAnswered:
    """All failed."""

    degraded: tuple[str, ...]


async def ask(
    models: Sequence[ChatModel], request: ModelRequest, breakers: Breakers, stream: Stream | None = None
) -> Chosen | NobodyAnswered:
    """Ask the models in order until one answers.

    With a `stream`, whose words a person may be hearing, a model that fails after its first words fails the chain: another
    one would begin again in the middle. Without one only the whole reply counts, and the next model starts afresh.
    """
    degraded: list[str] = []
    for model in models:
        breaker = breakers.of(model.name)
        if not breaker.admit(breakers.clock.monotonic()):
            degraded.append(f"{model.name}: passed over, it failed lately")
            continue
        spoken = False

        async def heard(piece: str) -> None:
            nonlocal spoken
            spoken = True
            if stream is not None:
                await stream(piece)

        settled = False
        try:
            reply = await model.reply(request, nowhere if stream is None else heard)
            breaker.succeeded()
            settled = True
            return Chosen(reply, model, tuple(degraded))
        except ModelFailed as error:
            breaker.failed(breakers.clock.monotonic())
            settled = True
            degraded.append(f"{model.name}: {error}")
            if spoken:
                break
        finally:
            if not settled:
                breaker.abandoned()
    return NobodyAnswered(tuple(degraded))
