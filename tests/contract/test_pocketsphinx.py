"""The local recogniser keeps to the transcribers' contract, with a real recording (see audio/README.md)."""

from pathlib import Path

import pytest

from hookflash.base.errors import Misconfigured
from hookflash.providers.pocketsphinx import PocketsphinxStt
from hookflash.speech.audio import SILENT_FRAME
from hookflash.speech.stt import Transcript
from hookflash.testing.wait import until

RECORDING = (Path(__file__).parent / "audio" / "go_forward.ulaw").read_bytes()
HINTS = ("Go forward ten meters.", "Turn left!", "What are your opening hours?", "hookflash zorblax")


async def listened(audio: bytes, hints: tuple[str, ...] = HINTS, turns: int = 1) -> list[Transcript]:
    heard: list[Transcript] = []

    async def note(transcript: Transcript) -> None:
        heard.append(transcript)

    async with PocketsphinxStt().stream(
        note, encoding="mulaw", sample_rate=8000, language="en-US", hints=hints
    ) as stream:
        for turn in range(1, turns + 1):
            for start in range(0, len(audio), 160):
                await stream.feed(audio[start : start + 160])
            await stream.finalize()
            await until(lambda wanted=turn: sum(one.final for one in heard) == wanted)  # type: ignore[misc]
    return heard


async def test_one_of_the_sentences_that_it_was_told_of_is_recognised_turn_after_turn() -> None:
    heard = await listened(SILENT_FRAME * 100 + RECORDING, turns=2)
    assert [one.text for one in heard if one.final] == ["go forward ten meters"] * 2
    assert not heard[0].final
    # The silence before it was not recognised.
    assert heard[0].start > 1.4


async def test_silence_is_an_empty_turn() -> None:
    assert [(one.text, one.final) for one in await listened(SILENT_FRAME * 50)] == [("", True)]


async def test_without_hints_it_hears_something() -> None:
    assert (await listened(RECORDING, hints=()))[-1].text


async def test_sentences_of_unknown_words_cannot_be_listened_for() -> None:
    with pytest.raises(Misconfigured, match="none of the sentences"):
        await listened(b"", hints=("zorblax",))


async def test_only_the_sound_of_the_telephone_is_taken() -> None:
    with pytest.raises(Misconfigured, match="s16le"):
        async with PocketsphinxStt().stream(print, encoding="s16le", sample_rate=16000, language=None):  # type: ignore[arg-type]
            pass
