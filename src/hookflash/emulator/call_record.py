"""What happened in a call: a timeline in the order of its entries, and the sound of both sides."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from hookflash.emulator.earpiece import Earpiece, Track
from hookflash.emulator.sound import stereo_wav


@dataclass(frozen=True, slots=True)
class Entry:
    """One occurrence, `at` seconds after the call was answered (negative: before). `kind` is one of

    status, verb, say, play, webhook, problem, speaks, spoke, presses, hangs_up, stream, media, mark, mark_echo, clear,
    stream_end, relay, prompt, partial, interrupt, talk, heard, send_digits, language, end, gather, dial, conference,
    enqueue, skipped.
    """

    at: float
    kind: str
    data: dict[str, Any] = field(default_factory=dict)


class CallRecord:
    """`caller` is the sound of the person, `ear` holds what they heard."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.caller = Track()
        self.ear = Earpiece()
        self._more = anyio.Event()

    def note(self, at: float, kind: str, **data: Any) -> None:
        self.entries.append(Entry(round(at, 3), kind, data))
        more, self._more = self._more, anyio.Event()
        more.set()

    def begin(self, elapsed: float) -> None:
        """The call is answered now, `elapsed` seconds after its first entry could be made: time starts here."""
        self.entries = [replace(entry, at=round(entry.at - elapsed, 3)) for entry in self.entries]

    def of(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds."""
        return [entry for entry in self.entries if entry.kind in kinds]

    async def until(self, true: Callable[["CallRecord"], bool], timeout: float = 30.0) -> None:
        """Return when the condition holds, looked at after each entry; raises TimeoutError after real seconds."""
        with anyio.fail_after(timeout):
            while not true(self):
                await self._more.wait()

    @property
    def said(self) -> list[str]:
        """The words that the person heard, where they came as text: Say, prompts of Gather, ConversationRelay."""
        return [entry.data["text"] for entry in self.of("say", "heard")]

    def answers(self) -> list[tuple[float, float | None]]:
        """When the person stopped speaking, and when they next began to hear something: None when they did not."""
        turns: list[tuple[float, float | None]] = []
        for entry in self.of("spoke", "speaks", "media", "talk", "say"):
            if entry.kind == "spoke":
                turns.append((entry.at, None))
            elif entry.kind != "speaks" and turns and turns[-1][1] is None:
                turns[-1] = (turns[-1][0], entry.at)
        return turns

    def wav(self) -> bytes:
        """A stereo WAV file: the person on the left, what they heard on the right."""
        return stereo_wav(self.caller.samples(), self.ear.heard.samples())
