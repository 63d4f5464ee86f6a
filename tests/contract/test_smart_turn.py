"""smart-turn against the package's own file: what it is given, what it says, and when it has no time."""

from pathlib import Path

import anyio
import numpy as np
import pytest

from hookflash.base.errors import Misconfigured
from hookflash.providers import smart_turn
from hookflash.providers.smart_turn import WAITING, SmartTurn, package_model
from hookflash.speech.audio import silence
from hookflash.speech.log_mel import log_mel

GO_FORWARD = Path(__file__).parent / "audio" / "go_forward.ulaw"


def test_what_it_hears_is_a_spectrogram_as_whisper_has_it() -> None:
    """A pure tone lies in the band in which its frequency lies; level does not matter."""
    times = np.arange(16_000, dtype=np.float32) / 16_000
    tone = np.sin(2 * np.pi * 1_000 * times).astype(np.float32)
    bands = log_mel(tone)
    assert bands.shape == (80, 100)
    # 1 kHz is mel 15 of 45.245, so between points 26 and 27 of 81.
    assert set(bands[:, 10:90].argmax(axis=0)) <= {25, 26}
    assert np.allclose(bands, log_mel(tone * 0.1), atol=1e-3)
    assert bands.max() - bands.min() == pytest.approx(2.0, abs=1e-5)


async def test_a_whole_command_sounds_finished_and_stillness_does_not_break_it() -> None:
    model = SmartTurn(package_model())
    finished = await model.finished(GO_FORWARD.read_bytes() + silence(0.2))
    assert finished is not None
    assert finished > 0.9
    for sound in (b"", silence(0.02), silence(20.0)):
        assert 0.0 <= model.score(sound) <= 1.0


async def test_who_comes_when_too_many_wait_is_told_nothing() -> None:
    model = SmartTurn(package_model())
    told: list[float | None] = []

    async def ask() -> None:
        told.append(await model.finished(silence(1.0)))

    async with anyio.create_task_group() as tasks:
        for _ in range(WAITING + 2):
            tasks.start_soon(ask)
    assert told.count(None) == 2


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_turn, "PACKAGE", "no_such_package")
    with pytest.raises(Misconfigured, match="not installed") as refused:
        package_model()
    assert "hookflash[smart-turn]" in str(refused.value.hint)
