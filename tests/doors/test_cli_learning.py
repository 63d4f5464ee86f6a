"""`hookflash assistants`, `experiments` and `explain` as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from typer.testing import Result

from tests.doors.tenants import fill, open_api
from tests.doors.test_cli import cli, logs_as_they_were, on

__all__ = ["cli", "logs_as_they_were", "on"]
Cli = Callable[..., Result]


def told(result: Result, *words: str) -> str:
    """What was printed, without its line breaks; all of these words are in it."""
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for each in words:
        assert each in text, text
    return text


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_was_learned_is_looked_at_published_and_taken_back(on: Cli, database_url: str, tmp_path: Path) -> None:
    async def prepare() -> dict[str, str]:
        async with open_api(database_url, tmp_path) as api:
            filled = await fill(await api.account("Ours"), "quokka", "+15550111222", "+15550100200")
            path = f"/v1/assistants/{filled.ids['assistant_id']}"
            await filled.caller.call("PATCH", path, {"role": "You are the quokka.", "max_tokens": 90})
            return filled.ids

    ids = anyio.run(prepare)
    ours = ("--assistant", "quokka assistant")
    told(on("assistants", "list"), "quokka assistant", "role, max_tokens")
    shown = {each["name"]: each["unpublished"] for each in data(on("assistants", "list", "--json"))}
    assert shown == {"quokka assistant": ["role", "max_tokens"], "quokka spare": []}
    told(on("assistants", "diff", *ours), "role", "You are the quokka.", "400 90")
    told(on("assistants", "publish", *ours, "--note", "Shorter"), "Published as revision 2")
    again = on("assistants", "publish", *ours)
    assert again.exit_code == 1
    assert "nothing to publish" in again.stderr
    told(on("assistants", "diff", *ours), "They are the same.")
    told(on("assistants", "rollback", "1", *ours), "Revision 1 serves again, as revision 3")
    told(on("assistants", "show", *ours), "3 (serves now)", "Shorter", "Revision 1 again.")
    changed = data(on("assistants", "diff", "2", "3", *ours, "--json"))
    assert [each["field"] for each in changed] == ["role", "max_tokens"]
    assert on("assistants", "diff", "2", "newest", *ours).exit_code == 2
    assert on("assistants", "rollback", "9", *ours).exit_code == 1

    experiment = ids["experiment_id"]
    told(on("experiments", "list"), "quokka test", "control 50 %, other 50 %", "running")
    told(on("experiments", "show", experiment), "The figures are not enough yet: go on.")
    told(on("experiments", "conclude", experiment, "--winner", "other"), "Published as revision 3.")
    assert data(on("experiments", "show", experiment, "--json"))["winner"] == "other"
    assert on("experiments", "conclude", experiment).exit_code == 1

    why = on("explain", ids["message_id"])
    told(why, "What are the quokka hours?", "loop: Pass", "A title", "cosine 0.70")
    told(why, "prompt", "answered", "revision 1 of", "0.50 by api quokka was fine", "The quokka opens at ten.")
    everything = data(on("explain", ids["turn_id"], "--json", "--prompt"))
    assert everything["turn_id"] == ids["turn_id"]
    assert everything["passages"][0]["title"] == "A title"
    assert on("explain", "msg_none").exit_code == 1
