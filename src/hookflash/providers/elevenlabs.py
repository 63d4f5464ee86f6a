"""ElevenLabs: text into speech over web sockets, one for each text, the next one opened beforehand."""

import binascii
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode

import anyio
import msgspec
from anyio.abc import TaskGroup
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from hookflash.base.clock import Clock
from hookflash.base.errors import HookflashError
from hookflash.base.tasks import bare_error
from hookflash.providers.formats import require
from hookflash.providers.live import Vendor, attended, dial, hang_up, socket_address
from hookflash.providers.registry import ProviderConfig
from hookflash.providers.speaking import model_and_voice, plain_language
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

VENDOR = Vendor("ElevenLabs", "ELEVENLABS_API_KEY")
HOME = "https://api.elevenlabs.io"
_FORMATS = {("mulaw", 8000): "ulaw_8000", ("s16le", 8000): "pcm_8000", ("s16le", 16000): "pcm_16000"}
# A voice that every account has.
_SARAH = "EXAVITQu4vr4xnSDxMaL"
# Only these can be told the language; the others hear it from the text.
_TOLD = ("eleven_flash_v2_5", "eleven_turbo_v2_5")
# Seconds that a socket may wait for its text: the most that they allow.
_PATIENT = 180
_REFUSED = {
    "invalid_api_key": 401,
    "missing_permissions": 401,
    "unauthorized": 401,
    "voice_id_does_not_exist": 404,
    "voice_not_found": 404,
    "invalid_model": 404,
    "model_not_found": 404,
    "unsupported_language": 404,
}


class ElevenLabsTts:
    """`elevenlabs`, `elevenlabs:<model>` or `elevenlabs:<model>@<voice id>`."""

    def __init__(self, config: ProviderConfig) -> None:
        self._model, self._voice = model_and_voice(config, "eleven_flash_v2_5", _SARAH)
        self._key = VENDOR.key(config)
        self._address = socket_address(config.text("ELEVENLABS_BASE_URL") or HOME)
        self._clock = config.clock
        self.traits = TtsTraits(f"elevenlabs:{self._model}", tuple(_FORMATS))

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        asked = {
            "model_id": self._model,
            "output_format": _FORMATS[encoding, sample_rate],
            "inactivity_timeout": str(_PATIENT),
            # Each text is a sentence or a clause: it is spoken at once.
            "auto_mode": "true",
        }
        told = plain_language(language)
        if told is not None and self._model in _TOLD:
            asked["language_code"] = told
        path = f"v1/text-to-speech/{quote(voice or self._voice, safe='')}/stream-input"
        sockets = _Sockets(f"{self._address}/{path}?{urlencode(asked)}", self._key, self._clock)
        await sockets.prepare()
        try:
            with bare_error():
                async with anyio.create_task_group() as group:
                    yield _Voice(sockets, group, self._clock)
                    group.cancel_scope.cancel()
        finally:
            await sockets.close()


class _Sockets:
    """One socket in hand, for the next text."""

    def __init__(self, url: str, key: str, clock: Clock) -> None:
        self._url = url
        self._headers = {"xi-api-key": key}
        self._clock = clock
        self._spare: ClientConnection | None = None
        self._preparing = False

    async def prepare(self) -> None:
        """Have one in hand; raises what opening raises."""
        if self._spare is None and not self._preparing:
            self._preparing = True
            try:
                self._spare = await self._open()
            finally:
                self._preparing = False

    async def prepare_if_possible(self) -> None:
        """The same; who takes the next one is told when it is not possible."""
        try:
            await self.prepare()
        except HookflashError:
            return

    async def take(self) -> ClientConnection:
        spare, self._spare = self._spare, None
        if spare is not None and spare.state is State.OPEN:
            return spare
        return await self._open()

    async def close(self) -> None:
        if self._spare is not None:
            await hang_up(self._spare)

    async def _open(self) -> ClientConnection:
        return await dial(VENDOR, self._url, self._headers, self._clock)


class _Message(msgspec.Struct, rename="camel"):
    audio: str | None = None
    is_final: bool | None = None
    error: str | None = None


_message = msgspec.json.Decoder(_Message)


class _Voice:
    def __init__(self, sockets: _Sockets, group: TaskGroup, clock: Clock) -> None:
        self._sockets = sockets
        self._group = group
        self._clock = clock

    async def speak(self, text: str, sound: Sound) -> None:
        socket = await self._sockets.take()
        self._group.start_soon(self._sockets.prepare_if_possible)
        try:
            async with attended(VENDOR, self._clock) as vigil:
                # A space begins, the empty text ends.
                for piece in (" ", text.strip() + " ", ""):
                    await socket.send(msgspec.json.encode({"text": piece}).decode())
                async for raw in socket:
                    vigil.rest()
                    message = _message.decode(raw)
                    if message.error is not None:
                        status = _REFUSED.get(message.error)
                        raise VENDOR.refused(status) if status else VENDOR.failed(message.error)
                    if message.audio:
                        await sound(b64decode(message.audio, validate=True))
                    if message.is_final:
                        return
                    vigil.begin()
            raise VENDOR.lost()
        except ConnectionClosed as error:
            raise VENDOR.lost() from error
        except (msgspec.DecodeError, binascii.Error) as error:
            raise VENDOR.unreadable() from error
        finally:
            # Closing is how it is told to stop; nobody waits for that.
            self._group.start_soon(hang_up, socket)


def tts(config: ProviderConfig) -> ElevenLabsTts:
    """The entry point `elevenlabs`."""
    return ElevenLabsTts(config)
