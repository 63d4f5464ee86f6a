"""The first minute: `up` answers at once and keeps what it made, `demo` answers three texts and leaves nothing behind."""

import stat
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookflash.base.errors import Misconfigured
from hookflash.cli import app
from hookflash.cli.numbers import CUSTOMER
from hookflash.cli.phone import Exchange
from hookflash.cli.running import Running
from hookflash.cli.text import line_of
from hookflash.cli.up import everything
from hookflash.settings import Settings
from tests.doors.test_cli import logs_as_they_were

__all__ = ["logs_as_they_were"]


def settings_of(directory: Path) -> Settings:
    """Settings of a machine where nothing is set, on a free port."""
    return Settings.model_construct(**(Settings(data_dir=directory).model_dump() | {"port": 0}))


async def texted(settings: Settings, running: Running, words: str) -> Exchange:
    async with line_of(settings, running, CUSTOMER, None) as line:
        return await line.exchange(words)


async def test_up_answers_and_the_next_start_goes_on_with_what_it_made(fresh_directory: Path) -> None:
    settings = settings_of(fresh_directory)
    async with everything(settings) as first:
        assert first.shop.documents is not None
        assert not first.shop.documents.failed
        assert first.new_key is not None
        key = fresh_directory / "api.key"
        assert key.read_text().strip() == first.new_key
        running = Running.require(fresh_directory)
        for secret in (key, fresh_directory / "up.json"):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        with pytest.raises(Misconfigured, match="running already"):
            async with everything(settings):
                raise AssertionError("two of them run on one directory")
        exchange = await texted(settings, running, "How long do I have to return a jacket?")
        assert "60 days" in exchange.replies[0].body
        assert exchange.replies[0].status == "delivered"
        assert exchange.turn is not None
        assert exchange.turn.record["segments"] == [1]
    assert Running.find(fresh_directory) is None

    with_vendor = settings.model_copy(update={"models": ("openai:gpt-4o-mini",)})
    async with everything(with_vendor) as second:
        assert second.shop.documents is None
        assert second.shop.integration.assistant.models == ("openai:gpt-4o-mini", "extractive")
        assert second.new_key is None
        assert second.shop.integration.id == first.shop.integration.id
        follow_up = await texted(settings, Running.require(fresh_directory), "and for shoes?")
        assert "30 days" in follow_up.replies[0].body, "the session was still open"
        async with second.core.db.tenant(second.shop.account_id) as conn:
            await conn.execute("update integrations set meta = '{}'")
    with pytest.raises(Misconfigured, match=r"serves a real number, \+1202"):
        async with everything(settings):
            raise AssertionError("the emulator stands in for Twilio where customers are")


def test_the_demo_answers_three_texts_and_leaves_nothing_behind(logs_as_they_were: None) -> None:
    place = Path(tempfile.gettempdir())
    before = set(place.glob("hookflash-demo-*"))
    shown = CliRunner().invoke(app, ["demo"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    assert "within 60 days" in shown.output
    assert "shoes, boots and sandals within 30 days" in shown.output
    assert "understood as" in shown.output
    assert "does not know" in shown.output
    assert shown.output.count("segment") >= 3
    assert "hookflash up" in shown.output
    assert set(place.glob("hookflash-demo-*")) <= before
