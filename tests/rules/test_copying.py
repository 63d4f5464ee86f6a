"""Copying from another server: what it does with what it meets there, whatever that is."""

from dataclasses import dataclass, field
from typing import Any

from hookflash.base.errors import Conflict, Invalid
from hookflash.compat.copying import Copying

Row = dict[str, Any]


@dataclass
class Server:
    """A server that holds what it was given; its answers are as short as they may be."""

    base: str
    tools: dict[str, Row] = field(default_factory=dict)
    knowledge: dict[str, Row] = field(default_factory=dict)
    assistants: dict[str, Row] = field(default_factory=dict)
    policies: dict[str, list[Row]] = field(default_factory=dict)
    most_tools: int = 5

    def _of(self, path: str) -> dict[str, Row]:
        found: dict[str, Row] = getattr(self, path.split("/")[2].lower())
        return found

    async def all(self, path: str, key: str, **filters: str) -> list[Row]:
        if key == "policies":
            return self.policies.get(filters["KnowledgeId"], [])
        return list(self._of(path).values())

    async def one(self, path: str) -> Row:
        return dict(self._of(path)[path.split("/")[3]])

    async def create(self, path: str, body: Row) -> Row:
        if any(each["name"] == body["name"] for each in self._of(path).values()):
            raise Conflict("It is there.")
        return await self._put(path, f"{path.split('/')[2]}-{len(self._of(path))}", body)

    async def update(self, path: str, body: Row) -> Row:
        return await self._put(path, path.split("/")[3], body)

    async def _put(self, path: str, its_id: str, body: Row) -> Row:
        if "odd" in body.get("policy", {}).get("policy_details", {}):
            raise Invalid("Invalid parameter policy.policy_details.odd: what is that?")
        row = {**self._of(path).get(its_id, {}), **body, "id": its_id}
        if "policy" in body:
            row["policies"] = [body["policy"]]
        self._of(path)[its_id] = row
        return row

    async def attach(self, path: str) -> None:
        _, _, _, assistant, kind, what = path.split("/")
        row = self.assistants[assistant]
        if kind == "Tools" and len(row.setdefault("tools", [])) >= self.most_tools:
            raise Invalid("One tool too many.")
        row.setdefault(kind.lower(), []).append({"id": what, "name": what})


@dataclass
class Memory:
    kept: dict[str, str] = field(default_factory=dict)

    async def of_origin(self, origin: str) -> str | None:
        return self.kept.get(origin)

    async def came_from(self, their_id: str, origin: str) -> None:
        self.kept[origin] = their_id


def tool(name: str, **more: Any) -> Row:
    return {
        "id": f"t-{name}",
        "name": name,
        "description": name,
        "type": "WEBHOOK",
        "enabled": True,
        "meta": {},
        **more,
    }


async def test_a_tool_whose_policy_is_not_understood_is_switched_off() -> None:
    odd = {"policy_details": {"odd": True}}
    there = Server("https://there")
    there.tools = {
        "t-odd": tool("odd", policies=[odd]),
        "t-two": tool("two", policies=[{"policy_details": {"verified": True}}, odd]),
    }
    here, memory = Server("https://here"), Memory()
    for again in range(2):
        copied = await Copying(there, here, memory).run()
        assert [each["enabled"] for each in here.tools.values()] == [False, False], again
        assert ["switched off" in each.why for each in copied.left_out] == [True, True]
    assert (copied.created, copied.unchanged) == ([], ["tool odd", "tool two"])


async def test_what_is_not_shown_or_not_ours_is_listed_and_the_rest_is_copied() -> None:
    there = Server("https://there")
    there.tools = {f"t-{n}": tool(str(n)) for n in range(3)}
    there.knowledge = {
        "k-file": {"id": "k-file", "name": "file", "type": "File"},
        "k-index": {"id": "k-index", "name": "index", "type": "Database"},
        "k-mute": {"id": "k-mute", "name": "mute", "type": "Text", "knowledge_source_details": {}},
        "k-shut": {"id": "k-shut", "name": "shut", "type": "Text", "knowledge_source_details": {"content": "x"}},
        "k-site": {"id": "k-site", "name": "site", "type": "Web", "knowledge_source_details": {"source": "https://a"}},
    }
    there.policies = {"k-shut": [{"policy_details": {"odd": 1}}]}
    there.assistants = {
        "a": {
            "id": "a",
            "name": "desk",
            "owner": "",
            "tools": [{"id": f"t-{n}", "name": str(n)} for n in range(3)],
            "knowledge": [{"id": "k-site", "name": "site"}, {"id": "k-file", "name": "file"}],
        }
    }
    here = Server("https://here", tools={"mine": tool("0")}, most_tools=1)
    copied = await Copying(there, here, Memory()).run()
    assert [(each.what, each.name) for each in copied.left_out] == [
        ("tool", "0"),
        *(("knowledge", name) for name in ("file", "index", "mute", "shut")),
        ("assistant", "desk"),
    ]
    assert copied.created == ["tool 1", "tool 2", "knowledge site", "assistant desk"]
    (desk,) = here.assistants.values()
    assert ([each["id"] for each in desk["tools"]], [each["id"] for each in desk["knowledge"]]) == (
        ["Tools-1"],
        ["Knowledge-0"],
    )
    assert here.tools["mine"]["description"] == "0", "what is not ours to overwrite stays"
