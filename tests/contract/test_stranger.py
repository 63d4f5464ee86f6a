"""Somebody else's package adds a speech vendor: it is installed, chosen by its name, and nothing here is edited."""

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool, ToolAnswer, ToolFailed, ToolOutcome, ToolRefused
from hookflash.base.clock import SystemClock
from hookflash.base.errors import Misconfigured
from hookflash.providers.python_tool import PythonTools, installed_tools
from hookflash.providers.registry import STT, TTS, Providers, known
from hookflash.speech.stt import Stt, Transcript
from hookflash.speech.tts import Tts
from hookflash.testing.clock import VirtualClock

PACKAGE = Path(__file__).parent / "stranger_vendor"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package as an installer leaves it: its modules, and a description with its entry points."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    shutil.copytree(PACKAGE / "src", tmp_path, dirs_exist_ok=True)
    description = tmp_path / "acme_hookflash-1.0.dist-info"
    description.mkdir()
    (description / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    text = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups)
    (description / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("acme_hookflash", None)


def test_it_is_listed(installed: Path) -> None:
    assert "acme" in known(STT)
    assert "acme" in known(TTS)


async def test_it_listens_and_speaks(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its own settings are its own business.
    monkeypatch.setenv("ACME_API_KEY", "k")
    providers = Providers({}, clock=VirtualClock())
    stt: Stt = providers.stt("acme")
    tts: Tts = providers.tts("acme:bella")
    assert tts.traits.name == "acme:bella"
    heard: list[Transcript] = []
    spoken: list[bytes] = []

    async def hear(transcript: Transcript) -> None:
        heard.append(transcript)

    async def sound(piece: bytes) -> None:
        spoken.append(piece)

    async with stt.stream(hear, encoding="mulaw", sample_rate=8000, language=None) as stream:
        await stream.feed(b"hello ")
        await stream.feed(b"there")
        await stream.finalize()
    async with tts.voice(voice=None, encoding="mulaw", sample_rate=8000, language=None) as voice:
        await voice.speak("Hello.", sound)
    assert heard == [Transcript("hello there", True)]
    assert spoken == [b"Hello."]


def test_it_may_refuse_its_settings_as_ours_do(installed: Path) -> None:
    with pytest.raises(Misconfigured, match="ACME_API_KEY"):
        Providers({}, clock=VirtualClock()).tts("acme")


async def test_its_function_is_a_tool(installed: Path) -> None:
    assert "acme_stock" in installed_tools()
    tools = PythonTools(SystemClock())
    tool = Tool("tool_1", "stock", "d", read("{ sku: string }"), "python", {"function": "acme_stock"})

    async def ask(sku: str, tool: Tool = tool) -> ToolOutcome:
        return await tools.call(tool, {"sku": sku}, session_id="s", identity="phone:+1", key="k", auth=None)

    assert await ask("tent") == ToolAnswer('{"sku":"tent","left":7,"for":"phone:+1"}')
    assert await ask("secret") == ToolRefused("not for you")
    assert await ask("busy") == ToolFailed("The shelf is locked")
    assert await ask("other") == ToolFailed("it broke (RuntimeError)"), "its words may hold secrets"
    assert await ask("object") == ToolFailed("its answer is of the type object, which JSON does not have")
    unknown = Tool("tool_2", "x", "d", read("{}"), "python", {"function": "nobody"})
    assert await ask("tent", unknown) == ToolFailed("the function nobody is not installed here")


def test_without_it_the_name_is_not_known() -> None:
    assert "acme" not in known(STT)
    assert "acme_stock" not in installed_tools()
    with pytest.raises(Misconfigured, match="no transcriber named 'acme'"):
        Providers({}, clock=VirtualClock()).stt("acme")
    with pytest.raises(Misconfigured, match="no voice named 'acme:bella'"):
        Providers({}, clock=VirtualClock()).tts("acme:bella")


def test_nothing_of_ours_knows_it() -> None:
    ours = [*(ROOT / "src").rglob("*.py"), ROOT / "pyproject.toml"]
    assert not [path for path in ours if "acme_hookflash" in path.read_text(encoding="utf-8")]
