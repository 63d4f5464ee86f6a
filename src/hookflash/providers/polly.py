"""Amazon Polly: text or SSML into speech, by signed requests whose answers are streamed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import httpx2
import msgspec
from botocore.exceptions import BotoCoreError

from hookflash.base.errors import Misconfigured
from hookflash.providers.formats import require
from hookflash.providers.live import CONNECT, Vendor
from hookflash.providers.registry import ProviderConfig
from hookflash.providers.speaking import model_and_voice, streamed
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

VENDOR = Vendor("Amazon Polly", "AWS_ACCESS_KEY_ID")
# Botocore carries no types.
_Credentials: Any = botocore.credentials.Credentials
_Signature: Any = botocore.auth.SigV4Auth
_Request: Any = botocore.awsrequest.AWSRequest
_Session: Any = botocore.session.Session
_FORMATS = {("mulaw", 8000): "mulaw", ("s16le", 8000): "pcm", ("s16le", 16000): "pcm"}
_QUIET = 10.0
# A neural voice for each language, and the language's code with Polly; the first of a language is for all its countries.
_VOICES = {
    "en-US": "Joanna",
    "en-IN": "Kajal",
    "en-GB": "Amy",
    "en-AU": "Olivia",
    "hi-IN": "Kajal",
    "es-US": "Lupe",
    "es-ES": "Lucia",
    "es-MX": "Mia",
    "fr-FR": "Lea",
    "fr-CA": "Gabrielle",
    "de-DE": "Vicki",
    "it-IT": "Bianca",
    "pt-BR": "Camila",
    "pt-PT": "Ines",
    "nl-NL": "Laura",
    "pl-PL": "Ola",
    "ja-JP": "Takumi",
    "ko-KR": "Seoyeon",
    "ar-AE": "Hala",
}


class PollyTts:
    """`polly`, `polly:<engine>` or `polly:<engine>@<voice>`; the engine is neural unless named."""

    def __init__(self, config: ProviderConfig) -> None:
        self._engine, self._voice = model_and_voice(config, "neural", "")
        region = config.text("AWS_REGION")
        if region is None:
            raise Misconfigured(
                "AWS_REGION is not set, and Amazon Polly must be asked somewhere.",
                hint="such as AWS_REGION=eu-central-1",
            )
        self._region = region
        self._url = (config.text("AWS_ENDPOINT_URL_POLLY") or f"https://polly.{region}.amazonaws.com").rstrip(
            "/"
        ) + "/v1/speech"
        key, secret = config.text("AWS_ACCESS_KEY_ID"), config.text("AWS_SECRET_ACCESS_KEY")
        self._credentials = _Credentials(key, secret) if key and secret else None
        self._clock = config.clock
        self._client = httpx2.AsyncClient(timeout=httpx2.Timeout(_QUIET, connect=CONNECT))
        self.traits = TtsTraits(
            f"polly:{self._engine}", tuple(_FORMATS), tuple(sorted({c[:2] for c in _VOICES})), ssml=True
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        if self._credentials is None:
            # What the machine's role allows; finding it out may read files and ask the machine's neighbour.
            self._credentials = await anyio.to_thread.run_sync(_credentials_of_the_machine)
        code, spoken = _spoken(language)
        asked = {
            "Engine": self._engine,
            "OutputFormat": _FORMATS[encoding, sample_rate],
            "SampleRate": str(sample_rate),
            "VoiceId": voice or self._voice or spoken,
        }
        if code is not None:
            asked["LanguageCode"] = code
        yield _Voice(self, self._credentials, asked)

    async def speak(self, text: str, asked: dict[str, str], credentials: Any, sound: Sound) -> None:
        """Speak one text; it is SSML when it says so."""
        kind = "ssml" if text.lstrip().startswith("<speak") else "text"
        body = msgspec.json.encode(asked | {"Text": text, "TextType": kind})
        # In a thread: credentials of a role are fetched anew from time to time.
        headers = await anyio.to_thread.run_sync(self._signed, body, credentials)
        request = self._client.build_request("POST", self._url, content=body, headers=headers)
        await streamed(VENDOR, self._client, request, sound, self._clock)

    def _signed(self, body: bytes, credentials: Any) -> dict[str, str]:
        request = _Request("POST", self._url, headers={"Content-Type": "application/json"}, data=body)
        try:
            _Signature(credentials, "polly", self._region).add_auth(request)
        except BotoCoreError as error:
            raise _no_credentials() from error
        return dict(request.headers)


class _Voice:
    def __init__(self, vendor: PollyTts, credentials: Any, asked: dict[str, str]) -> None:
        self._vendor = vendor
        self._credentials = credentials
        self._asked = asked

    async def speak(self, text: str, sound: Sound) -> None:
        await self._vendor.speak(text, self._asked, self._credentials, sound)


def _spoken(language: str | None) -> tuple[str | None, str]:
    """Polly's code of the language, None when it is left open, and a voice for it."""
    if language in (None, "multi"):
        return None, _VOICES["en-US"]
    # Hindi in Latin letters is read by a voice that knows Hindi and English.
    wanted = "en-IN" if language == "hi-Latn" else str(language)
    base = wanted.partition("-")[0]
    code = wanted if wanted in _VOICES else next((c for c in _VOICES if c.startswith(f"{base}-")), None)
    if code is None:
        raise Misconfigured(
            f"Amazon Polly has no voice here for the language {language}; name one: polly:neural@<voice>."
        )
    return code, _VOICES[code]


def _credentials_of_the_machine() -> Any:
    try:
        found = _Session().get_credentials()
    except BotoCoreError as error:
        raise _no_credentials() from error
    if found is None:
        raise _no_credentials()
    return found


def _no_credentials() -> Misconfigured:
    return Misconfigured(
        "Amazon Polly needs credentials, and there are none.",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
    )


def tts(config: ProviderConfig) -> PollyTts:
    """The entry point `polly`."""
    return PollyTts(config)
