"""What is set, fails or is decided is documented, and what the documentation names is there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from hookflash.settings import describe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DECISIONS = sorted((DOCS / "adr").glob("[0-9]*.md"))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("name", ["configuration.md", "settings.md", "errors.md", "texts.md"])
def test_a_page_that_is_made_from_the_code_is_up_to_date(name: str, reference: ModuleType) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run: make reference"


def test_every_setting_is_documented() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    for setting in describe():
        assert f"| `{setting.env}`" in text
        assert setting.meaning in text


def test_every_error_is_documented(reference: ModuleType) -> None:
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    names = [error.__name__ for error in reference.errors()]
    assert len(names) > 10
    for name in names:
        assert f"| {name} |" in text


def test_every_setting_that_a_page_names_is_there() -> None:
    known = {setting.env for setting in describe()} | {
        f"{setting.env}_FILE" for setting in describe() if setting.secret
    }
    for path in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        named = set(
            re.findall(r"\b(?:HOOKFLASH|TWILIO|OPENAI|ANTHROPIC|VAULT)_[A-Z_]+\b", path.read_text(encoding="utf-8"))
        )
        assert named <= known, path.name


def test_every_page_is_in_the_menu_and_every_entry_of_the_menu_is_a_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu = set(re.findall(r"[\w/-]+\.md", text.partition("nav:")[2]))
    assert menu == {page(path) for path in PAGES}


def test_the_pages_ask_nobody_else_for_anything() -> None:
    assert "\n  font: false\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in PAGES:
        assert not re.search(r"!\[[^\]]*\]\(https?:|<(script|img|iframe|link)\b", path.read_text(encoding="utf-8")), (
            path.name
        )


@pytest.mark.parametrize("path", DECISIONS, ids=page)
def test_a_decision_says_why_what_and_what_follows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    number = path.name[:4]
    assert text.startswith(f"# {number}. ")
    for heading in ("## Why", "## Decision", "## What follows"):
        assert heading in text
    assert path.name in (DOCS / "adr" / "index.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_changelog_speaks_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_target_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        assert set(re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8"))) <= targets, path.name
