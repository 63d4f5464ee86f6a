"""When to leave somebody else's service alone: after failures in a row, for a while, then one trial decides."""

from dataclasses import dataclass, field

from hookflash.base.clock import Clock

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

    def failed(self, now: float, *, certain: bool = False) -> None:
        """`certain`: trying again at once would not help."""
        self.failures += 1
        if certain or self.trying or self.failures >= FAILURES:
            self.opened_at = now
        self.trying = False

    def abandoned(self) -> None:
        """The request ended without a verdict on the service, such as a cancelled turn."""
        self.trying = False


@dataclass(slots=True)
class Breakers:
    """The breakers of a process, one for each service."""

    clock: Clock
    by_name: dict[str, Breaker] = field(default_factory=dict)

    def of(self, name: str) -> Breaker:
        return self.by_name.setdefault(name, Breaker())
