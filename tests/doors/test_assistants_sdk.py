"""Programs written for Twilio's AI Assistants work here: its SDK drives every operation, and every answer is as described.

The descriptions are Twilio's own OpenAPI files (github.com/twilio/twilio-oai 2.6.7, MIT), in tests/data/twilio-oai.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from hookflash.workspace import store as workspace
from tests.doors.textline import text_line

DESCRIPTIONS = Path(__file__).parent.parent / "data" / "twilio-oai"
SDK = "twilio==9.10.9"


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the last SDK that has these APIs; the project's own environment has a newer one."""
    place = tmp_path_factory.mktemp("sdk") / "venv"
    python = place / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is not None:
        steps = [
            [uv, "venv", "--python", sys.executable, str(place)],
            [uv, "pip", "install", "--python", str(python), SDK],
        ]
    else:
        steps = [[sys.executable, "-m", "venv", str(place)], [str(python), "-m", "pip", "install", SDK]]
    for step in steps:
        subprocess.run(step, check=True, capture_output=True)
    return python


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a description, and what it may answer by status."""

    method: str
    path: re.Pattern[str]
    name: str
    answers: dict[int, dict[str, Any] | None]


def operations(name: str) -> Iterator[Operation]:
    described = json.loads((DESCRIPTIONS / f"twilio_{name}_v1.json").read_text())
    components = _plain(described["components"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if method not in ("get", "post", "put", "delete"):
                continue
            answers: dict[int, dict[str, Any] | None] = {}
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json")
                answers[int(status)] = content and {**_plain(content["schema"]), "components": components}
            # An id may hold slashes where a caller chooses it.
            pattern = re.compile(f"/compat/twilio/{name}" + re.sub(r"{\w+}", "(?!Messages).+?", path))
            yield Operation(method.upper(), pattern, f"{name}.{operation['operationId']}", answers)


def _plain(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: what may be null says so by its type."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key != "nullable"}
    if schema.get("nullable") and "type" in plain:
        plain["type"] = [plain["type"], "null"]
    return plain


OPERATIONS = [*operations("assistants"), *operations("knowledge")]


def check(seen: dict[str, Any]) -> str | None:
    """The operation that was asked for; its answer must be as described. None when it was refused."""
    path = seen["url"].partition("://")[2].partition("/")[2].partition("?")[0]
    # The most words that are no id: `/Knowledge/x/Status` is no `/Knowledge/{id}`.
    fits = [each for each in OPERATIONS if each.method == seen["method"] and each.path.fullmatch(f"/{path}")]
    assert fits, seen
    operation = max(fits, key=lambda each: len(each.path.pattern.replace("(?!Messages).+?", "")))
    body: Any = json.loads(seen["body"]) if seen["body"] else None
    if seen["status"] >= 400:
        assert set(body) == {"code", "message", "more_info", "status"}, seen
        assert body["status"] == seen["status"]
        return None
    assert seen["status"] in operation.answers, (operation.name, seen)
    schema = operation.answers[seen["status"]]
    if schema is None:
        assert body is None
    else:
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        assert [f"{operation.name}: {error.message}" for error in validator.iter_errors(body)] == []
    return operation.name


async def test_the_sdk_drives_every_operation(sdk_python: Path, database_url: str, tmp_path: Path) -> None:
    often = {"HOOKFLASH_REQUESTS_PER_MINUTE": "100000"}
    async with text_line(database_url, tmp_path, environment=often) as line:
        async with line.core.db.tenant(line.account_id) as conn:
            key = await workspace.create_key(conn, line.account_id, "sdk", frozenset({"admin"}), line.core.clock.now())
        run = await anyio.run_process(
            [str(sdk_python), str(Path(__file__).parent / "assistants_sdk.py")],
            env={"BASE": line.core.settings.public_url or "", "KEY_ID": key.id, "KEY": key.text.get_secret_value()},
            check=False,
        )
    assert run.returncode == 0, run.stderr.decode()
    result = json.loads(run.stdout)
    told = result["told"]
    driven = {name for name in map(check, result["seen"]) if name}
    assert {each.name for each in OPERATIONS} - driven == set()
    assert len(OPERATIONS) == 30 + 7

    assert told["assistant"] | {"id": ""} == {
        "owner": "Acme",
        "personality_prompt": "Be brief.",
        "customer_ai": {"personalization_engine_enabled": True, "perception_engine_enabled": False},
        "id": "",
    }
    assert told["again"]["status"] == 409
    assert told["names"] == ["Test", "Front desk", "Second", "Third"]
    assert told["owner"] == "Acme Ltd"
    assert (told["detached again"]["status"], told["detached again"]["code"]) == (404, 20404)
    assert told["attached knowledge"] == told["filtered knowledge"] == ["Hours"]
    assert told["knowledge"] == ["Text", "Web"]
    assert told["details"] == {"content": "We open at ten and close at six."}
    assert told["status"] == "COMPLETED"
    assert told["chunks"] == ["We open at ten and close at six."]
    assert told["tool"]["name"] == "Order Status"
    assert told["tool"]["meta"]["input_schema"] == "export type Data = { id: string };"
    assert (told["tool"]["meta"]["team"], told["tool"]["meta"]["method"]) == ("shop", "POST")
    assert told["sixth"]["status"] == 400
    assert "An assistant may have 5 tools, and 6 are named." in told["sixth"]["message"]
    assert told["attached tools"] == ["spare_0", "spare_1", "spare_2", "spare_3", "Order Status"]
    assert told["tools"] == 6
    assert told["off"] is False
    assert told["wrong tool"]["code"] == 20001
    assert told["policies of tool"][0]["policy_details"] == {"verified": True}
    assert told["policies"] == [{"channels": ["web"]}, {"verified": True}]
    assert told["policies of knowledge"] == ["in chat"]
    assert told["whole"] == [5, ["Hours"]]
    assert told["said"] == [
        ["success", "one", "You said: Hello"],
        ["success", "one", "You said: And again"],
        ["success", "chat/two", "You said: Who?"],
    ]
    assert told["fresh"][0] == "success"
    assert told["sessions"] == [
        ["one", "user_id:jane", False],
        ["chat/two", "user_id:jane", False],
        [told["fresh"][1], "phone:+15550111222", False],
    ]
    assert told["session"] == "user_id:jane"
    assert told["history"] == [
        ["user", "Hello"],
        ["assistant", "You said: Hello"],
        ["user", "And again"],
        ["assistant", "You said: And again"],
    ]
    assert told["feedback"] == [[0.75, "Good.", "one"]]
    assert told["the same"] == ["Hours", "Site"]
    assert told["described"] == "Other"
    assert (told["gone"]["status"], told["gone"]["code"]) == (404, 20404)
    assert (told["stranger"]["status"], told["stranger"]["code"]) == (401, 20003)
