"""A synthesizer over HTTP: one request for one text, its sound passed on as it comes."""

import anyio
import httpx2

from hookflash.base.clock import Clock
from hookflash.providers.live import Vendor, attended
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.tts import Sound


def model_and_voice(config: ProviderConfig, model: str, voice: str) -> tuple[str, str]:
    """The two parts of a name such as `elevenlabs:eleven_flash_v2_5@<voice>`, with the vendor's own where one is missing."""
    named, _, spoken = config.model.partition("@")
    return named or model, spoken or voice


def plain_language(language: str | None) -> str | None:
    """The language without its country and script (`en` of en-IN); None when it is left open."""
    return None if language in (None, "multi") else str(language).partition("-")[0]


async def streamed(
    vendor: Vendor, client: httpx2.AsyncClient, request: httpx2.Request, sound: Sound, clock: Clock
) -> None:
    """Send the request and pass its answer on. Cancelling closes the connection, which is how these vendors are stopped."""
    came = False
    try:
        async with attended(vendor, clock) as vigil:
            response = await client.send(request, stream=True)
            try:
                if response.status_code != httpx2.codes.OK:
                    raise vendor.refused(response.status_code)
                async for piece in response.aiter_bytes():
                    vigil.rest()
                    await sound(piece)
                    came = True
                    vigil.begin()
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
    except httpx2.HTTPError as error:
        raise (vendor.lost() if came else vendor.unreachable()) from error
    if not came:
        raise vendor.failed("no sound")
