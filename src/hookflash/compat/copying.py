"""Copying assistants, tools and knowledge from one server of Twilio's AI Assistants API to another, as often as one likes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hookflash.base.errors import Conflict, Invalid


class Api(Protocol):
    """One of the two servers. Its errors are ours."""

    base: str

    async def all(self, path: str, key: str, **filters: str) -> list[dict[str, Any]]: ...
    async def one(self, path: str) -> dict[str, Any]: ...
    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...
    async def update(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...
    async def attach(self, path: str) -> None: ...


class Notes(Protocol):
    """What was copied before: their ids there, by where they came from."""

    async def of_origin(self, origin: str) -> str | None: ...
    async def came_from(self, their_id: str, origin: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that could not be copied, and why."""

    what: str
    name: str
    why: str


@dataclass(slots=True)
class Copied:
    """What came of it: names, such as `tool Order status`."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(slots=True)
class Copying:
    """From one server to another. `told` hears of the number of things, and of each that is done."""

    source: Api
    target: Api
    notes: Notes
    told: Callable[[int, str], None] = lambda total, name: None
    outcome: Copied = field(default_factory=Copied)

    async def run(self) -> Copied:
        """What is not ours to overwrite is left as it is; run again, it only brings what is new or has changed."""
        tools = await self.source.all("/v1/Tools", "tools")
        knowledge = await self.source.all("/v1/Knowledge", "knowledge")
        assistants = await self.source.all("/v1/Assistants", "assistants")
        total = len(tools) + len(knowledge) + len(assistants)
        ids: dict[str, str] = {}
        for each in tools:
            self.told(total, each["name"])
            await self._tool(each["id"], ids)
        for each in knowledge:
            self.told(total, each["name"])
            await self._knowledge(each, ids)
        for each in assistants:
            self.told(total, each["name"])
            await self._assistant(each["id"], ids)
        return self.outcome

    async def _tool(self, their_id: str, ids: dict[str, str]) -> None:
        whole = await self.source.one(f"/v1/Tools/{their_id}")
        body = _given(whole, "name", "description", "type", "enabled", "meta")
        what, name = "tool", whole["name"]
        policies = whole.get("policies") or []
        if policies:
            body["policy"] = _policy(policies[0])
        if len(policies) > 1:
            # Fewer bars than there were would open it to people whom it was closed to.
            body["enabled"] = False
            self._left_out(what, name, f"it has {len(policies)} policies, of which one was copied: it is switched off")
        if whole.get("requires_auth"):
            self._left_out(what, name, "what authenticates it is never shown: set it here")
        try:
            await self._put("Tools", their_id, what, body, ids)
        except Invalid as error:
            if "policy" not in body or "policy" not in error.message:
                self._left_out(what, name, error.message)
                return
            del body["policy"]
            self._left_out(what, name, f"its policy is not understood here, so it is switched off ({error.message})")
            await self._put_if_possible("Tools", their_id, what, body | {"enabled": False}, ids)

    async def _knowledge(self, listed: dict[str, Any], ids: dict[str, str]) -> None:
        their_id, name, kind = listed["id"], listed["name"], listed["type"]
        what = "knowledge"
        details = listed.get("knowledge_source_details") or {}
        if kind == "File":
            self._left_out(what, name, "files are not shown: hand it in with `hookflash ingest`")
            return
        if kind == "Database":
            self._left_out(what, name, "the keys of its index are not shown: make it here")
            return
        if kind == "Text" and not details.get("content"):
            self._left_out(what, name, "its text is not shown")
            return
        body = _given(listed, "name", "description", "type", "knowledge_source_details")
        policies = await self.source.all("/v1/Policies", "policies", KnowledgeId=their_id)
        if len(policies) > 1:
            self._left_out(what, name, f"it has {len(policies)} policies, and can have one here")
            return
        if policies:
            body["policy"] = _policy(policies[0])
        await self._put_if_possible("Knowledge", their_id, what, body, ids)

    async def _assistant(self, their_id: str, ids: dict[str, str]) -> None:
        whole = await self.source.one(f"/v1/Assistants/{their_id}")
        what, name = "assistant", whole["name"]
        body = _given(whole, "name", "owner", "personality_prompt", "customer_ai")
        here = await self._put_if_possible("Assistants", their_id, what, body, ids)
        if here is None:
            return
        mine = await self.target.one(f"/v1/Assistants/{here}")
        for kind, key in (("Tools", "tools"), ("Knowledge", "knowledge")):
            attached = {each["id"] for each in mine.get(key) or []}
            for each in whole.get(key) or []:
                copied = ids.get(each["id"])
                if copied is None or copied in attached:
                    continue
                try:
                    await self.target.attach(f"/v1/Assistants/{here}/{kind}/{copied}")
                except Invalid as error:
                    self._left_out(what, name, f"{each['name']} is not attached: {error.message}")

    async def _put_if_possible(
        self, kind: str, their_id: str, what: str, body: dict[str, Any], ids: dict[str, str]
    ) -> str | None:
        try:
            return await self._put(kind, their_id, what, body, ids)
        except Invalid as error:
            self._left_out(what, body["name"], error.message)
            return None

    async def _put(self, kind: str, their_id: str, what: str, body: dict[str, Any], ids: dict[str, str]) -> str | None:
        """Its id there; None when there is another one of its name. Raises Invalid."""
        origin = f"{self.source.base}/v1/{kind}/{their_id}"
        name = f"{what} {body['name']}"
        here = await self.notes.of_origin(origin)
        if here is not None:
            if await self._same(kind, here, body):
                self.outcome.unchanged.append(name)
            else:
                await self.target.update(f"/v1/{kind}/{here}", body)
                self.outcome.changed.append(name)
        else:
            try:
                here = (await self.target.create(f"/v1/{kind}", body))["id"]
            except Conflict:
                self._left_out(what, body["name"], "there is another one of this name here")
                return None
            await self.notes.came_from(here, origin)
            self.outcome.created.append(name)
        ids[their_id] = here
        return here

    async def _same(self, kind: str, here: str, body: dict[str, Any]) -> bool:
        """Whether it is there as it is to be; what is there besides does not count."""
        mine = await self.target.one(f"/v1/{kind}/{here}")
        if "policy" in body and kind == "Knowledge":
            mine["policies"] = await self.target.all("/v1/Policies", "policies", KnowledgeId=here)
        mine["policy"] = _policy((mine.get("policies") or [{}])[0])
        return _within(body, mine)

    def _left_out(self, what: str, name: str, why: str) -> None:
        self.outcome.left_out.append(LeftOut(what, name, why))


def _given(whole: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: whole[name] for name in names if whole.get(name) is not None}


def _policy(shown: dict[str, Any]) -> dict[str, Any]:
    return _given(shown, "name", "description", "type", "policy_details")


def _within(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _within(value, found[name]) for name, value in wanted.items())
    return bool(wanted == found)
