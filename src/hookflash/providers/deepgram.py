"""Deepgram's live transcription: Nova, which is told when a turn ends, and Flux, which tells when it does."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlencode

import msgspec

from hookflash.providers.formats import require
from hookflash.providers.listening import Dialogue, listening
from hookflash.providers.live import Vendor, socket_address
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript

VENDOR = Vendor("Deepgram", "DEEPGRAM_API_KEY")
HOME = "https://api.deepgram.com"
FORMATS = (("mulaw", 8000), ("s16le", 8000), ("s16le", 16000))
# Silence after which Nova settles what was said, in milliseconds; shorter where languages mix, as Deepgram advises.
_SETTLES = 300
_SETTLES_MIXED = 100
# A second without a word is the shortest that it can tell of.
_NO_MORE_WORDS = 1000
_MOST_HINTS = 100
# Vendors' seconds are rounded.
_SLACK = 0.011
_ENCODINGS = {"mulaw": "mulaw", "s16le": "linear16"}


class DeepgramStt:
    """`deepgram` (nova-3), `deepgram:flux`, or any other model by its name, such as `deepgram:nova-3-medical`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model = config.model or "nova-3"
        self._flux = self._model.startswith("flux")
        self._key = VENDOR.key(config)
        self._address = socket_address(config.text("DEEPGRAM_BASE_URL") or HOME)
        self._clock = config.clock
        mixes = self._model in ("flux", "flux-general-multi") or self._model.startswith("nova-3")
        self.traits = SttTraits(f"deepgram:{self._model}", FORMATS, endpoints=True, code_switching=mixes)

    def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[SttStream]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        rate = sample_rate * (1 if encoding == "mulaw" else 2)
        asked = flux_query(self._model, language) if self._flux else nova_query(self._model, language)
        asked += [("encoding", _ENCODINGS[encoding]), ("sample_rate", str(sample_rate))]
        hinted = "keywords" if self._model.startswith("nova-2") else "keyterm"
        asked += [(hinted, hint) for hint in hints[:_MOST_HINTS]]
        dialogue: Dialogue = Flux(rate) if self._flux else Nova(rate)
        path = "v2/listen" if self._flux else "v1/listen"
        return listening(
            VENDOR,
            f"{self._address}/{path}?{urlencode(asked)}",
            {"Authorization": f"Token {self._key}"},
            dialogue,
            heard,
            clock=self._clock,
            bytes_per_second=rate,
        )


def nova_query(model: str, language: str | None) -> list[tuple[str, str]]:
    """Parameters for a model that is told of the ends of turns."""
    mixed = language in (None, "multi", "hi-Latn")
    asked = [
        ("model", model),
        ("language", "multi" if mixed else str(language)),
        ("interim_results", "true"),
        ("punctuate", "true"),
        ("endpointing", str(_SETTLES_MIXED if mixed else _SETTLES)),
        ("utterance_end_ms", str(_NO_MORE_WORDS)),
        ("vad_events", "true"),
    ]
    return asked + [("language_hint", hint) for hint in _mixture(language)] if model.startswith("nova-3") else asked


def flux_query(model: str, language: str | None) -> list[tuple[str, str]]:
    """Parameters for a model that tells of the ends of turns; `flux` alone is chosen by the language."""
    if model == "flux":
        model = "flux-general-en" if language is not None and language.startswith("en") else "flux-general-multi"
    asked = [("model", model)]
    if model.endswith("multi"):
        plain = [] if language in (None, "multi", "hi-Latn") else [str(language).partition("-")[0]]
        asked += [("language_hint", hint) for hint in (*_mixture(language), *plain)]
    return asked


def _mixture(language: str | None) -> tuple[str, ...]:
    # Hindi in Latin letters is spoken with English in it.
    return ("hi", "en") if language == "hi-Latn" else ()


class _Head(msgspec.Struct):
    type: str
    code: str = ""
    variant: str = ""


class _Alternative(msgspec.Struct):
    transcript: str = ""
    confidence: float = 1.0
    languages: list[str] = msgspec.field(default_factory=list)


class _Channel(msgspec.Struct):
    alternatives: list[_Alternative]


class _Results(msgspec.Struct):
    channel: _Channel
    start: float
    duration: float
    is_final: bool = False
    from_finalize: bool = False


class _UtteranceEnd(msgspec.Struct):
    last_word_end: float = 0.0


class _TurnInfo(msgspec.Struct):
    event: str
    transcript: str = ""
    audio_window_start: float = 0.0
    audio_window_end: float = 0.0
    languages: list[str] | None = None


_head = msgspec.json.Decoder(_Head)
_results = msgspec.json.Decoder(_Results)
_utterance_end = msgspec.json.Decoder(_UtteranceEnd)
_turn_info = msgspec.json.Decoder(_TurnInfo)


class Nova:
    """The messages of `v1/listen`. Its transcripts are parts of a turn: settled ones, and the one that still changes."""

    farewell: str | None = '{"type":"CloseStream"}'
    still_here: str | None = '{"type":"KeepAlive"}'
    ready = True

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._sent = 0
        self._owed: float | None = None

    @property
    def owing(self) -> bool:
        return self._owed is not None

    def opening(self) -> str | None:
        return None

    def audio(self, piece: bytes) -> bytes:
        self._sent += len(piece)
        return piece

    def finalize(self) -> str:
        self._owed = self._sent / self._rate
        return '{"type":"Finalize"}'

    def receive(self, raw: str | bytes) -> Sequence[Transcript]:
        head = _head.decode(raw)
        if head.type == "Results":
            return self._results(_results.decode(raw))
        if head.type == "UtteranceEnd":
            return (Transcript("", True, end_of_turn=True, end=_utterance_end.decode(raw).last_word_end),)
        if head.type == "Error":
            raise VENDOR.failed(head.variant or head.code or "unnamed")
        return ()

    def _results(self, results: _Results) -> Sequence[Transcript]:
        best = results.channel.alternatives[0] if results.channel.alternatives else _Alternative()
        end = results.start + results.duration
        # Nothing need be left to say after Finalize; then word of the audio that was sent behind it is the answer.
        asked = self._owed is not None
        final = asked and results.is_final and (results.from_finalize or end >= (self._owed or 0.0) - _SLACK)
        nothing = asked and not best.transcript and end > (self._owed or 0.0) + _SLACK
        if final or nothing:
            self._owed = None
        elif not best.transcript:
            return ()
        return (
            Transcript(
                best.transcript,
                results.is_final or nothing,
                confidence=best.confidence,
                start=results.start,
                end=end,
                language=best.languages[0] if best.languages else None,
            ),
        )


class Flux:
    """The messages of `v2/listen`. Its transcripts are the whole turn so far."""

    farewell: str | None = '{"type":"CloseStream"}'
    still_here: str | None = None
    ready = True

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._sent = 0
        self._owed: float | None = None
        self._open = False

    @property
    def owing(self) -> bool:
        return self._owed is not None

    def opening(self) -> str | None:
        return None

    def audio(self, piece: bytes) -> bytes:
        self._sent += len(piece)
        return piece

    def finalize(self) -> str:
        self._owed = self._sent / self._rate
        return '{"type":"ForceEndTurn"}'

    def receive(self, raw: str | bytes) -> Sequence[Transcript]:
        head = _head.decode(raw)
        if head.type == "Error":
            raise VENDOR.failed(head.code or "unnamed")
        if head.type != "TurnInfo":
            return ()
        info = _turn_info.decode(raw)
        over = info.event == "EndOfTurn"
        if over or info.event == "StartOfTurn":
            self._open = not over
        # Without a turn to end, ForceEndTurn is ignored: then there was nothing to say.
        nothing = self._owed is not None and not self._open and info.audio_window_end > self._owed + _SLACK
        if over or nothing:
            self._owed = None
        elif not info.transcript:
            return ()
        return (
            Transcript(
                info.transcript,
                over or nothing,
                end_of_turn=over,
                start=info.audio_window_start,
                end=info.audio_window_end,
                language=info.languages[0] if info.languages else None,
            ),
        )


def stt(config: ProviderConfig) -> DeepgramStt:
    """The entry point `deepgram`."""
    return DeepgramStt(config)
