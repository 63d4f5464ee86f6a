"""Conversations written down: each scene is a customer of the sample shop, through webhooks, lanes, search and outbox.

The scenes are in tests/stories/scenes. A scene has `steps`; besides it may have a `model` (what a language model says, in
order; without it the shop's own sentences answer), a `config` of the assistant, `tools`, a `document` more, and
`order_of_another`.
A step is what the `customer` texts and what must come of it: `kind`, `contains`, `lacks`, `exact`, `silent`, `segments`,
`language`, `sources` (how many), `asked` (in the question searched for), `hand_off`, `degraded`, `tools` (their outcomes),
`told` and `not_told` (in what the model was told; `told_last`: in its last message).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hookflash.assistant import store as assistants
from hookflash.assistant import tool_store
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.notation import read
from hookflash.assistant.tool import Tool
from hookflash.assistant.tool_auth import OAuthPassword
from hookflash.base.clock import SystemClock
from hookflash.base.ids import new_id
from hookflash.testing.erp_server import ErpServer
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import Answer, Drop, Refuse, serve
from tests.doors.textline import OURS, TextLine, text_line

SCENES = Path(__file__).parents[1] / "stories" / "scenes"
FILES = sorted(path.name for path in SCENES.glob("*.yaml"))
_people = count(1000)


@dataclass
class Stage:
    """The shop, its language model and its ERP."""

    line: TextLine
    model: OpenAIServer
    erp: ErpServer
    tools: dict[str, str]
    wrong: list[str] = field(default_factory=list)


@asynccontextmanager
async def stage(database_url: str, directory: Path) -> AsyncIterator[Stage]:
    model, erp = OpenAIServer(SystemClock()), ErpServer(SystemClock())
    async with serve(model) as model_url, serve(erp) as erp_url:
        environment = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{model_url}/v1",
            "HOOKFLASH_ALLOWED_HOSTS": erp_url.removeprefix("http://"),
        }
        async with text_line(
            database_url, directory, answer=None, environment=environment, burst_ms=0, messages_per_minute=600
        ) as line:
            await line.teach()
            yield Stage(line, model, erp, await make_tools(line, erp_url, erp))


async def make_tools(line: TextLine, url: str, erp: ErpServer) -> dict[str, str]:
    """The tools of the shop by name: ids."""
    made = {}
    for name, path, final in (
        ("order_status", "/orders", False),
        ("final_status", "/orders", True),
        ("bad_html", "/bad/html", False),
        ("bad_silent", "/bad/silent", False),
        ("bad_flaky", "/bad/flaky", False),
    ):
        config = {"method": "POST", "url": url + path, "timeout_seconds": 0.5 if name == "bad_silent" else 10.0}
        schema = read("{ order_id: string }")
        tool = Tool(new_id("tool"), name, "Where an order is.", schema, "http", config, final_response=final)
        auth = OAuthPassword(
            type="oauth_password", token_url=f"{url}/oauth/token", username=erp.username, password=erp.password
        )
        secret = line.core.workbench.sealer.seal(auth.model_dump_json(), tool.id)
        async with line.core.db.tenant(line.account_id) as conn:
            await tool_store.create(conn, line.account_id, tool, None, secret)
        made[name] = tool.id
    return made


@pytest.mark.parametrize("file", FILES)
async def test_scenes(file: str, database_url: str, fresh_directory: Path) -> None:
    scenes = yaml.safe_load((SCENES / file).read_text(encoding="utf-8"))
    async with stage(database_url, fresh_directory) as here:
        for scene in scenes:
            await play(here, scene)
    assert not here.wrong, "\n".join(["", *here.wrong])


def test_there_are_enough_scenes() -> None:
    names = [scene["name"] for file in FILES for scene in yaml.safe_load((SCENES / file).read_text(encoding="utf-8"))]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


async def play(here: Stage, scene: dict[str, Any]) -> None:
    """One scene, with a customer of its own."""
    line = here.line
    if "document" in scene:
        await line.teach_text(scene["document"]["name"], scene["document"]["text"])
    here.model.script.steps.clear()
    here.model.script.requests.clear()
    for step in scene.get("model", ()):
        here.model.script.then(*scripted(step))
    config = AssistantConfig.model_validate(
        {
            "company": "Alder & Pine",
            "models": ["openai:gpt-4o-mini", "extractive"] if "model" in scene else ["extractive"],
            "tools": [here.tools[name] for name in scene.get("tools", ())],
            "cache": False,
        }
        | scene.get("config", {})
    )
    async with line.core.db.tenant(line.account_id) as conn:
        await assistants.update(conn, line.account_id, line.integration.assistant_id, config, line.core.clock.now())
    number = f"+1555012{next(_people)}"
    here.erp.orders["A-1001"]["for"] = "phone:somebody else" if scene.get("order_of_another") else f"phone:{number}"
    here.erp.requests.clear()
    for step in scene["steps"]:
        asked = len(here.model.script.requests)
        before = await said_to(line, number)
        line.phone(number).text(OURS, step["customer"])
        await line.at_rest()
        after = await said_to(line, number)
        turn = await latest_turn(line, number) if after["turns"] > before["turns"] else None
        reply = after["bodies"][len(before["bodies"]) :]
        told = here.model.script.requests[asked:]
        for what in problems(step, turn, reply, told):
            here.wrong.append(f"{scene['name']} / {step['customer']!r}: {what}")
    if here.model.script.steps:
        here.wrong.append(f"{scene['name']}: the model was not asked {len(here.model.script.steps)} of its answers")
        here.model.script.steps.clear()


def scripted(step: dict[str, Any]) -> list[Any]:
    """What the language model's server does."""
    if "fail" in step:
        return [Refuse(503)] * step["fail"]
    if "drop" in step:
        return [Drop(f'{{"answer": "{step["drop"]}')]
    if "use" in step:
        calls = tuple((name, msgspec.json.encode(arguments).decode()) for name, arguments in step["use"].items())
        return [Answer("", calls=calls)]
    about = {
        "answer": step.get("say", step.get("rewrite")),
        "confidence": step.get("confidence", 0.9),
        "sources": step.get("sources", [1]),
        "clarifying": step.get("clarifying", False),
    }
    return [Answer(msgspec.json.encode(about).decode())]


async def said_to(line: TextLine, number: str) -> dict[str, Any]:
    rows = await line.rows(
        "select body from messages where direction = 'out' and kind = 'answer' and address = %s"
        " and state not in ('withheld', 'failed') order by seq",
        number,
    )
    turns = await line.rows(
        "select count(*)::int as n from turns t join contact_addresses a on a.contact_id = t.contact_id"
        " where a.address = %s and t.kind <> 'silence'",
        number,
    )
    return {"bodies": [row["body"] for row in rows], "turns": turns[0]["n"]}


async def latest_turn(line: TextLine, number: str) -> dict[str, Any]:
    rows = await line.rows(
        "select t.*, exists (select from tickets k where k.turn_id = t.id) as handed_off from turns t"
        " join contact_addresses a on a.contact_id = t.contact_id where a.address = %s order by t.at desc limit 1",
        number,
    )
    return rows[0]


def problems(
    step: dict[str, Any], turn: dict[str, Any] | None, bodies: list[str], requests: list[Any]
) -> Iterator[str]:
    """What a step wants and did not get."""
    text = "\n".join(bodies)
    if step.get("silent"):
        if bodies:
            yield f"there should be silence, and it said: {text}"
        return
    if turn is None or not bodies:
        yield "nobody answered"
        return
    record = turn["record"]
    plain = " ".join(text.split())
    told = [str(request.body.get("messages")) for request in requests if request.path.endswith("completions")]
    for name, wanted in step.items():
        listed = wanted if isinstance(wanted, list) else [wanted]
        match name:
            case "kind":
                good, found = turn["kind"] in listed, turn["kind"]
            case "contains":
                good, found = all(each.casefold() in plain.casefold() for each in listed), text
            case "lacks":
                good, found = not any(each in plain for each in listed), text
            case "exact":
                good, found = plain == wanted, text
            case "segments":
                good, found = sum(record["segments"]) == wanted, str(record["segments"])
            case "language":
                good, found = turn["language"] == wanted, turn["language"]
            case "sources":
                good, found = len(record.get("sources", ())) == wanted, str(record.get("sources"))
            case "asked":
                good, found = wanted in (turn["question"] or ""), turn["question"]
            case "hand_off":
                good, found = turn["handed_off"] is wanted, str(turn["handed_off"])
            case "degraded":
                good, found = bool(record.get("degraded")) is wanted, str(record.get("degraded"))
            case "tools":
                outcomes = [use["outcome"] for use in record.get("tools", ())]
                good, found = outcomes == wanted, str(record.get("tools"))
            case "told":
                good, found = any(wanted in each for each in told), f"{len(told)} requests"
            case "told_last":
                good, found = bool(told) and wanted in told[-1], f"{len(told)} requests"
            case "not_told":
                good, found = not any(wanted in each for each in told), f"{len(told)} requests"
            case _:
                good, found = name == "customer", "no such expectation"
        if not good:
            yield f"{name} {wanted!r}, but: {found}"
