"""A call whose vendors cannot be had ends with its reason: nobody is left in silence, nor called silent for it."""

from dataclasses import dataclass, field

import anyio
import pytest

from hookflash.speech.devices import Devices, Phrases, Say
from hookflash.speech.events import Heard, Measured, Tick
from hookflash.speech.rules import CallRules
from hookflash.speech.run_call import GIVE_UP_SECONDS, CallShell
from hookflash.testing.clock import VirtualClock, settle
from hookflash.testing.speech import Listening, ScriptedStt, ScriptedTts, Speaking

RULES = CallRules(greeting="Hello.", reprompt="Are you still there?", reprompt_after=5.0, reprompts=9)


@dataclass
class Nobody:
    """A line and a mind of which nothing is asked."""

    played: bytearray = field(default_factory=bytearray)

    def play(self, audio: bytes) -> None:
        self.played += audio

    def mark(self, name: str) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...
    async def think(self, turn: int, said: str, say: Say, language: str | None) -> None: ...
    async def look_up(self, said: str, settled: bool) -> None: ...
    async def keep(self, heard: Heard, measured: Measured | None) -> None: ...
    async def transfer(self, target: str) -> None: ...


@pytest.mark.parametrize(
    ("ears", "opening", "speaking", "within"),
    [
        (503, None, None, GIVE_UP_SECONDS + 6),
        (401, None, None, 1),
        (None, 503, None, GIVE_UP_SECONDS + 6),
        (None, 401, None, 1),
        (None, None, 503, 30),
        (None, None, 401, 1),
    ],
)
async def test_it_ends_with_its_reason(
    ears: int | None, opening: int | None, speaking: int | None, within: float
) -> None:
    clock, nobody = VirtualClock(), Nobody()
    stt = ScriptedStt(clock, default=Listening(refuse=ears))
    tts = ScriptedTts(clock, default=Speaking(refuse=speaking), refuse=opening)
    shell = CallShell(Devices(nobody, stt, tts, nobody, clock, RULES, Phrases()))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shell.run)
        await settle()
        for _ in range(int(within * 10)):
            await clock.advance(0.1)
            shell.post(Tick())
        why = shell.counts.why or ""
        shell.hang_up()
    assert why.startswith("failed: The scripted vendor")


async def test_a_vendor_that_comes_back_in_time_is_waited_for() -> None:
    clock, nobody = VirtualClock(), Nobody()
    stt = ScriptedStt(clock, *[Listening(refuse=503)] * 3)
    tts = ScriptedTts(clock, *[Speaking(refuse=503)] * 2)
    shell = CallShell(Devices(nobody, stt, tts, nobody, clock, RULES, Phrases()))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shell.run)
        await settle()
        for _ in range(200):
            await clock.advance(0.1)
            shell.post(Tick())
        assert shell.counts.why is None
        assert len(stt.streams) == 1
        assert nobody.played
        shell.hang_up()
