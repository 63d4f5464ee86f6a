"""Speech into words: what the engine needs of a vendor, and what a vendor says that it can."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SttTraits:
    """What a vendor can do. `formats` are (encoding, sample rate): mulaw or s16le. `languages` empty: all that it is given.

    `endpoints`: it tells by itself that a turn has ended. `code_switching`: one utterance may mix languages.
    """

    name: str
    formats: tuple[tuple[str, int], ...]
    languages: tuple[str, ...] = ()
    interim: bool = True
    endpoints: bool = False
    code_switching: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words heard. `final`: they will not change; `end_of_turn`: the vendor holds the turn for over.

    `start` and `end` are seconds of audio since the stream began; `language` as detected, if it was.
    """

    text: str
    final: bool
    end_of_turn: bool = False
    confidence: float = 1.0
    start: float = 0.0
    end: float = 0.0
    language: str | None = None


Heard = Callable[[Transcript], Awaitable[None]]


class SttStream(Protocol):
    """One call's way to a vendor. Audio goes in as it comes; transcripts come to the callback that was given."""

    async def feed(self, audio: bytes) -> None:
        """Audio in the format that was asked for; returns at once (a bounded queue; the oldest is dropped)."""
        ...

    async def finalize(self) -> None:
        """Speech has ended by our own measure: give the final words of what was fed, soon.

        It is always answered by a final transcript, an empty one if there is nothing more to say.
        """
        ...


class Stt(Protocol):
    """A vendor. `stream` raises Unavailable when it cannot be reached, Misconfigured for a wrong key.

    A vendor that fails in the middle of a stream raises Unavailable out of the context; it may be opened again.
    """

    @property
    def traits(self) -> SttTraits: ...

    def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[SttStream]: ...
