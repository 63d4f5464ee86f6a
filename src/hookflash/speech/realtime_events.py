"""What happens in a call of speech to speech, besides what the vendor tells and the telephone does, and what follows."""

from dataclasses import dataclass

from hookflash.speech.events import (
    ClearAudio,
    EndCall,
    HangUp,
    Heard,
    HungUp,
    Marked,
    Measured,
    Play,
    Pressed,
    SetMark,
    Tick,
    Transfer,
    TransferTo,
    WakeAt,
)
from hookflash.speech.sts import Order, StsEvent


@dataclass(frozen=True, slots=True)
class Used:
    """What came of a function: the vendor answers with it, unless this is how the call ends (`then`)."""

    call: str
    output: str
    then: EndCall | TransferTo | None = None


@dataclass(frozen=True, slots=True)
class VendorLost:
    """The vendor is gone. `why` is empty where another socket of the call may fare better."""

    why: str = ""


RealtimeEvent = StsEvent | Marked | Pressed | Tick | HungUp | EndCall | TransferTo | Used | VendorLost


@dataclass(frozen=True, slots=True)
class Use:
    """Do what a function says; `arguments` is JSON as the vendor gave it."""

    turn: int
    call: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Spent:
    """A turn consumed something: micro-dollars and tokens. `words`: for finding the caller's words. Turn 0: the call itself."""

    turn: int
    micros: int
    input_tokens: int = 0
    output_tokens: int = 0
    words: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more will come of this call."""


RealtimeEffect = (
    Order | Play | SetMark | ClearAudio | Heard | Measured | WakeAt | HangUp | Transfer | Use | Spent | Over
)
