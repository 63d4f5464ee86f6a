"""Whatever is asked of the API of Twilio's AI Assistants, no answer is a 5xx, and what is answered is as Twilio describes it."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio

from tests.doors.programs import TEXT, TOOL, on_line
from tests.doors.textline import text_line

DESCRIPTIONS = Path(__file__).parent.parent / "data" / "twilio-oai"
EXAMPLES = 5


def pointed(ids: dict[str, str]) -> dict[str, Any]:
    """Twilio's description (see its licence beside it), whose addresses also name what there is: it stays, nothing is deleted."""
    found: dict[str, Any] = json.loads((DESCRIPTIONS / "twilio_assistants_v1.json").read_text())
    for path, methods in found["paths"].items():
        methods.pop("servers", None)
        for method, operation in methods.items():
            if method not in ("get", "post", "put", "delete"):
                continue
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    kind = path.split("/")[2] if parameter["name"] == "id" and path.count("{") == 1 else ""
                    real = ids.get(parameter["name"]) or ids.get(kind) or ids.get(path.split("/")[-2])
                    if real:
                        parameter["schema"] = {"anyOf": [{"enum": [real]}, parameter["schema"]]}
    return found


async def test_no_answer_is_a_server_error(database_url: str, tmp_path: Path) -> None:
    settings = {"HOOKFLASH_REQUESTS_PER_MINUTE": "10000000"}
    async with text_line(database_url, tmp_path, environment=settings) as line, on_line(line) as acme:
        desk = (await acme.assistant()).rpartition("/")[2]
        tool = await acme.ask("POST", "/Tools", TOOL | {"assistant_id": desk}, 201)
        text = await acme.ask("POST", "/Knowledge", TEXT | {"assistant_id": desk}, 201)
        said = {"identity": "user_id:jane", "session_id": "one", "body": "hi"}
        await acme.ask("POST", f"/Assistants/{desk}/Messages", said)
        ids = {
            "assistantId": desk,
            "sessionId": "one",
            "Assistants": desk,
            "Tools": tool["id"],
            "Knowledge": text["id"],
        }
        ids["Sessions"] = "one"
        schema = tmp_path / "openapi.json"
        schema.write_text(json.dumps(pointed(ids)), encoding="utf-8")
        base = f"{line.core.settings.public_url}/compat/twilio/assistants"
        run = await anyio.run_process(
            [
                str(Path(sys.executable).parent / "schemathesis"),
                *("run", str(schema), "--url", base, "--auth", f"{acme.account_id}:{acme.key}"),
                *("--phases", "fuzzing", "--checks", "not_a_server_error,response_schema_conformance"),
                *(
                    "--exclude-method",
                    "DELETE",
                    "--max-examples",
                    str(EXAMPLES),
                    "--seed",
                    "1",
                    "--generation-deterministic",
                ),
                *("--suppress-health-check", "all", "--warnings", "off"),
                *("--no-color", "--no-shrink", "--continue-on-failure"),
            ],
            cwd=tmp_path,
            check=False,
        )
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    assert "Tested: 25\n" in run.stdout.decode()
