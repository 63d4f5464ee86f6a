"""The rules of the house that no tool knows: small readings of the source tree, each naming the file that breaks one."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hookflash.base import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hookflash"
LONGEST = 500
SAYS_NOTHING = re.compile(r"(utils?|helpers?|common|misc|managers?|service|base_\w+)\.py")

# Who may touch the database and the web framework: the doors of a room, and the rooms that are doors altogether.
DOORS = re.compile(r"(\w+_)?(store|routes|jobs)\.py")
DOOR_ROOMS = {"db", "rest", "emulator", "testing", "cli"}
DOOR_FILES = {"wiring.py", "asgi.py", "worker.py"}
BEHIND_DOORS = (
    "psycopg",
    "psycopg_pool",
    "procrastinate",
    "alembic",
    "fastapi",
    "starlette",
    "hookflash.db",
    "hookflash.rest",
)

# Who may speak HTTP to others.
CALLER_ROOMS = {"providers", "emulator", "testing", "cli"}
CALLER_FILES = {"cli/knock.py", "twilio/client.py"}
HTTP_CLIENTS = (
    "httpx2",
    "httpx",
    "aiohttp",
    "requests",
    "urllib3",
    "urllib.request",
    "http.client",
    "openai",
    "anthropic",
    "boto3",
    "hvac",
)

# A machine's own directories. Written in pieces, so that this file does not break its own rule.
ONE_MACHINE = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("wor" + "k", "roo" + "t", "Use" + "rs")) + r")/[a-z]")


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)


def place(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of every import, wherever in the file it stands; `from a import b` counts as a and as a.b."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def named(module: str, among: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in among)


def breaches(
    among: tuple[str, ...], rooms: set[str], files: set[str], pattern: re.Pattern[str] | None = None
) -> list[str]:
    return sorted(
        {
            f"{place(path)}:{line} imports {module.rpartition('.')[0] or module}"
            for path in sources()
            if place(path).partition("/")[0] not in rooms
            and place(path) not in files
            and not (pattern and pattern.fullmatch(path.name))
            for line, module in imports(path)
            if named(module, among)
        }
    )


def test_only_doors_touch_the_database_and_the_web_framework() -> None:
    assert breaches(BEHIND_DOORS, DOOR_ROOMS, DOOR_FILES, DOORS) == []


def test_only_a_few_speak_http_to_others() -> None:
    assert breaches(HTTP_CLIENTS, CALLER_ROOMS, CALLER_FILES) == []


def test_the_readings_see_what_they_look_for() -> None:
    assert breaches(BEHIND_DOORS, set(), set()), "somebody does touch the database"
    assert breaches(HTTP_CLIENTS, set(), set()), "somebody does speak HTTP"


@pytest.mark.parametrize("path", sources(), ids=place)
def test_a_file_has_one_subject_and_says_which(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST, "a file as long as this has two subjects: split it"
    assert not SAYS_NOTHING.fullmatch(path.name), "name the file after what it knows"
    docstring = ast.get_docstring(parsed(path))
    assert docstring, "the first line says what the file knows"
    assert docstring.splitlines()[0].endswith((".", ":", "?")) or len(docstring.splitlines()) > 1


def test_every_exception_is_in_the_tree() -> None:
    """`base/errors.py` draws all of them; a private one (with an underscore) may serve inside one file.

    The emulator and the fakes play other people, who have errors of their own.
    """
    inside = {name for name, value in vars(errors).items() if isinstance(value, type)} | {"Exception", "BaseException"}
    outside = [
        f"{place(path)}:{node.lineno} {node.name}"
        for path in sources()
        if place(path) != "base/errors.py" and place(path).partition("/")[0] not in ("emulator", "testing")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any(isinstance(base, ast.Name) and base.id in inside for base in node.bases)
    ]
    assert outside == []


@cache
def tracked() -> list[Path]:
    """The files of the project: those that git keeps or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def readable(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_nothing_names_a_directory_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in tracked()
        for number, line in enumerate(readable(path).splitlines(), 1)
        if ONE_MACHINE.search(line)
    ]
    assert found == []


def test_the_machine_rule_knows_a_path_from_an_address() -> None:
    path = "/wor" + "k/main"
    assert ONE_MACHINE.search(f"see {path}")
    assert ONE_MACHINE.search(f'"{path}"')
    assert not ONE_MACHINE.search(f"https://example.com{path}")
    assert not ONE_MACHINE.search("a frame" + path)


def test_tests_do_not_wait_skip_or_mock() -> None:
    """Virtual time instead of sleeping; what cannot run is not written; fakes instead of mock libraries."""
    waits = re.compile(
        r"\b(time|asyncio|anyio)\.sleep\(|pytest\.(skip|xfail|importorskip)|mark\.(skip|xfail)|unittest\.mock|\bmocker\b"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if waits.search(line)
    ]
    assert found == []
