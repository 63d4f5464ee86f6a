"""How a call of ours goes: what is said by itself, and how long anything is waited for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallRules:
    """How a call goes; seconds. `patience` stretches the pauses that end a turn. Empty texts are not said."""

    greeting: str = ""
    patience: float = 1.0
    interruptible: bool = True
    early: bool = True
    filler: str = ""
    filler_after: float = 2.5
    reprompt: str = ""
    reprompt_after: float = 8.0
    reprompts: int = 2
    goodbye: str = ""
    failed: str = ""
    max_seconds: float = 1800.0
