"""Conversations written down: each scene is a customer of the sample shop, through webhooks, lanes, search and outbox.

The scenes are in tests/stories/scenes. A scene has `steps`; besides it may have a `model` (what a language model says, in
order; without it the shop's own sentences answer), a `config` of the assistant, `tools`, a `document` more, and
`order_of_another`, `order` (what else A-6666 says).
A step is what the `customer` texts and what must come of it: `kind`, `contains`, `lacks`, `exact`, `silent`, `segments`,
`language`, `sources` (how many), `asked` (in the question searched for), `hand_off`, `degraded`, `tools` (their outcomes),
`told` and `not_told` (in what the model was told; `told_last`: in its last message), `verified` (the session). In what they say
`{code}` is the last code that their phone got, `{spoken}` the same in words, `{wrong}` another one; it must be kept nowhere.
With `expired` it is too old by then. `by: voice` is a call instead of texts; `traits` are the customer's, `own` is their number.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from psycopg.types.json import Jsonb

from hookflash.assistant import store as assistants
from hookflash.assistant import tool_store
from hookflash.assistant.assistant import AssistantConfig
from hookflash.assistant.notation import read
from hookflash.assistant.tool import Policy, Tool
from hookflash.assistant.tool_auth import OAuthPassword
from hookflash.base.clock import SystemClock
from hookflash.base.ids import new_id
from hookflash.channels.voice_jobs import Talk
from hookflash.conversation.call import CallArrival
from hookflash.conversation.segment import Segment
from hookflash.testing.erp_server import ErpServer
from hookflash.testing.openai_server import OpenAIServer
from hookflash.testing.vendor import Answer, Drop, Refuse, serve
from tests.doors.textline import OURS, TextLine, text_line

SCENES = Path(__file__).parents[1] / "stories" / "scenes"
FILES = sorted(path.name for path in SCENES.glob("*.yaml"))
PATHS = {
    "order_status": "/orders",
    "verified_status": "/orders",
    "reset_password": "/password-resets",
    "confirm_reset": "/password-resets/confirm",
    "final_status": "/orders",
    "bad_html": "/bad/html",
    "bad_silent": "/bad/silent",
    "bad_flaky": "/bad/flaky",
}
INPUTS = {"reset_password": "{}", "confirm_reset": "{ reset_id: string }"}
VERIFIED = {"verified_status", "reset_password", "confirm_reset"}
SPOKEN = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
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
    for name, path in PATHS.items():
        final = name == "final_status"
        config = {"method": "POST", "url": url + path, "timeout_seconds": 0.5 if name == "bad_silent" else 10.0}
        schema = read(INPUTS.get(name, "{ order_id: string }"))
        policy = Policy(verified=name in VERIFIED)
        tool = Tool(new_id("tool"), name, "Where an order is.", schema, "http", config, policy, final)
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


def test_the_step_by_step_flow_of_the_documentation_is_played() -> None:
    page = (SCENES.parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    flow = page.partition("### Step by step")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", flow, re.DOTALL)
    tools = {tool["name"]: tool for tool in (msgspec.json.decode(text) for kind, text in blocks if kind == "json")}
    scenes = yaml.safe_load((SCENES / "verification.yaml").read_text(encoding="utf-8"))
    scene = next(scene for scene in scenes if scene["name"] == "a password is reset step by step")
    assert sorted(tools) == sorted(scene["tools"])
    for name, tool in tools.items():
        assert tool["url"].endswith(PATHS[name])
        assert (tool["input"], tool["who"]) == (INPUTS[name], {"verified": name in VERIFIED})
    (talk,) = (text for kind, text in blocks if kind == "text")
    said = [line.split(maxsplit=1)[1] for line in talk.splitlines() if line.startswith("customer")]
    assert said == [step["customer"].replace("{code}", "421337") for step in scene["steps"]]
    for step in scene["model"]:
        assert step.get("say", "") in talk


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
    here.erp.orders["A-6666"] = here.erp.orders["A-1001"] | scene.get("order", {})
    here.erp.requests.clear()
    here.erp.resets.clear()
    if "traits" in scene:
        await introduce(line, number, {k: number if v == "own" else v for k, v in scene["traits"].items()})
    talk = await pick_up(line, number) if scene.get("by") == "voice" else None
    for place, step in enumerate(scene["steps"], start=1):
        asked = len(here.model.script.requests)
        before = await said_to(line, number)
        said = filled(line, number, step["customer"])
        if step.get("expired"):
            await line.rows("update verifications set expires_at = now() where state = 'pending' returning id")
        if talk is not None:
            before["bodies"] = []
            after_call = await speak(line, talk, place, said)
        else:
            line.phone(number).text(OURS, said)
            await line.at_rest()
        after = await said_to(line, number)
        turn = await latest_turn(line, number) if after["turns"] > before["turns"] else None
        reply = after_call if talk is not None else after["bodies"][len(before["bodies"]) :]
        told = here.model.script.requests[asked:]
        if "verified" in step and await verified(line, number) is not step["verified"]:
            here.wrong.append(f"{scene['name']} / {step['customer']!r}: verified is not {step['verified']}")
        if said != step["customer"] and await kept(line, last_code(line, number)):
            here.wrong.append(f"{scene['name']} / {step['customer']!r}: the code was kept")
        for what in problems(step, turn, reply, told):
            here.wrong.append(f"{scene['name']} / {step['customer']!r}: {what}")
    if here.model.script.steps:
        here.wrong.append(f"{scene['name']}: the model was not asked {len(here.model.script.steps)} of its answers")
        here.model.script.steps.clear()


async def introduce(line: TextLine, number: str, traits: dict[str, Any]) -> None:
    """A customer of whom the company knows something."""
    contact = new_id("cont")
    await line.rows(
        "insert into contacts (id, account_id, traits) values (%s, %s, %s) returning id",
        contact,
        line.account_id,
        Jsonb(traits),
    )
    await line.rows(
        "insert into contact_addresses (account_id, address, contact_id) values (%s, %s, %s) returning address",
        line.account_id,
        number,
        contact,
    )


def last_code(line: TextLine, number: str) -> str:
    """The code that the customer's phone got last."""
    found = [re.search(r"\b\d{6}\b", message.body) for message in line.phone(number).inbox]
    return next(match.group() for match in reversed(found) if match)


def filled(line: TextLine, number: str, words: str) -> str:
    """What the customer says, with the code in it."""
    if "{" not in words:
        return words
    code = last_code(line, number)
    wrong = "".join(str((int(digit) + 1) % 10) for digit in code)
    return words.format(code=code, wrong=wrong, spoken=" ".join(SPOKEN[int(digit)] for digit in code))


async def kept(line: TextLine, code: str) -> bool:
    """Whether a code stands anywhere, by itself: the same digits in a fraction of a second or in a hash are chance."""
    spoken = " ".join(SPOKEN[int(digit)] for digit in code)
    for table in ("messages", "turns", "journal", "verifications", "sessions", "tool_calls"):
        for word in (code, spoken):
            alone = f"(^|[^0-9A-Za-z.]){word}($|[^0-9A-Za-z])"
            if await line.rows(f"select 1 from {table} t where to_jsonb(t)::text ~ %s", alone):
                return True
    return False


async def verified(line: TextLine, number: str) -> bool:
    rows = await line.rows(
        "select s.verified_at from sessions s join contact_addresses a on a.contact_id = s.contact_id where a.address = %s",
        number,
    )
    return any(row["verified_at"] for row in rows)


async def pick_up(line: TextLine, number: str) -> Talk:
    """A call of the customer that was let in."""
    arrival = CallArrival(line.account_id, line.integration.id, new_id("CA"), "in", "relay", number, OURS)
    switchboard = line.core.switchboard()
    async with line.core.db.tenant(line.account_id) as conn:
        integration = await line.core.integrations.get(conn, line.integration.id)
    _, token, why = await switchboard.admit(integration, arrival)
    assert why is None
    return await switchboard.open(integration, arrival.call_sid, token)


async def speak(line: TextLine, talk: Talk, place: int, said: str) -> list[str]:
    """One turn of a call; what was said to the customer."""
    pieces: list[str] = []

    async def say(segment: Segment) -> None:
        pieces.append(segment.text)

    switchboard = line.core.switchboard()
    await switchboard.think(talk, place, said, say, "en")
    whole = "".join(pieces)
    await switchboard.settle(talk, place, said=said, heard=whole, whole=whole, interrupted=False)
    await line.at_rest()
    return [whole]


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
                good, found = name in ("customer", "verified", "expired"), "no such expectation"
        if not good:
            yield f"{name} {wanted!r}, but: {found}"
