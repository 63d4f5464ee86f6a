"""OpenAI's realtime transcription: audio over a web socket, words as they are spoken, a transcript for each commit."""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from hookflash.base.errors import Misconfigured
from hookflash.providers.formats import MULAW, require
from hookflash.providers.listening import listening
from hookflash.providers.live import Vendor, socket_address
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript

VENDOR = Vendor("OpenAI", "OPENAI_API_KEY")
HOME = "https://api.openai.com/v1"
_MODEL = "gpt-live-transcribe"
_MOST_HINTS = 100
_NOTHING_TO_COMMIT = "input_audio_buffer_commit_empty"
# What each model can be told beforehand differs.
_TAKES_LISTS = ("gpt-live-transcribe", "gpt-transcribe")
_TAKES_NO_PROMPT = ("gpt-realtime-whisper",)


class OpenAIRealtimeStt:
    """`openai`, or `openai:<model>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model = config.model or _MODEL
        self._key = VENDOR.key(config)
        self._address = socket_address(config.text("OPENAI_BASE_URL") or HOME)
        self._clock = config.clock
        self.traits = SttTraits(f"openai:{self._model}", MULAW, code_switching=True)

    def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[SttStream]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        return listening(
            VENDOR,
            f"{self._address}/realtime?intent=transcription",
            {"Authorization": f"Bearer {self._key}"},
            Realtime(self._model, language, hints),
            heard,
            clock=self._clock,
            bytes_per_second=sample_rate,
        )


class _Error(msgspec.Struct):
    code: str | None = None
    type: str | None = None


class _Language(msgspec.Struct):
    code: str = ""


class _Event(msgspec.Struct):
    type: str
    item_id: str = ""
    delta: str | None = None
    transcript: str = ""
    languages: list[_Language] | None = None
    error: _Error | None = None


_event = msgspec.json.Decoder(_Event)


class Realtime:
    """The events of a transcription session in which turns are committed by us."""

    farewell: str | None = None
    still_here: str | None = None

    def __init__(self, model: str, language: str | None, hints: tuple[str, ...]) -> None:
        self._opening = msgspec.json.encode(session(model, language, hints)).decode()
        self._owed = 0
        self._words: dict[str, str] = {}
        self.ready = False

    @property
    def owing(self) -> bool:
        return self._owed > 0

    def opening(self) -> str | None:
        return self._opening

    def audio(self, piece: bytes) -> str:
        return f'{{"type":"input_audio_buffer.append","audio":"{b64encode(piece).decode()}"}}'

    def finalize(self) -> str:
        self._owed += 1
        return '{"type":"input_audio_buffer.commit"}'

    def receive(self, raw: str | bytes) -> Sequence[Transcript]:
        event = _event.decode(raw)
        match event.type.removeprefix("conversation.item.input_audio_transcription."):
            case "session.updated":
                self.ready = True
            case "delta":
                words = self._words.get(event.item_id, "") + (event.delta or "")
                self._words[event.item_id] = words
                return (Transcript(words.strip(), False),) if words.strip() else ()
            case "completed":
                self._words.pop(event.item_id, None)
                self._owed = max(0, self._owed - 1)
                language = event.languages[0].code if event.languages else None
                return (Transcript(event.transcript.strip(), True, language=language),)
            case "failed":
                raise VENDOR.failed(_code(event))
            case "error":
                return self._error(event)
        return ()

    def _error(self, event: _Event) -> Sequence[Transcript]:
        code = _code(event)
        if code == _NOTHING_TO_COMMIT:
            self._owed = max(0, self._owed - 1)
            return (Transcript("", True),)
        if code == "invalid_api_key":
            raise VENDOR.refused(401)
        if not self.ready:
            raise Misconfigured(
                f"{VENDOR.name} refuses the session ({code[:60]}).", hint="check the name of the model and the language"
            )
        raise VENDOR.failed(code)


def session(model: str, language: str | None, hints: tuple[str, ...]) -> dict[str, Any]:
    """The event that sets up a session for a telephone's audio, without the vendor's own detection of turns."""
    spoken = ("hi", "en") if language == "hi-Latn" else () if language in (None, "multi") else (language or "",)
    codes = [code.partition("-")[0] for code in spoken]
    transcription: dict[str, Any] = {"model": model}
    if model.startswith(_TAKES_LISTS):
        if codes:
            transcription["languages"] = codes
        if hints:
            transcription["keywords"] = list(hints[:_MOST_HINTS])
    else:
        if len(codes) == 1:
            transcription["language"] = codes[0]
        if hints and not model.startswith(_TAKES_NO_PROMPT):
            transcription["prompt"] = ", ".join(hints[:_MOST_HINTS])
    heard = {"format": {"type": "audio/pcmu"}, "transcription": transcription, "turn_detection": None}
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": heard}}}


def _code(event: _Event) -> str:
    return (event.error and (event.error.code or event.error.type)) or "unnamed"


def stt(config: ProviderConfig) -> OpenAIRealtimeStt:
    """The entry point `openai`."""
    return OpenAIRealtimeStt(config)
