"""Acme's speech: its transcriber hears the letters that the bytes of the audio are, its voice speaks in them."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from hookflash.assistant.tool import Occasion
from hookflash.base.errors import Invalid, Misconfigured, Unavailable
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.stt import Heard, SttStream, SttTraits, Transcript
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

MULAW = (("mulaw", 8000),)


class _Stream:
    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._audio = b""

    async def feed(self, audio: bytes) -> None:
        self._audio += audio

    async def finalize(self) -> None:
        await self._heard(Transcript(self._audio.decode(), True))
        self._audio = b""


class AcmeStt:
    traits = SttTraits("acme", MULAW, interim=False)

    @asynccontextmanager
    async def stream(
        self, heard: Heard, *, encoding: str, sample_rate: int, language: str | None, hints: tuple[str, ...] = ()
    ) -> AsyncIterator[SttStream]:
        yield _Stream(heard)


class _Voice:
    async def speak(self, text: str, sound: Sound) -> None:
        await sound(text.encode())


class AcmeTts:
    def __init__(self, voice: str) -> None:
        self.traits = TtsTraits(f"acme:{voice}", MULAW)

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        yield _Voice()


async def stock(arguments: Mapping[str, Any], occasion: Occasion) -> object:
    match arguments["sku"]:
        case "tent":
            return {"sku": "tent", "left": 7, "for": occasion.identity}
        case "secret":
            raise Invalid("not for you.")
        case "busy":
            raise Unavailable("The shelf is locked.")
        case "object":
            return object()
    raise RuntimeError("a password: hunter2")


def stt(config: ProviderConfig) -> AcmeStt:
    return AcmeStt()


def tts(config: ProviderConfig) -> AcmeTts:
    if not os.environ.get("ACME_API_KEY"):
        raise Misconfigured("ACME_API_KEY is not set.")
    return AcmeTts(config.model)
