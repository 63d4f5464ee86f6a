"""espeak-ng, a program on this machine that speaks: robotic, in a hundred languages, without a key."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import DEVNULL, PIPE

import anyio
from anyio.abc import Process

from hookflash.base.errors import Misconfigured, Unavailable
from hookflash.providers.formats import require
from hookflash.providers.live import Vendor, Vigil, attended
from hookflash.providers.registry import ProviderConfig
from hookflash.speech.resample import ToMulaw
from hookflash.speech.tts import Sound, TtsTraits, TtsVoice

PROGRAM = "espeak-ng"
VENDOR = Vendor("espeak-ng", "ESPEAK_NG")
_RATE = 22050
_HEADER = 44
_PIECE = 8192
# Programs at once; a sentence takes each some hundredths of a second.
_AT_ONCE = 8


class EspeakTts:
    """`espeak`, or `espeak:<voice>` such as `espeak:en-gb`."""

    def __init__(self, config: ProviderConfig, program: str = PROGRAM) -> None:
        self._program = program
        self._voice = config.model
        self._clock = config.clock
        self._places = anyio.CapacityLimiter(_AT_ONCE)
        self.traits = TtsTraits("espeak", (("mulaw", 8000), ("s16le", _RATE)))

    @asynccontextmanager
    async def voice(
        self, *, voice: str | None, encoding: str, sample_rate: int, language: str | None
    ) -> AsyncIterator[TtsVoice]:
        require(self.traits.name, self.traits.formats, encoding, sample_rate)
        if shutil.which(self._program) is None:
            raise Misconfigured(
                "espeak-ng is not installed.",
                hint="apt-get install espeak-ng (Debian, Ubuntu) or brew install espeak-ng (macOS)",
            )
        yield _Voice(self, voice or self._voice or _voice_of(language), encoding == "mulaw")

    async def speak(self, text: str, voice: str, mulaw: bool, sound: Sound) -> None:
        """Speak one text."""
        # The text goes in by the standard input: arguments are seen by everybody on the machine.
        command = [self._program, "--stdout", "--stdin", "-v", voice]
        async with self._places, attended(VENDOR, self._clock) as vigil:
            process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
            try:
                came = await _speak(process, text, ToMulaw(_RATE) if mulaw else None, sound, vigil)
                code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                with anyio.CancelScope(shield=True):
                    await process.aclose()
        if code != 0:
            raise (
                Unavailable(f"espeak-ng ended with the code {code}.")
                if came
                else Misconfigured(
                    f"espeak-ng cannot speak with the voice {voice!r}.", hint="espeak-ng --voices lists them"
                )
            )
        if not came:
            raise VENDOR.failed("no sound")


class _Voice:
    def __init__(self, vendor: EspeakTts, voice: str, mulaw: bool) -> None:
        self._vendor = vendor
        self._voice = voice
        self._mulaw = mulaw

    async def speak(self, text: str, sound: Sound) -> None:
        await self._vendor.speak(text, self._voice, self._mulaw, sound)


async def _speak(process: Process, text: str, convert: ToMulaw | None, sound: Sound, vigil: Vigil) -> bool:
    """Pass the program's sound on; whether there was any."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdin.send(text.encode())
        await process.stdin.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # It has ended already; its code says why.
        return False
    header = _HEADER
    came = False
    while True:
        try:
            pcm = await process.stdout.receive(_PIECE)
        except anyio.EndOfStream:
            return came
        header, pcm = max(0, header - len(pcm)), pcm[header:]
        audio = convert.push(pcm) if convert is not None else pcm
        if audio:
            vigil.rest()
            await sound(audio)
            vigil.begin()
            came = True


def _voice_of(language: str | None) -> str:
    if language in (None, "multi", "en"):
        return "en-us"
    # Hindi in Latin letters would be spelled out by a voice that expects its own script.
    return "en-gb" if language == "hi-Latn" else str(language).lower()


def tts(config: ProviderConfig) -> EspeakTts:
    """The entry point `espeak`."""
    return EspeakTts(config)
