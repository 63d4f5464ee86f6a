"""Speech from the endpoint of OpenAI, and from every server that is compatible with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from hookflash.providers.formats import require
from hookflash.providers.live import CONNECT, Vendor
from hookflash.providers.registry import ProviderConfig
from hookflash.providers.speaking import model_and_voice, streamed
from hookflash.speech.resample import ToMulaw
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

VENDOR = Vendor("The speech server", "OPENAI_API_KEY")
HOME = "https://api.openai.com/v1"
# The rate of the endpoint's raw sound.
_RATE = 24000
_QUIET = 10.0


class OpenAITts:
    """`openai`, `openai:<model>` or `openai:<model>@<voice>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model, self._voice = model_and_voice(config, "gpt-4o-mini-tts", "coral")
        base = (config.text("OPENAI_BASE_URL") or HOME).rstrip("/")
        key = config.text("OPENAI_API_KEY")
        if key is None and base == HOME:
            VENDOR.key(config)
        self._url = f"{base}/audio/speech"
        self._clock = config.clock
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(_QUIET, connect=CONNECT), headers={"Authorization": f"Bearer {key or 'none'}"}
        )
        self.traits = TtsTraits(f"openai:{self._model}", (("mulaw", 8000), ("s16le", _RATE)))

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        yield _Voice(self, voice or self._voice, encoding == "mulaw")

    async def speak(self, text: str, voice: str, mulaw: bool, sound: Sound) -> None:
        """Speak one text."""
        body = {"model": self._model, "input": text, "voice": voice, "response_format": "pcm"}
        request = self._client.build_request("POST", self._url, json=body)
        convert = ToMulaw(_RATE)

        async def converted(pcm: bytes) -> None:
            if audio := convert.push(pcm):
                await sound(audio)

        await streamed(VENDOR, self._client, request, converted if mulaw else sound, self._clock)


class _Voice:
    def __init__(self, vendor: OpenAITts, voice: str, mulaw: bool) -> None:
        self._vendor = vendor
        self._voice = voice
        self._mulaw = mulaw

    async def speak(self, text: str, sound: Sound) -> None:
        await self._vendor.speak(text, self._voice, self._mulaw, sound)


def tts(config: ProviderConfig) -> OpenAITts:
    """The entry point `openai`."""
    return OpenAITts(config)
