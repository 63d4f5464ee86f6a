"""Ears and voices of the installed vendors; where an assistant names none, those of the settings."""

from dataclasses import dataclass

from hookflash.base.breaker import Breakers
from hookflash.base.errors import Misconfigured
from hookflash.providers.registry import Providers
from hookflash.speech.failover import SteadyStt, SteadyTts
from hookflash.speech.stt import Stt
from hookflash.speech.tts import Tts


@dataclass(frozen=True, slots=True)
class VendorStudio:
    """A Studio. Each name fails over to the next one; both raise Misconfigured when there is none."""

    providers: Providers
    usual_ears: tuple[str, ...]
    usual_mouths: tuple[str, ...]
    breakers: Breakers

    def ears(self, names: tuple[str, ...]) -> Stt:
        names = names or self.usual_ears
        if not names:
            raise Misconfigured(
                "No transcriber is configured, so calls by Media Streams cannot be heard.",
                hint="set DEEPGRAM_API_KEY or OPENAI_API_KEY, or HOOKFLASH_STT=pocketsphinx for development",
            )
        return SteadyStt([self.providers.stt(name) for name in names], self.breakers)

    def mouth(self, names: tuple[str, ...]) -> Tts:
        names = names or self.usual_mouths
        if not names:
            raise Misconfigured(
                "No voice is configured, so calls by Media Streams cannot be answered.",
                hint="set ELEVENLABS_API_KEY, CARTESIA_API_KEY or OPENAI_API_KEY, or HOOKFLASH_TTS=espeak for development",
            )
        return SteadyTts([self.providers.tts(name) for name in names], self.breakers)
