"""The chain of models: each behind a breaker, the next when one fails, every reason recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hookflash.assistant.model import ChatModel, ModelReply, ModelRequest, Stream, nowhere
from hookflash.base.clock import Clock
from hookflash.base.errors import ModelFailed

FAILURES = 3
PAUSE = 30.0


@dataclass(slots=True)
class Breaker:
    """Closed until FAILURES failures in a row; then open for PAUSE seconds; then one trial decides. `now` in seconds."""

    failures: int = 0
    opened_at: float | None = None
    trying: bool = False

    def state(self, now: float) -> str:
        """closed, open or half-open."""
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.opened_at + PAUSE else "half-open"

    def admit(self, now: float) -> bool:
        """Whether a request may go; the first at half-open is the trial, the others wait for what comes of it."""
        state = self.state(now)
        if state == "half-open" and not self.trying:
            self.trying = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        self.failures, self.opened_at, self.trying = 0, None, False

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.trying or self.failures >= FAILURES:
            self.opened_at = now
        self.trying = False

    def abandoned(self) -> None:
        """The request ended without a verdict on the model, such as a cancelled turn."""
        self.trying = False


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


@dataclass(slots=True)
class Breakers:
    """The breakers of a process, one for each model."""

    clock: Clock
    by_name: dict[str, Breaker] = field(default_factory=dict)

    def of(self, name: str) -> Breaker:
        return self.by_name.setdefault(name, Breaker())


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
