"""Whatever is asked, within the API's own description or beyond it, no answer is a 5xx and each is as described."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.doors.tenants import Filled, fill, open_api
from tests.doors.textline import free_port, serving

EXAMPLES = 15
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


def pointed(schema: Mapping[str, Any], filled: Filled) -> dict[str, Any]:
    """The description, whose addresses also name what there is: at random nearly everything would be a 404.

    What is deleted is a stranger to the others, so that they go on to meet something.
    """
    found: dict[str, Any] = json.loads(json.dumps(schema))
    for methods in found["paths"].values():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                real = filled.ids.get(parameter["name"])
                if parameter["in"] == "path" and real and method != "delete":
                    parameter["schema"] = {"anyOf": [{"enum": [real]}, parameter["schema"]]}
    return found


async def test_every_answer_is_as_described(
    database_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_api(database_url, tmp_path_factory.getbasetemp()) as api:
        filled = await fill(await api.account("Acme"), "quokka", "+15550111222", "+15550100200")
        schema = tmp_path / "openapi.json"
        schema.write_text(json.dumps(pointed(api.app.openapi(), filled)), encoding="utf-8")
        port = await free_port()
        async with serving(api.core, port):
            run = await anyio.run_process(
                [
                    str(Path(sys.executable).parent / "schemathesis"),
                    *("run", str(schema), "--url", f"http://127.0.0.1:{port}"),
                    *("--header", f"Authorization: Bearer {filled.caller.key}"),
                    *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
                    *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-deterministic"),
                    *("--suppress-health-check", "all", "--warnings", "off"),
                    *("--no-color", "--no-shrink", "--continue-on-failure"),
                ],
                cwd=tmp_path,
                check=False,
            )
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    operations = sum(len(methods) for methods in api.app.openapi()["paths"].values())
    assert f"Tested: {operations}\n" in run.stdout.decode()
