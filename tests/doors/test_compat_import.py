"""`hookflash import twilio-assistants`: from one server of that API to another, shown with two accounts of ours."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio

from hookflash.base.secret import Sealer, Secret
from hookflash.cli.copying import copy
from hookflash.workspace import store as workspace
from tests.doors.programs import TEXT, TOOL, Program, on_line
from tests.doors.textline import TextLine, text_line


async def test_assistants_are_copied_from_one_account_to_another_and_again(database_url: str, tmp_path: Path) -> None:
    async with text_line(database_url, tmp_path) as line, on_line(line) as acme:
        other_id = await workspace.create_account(line.core.db, "Other")
        desk = (await acme.assistant()).rpartition("/")[2]
        policy = {"name": "known", "policy_details": {"verified": True}}
        meta = TOOL["meta"] | {"auth": {"type": "bearer", "token": "s3cret"}}
        tool = await acme.ask("POST", "/Tools", TOOL | {"assistant_id": desk, "policy": policy, "meta": meta}, 201)
        await acme.ask("POST", "/Tools", TOOL | {"name": "taken"}, 201)
        await acme.ask("POST", "/Knowledge", TEXT | {"assistant_id": desk, "policy": policy}, 201)
        await acme.ask("POST", "/Knowledge", {"name": "Files", "type": "File"}, 201)
        async with on_line(line, other_id) as other:
            await other.ask("POST", "/Tools", TOOL | {"name": "taken", "description": "Theirs."}, 201)
            left_out = {"taken": "another one", "Order status": "set it here", "Files": "hookflash ingest"}

            copied = await run_import(line, database_url, tmp_path, other_id, acme)
            assert {
                each["name"]: left_out[each["name"]] in each["why"] for each in copied["left_out"]
            } == dict.fromkeys(left_out, True)
            wanted = ["tool Order status", "knowledge Hours", "assistant Test", "assistant Desk"]
            assert (copied["created"], copied["changed"], copied["unchanged"]) == (wanted, [], [])
            found = {each["name"]: each["id"] for each in (await other.ask("GET", "/Assistants"))["assistants"]}
            whole = await other.ask("GET", f"/Assistants/{found['Desk']}")
            assert [each["name"] for each in whole["tools"]] == ["Order status"]
            assert [each["knowledge_source_details"] for each in whole["knowledge"]] == [
                TEXT["knowledge_source_details"]
            ]
            assert whole["tools"][0]["meta"]["input_schema"] == TOOL["meta"]["input_schema"]
            assert whole["tools"][0]["requires_auth"] is False
            policies = (await other.ask("GET", "/Policies"))["policies"]
            assert [each["policy_details"] for each in policies] == [{"verified": True}] * 2
            assert "s3cret" not in json.dumps(await other.ask("GET", "/Tools"))

            source = f"{line.core.settings.public_url}/compat/twilio/assistants"
            credentials = (acme.account_id, Secret(acme.key))
            again = await copy(line.core, other_id, source, credentials)
            assert (again.created, again.changed, again.unchanged) == ([], [], wanted)
            await acme.ask("PUT", f"/Tools/{tool['id']}", {"description": "Where an order is now."})
            changed = await copy(line.core, other_id, source, credentials)
            assert (changed.changed, len(changed.unchanged)) == (["tool Order status"], 3)
            for kind, key, number in (
                ("Tools", "tools", 2),
                ("Knowledge", "knowledge", 1),
                ("Assistants", "assistants", 2),
            ):
                assert len((await other.ask("GET", f"/{kind}"))[key]) == number


async def run_import(line: TextLine, database_url: str, directory: Path, account_id: str, source: Program) -> Any:
    """The command as it is typed, from the source's account into another one."""
    run = await anyio.run_process(
        [
            *(sys.executable, "-m", "hookflash", "import", "twilio-assistants", "--json", "--account", account_id),
            *("--from", f"{line.core.settings.public_url}/compat/twilio/assistants"),
        ],
        env={
            "HOOKFLASH_DATABASE_URL": database_url,
            "HOOKFLASH_DATA_DIR": str(directory / "import"),
            "HOOKFLASH_SECRET_KEY": Sealer.new_key(),
            "IMPORT_USER": source.account_id,
            "IMPORT_PASSWORD": source.key,
        },
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout)
