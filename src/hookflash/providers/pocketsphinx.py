"""A recogniser on this machine, English only, for development: good at sentences it was told of, bad at free speech."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
import pocketsphinx
import structlog

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.base.tasks import bare_error
from hookflash.providers.formats import MULAW, require
from hookflash.providers.listening import Outgoing
from hookflash.providers.onset import Onset
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.audio import SAMPLE_RATE, SILENT_FRAME, decoded
from hookflash.speech.resample import Resampler
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript

# The rate that its acoustic model was made for.
_RATE = 16000
# Seconds of audio that are recognised at once, and that may wait.
_PIECE = 0.2
_WAITING = 20.0
# Amplitude of noise that is added: the telephone cuts off, and a synthesizer never makes, what its model expects to hear.
# Of 24 questions by espeak-ng it finds 7 without, 22 with it.
_NOISE = 15.0
# Frames of silence behind a turn.
_AFTER = 20

_log = structlog.get_logger(__name__)


class PocketsphinxStt:
    """`pocketsphinx`: with hints, one of them is recognised; without, anything, with most words wrong."""

    traits = SttTraits("pocketsphinx", MULAW, languages=("en",))

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        outgoing = Outgoing(int(_PIECE * SAMPLE_RATE), int(_WAITING * SAMPLE_RATE))
        # One thread for a call at a time: the decoder is not made for more.
        thread = anyio.CapacityLimiter(1)
        recogniser = await anyio.to_thread.run_sync(_Recogniser, hints, limiter=thread)

        async def recognise() -> None:
            while True:
                piece = await outgoing.next()
                work = recogniser.finish if piece is None else partial(recogniser.take, piece)
                try:
                    transcript = await anyio.to_thread.run_sync(work, limiter=thread)
                except RuntimeError as error:
                    raise Unavailable("The local recogniser failed.") from error
                if transcript is not None:
                    await heard(transcript)

        try:
            with bare_error():
                async with anyio.create_task_group() as group:
                    group.start_soon(recognise)
                    yield _Stream(outgoing)
                    group.cancel_scope.cancel()
        finally:
            if outgoing.dropped:
                _log.warning("audio dropped before the transcriber", vendor="pocketsphinx", bytes=outgoing.dropped)


class _Stream:
    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def feed(self, audio: bytes) -> None:
        self._outgoing.feed(audio)

    async def finalize(self) -> None:
        self._outgoing.finalize()


class _Recogniser:
    """The decoder and what it has heard of the turn; used by one thread at a time."""

    def __init__(self, hints: tuple[str, ...]) -> None:
        free: dict[str, Any] = {"samprate": _RATE, "loglevel": "FATAL"}
        # The language model is large, and needless with a grammar.
        self._decoder = pocketsphinx.Decoder(lm=None, **free) if hints else pocketsphinx.Decoder(**free)
        if hints:
            sentences = " | ".join(sentence for hint in hints if (sentence := self._known(hint)))
            if not sentences:
                raise Misconfigured("The local recogniser knows none of the sentences that it is to listen for.")
            self._decoder.add_jsgf_string("hints", f"#JSGF V1.0; grammar hints; public <turn> = {sentences} ;")
            self._decoder.activate_search("hints")
        self._onset = Onset()
        self._resampler = Resampler(SAMPLE_RATE, _RATE)
        self._noise = np.random.default_rng(0)
        self._fed = self._start = 0
        self._words = ""

    def take(self, audio: bytes) -> Transcript | None:
        begun = self._onset.begun
        sound = self._onset.feed(audio)
        self._fed += len(audio)
        if not sound:
            return None
        if not begun:
            self._start = self._fed - len(sound)
            self._decoder.start_utt()
        self._decode(sound)
        words = self._heard()
        if words == self._words or not words:
            return None
        self._words = words
        return self._transcript(words, final=False)

    def finish(self) -> Transcript:
        words = ""
        if self._onset.begun:
            # A sentence of the grammar is whole only when something follows its last word.
            self._decode(SILENT_FRAME * _AFTER)
            self._decoder.end_utt()
            words = self._heard() or self._words
        transcript = self._transcript(words, final=True)
        self._onset.reset()
        self._words = ""
        self._start = self._fed
        return transcript

    def _transcript(self, words: str, *, final: bool) -> Transcript:
        start, end = self._start / SAMPLE_RATE, self._fed / SAMPLE_RATE
        return Transcript(words, final, start=start, end=end, language="en")

    def _decode(self, sound: bytes) -> None:
        samples = self._resampler.push(decoded(sound))
        samples = np.clip(samples + self._noise.normal(0.0, _NOISE, len(samples)), -32768, 32767)
        self._decoder.process_raw(samples.astype("<i2").tobytes())

    def _heard(self) -> str:
        found = self._decoder.hyp()
        return found.hypstr if found is not None else ""

    def _known(self, hint: str) -> str | None:
        """The hint as a sentence of the grammar, None when one of its words is not in the dictionary."""
        words = ["".join(c for c in word if c.isalpha() or c == "'") for word in hint.lower().split()]
        words = [word for word in words if word]
        return " ".join(words) if words and all(self._decoder.lookup_word(word) for word in words) else None


def stt(config: ProviderConfig) -> PocketsphinxStt:
    """The entry point `pocketsphinx`."""
    return PocketsphinxStt()
