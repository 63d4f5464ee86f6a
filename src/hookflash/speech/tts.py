"""Words into speech: what the engine needs of a vendor, and what a vendor says that it can."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TtsTraits:
    """What a vendor can do. `formats` are (encoding, sample rate): mulaw or s16le; the first is preferred.

    `ssml`: markup is understood; `languages` empty: all that the voice speaks.
    """

    name: str
    formats: tuple[tuple[str, int], ...]
    languages: tuple[str, ...] = ()
    ssml: bool = False


Sound = Callable[[bytes], Awaitable[None]]


class TtsVoice(Protocol):
    """One call's way to a vendor."""

    async def speak(self, text: str, sound: Sound) -> None:
        """Give the audio of one sentence or clause to `sound` piece by piece as it comes; returns at its end.

        Cancelling it stops the vendor's work on this text and nothing of it is given any more. Raises Unavailable when
        the vendor fails, also after the first pieces.
        """
        ...


class Tts(Protocol):
    """A vendor. `voice` opens a call's way to it; raises Unavailable or Misconfigured."""

    @property
    def traits(self) -> TtsTraits: ...

    def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AbstractAsyncContextManager[TtsVoice]: ...
