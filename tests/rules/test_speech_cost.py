"""What calls cost by list: which price fits a vendor's name, and what is counted where none does."""

import pytest

from hookflash.assistant import speech_cost
from hookflash.assistant.cost import Priced


@pytest.mark.parametrize(
    ("vendor", "mixed", "micros"),
    [
        ("deepgram:nova-3", False, 7_700),
        ("deepgram:nova-3", True, 9_200),
        ("deepgram:nova-3-medical", False, 7_700),
        ("deepgram:nova-2-phonecall", False, 5_800),
        ("deepgram:flux-general-en", True, 7_800),
        ("whisper:whisper-1", False, 6_000),
        ("pocketsphinx", False, 0),
    ],
)
def test_a_minute_of_listening(vendor: str, mixed: bool, micros: int) -> None:
    assert speech_cost.listening(vendor, 60, mixed=mixed) == Priced(micros)


@pytest.mark.parametrize(
    ("vendor", "micros"),
    [
        ("elevenlabs:eleven_flash_v2_5", 50),
        ("elevenlabs:eleven_multilingual_v2", 100),
        ("polly:neural", 16),
        ("openai:tts-1-hd", 30),
        ("espeak", 0),
    ],
)
def test_a_spoken_character(vendor: str, micros: int) -> None:
    assert speech_cost.speaking(vendor, 1) == Priced(micros)


def test_a_vendor_of_strangers_is_counted_on_the_dear_side() -> None:
    heard, said = speech_cost.listening("parrot", 30), speech_cost.speaking("parrotlike", 10)
    assert (heard.micros, said.micros) == (speech_cost.DEAR_MINUTE // 2, speech_cost.DEAR_CHARACTER * 10)
    assert "parrot" in str(heard.note)
    assert speech_cost.listening("deepgrams", 60).micros == speech_cost.DEAR_MINUTE


def test_a_call_is_counted_by_minutes_that_have_begun() -> None:
    assert speech_cost.telephony("stream", "in", 61).micros == 2 * (8_500 + 4_000)
    assert speech_cost.telephony("relay", "out", 10).micros == 14_000 + 70_000
    assert speech_cost.telephony("gather", "in", 0).micros == 0
