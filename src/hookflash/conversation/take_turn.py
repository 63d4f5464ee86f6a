"""One turn, whatever the line: gates, then the answer through the checks, then what was heard."""

from collections.abc import Sequence
from typing import Protocol

from hookflash.conversation.segment import Segment
from hookflash.conversation.turn import (
    Answerer,
    Check,
    Ending,
    HandOff,
    NamedGates,
    Pass,
    Reply,
    Say,
    Silence,
    Turn,
    TurnRecord,
    Verdict,
)


class Line(Protocol):
    """How talk reaches a person."""

    async def say(self, segment: Segment) -> None: ...

    def heard(self) -> str:
        """What has reached the person, or will without fail: all of a text, the played part of speech."""
        ...


class TextLine:
    """Gathers an answer whole, to be sent when the turn is committed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    async def say(self, segment: Segment) -> None:
        self._pieces.append(segment.text)

    def heard(self) -> str:
        return "".join(self._pieces)


async def take_turn(
    turn: Turn, *, gates: NamedGates, answer: Answerer, checks: Sequence[Check], line: Line
) -> TurnRecord:
    """Ask the gates; if they pass, answer. Nothing is stored or sent here."""
    asked: list[tuple[str, Verdict]] = []
    for name, gate in gates:
        verdict = await gate(turn)
        asked.append((name, verdict))
        match verdict:
            case Pass():
                continue
            case Reply(text=text) | HandOff(text=text) if text:
                await line.say(Segment(text, last=True))
            case Reply() | Silence() | HandOff():
                pass
        return TurnRecord(tuple(asked), line.heard(), None)
    say: Say = line.say
    for check in checks:
        say = check(turn, say)
    ending: Ending = await answer(turn, say)
    return TurnRecord(tuple(asked), line.heard(), ending)
